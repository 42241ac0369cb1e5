//! Is a condition read as the server reads it? Random conditions, mostly without parentheses, so that precedence
//! decides, are routed by the planner and computed by a real server. Every row that the server finds must be on
//! a node that the route names: a misreading that narrows a route is a wrong answer.
//!
//! MARGAY_SEED repeats a run, MARGAY_QUERIES makes it longer.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use margay::model::NodeId;
use margay::plan::{self, Command, Moment, Params, Planner, SessionView};
use margay::topology::{self, Database};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::Sandbox;
use tokio_postgres::{Client, SimpleQueryMessage};

const RULES: &str = "version: 1
listen: {postgres: 127.0.0.1:6432}
users: [{name: app, password: {plain: secret}}]
nodes:
  a: {primary: \"postgres://app@127.0.0.1:1/app\"}
  b: {primary: \"postgres://app@127.0.0.1:2/app\"}
  c: {primary: \"postgres://app@127.0.0.1:3/app\"}
  d: {primary: \"postgres://app@127.0.0.1:4/app\"}
databases:
  app:
    engine: postgres
    default_domain: d
    domains:
      d:
        nodes: [a, b, c, d]
        tables:
          t: {shard: {by: hash, key: {column: k, type: integer}, function: modulo, count: 8}}
          u: {shard: {like: t}}
          r: {shard: {by: range, key: {column: k, type: integer}, bounds: [2, 4, 6]}}
";

const SCHEMA: &str = "CREATE TABLE t (k integer NOT NULL, a integer, b integer, s text, f boolean);
CREATE TABLE u (k integer NOT NULL, a integer, b integer, s text, f boolean);
CREATE TABLE r (k integer NOT NULL, a integer, b integer, s text, f boolean)";

/// The server's own are only one machine; the test needs no more than its grammar and its rows.
const ORACLE: &str = "version: 1
users: [{name: app, password: {plain: secret}}]
nodes: {n: {primary: \"postgres://app@127.0.0.1/app\"}}
databases: {app: {engine: postgres, default_domain: d, domains: {d: {nodes: [n], tables: {}}}}}
";

const SHORT: usize = 4000;
const FIXED_SEED: u64 = 20_261_122;

struct Writer {
    random: StdRng,
    /// What qualifies a column.
    tables: Vec<&'static str>,
}

impl Writer {
    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.random.random_range(0..list.len())]
    }

    fn column(&mut self) -> String {
        let table = self.tables[self.random.random_range(0..self.tables.len())];
        // The key more often than the others.
        format!("{table}{}", self.pick(&["k", "k", "k", "k", "a", "b"]))
    }

    fn table(&mut self) -> &'static str {
        self.tables[self.random.random_range(0..self.tables.len())]
    }

    fn constant(&mut self) -> String {
        let n = self.random.random_range(0..8);
        match self.random.random_range(0..12) {
            0 => format!("'{n}'"),
            1 => format!("{n}::int8"),
            2 => format!("-{n}"),
            3 => format!("- {n}::integer"),
            4 => format!("integer '{n}'"),
            5 => format!("CAST('{n}' AS int)"),
            6 => "NULL".into(),
            7 => format!("+{n}"),
            _ => n.to_string(),
        }
    }

    fn number(&mut self, depth: u32) -> String {
        if depth == 0 || self.random.random_bool(0.3) {
            return if self.random.random_bool(0.55) {
                self.column()
            } else {
                self.constant()
            };
        }
        let (x, y) = (self.number(depth - 1), self.number(depth - 1));
        match self.random.random_range(0..12) {
            0 => format!("-{x}"),
            1 => format!("@ {x}"),
            2 => format!("~{x}"),
            3 => format!("({x})"),
            4 => format!("{x}::int8"),
            5 => format!("abs({x})"),
            6 => format!("CASE WHEN {} THEN {x} ELSE {y} END", self.truth(depth - 1)),
            7 => format!("(SELECT {x})"),
            8 => format!("coalesce({x}, {y})"),
            _ => {
                let op = self.pick(&[
                    "+",
                    "-",
                    "*",
                    "#",
                    "&",
                    "|",
                    "<<",
                    "^",
                    "OPERATOR(pg_catalog.+)",
                    "OPERATOR(pg_catalog.-)",
                ]);
                let blank = self.pick(&["", " "]);
                let blank = if op.starts_with('O') { " " } else { blank };
                format!("{x}{blank}{op}{blank}{y}")
            }
        }
    }

    fn list(&mut self) -> String {
        let n = self.random.random_range(1..4);
        (0..n).map(|_| self.constant()).collect::<Vec<_>>().join(", ")
    }

    fn comparison(&mut self, depth: u32) -> String {
        let (x, y) = (self.number(depth), self.number(depth));
        let table = self.table();
        match self.random.random_range(0..24) {
            0 => format!("{x} IN ({})", self.list()),
            1 => format!("{x} NOT IN ({})", self.list()),
            2 => format!("{x} BETWEEN {y} AND {}", self.number(depth)),
            3 => format!("{x} NOT BETWEEN {y} AND {}", self.number(depth)),
            4 => format!("{x} BETWEEN SYMMETRIC {y} AND {}", self.number(depth)),
            5 => format!("{x} IS DISTINCT FROM {y}"),
            6 => format!("{x} IS NOT DISTINCT FROM {y}"),
            7 => format!(
                "{x} {}",
                self.pick(&["IS NULL", "IS NOT NULL", "ISNULL", "NOTNULL"])
            ),
            8 => format!(
                "{table}s {} 'b%'",
                self.pick(&["LIKE", "NOT LIKE", "ILIKE", "~~", "!~~", "~", "SIMILAR TO"])
            ),
            9 => format!("{table}s || 'x' {} 'ax' || ''", self.pick(&["=", "<", "~", "<>"])),
            10 => format!("{table}s COLLATE \"C\" < 'b'"),
            11 => format!("{x} = ANY ('{{1,2,5}}')"),
            12 => format!(
                "{x} = {} (ARRAY[{}]::int[])",
                self.pick(&["ANY", "ALL", "SOME"]),
                self.list()
            ),
            13 => format!("({x}, {y}) = ({}, {})", self.constant(), self.number(depth)),
            14 => format!(
                "({x}, {y}) IN (({}, {}), (1, 2))",
                self.constant(),
                self.constant()
            ),
            15 => format!("EXISTS (SELECT 1 WHERE {})", self.truth(depth.saturating_sub(1))),
            16 => format!("{x} = (SELECT {y})"),
            17 => format!("{table}f"),
            18 => format!("{table}f = {}", self.pick(&["true", "false", "'t'"])),
            _ => {
                let op = self.pick(&[
                    "=",
                    "=",
                    "=",
                    "=",
                    "<>",
                    "<",
                    "<=",
                    ">",
                    ">=",
                    "OPERATOR(pg_catalog.=)",
                ]);
                let blank = if op.starts_with('O') {
                    " "
                } else {
                    self.pick(&["", " "])
                };
                format!("{x}{blank}{op}{blank}{y}")
            }
        }
    }

    fn truth(&mut self, depth: u32) -> String {
        if depth == 0 {
            if self.random.random_bool(0.5) {
                // What narrows a route, so that a misreading around it shows.
                let (table, constant) = (self.table(), self.random.random_range(0..8));
                let op = self.pick(&["=", "=", "=", "<", ">=", "IN"]);
                return match op {
                    "IN" => format!("{table}k IN ({constant}, {})", self.list()),
                    op => format!("{table}k {op} {constant}"),
                };
            }
            let depth = u32::from(self.random.random_bool(0.3));
            return self.comparison(depth);
        }
        let x = self.truth(depth - 1);
        match self.random.random_range(0..12) {
            0 | 1 => format!("NOT {x}"),
            2..=5 => format!("{x} AND {}", self.truth(depth - 1)),
            6 | 7 => format!("{x} OR {}", self.truth(depth - 1)),
            8 => format!(
                "{x} {}",
                self.pick(&["IS TRUE", "IS NOT FALSE", "IS NOT TRUE", "IS UNKNOWN", "IS FALSE"])
            ),
            9 => format!("({x})"),
            10 => format!("{x} = {}", self.truth(depth - 1)),
            _ => x,
        }
    }

    /// The statement, and how many of its first columns are keys, each of which table.
    fn statement(&mut self) -> (String, Vec<&'static str>) {
        let single = self.pick(&["t", "t", "r"]);
        if self.random.random_bool(0.7) {
            self.tables = vec![""];
            let depth = self.random.random_range(0..3);
            let condition = self.truth(depth);
            return (
                format!("SELECT {single}.k FROM {single} WHERE {condition}"),
                vec![if single == "t" { "t" } else { "r" }],
            );
        }
        self.tables = vec!["x.", "y."];
        let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN"]);
        let tie = self.pick(&[
            "x.k = y.k AND ",
            "x.k = y.k AND ",
            "y.k = x.k AND x.k = 3 AND ",
            "",
        ]);
        let (on, filter) = (self.truth(1), self.truth(1));
        (
            format!("SELECT x.k, y.k FROM t x {join} u y ON {tie}{on} WHERE {filter}"),
            vec!["t", "u"],
        )
    }
}

struct Routes {
    planner: Planner,
    view: SessionView,
    /// The node of each key of each table.
    home: HashMap<(&'static str, i32), NodeId>,
}

impl Routes {
    fn new() -> Routes {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), RULES).expect("it is written");
        let loaded = topology::load(file.path(), &|_| None).expect("the rules are right");
        let database = loaded.snapshot.database("app").expect("the database").clone();
        let catalog = Arc::new(plan::catalog_from_sql(SCHEMA).expect("a readable schema"));
        let view = SessionView::fresh(
            Arc::new(Database {
                catalog,
                ..Database::clone(&database)
            }),
            0,
        );
        let mut routes = Routes {
            planner: Planner::default(),
            view,
            home: HashMap::new(),
        };
        for table in ["t", "u", "r"] {
            for k in 0..8 {
                let nodes = routes.nodes(&format!("SELECT 1 FROM {table} WHERE k = {k}"));
                let nodes: Vec<NodeId> = nodes.expect("planned").into_iter().collect();
                assert_eq!(nodes.len(), 1, "{table} {k}");
                routes.home.insert((table, k), nodes[0]);
            }
        }
        routes
    }

    /// None: refused.
    fn nodes(&self, sql: &str) -> Option<BTreeSet<NodeId>> {
        let statement = self.planner.read(sql, &self.view).ok()?;
        let Command::Query(_) = &statement.command else {
            panic!("not a query: {sql}");
        };
        let mut next_id = || Ok(1);
        let mut moment = Moment {
            now_us: 0,
            next_id: &mut next_id,
            statement_us: 0,
            in_transaction: false,
        };
        let planned = statement.bind(&self.view, &Params::default(), &mut moment);
        Some(planned.ok()?.parts.iter().map(|p| p.node).collect())
    }
}

async fn rows(client: &Client, sql: &str) -> Option<Vec<Vec<Option<i32>>>> {
    let messages = client.simple_query(sql).await.ok()?;
    Some(
        messages
            .iter()
            .filter_map(|m| match m {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|i| row.get(i).map(|v| v.parse().expect("a key")))
                        .collect(),
                ),
                _ => None,
            })
            .collect(),
    )
}

#[tokio::test]
async fn no_row_that_the_server_finds_is_left_out_by_the_route() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seed = number("MARGAY_SEED").unwrap_or(FIXED_SEED);
    let count = number("MARGAY_QUERIES").map_or(SHORT, |n| n as usize);
    println!("MARGAY_SEED={seed} MARGAY_QUERIES={count}");
    let sandbox = Sandbox::servers_only(ORACLE);
    let client = support::connect(sandbox.oracle()).await;
    client.batch_execute(SCHEMA).await.expect("tables");
    for table in ["t", "u", "r"] {
        let fill = format!(
            "INSERT INTO {table} SELECT k, nullif(a, 3), nullif(k # a, 5), substr('abcdefgh', 1 + k % 8, 1), \
             nullif(k + a, 6) % 2 = 0 FROM generate_series(0, 7) k, generate_series(0, 4) a"
        );
        client.batch_execute(&fill).await.expect("rows");
    }
    let routes = Routes::new();
    let mut writer = Writer {
        random: StdRng::seed_from_u64(seed),
        tables: Vec::new(),
    };
    let (mut valid, mut routed, mut narrowed) = (0, 0, 0);
    let mut wrong = Vec::new();
    for _ in 0..count {
        let (sql, tables) = writer.statement();
        let Some(rows) = rows(&client, &sql).await else {
            continue;
        };
        valid += 1;
        let Some(nodes) = routes.nodes(&sql) else {
            continue;
        };
        routed += 1;
        narrowed += usize::from(nodes.len() < 4);
        let missed = rows
            .iter()
            .flat_map(|row| row.iter().zip(&tables))
            .find(|(k, table)| {
                k.is_some_and(|k| routes.home.get(&(**table, k)).is_some_and(|n| !nodes.contains(n)))
            });
        if let Some((k, table)) = missed {
            wrong.push(format!("{sql}\n    finds {table}.k = {k:?}, routed to {nodes:?}"));
        }
    }
    println!(
        "{count} conditions: {valid} the server takes, {routed} are routed, {narrowed} not to all nodes"
    );
    assert!(
        wrong.is_empty(),
        "{} rows are missed (MARGAY_SEED={seed}):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        routed * 2 > count && narrowed * 20 > count,
        "the test proves little"
    );
}

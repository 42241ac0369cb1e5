//! Random queries over the differential schema. Every query is a pure function of the seed, which is
//! printed; ORDER BY comes with all output columns where LIMIT depends on it, so that one answer is right.

use super::{Rows, Sides};

/// Queries of a normal run.
const SHORT: usize = 400;

/// splitmix64: small, fixed, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Int,
    Number,
    Text,
    CText,
    Time,
    Bool,
}

struct Table {
    name: &'static str,
    /// The sharding key comes first where there is one.
    columns: &'static [(&'static str, Type)],
}

const TABLES: &[Table] = &[
    Table {
        name: "orders",
        columns: &[
            ("user_id", Type::Int),
            ("id", Type::Int),
            ("status", Type::Text),
            ("code", Type::CText),
            ("total", Type::Number),
            ("qty", Type::Int),
            ("paid", Type::Bool),
            ("placed", Type::Time),
        ],
    },
    Table {
        name: "items",
        columns: &[
            ("user_id", Type::Int),
            ("order_id", Type::Int),
            ("line", Type::Int),
            ("sku", Type::CText),
            ("qty", Type::Int),
            ("price", Type::Number),
        ],
    },
    Table {
        name: "legacy",
        columns: &[("id", Type::Int), ("body", Type::Text), ("k", Type::Int)],
    },
    Table {
        name: "legacy2",
        columns: &[("id", Type::Int), ("line", Type::Int), ("w", Type::Int)],
    },
    Table {
        name: "ctags",
        columns: &[("tag", Type::CText), ("n", Type::Int)],
    },
    Table {
        name: "tags",
        columns: &[("tag", Type::Text), ("n", Type::Int)],
    },
    Table {
        name: "visits",
        columns: &[("at", Type::Time), ("id", Type::Int), ("url", Type::Text)],
    },
    Table {
        name: "accounts",
        columns: &[("id", Type::Int), ("balance", Type::Int), ("owner", Type::Text)],
    },
    Table {
        name: "pairs",
        columns: &[("a", Type::Int), ("b", Type::Text), ("x", Type::Int)],
    },
    Table {
        name: "regions",
        columns: &[("id", Type::Int), ("name", Type::CText), ("size", Type::Int)],
    },
    Table {
        name: "users",
        columns: &[("id", Type::Int), ("name", Type::Text), ("vip", Type::Bool)],
    },
];

/// A relation in FROM: its alias and columns.
#[derive(Clone)]
struct Relation {
    alias: String,
    columns: Vec<(String, Type)>,
}

pub struct Generator {
    dice: Dice,
    pub seed: u64,
    queries: usize,
    pub asked: usize,
    pub answered: usize,
    aliases: usize,
}

impl Generator {
    pub fn from_environment() -> Generator {
        let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
        let clock = || {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |d| d.as_nanos() as u64)
        };
        let seed = number("MARGAY_SEED").unwrap_or_else(clock);
        let queries = number("MARGAY_QUERIES").map_or(SHORT, |n| n as usize);
        println!("random queries: MARGAY_SEED={seed} MARGAY_QUERIES={queries}");
        Generator {
            dice: Dice(seed),
            seed,
            queries,
            asked: 0,
            answered: 0,
            aliases: 0,
        }
    }

    /// Asks both sides; gives what differed.
    pub async fn run(&mut self, sides: &Sides) -> Vec<String> {
        let mut wrong = Vec::new();
        let before = sides.counts().0;
        for _ in 0..self.queries {
            self.aliases = 0;
            let sql = self.query();
            self.asked += 1;
            wrong.extend(sides.check_simple(&sql, Rows::AsOrdered).await);
            if wrong.len() > 20 {
                break;
            }
        }
        self.answered = sides.counts().0 - before;
        wrong
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    fn table(&mut self) -> (String, Relation) {
        // The first tables more often: joins need partners.
        let index = if self.dice.chance(60) {
            self.dice.below(4)
        } else {
            self.dice.below(TABLES.len())
        };
        let table = &TABLES[index];
        let alias = self.alias();
        let columns: Vec<(String, Type)> = table
            .columns
            .iter()
            .map(|(n, t)| ((*n).to_string(), *t))
            .collect();
        let relation = Relation {
            alias: alias.clone(),
            columns,
        };
        if self.dice.chance(12) {
            let filter = self.filter(
                std::slice::from_ref(&Relation {
                    alias: "z".into(),
                    ..relation.clone()
                }),
                0,
            );
            let tail = if self.dice.chance(30) {
                " ORDER BY 1, 2 LIMIT 3"
            } else {
                ""
            };
            let kind = if self.dice.chance(20) { "DISTINCT " } else { "" };
            let (a, b) = (&relation.columns[0], &relation.columns[1]);
            let relation = Relation {
                alias: alias.clone(),
                columns: vec![a.clone(), b.clone()],
            };
            let text = format!(
                "(SELECT {kind}z.{}, z.{} FROM {} z WHERE {filter}{tail}) {alias}",
                a.0, b.0, table.name
            );
            return (text, relation);
        }
        (format!("{} {alias}", table.name), relation)
    }

    fn column(&mut self, from: &[Relation]) -> (String, Type) {
        let relation = self.dice.pick(from).clone();
        let first = self.dice.chance(40);
        let (name, ty) = if first {
            relation.columns[0].clone()
        } else {
            self.dice.pick(&relation.columns).clone()
        };
        (format!("{}.{name}", relation.alias), ty)
    }

    fn constant(&mut self, ty: Type) -> String {
        let list: &[&str] = match ty {
            Type::Int => &[
                "1",
                "2",
                "7",
                "-5",
                "0",
                "'3'",
                "4::int",
                "2.0",
                "1.5",
                "NULL",
                "9223372036854775807",
                "10",
            ],
            Type::Number => &["1", "20.5", "1.50", "0", "'10'", "NULL"],
            Type::Text | Type::CText => &[
                "'a'", "'A'", "'new'", "'paid'", "'b'", "''", "'a '", "NULL", "'tea'",
            ],
            Type::Time => &[
                "'2026-01-31 16:00Z'",
                "'2026-02-01 00:00+08'",
                "'2026-01-01Z'",
                "NULL",
            ],
            Type::Bool => &["true", "false", "NULL"],
        };
        (*self.dice.pick(list)).to_string()
    }

    fn predicate(&mut self, from: &[Relation], depth: usize) -> String {
        let (column, ty) = self.column(from);
        match self.dice.below(14) {
            0..=3 => format!("{column} = {}", self.constant(ty)),
            4 => format!(
                "{column} {} {}",
                self.dice
                    .pick(&["<", ">=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]),
                self.constant(ty)
            ),
            5 => format!(
                "{column} IN ({}, {}, {})",
                self.constant(ty),
                self.constant(ty),
                self.constant(ty)
            ),
            6 => format!("{column} NOT IN ({}, {})", self.constant(ty), self.constant(ty)),
            7 => format!("{column} BETWEEN {} AND {}", self.constant(ty), self.constant(ty)),
            8 => format!("{column} IS {}NULL", self.dice.pick(&["", "NOT "])),
            9 => format!("NOT ({})", self.filter(from, depth + 1)),
            10 => format!(
                "({} OR {})",
                self.filter(from, depth + 1),
                self.filter(from, depth + 1)
            ),
            11 => {
                let other = self.column(from);
                if other.1 == ty {
                    format!("{column} = {}", other.0)
                } else {
                    format!("{column} IS NOT NULL")
                }
            }
            _ if depth < 2 => self.subquery(from, &column, ty),
            _ => format!("{column} = {}", self.constant(ty)),
        }
    }

    fn subquery(&mut self, from: &[Relation], column: &str, ty: Type) -> String {
        let (text, inner) = self.table();
        let (key, key_type) = inner.columns[0].clone();
        let outer = self.dice.pick(from).clone();
        let filter = self.filter(std::slice::from_ref(&inner), 2);
        let tie = match self.dice.chance(70) && outer.columns[0].1 == key_type {
            true => format!(
                "{}.{key} = {}.{} AND ",
                inner.alias, outer.alias, outer.columns[0].0
            ),
            false => String::new(),
        };
        match self.dice.below(4) {
            0 if ty == key_type => format!(
                "{column} IN (SELECT {}.{key} FROM {text} WHERE {tie}{filter})",
                inner.alias
            ),
            1 if ty == key_type => format!(
                "{column} NOT IN (SELECT {}.{key} FROM {text} WHERE {tie}{filter})",
                inner.alias
            ),
            2 => format!("NOT EXISTS (SELECT 1 FROM {text} WHERE {tie}{filter})"),
            _ => format!("EXISTS (SELECT 1 FROM {text} WHERE {tie}{filter})"),
        }
    }

    fn filter(&mut self, from: &[Relation], depth: usize) -> String {
        let n = 1 + self.dice.below(2);
        (0..n)
            .map(|_| self.predicate(from, depth))
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    fn from(&mut self) -> (String, Vec<Relation>) {
        let (mut text, first) = self.table();
        let mut list = vec![first];
        while list.len() < 3 && self.dice.chance(35) {
            let (next, relation) = self.table();
            let left = self.dice.pick(&list).clone();
            let (a, b) = (&left.columns[0], &relation.columns[0]);
            let on = if a.1 == b.1 && self.dice.chance(85) {
                format!("{}.{} = {}.{}", left.alias, a.0, relation.alias, b.0)
            } else {
                self.predicate(&[left.clone(), relation.clone()], 2)
            };
            let kind = self.dice.pick(&[
                "JOIN",
                "JOIN",
                "LEFT JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
            ]);
            // A full join takes only conditions that can be merged or hashed.
            let on = if *kind == "FULL JOIN" && a.1 == b.1 {
                format!("{}.{} = {}.{}", left.alias, a.0, relation.alias, b.0)
            } else {
                on
            };
            let kind = if *kind == "FULL JOIN" && a.1 != b.1 {
                "JOIN"
            } else {
                kind
            };
            list.push(relation);
            text = format!("{text} {kind} {next} ON {on}");
        }
        (text, list)
    }

    fn aggregate(&mut self, from: &[Relation]) -> String {
        let (column, ty) = self.column(from);
        let filter = if self.dice.chance(15) {
            format!(" FILTER (WHERE {})", self.predicate(from, 2))
        } else {
            String::new()
        };
        let call = match (self.dice.below(7), ty) {
            (0, _) => "count(*)".to_string(),
            (1, _) => format!("count({column})"),
            (2, _) => format!("count(DISTINCT {column})"),
            (3, Type::Int | Type::Number) => format!("sum({column})"),
            (4, Type::Int | Type::Number) => format!("avg({column})"),
            (5, Type::Bool) => format!("bool_or({column})"),
            (5, Type::Int | Type::Number | Type::Time) => format!("min({column})"),
            (6, Type::Int | Type::Number | Type::Time) => format!("max({column})"),
            _ => "count(*)".to_string(),
        };
        format!("{call}{filter}")
    }

    fn query(&mut self) -> String {
        let (from, relations) = self.from();
        let filter = match self.dice.chance(75) {
            true => format!(" WHERE {}", self.filter(&relations, 0)),
            false => String::new(),
        };
        match self.dice.below(10) {
            0..=2 => self.grouped(&from, &relations, &filter),
            3 => {
                let arm = self.plain(&from, &relations, &filter);
                let op = self
                    .dice
                    .pick(&["UNION ALL", "UNION ALL", "UNION", "EXCEPT", "INTERSECT"]);
                format!("{arm} {op} {arm}")
            }
            _ => {
                let sql = self.plain(&from, &relations, &filter);
                if self.dice.chance(50) {
                    sql
                } else {
                    self.ordered(&sql, &relations)
                }
            }
        }
    }

    fn plain(&mut self, from: &str, relations: &[Relation], filter: &str) -> String {
        let distinct = if self.dice.chance(15) { "DISTINCT " } else { "" };
        let n = 1 + self.dice.below(3);
        let items: Vec<String> = (0..n)
            .map(|i| {
                let (column, _) = self.column(relations);
                if self.dice.chance(30) {
                    format!("{column} AS c{i}")
                } else {
                    column
                }
            })
            .collect();
        format!("SELECT {distinct}{} FROM {from}{filter}", items.join(", "))
    }

    /// Ordered by every column of every relation, so that the order is a total one.
    fn ordered(&mut self, sql: &str, relations: &[Relation]) -> String {
        let mut keys: Vec<String> = Vec::new();
        let some = self.column(relations).0;
        keys.push(some);
        for relation in relations {
            for (name, ty) in &relation.columns {
                let collate = if *ty == Type::Text { " COLLATE \"C\"" } else { "" };
                keys.push(format!("{}.{name}{collate}", relation.alias));
            }
        }
        if sql.starts_with("SELECT DISTINCT") {
            // ORDER BY may only name what is selected; which positions there are is in the text.
            let list = sql.split(" FROM ").next().unwrap_or("");
            keys = (1..=list.matches(',').count() + 1)
                .map(|i| i.to_string())
                .collect();
        }
        for key in &mut keys {
            key.push_str(
                self.dice
                    .pick::<&str>(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]),
            );
        }
        let limit = match self.dice.below(4) {
            0 => format!(" LIMIT {}", self.dice.below(5)),
            1 => format!(" LIMIT {} OFFSET {}", self.dice.below(6), self.dice.below(4)),
            2 => format!(" OFFSET {}", self.dice.below(4)),
            _ => String::new(),
        };
        format!("{sql} ORDER BY {}{limit}", keys.join(", "))
    }

    fn grouped(&mut self, from: &str, relations: &[Relation], filter: &str) -> String {
        let n = 1 + self.dice.below(2);
        let aggregates: Vec<String> = (0..n).map(|_| self.aggregate(relations)).collect();
        let keys: Vec<(String, Type)> = (0..self.dice.below(3)).map(|_| self.column(relations)).collect();
        if keys.is_empty() {
            return format!("SELECT {} FROM {from}{filter}", aggregates.join(", "));
        }
        let names: Vec<&str> = keys.iter().map(|k| k.0.as_str()).collect();
        let having = if self.dice.chance(15) {
            " HAVING count(*) > 1"
        } else {
            ""
        };
        let by: Vec<String> = match self.dice.below(2) {
            0 => names.iter().map(ToString::to_string).collect(),
            _ => (1..=names.len()).map(|i| i.to_string()).collect(),
        };
        let order = match self.dice.chance(40) && keys.iter().all(|k| k.1 != Type::Text) {
            true => format!(
                " ORDER BY {} LIMIT {}",
                (1..=names.len())
                    .map(|i| i.to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
                1 + self.dice.below(4)
            ),
            false => String::new(),
        };
        format!(
            "SELECT {}, {} FROM {from}{filter} GROUP BY {}{having}{order}",
            names.join(", "),
            aggregates.join(", "),
            by.join(", ")
        )
    }
}

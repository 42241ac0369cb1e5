//! The catalog of a logical database as real servers tell it.

mod control_common;

use std::collections::BTreeMap;
use std::sync::Arc;

use control_common::{LIMIT, TestServer, database, node};
use margay::control::catalog::{Answers, assemble, tables_of};
use margay::control::catalog_sql::{FINGERPRINT, read_node};
use margay::control::connect::Link;
use margay::model::catalog::{Catalog, Collation, ColumnDefault, TableInfo, Volatility};
use margay::model::{DomainId, NodeId, TableName};
use margay::topology::{Node, Spread, Table};

const SCHEMA: &str = "
    CREATE SCHEMA sales;
    CREATE SCHEMA margay;
    CREATE TABLE margay.decision (gid text);
    CREATE EXTENSION citext;
    CREATE DOMAIN stamped AS timestamptz DEFAULT now();
    CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE FUNCTION peek(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
    CREATE FUNCTION peek(text) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
    CREATE FUNCTION answer() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 42';
    CREATE TABLE orders (
        id bigint GENERATED ALWAYS AS IDENTITY,
        user_id int NOT NULL,
        total numeric(12, 2) DEFAULT 0,
        paid_at timestamptz DEFAULT now(),
        day date DEFAULT CURRENT_DATE,
        odd timestamp DEFAULT CURRENT_DATE,
        tag text COLLATE \"C\" DEFAULT 'it''s ' || 'new',
        note varchar(20),
        mail citext,
        folded text COLLATE blind,
        tags text[] COLLATE \"C\",
        twice numeric GENERATED ALWAYS AS (total * 2) STORED,
        serial serial,
        noise double precision DEFAULT random(),
        seen stamped,
        fixed int DEFAULT answer() + 1,
        parsed timestamptz DEFAULT ('now'::text)::timestamptz,
        PRIMARY KEY (user_id, id)
    ) PARTITION BY HASH (user_id);
    CREATE TABLE orders_00 PARTITION OF orders FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    CREATE TABLE sales.leads (id int PRIMARY KEY, mail text, who text);
    CREATE UNIQUE INDEX ON sales.leads (mail, who) INCLUDE (id);
    CREATE UNIQUE INDEX ON sales.leads (lower(mail));
    CREATE UNIQUE INDEX ON sales.leads (who) WHERE id > 3;
    CREATE VIEW sold AS SELECT user_id FROM orders;
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER noted BEFORE INSERT ON sales.leads FOR EACH ROW EXECUTE FUNCTION noted();
";

async fn read(node: &Node) -> margay::control::catalog::NodeTables {
    let mut link = Link::open(&node.servers[0], LIMIT).await.expect("connect");
    tables_of(read_node(&mut link, true, true).await.expect("read the catalog"))
}

fn broadcast(name: &str) -> Table {
    Table {
        name: TableName::new("public", name),
        domain: DomainId(0),
        spread: Spread::Broadcast,
        generate: Vec::new(),
    }
}

fn default_of(table: &TableInfo, column: &str) -> ColumnDefault {
    table
        .column(column)
        .unwrap_or_else(|| panic!("column {column}"))
        .default
        .clone()
}

#[tokio::test]
async fn catalog_says_what_the_servers_say() {
    let server = TestServer::primary();
    server.sql("postgres", SCHEMA).await;
    // What role and database set must not bend what is read.
    server
        .sql("postgres", "ALTER ROLE app SET search_path = public; ALTER ROLE app SET default_transaction_isolation = 'serializable'")
        .await;
    let node = node(0, "n0", vec![server.address()]);
    let tables = read(&node).await;
    let mut names: Vec<String> = tables.tables.keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(
        names,
        ["orders", "sales.leads", "sold"],
        "no partition, nothing of Margay's own"
    );

    let orders = &tables.tables[&TableName::new("public", "orders")];
    let types: Vec<(&str, &str)> = orders.columns.iter().map(|c| (&*c.name, &*c.type_name)).collect();
    assert_eq!(types[0], ("id", "bigint"));
    assert_eq!(types[2], ("total", "numeric"));
    assert_eq!(types[7], ("note", "character varying"));
    assert!(orders.column("user_id").unwrap().not_null && !orders.column("total").unwrap().not_null);
    assert_eq!(orders.column("user_id").unwrap().type_oid, 23);
    assert_eq!(orders.unique, [vec![Box::from("user_id"), Box::from("id")]]);
    assert!(!orders.is_view && !orders.has_triggers);

    let collation = |name: &str| orders.column(name).unwrap().collation;
    assert_eq!(collation("user_id"), Collation::None);
    assert_eq!(collation("tag"), Collation::Bytes);
    assert_eq!(
        collation("note"),
        Collation::Deterministic,
        "C.UTF-8 of libc is not the C collation"
    );
    assert_eq!(
        collation("mail"),
        Collation::Nondeterministic,
        "citext has a deterministic collation and folds case"
    );
    assert_eq!(collation("folded"), Collation::Nondeterministic);
    assert_eq!(
        collation("tags"),
        Collation::Deterministic,
        "an array isn't ordered as its text"
    );

    assert_eq!(
        default_of(orders, "id"),
        ColumnDefault::Volatile("identity".into())
    );
    assert_eq!(default_of(orders, "user_id"), ColumnDefault::Null);
    assert_eq!(default_of(orders, "total"), ColumnDefault::Constant("0".into()));
    assert_eq!(
        default_of(orders, "paid_at"),
        ColumnDefault::OfSession("now()".into())
    );
    assert_eq!(
        default_of(orders, "day"),
        ColumnDefault::OfSession("CURRENT_DATE".into())
    );
    assert_eq!(
        default_of(orders, "odd"),
        ColumnDefault::OfSession("CURRENT_DATE".into()),
        "midnight of the transaction's day"
    );
    assert!(matches!(default_of(orders, "tag"), ColumnDefault::Constant(_)));
    assert_eq!(default_of(orders, "twice"), ColumnDefault::Generated);
    assert!(matches!(default_of(orders, "serial"), ColumnDefault::Volatile(_)));
    assert!(matches!(default_of(orders, "noise"), ColumnDefault::Volatile(_)));
    assert_eq!(
        default_of(orders, "seen"),
        ColumnDefault::OfSession("now()".into()),
        "the domain's default"
    );
    assert!(matches!(default_of(orders, "fixed"), ColumnDefault::Constant(_)));
    assert!(matches!(default_of(orders, "parsed"), ColumnDefault::Volatile(_)));

    let leads = &tables.tables[&TableName::new("sales", "leads")];
    assert_eq!(
        leads.unique,
        [vec![Box::from("id")], vec![Box::from("mail"), Box::from("who")]]
    );
    assert!(leads.has_triggers);
    assert!(tables.tables[&TableName::new("public", "sold")].is_view);

    assert_eq!(tables.functions["peek"].volatility, Volatility::Volatile);
    assert!(tables.functions["peek"].user_defined);
    assert_eq!(tables.functions["now"].volatility, Volatility::Stable);
    assert!(!tables.functions["now"].user_defined);
    assert!(tables.functions["sum"].is_aggregate);
    assert!(tables.functions["generate_series"].returns_set);

    // A second database sorts by bytes by default.
    server
        .sql(
            "postgres",
            "CREATE DATABASE plain TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        .await;
    server.sql("plain", "CREATE TABLE t (a text, b name)").await;
    let plain = control_common::node(0, "n0", vec![server.address_of("plain")]);
    let t = read(&plain).await.tables[&TableName::new("public", "t")].clone();
    assert_eq!(t.column("a").unwrap().collation, Collation::Bytes);
    assert_eq!(t.column("b").unwrap().collation, Collation::Bytes);
}

#[tokio::test]
async fn nodes_that_disagree_are_reported_and_silent_ones_keep_what_was_known() {
    let server = TestServer::primary();
    for (name, sql) in [
        (
            "a",
            "CREATE TABLE t (id int PRIMARY KEY, x text); CREATE TABLE u (id int); CREATE TABLE loose (id int)",
        ),
        (
            "b",
            "CREATE TABLE t (id int PRIMARY KEY, x int); CREATE TABLE stray (id int)",
        ),
    ] {
        server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
        server.sql(name, sql).await;
    }
    let nodes: Vec<Arc<Node>> = ["a", "b"]
        .into_iter()
        .enumerate()
        .map(|(i, name)| node(i as u16, name, vec![server.address_of(name)]))
        .collect();
    let shop = database(&nodes, vec![broadcast("t"), broadcast("u"), broadcast("absent")]);
    let mut answers: Answers = BTreeMap::new();
    for node in &nodes {
        answers.insert(node.id, read(node).await);
    }
    let names = |id: NodeId| nodes[id.index()].name.to_string();
    let (catalog, problems) = assemble(&shop, &names, &answers, &Catalog::default());
    assert!(catalog.loaded);
    assert_eq!(catalog.epoch, 1);
    let mut tables: Vec<String> = catalog.tables.keys().map(ToString::to_string).collect();
    tables.sort();
    assert_eq!(
        tables,
        ["loose", "t", "u"],
        "a table of no rule counts only on the default domain's first node"
    );
    assert_eq!(
        &*catalog.tables[&TableName::new("public", "t")]
            .column("x")
            .unwrap()
            .type_name,
        "text"
    );
    let mut texts: Vec<String> = problems
        .iter()
        .map(|p| format!("{}: {}", p.subject, p.text))
        .collect();
    texts.sort();
    assert_eq!(
        texts,
        [
            "shop/t: on b differs from a: column x is integer, not text",
            "shop/u: is missing on b"
        ]
    );

    // The same again is the same catalog, with the same epoch.
    let (again, _) = assemble(&shop, &names, &answers, &catalog);
    assert_eq!(again, catalog);

    // The first node falls silent: what it told stays.
    answers.remove(&NodeId(0));
    let (kept, problems) = assemble(&shop, &names, &answers, &catalog);
    assert!(kept.loaded);
    assert!(kept.tables.contains_key(&TableName::new("public", "loose")));
    assert!(kept.tables.contains_key(&TableName::new("public", "u")));
    assert!(kept.functions.contains_key("now"));
    assert!(problems.iter().any(|p| p.subject == "shop/a"));
}

#[tokio::test]
async fn fingerprint_changes_with_every_kind_of_ddl_and_not_with_data() {
    let server = TestServer::primary();
    server
        .sql(
            "postgres",
            "CREATE TABLE t (id int PRIMARY KEY, x varchar(10), d int DEFAULT 1)",
        )
        .await;
    let mut link = Link::open(&server.address(), LIMIT).await.expect("connect");
    let mut last = link.ask_one(FINGERPRINT).await.expect("a fingerprint");
    let user = server.client("postgres").await;
    for quiet in [
        "INSERT INTO t VALUES (1, 'a')",
        "CREATE TEMPORARY TABLE mine (id int PRIMARY KEY, x text DEFAULT now())",
        "INSERT INTO mine VALUES (1)",
    ] {
        user.batch_execute(quiet).await.expect("a statement");
        let now = link.ask_one(FINGERPRINT).await.expect("a fingerprint");
        assert_eq!(now, last, "{quiet}");
    }
    for change in [
        "ALTER TABLE t ALTER x TYPE text",
        "ALTER TABLE t ALTER x SET NOT NULL",
        "ALTER TABLE t ALTER d SET DEFAULT 2",
        "ALTER TABLE t DROP COLUMN d",
        "CREATE UNIQUE INDEX ON t (x)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION f() IMMUTABLE",
        "CREATE VIEW v AS SELECT 1",
        "CREATE SCHEMA s",
        "ALTER TABLE t SET SCHEMA s",
        "DROP TABLE s.t",
    ] {
        user.batch_execute(change).await.expect("a statement");
        let now = link.ask_one(FINGERPRINT).await.expect("a fingerprint");
        assert_ne!(now, last, "{change}");
        last = now;
    }
}

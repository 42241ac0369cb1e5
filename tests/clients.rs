//! Real clients against the proxy, on sharded tables: psql, pgbench in its three protocol modes,
//! tokio-postgres, psycopg 2 and 3, asyncpg, SQLAlchemy, Django, pgjdbc, node-postgres, Sequelize, pgx. A client that this machine lacks is skipped with a printed line.

#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::Sandbox;

const RULES: &str = include_str!("clients/rules.yaml");

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with(RULES, &[]);
    psql(
        &sandbox,
        &[
            "-q",
            "-f",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/common.sql"),
        ],
    );
    sandbox
}

fn output(mut command: Command) -> String {
    let out = command.output().expect("the client runs");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{command:?} failed:\n{text}");
    text
}

fn input(mut command: Command, text: &str) {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the client runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("the client reads");
    assert!(
        child.wait().expect("the client ends").success(),
        "{command:?} failed"
    );
}

fn psql(sandbox: &Sandbox, args: &[&str]) -> String {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-v", "ON_ERROR_STOP=1", sandbox.proxy()])
        .args(args);
    output(command)
}

fn python(sandbox: &Sandbox, script: &str) {
    let Some(python) = support::python() else { return };
    // Each of them came later than the others to the drivers that `make setup` fetches.
    for module in ["psycopg2", "django"] {
        let mut import = Command::new(&python);
        import.args(["-c", &format!("import {module}")]);
        if script.starts_with(module) && !import.output().expect("Python runs").status.success() {
            eprintln!("SKIP: no {module} (make setup)");
            return;
        }
    }
    let mut command = Command::new(python);
    command
        .arg(format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR")))
        .envs(&sandbox.env);
    println!("{}", output(command).trim());
}

#[test]
fn python_drivers_work_on_sharded_tables() {
    let sandbox = sandbox();
    python(&sandbox, "psycopg_client.py");
    python(&sandbox, "asyncpg_client.py");
    python(&sandbox, "sqlalchemy_client.py");
    python(&sandbox, "psycopg2_client.py");
}

/// Both make their tables themselves, of these kinds.
const ORM_RULES: &str = include_str!("clients/django/rules.yaml");

#[test]
fn djangos_orm_works_on_sharded_tables() {
    python(&Sandbox::with(ORM_RULES, &[]), "django/django_client.py");
}

#[test]
fn sequelize_works_on_sharded_tables() {
    let Some(modules) = support::drivers("node") else {
        return;
    };
    let modules = modules.join("node_modules");
    if !modules.join("sequelize").exists() {
        eprintln!("SKIP: no Sequelize (make setup)");
        return;
    }
    let sandbox = Sandbox::with(ORM_RULES, &[]);
    let mut node = Command::new("node");
    node.env("NODE_PATH", modules);
    node.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/clients/sequelize_client.js"
    ));
    node.envs(&sandbox.env);
    println!("{}", output(node).trim());
}

#[test]
fn pgx_works_on_sharded_tables_in_all_its_query_modes() {
    let Some(folder) = support::drivers("go").filter(|f| f.join("pgx_client").exists()) else {
        return;
    };
    let sandbox = sandbox();
    let mut pgx = Command::new(folder.join("pgx_client"));
    pgx.envs(&sandbox.env);
    println!("{}", output(pgx).trim());
}

#[test]
fn drivers_of_java_and_node_work_on_sharded_tables() {
    let sandbox = sandbox();
    let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    if let Some(jars) = support::drivers("java") {
        let mut java = Command::new("java");
        java.args([
            "-Xshare:auto",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &format!("{}/*", jars.display()),
        ]);
        java.arg(format!("{clients}/java/Jdbc.java")).envs(&sandbox.env);
        println!("{}", output(java).trim());
    }
    if let Some(modules) = support::drivers("node") {
        let mut node = Command::new("node");
        node.env("NODE_PATH", modules.join("node_modules"));
        node.arg(format!("{clients}/node_client.js")).envs(&sandbox.env);
        println!("{}", output(node).trim());
    }
}

#[test]
fn psql_and_pgbench_work_on_sharded_tables() {
    let sandbox = sandbox();
    let text = psql(
        &sandbox,
        &[
            "-At",
            "-c",
            "INSERT INTO items (id, owner, label) VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, NULL) RETURNING id",
            "-c",
            "SELECT count(*), count(label) FROM items",
            "-c",
            "BEGIN; UPDATE items SET label = 'x'; SELECT count(*) FROM items WHERE label = 'x'; ROLLBACK; SELECT count(*) FROM items WHERE label = 'x'",
            "-c",
            "EXPLAIN ROUTE SELECT * FROM items WHERE owner = 2",
        ],
    );
    assert!(text.contains("INSERT 0 3") && text.contains("3|2"), "{text}");
    assert!(text.contains("ROLLBACK\n0\n"), "{text}");
    assert!(text.contains("SELECT * FROM items WHERE owner = 2"), "{text}");
    let route = psql(
        &sandbox,
        &["-A", "-c", "EXPLAIN ROUTE SELECT * FROM items WHERE owner = 2"],
    );
    assert!(
        route.starts_with("step|node|role|shards|sql|note\nsingle|"),
        "{route}"
    );

    psql(
        &sandbox,
        &[
            "-q",
            "-c",
            "CREATE TABLE pgbench_accounts (aid integer NOT NULL, bid integer, abalance integer, filler char(84), PRIMARY KEY (aid))",
            "-c",
            "CREATE TABLE pgbench_branches (bid integer PRIMARY KEY, bbalance integer, filler char(88))",
            "-c",
            "CREATE TABLE pgbench_tellers (tid integer PRIMARY KEY, bid integer, tbalance integer, filler char(84))",
            "-c",
            "CREATE TABLE pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler char(22))",
            "-c",
            "INSERT INTO pgbench_branches (bid, bbalance) VALUES (1, 0)",
        ],
    );
    let parts = psql(
        &sandbox,
        &[
            "-At",
            "-v",
            "FETCH_COUNT=2",
            "-c",
            "INSERT INTO notes (id, body) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
            "-c",
            "SELECT id FROM notes ORDER BY id",
            "-c",
            "\\copy notes (id) TO STDOUT",
            "-c",
            "\\dt public.kinds",
        ],
    );
    assert_eq!(parts, "INSERT 0 3\n1\n2\n3\n1\n2\n3\npublic|kinds|table|app\n");

    let rows = |from: u32, to: u32| {
        (from..to)
            .map(|i| format!("({i}, 1, 0)"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    psql(
        &sandbox,
        &[
            "-q",
            "-c",
            &format!(
                "INSERT INTO pgbench_tellers (tid, bid, tbalance) VALUES {}",
                rows(1, 11)
            ),
        ],
    );
    // The accounts straight to the servers: through the proxy, as text, it would take a minute of debug code.
    for node in ["A", "B"] {
        let url = sandbox.var(&format!("MARGAY_NODE_{node}_URL"));
        let mine = "SELECT string_agg(format('satisfies_hash_partition(%s, 16, %s, g)', i.inhparent, right(c.relname, 2)::int), ' OR ')
                      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'pgbench_accounts'::regclass";
        let sql = format!(
            "SELECT 'INSERT INTO pgbench_accounts (aid, bid, abalance) SELECT g, 1, 0 FROM generate_series(1, 100000) g WHERE ' || ({mine}) \\gexec"
        );
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-f", "-"]);
        input(command, &sql);
    }
    let count = psql(
        &sandbox,
        &[
            "-At",
            "-c",
            "/* margay: primary */ SELECT count(*) FROM pgbench_accounts",
        ],
    );
    assert_eq!(count, "100000\n", "each account is on its shard");
    for mode in ["simple", "extended", "prepared"] {
        for script in ["select-only", "simple-update", "tpcb-like"] {
            let mut command = Command::new("pgbench");
            command.args([
                "-n",
                "-s",
                "1",
                "-c",
                "4",
                "-j",
                "1",
                "-t",
                "50",
                "-M",
                mode,
                "-b",
                script,
                sandbox.proxy(),
            ]);
            let text = output(command);
            assert!(
                text.contains("number of transactions actually processed: 200/200"),
                "{mode} {script}:\n{text}"
            );
        }
    }
    // Two thirds of the runs wrote: 3 modes × 2 scripts × 200.
    let books = psql(
        &sandbox,
        &[
            "-At",
            "-c",
            "/* margay: primary */ SELECT count(*), sum(delta) FROM pgbench_history",
            "-c",
            "/* margay: primary */ SELECT 1200, sum(abalance) FROM pgbench_accounts",
        ],
    );
    let lines: Vec<&str> = books.lines().collect();
    assert_eq!(lines[0], lines[1], "the ledger and the accounts agree");
}

#[tokio::test]
async fn tokio_postgres_works_on_sharded_tables() {
    let sandbox = sandbox();
    let (mut client, connection) = tokio_postgres::connect(sandbox.proxy(), tokio_postgres::NoTls)
        .await
        .expect("the proxy answers");
    let running = tokio::spawn(connection);
    let insert = client
        .prepare("INSERT INTO items (id, owner, label) VALUES ($1, $2, $3)")
        .await
        .expect("prepared");
    for owner in 0..30i32 {
        client
            .execute(&insert, &[&i64::from(owner), &owner, &format!("l{owner}")])
            .await
            .expect("inserted");
    }
    let select = client
        .prepare("SELECT label FROM items WHERE owner = $1")
        .await
        .expect("prepared");
    for owner in 0..30i32 {
        let row = client.query_one(&select, &[&owner]).await.expect("a row");
        assert_eq!(row.get::<_, String>(0), format!("l{owner}"));
    }
    // All of them at once on one connection.
    let found = futures_util::future::join_all((0..30i32).map(|owner| {
        let (client, select) = (&client, &select);
        async move {
            client
                .query_one(select, &[&owner])
                .await
                .map(|row| row.get::<_, String>(0))
        }
    }))
    .await;
    for (owner, label) in found.into_iter().enumerate() {
        assert_eq!(label.expect("a row"), format!("l{owner}"));
    }
    let rows = client
        .query("SELECT owner FROM items ORDER BY owner DESC LIMIT $1", &[&5i64])
        .await
        .expect("rows");
    assert_eq!(
        rows.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>(),
        [29, 28, 27, 26, 25]
    );
    let transaction = client.transaction().await.expect("begun");
    assert_eq!(
        transaction
            .execute("UPDATE items SET label = 'new'", &[])
            .await
            .expect("updated"),
        30
    );
    transaction.commit().await.expect("committed in two phases");
    let count: i64 = client
        .query_one("SELECT count(*) FROM items WHERE label = 'new'", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(count, 30);
    let error = client
        .query("SELECT DISTINCT ON (label) * FROM items", &[])
        .await
        .expect_err("refused");
    assert!(
        error
            .as_db_error()
            .expect("an answer")
            .message()
            .contains("[MG1202]"),
        "{error:?}"
    );
    drop(client);
    running.await.expect("no panic").expect("a clean end");
}

//! The same messages to Margay and to a plain server: their answers must be the same, frame by frame.
//! The corpus (`session_exchanges/corpus.txt`) is played on a table of one node, on one spread over
//! two, and on one that is on both.

mod session_exchanges;
mod session_support;

use session_support::proxy;
use session_support::raw::Raw;

#[tokio::test]
async fn answers_are_those_of_one_server_frame_by_frame() {
    let proxy = proxy().await;
    let oracle = format!("{}_oracle", proxy.database);
    let direct = proxy.servers.direct(0, "postgres").await;
    direct
        .batch_execute("CREATE ROLE app SUPERUSER LOGIN")
        .await
        .expect("a role as the client's");
    direct
        .batch_execute(&format!("CREATE DATABASE {oracle}"))
        .await
        .expect("a database to compare with");
    let tables = session_support::TABLES;
    proxy
        .servers
        .direct(0, &oracle)
        .await
        .batch_execute(tables)
        .await
        .expect("tables");
    let oracle_at = ([127, 0, 0, 1], proxy.servers.ports[0]).into();

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/session_exchanges/corpus.txt");
    let corpus = session_exchanges::read(&std::fs::read_to_string(path).expect("the corpus"));
    assert!(corpus.len() > 50, "the corpus is there");
    // `MARGAY_SHOW=COPY cargo test … -- --nocapture` prints what the exchanges of such names answer.
    let shown = std::env::var("MARGAY_SHOW").ok();
    let mut differences = Vec::new();
    for table in ["lefts", "rights", "spread", "everywhere"] {
        for exchange in corpus.iter().filter(|e| e.is_played_on(table)) {
            let mut ours = Raw::connect(proxy.address, &[]).await;
            let mut theirs = Raw::connect_to(oracle_at, &oracle, &[]).await;
            for raw in [&mut ours, &mut theirs] {
                raw.query(&format!("TRUNCATE {table}")).await;
                let rows = "(1, 'a'), (2, 'b'), (3, 'c'), (4, NULL), (5, 'e'), (6, 'f')";
                raw.query(&format!("INSERT INTO {table} VALUES {rows}")).await;
            }
            let (ours, theirs) =
                tokio::join!(exchange.play(&mut ours, table), exchange.play(&mut theirs, table));
            if shown.as_ref().is_some_and(|part| exchange.name.contains(part)) {
                eprintln!("{table}: {}\n  {}", exchange.name, ours.join("\n  "));
            }
            if ours != theirs {
                differences.push(difference(table, &exchange.name, &ours, &theirs));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    proxy.nothing_leaks().await;
}

fn difference(table: &str, name: &str, ours: &[String], theirs: &[String]) -> String {
    let mut text = format!("{table}: {name}\n");
    let mut row = 0;
    while row < ours.len().max(theirs.len()) {
        let (a, b) = (ours.get(row).map_or("", |s| s), theirs.get(row).map_or("", |s| s));
        if a != b {
            text.push_str(&format!("   margay: {a}\n   oracle: {b}\n"));
        }
        row += 1;
    }
    text
}

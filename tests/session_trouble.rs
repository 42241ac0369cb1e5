//! Cancelled queries, clients and servers that vanish, messages that make no sense.

mod session_support;

use bytes::BufMut;
use margay::model::admin::Sessions;
use margay::wire::postgres::frontend;
use session_support::raw::Raw;
use session_support::{Proxy, proxy, proxy_alone, state, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

/// The server processes that run a statement which contains `text`.
async fn running(proxy: &Proxy, node: usize, text: &str) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity
                WHERE state = 'active' AND datname = current_database() AND pid <> pg_backend_pid()
                  AND query LIKE '%' || $1::text || '%'";
    let rows = proxy
        .direct(node)
        .await
        .query(sql, &[&text])
        .await
        .expect("pg_stat_activity");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn cancel_reaches_the_server_that_runs_the_query() {
    let proxy = proxy().await;
    let client = proxy.client().await;
    let token = client.cancel_token();
    let query = tokio::spawn(async move {
        let result = client
            .batch_execute("SELECT pg_sleep(60) FROM (SELECT count(*) FROM rights) x")
            .await;
        (client, result)
    });
    wait_for("the query to run", || async {
        !running(&proxy, 1, "pg_sleep").await.is_empty()
    })
    .await;
    token.cancel_query(NoTls).await.expect("the request is taken");
    let (client, result) = query.await.expect("no panic");
    assert_eq!(state(&result.expect_err("cancelled")), "57014");
    assert_eq!(
        client
            .query("SELECT 1", &[])
            .await
            .expect("the session lives on")
            .len(),
        1
    );
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn cancel_reaches_all_servers_of_a_scatter() {
    let proxy = proxy().await;
    for (node, id) in [(0, 2), (1, 1)] {
        let sql = format!("INSERT INTO spread VALUES ({id}, 'x')");
        proxy.direct(node).await.batch_execute(&sql).await.expect("a row");
    }
    let client = proxy.client().await;
    let token = client.cancel_token();
    let query = tokio::spawn(async move {
        let result = client.batch_execute("SELECT pg_sleep(60), id FROM spread").await;
        (client, result)
    });
    for node in 0..2 {
        wait_for("the query to run", || async {
            !running(&proxy, node, "pg_sleep").await.is_empty()
        })
        .await;
    }
    token.cancel_query(NoTls).await.expect("the request is taken");
    let (_client, result) = query.await.expect("no panic");
    assert_eq!(state(&result.expect_err("cancelled")), "57014");
    for node in 0..2 {
        wait_for("the query to end", || async {
            running(&proxy, node, "pg_sleep").await.is_empty()
        })
        .await;
    }
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn a_wrong_cancel_secret_does_nothing() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    frontend::query(&mut raw.out, b"SELECT pg_sleep(0.5)");
    raw.send().await;
    let mut stream = TcpStream::connect(proxy.address)
        .await
        .expect("the proxy listens");
    let mut request = bytes::BytesMut::new();
    let wrong: Vec<u8> = raw.secret.iter().map(|b| b ^ 1).collect();
    frontend::cancel_request(&mut request, raw.pid, &wrong);
    stream.write_all(&request).await.expect("sent");
    assert_eq!(stream.read(&mut [0; 1]).await.expect("closed"), 0);
    assert_eq!(
        session_support::raw::Answer(raw.until_ready().await).tags(),
        "TDCZ"
    );
}

#[tokio::test]
async fn a_client_that_vanishes_stops_its_query_and_leaks_nothing() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("BEGIN").await;
    raw.query("INSERT INTO lefts VALUES (1, 'undone')").await;
    frontend::query(&mut raw.out, b"SELECT pg_sleep(60), count(*) FROM lefts");
    raw.send().await;
    wait_for("the query to run", || async {
        !running(&proxy, 0, "pg_sleep").await.is_empty()
    })
    .await;
    drop(raw);
    wait_for("the query to end", || async {
        running(&proxy, 0, "pg_sleep").await.is_empty()
    })
    .await;
    proxy.nothing_leaks().await;
    assert_eq!(proxy.count(0, "lefts").await, 0);
    wait_for("the client to be forgotten", || async {
        proxy.shared.registry.clients().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_server_connection_that_is_killed_fails_the_statement_not_the_session() {
    let proxy = proxy().await;
    let client = std::sync::Arc::new(proxy.client().await);
    let query = {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .batch_execute("INSERT INTO rights SELECT 1, pg_sleep(60)::text")
                .await
        })
    };
    wait_for("the query to run", || async {
        !running(&proxy, 1, "pg_sleep").await.is_empty()
    })
    .await;
    for pid in running(&proxy, 1, "pg_sleep").await {
        proxy
            .direct(1)
            .await
            .execute("SELECT pg_terminate_backend($1)", &[&pid])
            .await
            .expect("killed");
    }
    let error = query.await.expect("no panic").expect_err("killed");
    assert!(["57P01", "08006"].contains(&state(&error)), "{error:?}");
    let rows = client
        .query("SELECT count(*) FROM rights", &[])
        .await
        .expect("the session lives on");
    assert_eq!(rows[0].get::<_, i64>(0), 0);
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn a_server_lost_in_a_transaction_fails_the_transaction() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("BEGIN").await;
    raw.query("INSERT INTO lefts VALUES (1, 'undone')").await;
    raw.query("INSERT INTO rights VALUES (1, 'undone')").await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE state = 'idle in transaction' AND datname = current_database()";
    proxy.direct(1).await.execute(kill, &[]).await.expect("killed");
    let answer = raw.query("SELECT count(*) FROM rights").await;
    let sqlstate = answer.error().expect("an error");
    assert!(["57P01", "08006"].contains(&sqlstate.as_str()), "{sqlstate}");
    assert_eq!(answer.status(), 'E');
    let answer = raw.query("COMMIT").await;
    assert_eq!(
        (answer.commands(), answer.status()),
        (vec!["ROLLBACK".to_owned()], 'I')
    );
    assert_eq!(
        (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
        (0, 0)
    );
    proxy.nothing_leaks().await;
}

/// The coordinator dies between the decision and its answer: nobody may see half of it.
#[tokio::test]
async fn a_writer_lost_before_commit_undoes_the_transaction() {
    for node in 0..2 {
        let proxy = proxy().await;
        let mut raw = Raw::connect(proxy.address, &[]).await;
        raw.query("BEGIN").await;
        raw.query("INSERT INTO lefts VALUES (1, 'undone')").await;
        raw.query("INSERT INTO rights VALUES (1, 'undone')").await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE state = 'idle in transaction' AND datname = current_database()";
        proxy.direct(node).await.execute(kill, &[]).await.expect("killed");
        let answer = raw.query("COMMIT").await;
        assert!(answer.error().is_some(), "COMMIT can't succeed");
        assert_eq!(answer.status(), 'I');
        assert_eq!(
            (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
            (0, 0)
        );
        for node in 0..2 {
            assert_eq!(
                proxy
                    .count(node, "pg_prepared_xacts WHERE database = current_database()")
                    .await,
                0
            );
        }
        proxy.nothing_leaks().await;
    }
}

#[tokio::test]
async fn a_node_that_is_down_is_an_error_and_the_others_work() {
    let proxy = proxy_alone().await;
    let client = proxy.client().await;
    client
        .batch_execute("INSERT INTO rights VALUES (1, 'x')")
        .await
        .expect("it is up");
    proxy.servers.stop(1);
    let error = client
        .batch_execute("INSERT INTO rights VALUES (2, 'x')")
        .await
        .expect_err("it is down");
    assert!(["08006", "57P01"].contains(&state(&error)), "{error:?}");
    let error = client
        .query("SELECT id FROM spread", &[])
        .await
        .expect_err("half of it is down");
    assert!(["08006", "57P01"].contains(&state(&error)), "{error:?}");
    client
        .batch_execute("INSERT INTO lefts VALUES (1, 'x')")
        .await
        .expect("the other node is up");
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn what_makes_no_sense_closes_the_connection_with_08p01() {
    let proxy = proxy().await;
    let mut bad: Vec<Vec<u8>> = vec![
        b"!\0\0\0\x04".to_vec(),
        b"Q\0\0\0\x03".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
        b"Q\x7f\xff\xff\xff".to_vec(),
    ];
    bad.push(vec![0xff; 64]);
    for bytes in bad {
        let mut raw = Raw::connect(proxy.address, &[]).await;
        raw.out.put_slice(&bytes);
        raw.send().await;
        let frame = raw.frame().await.expect("a last word");
        assert_eq!(frame.tag, b'E', "{bytes:?}");
        assert!(raw.frame().await.is_none(), "closed: {bytes:?}");
    }
    // Malformed within its frame: an error, and the session goes on.
    for bytes in [
        &b"P\0\0\0\x05x"[..],
        b"B\0\0\0\x06\0\0",
        b"D\0\0\0\x06Z\0",
        b"Q\0\0\0\x06ab",
    ] {
        let mut raw = Raw::connect(proxy.address, &[]).await;
        raw.out.put_slice(bytes);
        let answer = if bytes[0] == b'Q' {
            session_support::raw::Answer(raw.until_ready().await)
        } else {
            raw.sync().await
        };
        assert_eq!(answer.tags(), "EZ", "{bytes:?}");
        assert_eq!(raw.query("SELECT 1").await.tags(), "TDCZ");
    }
    let mut stream = TcpStream::connect(proxy.address)
        .await
        .expect("the proxy listens");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("closed");
    assert_eq!(answer.first(), Some(&b'E'));
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn shutdown_lets_a_transaction_end() {
    let proxy = proxy().await;
    let mut idle = Raw::connect(proxy.address, &[]).await;
    let mut busy = Raw::connect(proxy.address, &[]).await;
    busy.query("BEGIN").await;
    busy.query("INSERT INTO lefts VALUES (1, 'kept')").await;
    proxy.stop.begin();
    assert_eq!(idle.frame().await.expect("a last word").tag, b'E');
    assert!(idle.frame().await.is_none());
    assert_eq!(busy.query("COMMIT").await.commands(), ["COMMIT"]);
    assert_eq!(busy.frame().await.expect("a last word").tag, b'E');
    assert_eq!(proxy.count(0, "lefts").await, 1);
}

#[tokio::test]
async fn a_slow_client_slows_its_server_and_is_served() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    frontend::query(
        &mut raw.out,
        b"SELECT repeat('x', 1000) FROM generate_series(1, 100000) /* slow */",
    );
    raw.send().await;
    // Nobody reads: the server comes to a halt in writing.
    wait_for("the server to wait for its client", || async {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND datname = current_database()";
        !proxy.direct(0).await.query(sql, &[]).await.expect("pg_stat_activity").is_empty()
    })
    .await;
    let frames = raw.until_ready().await;
    assert_eq!(frames.iter().filter(|f| f.tag == b'D').count(), 100_000);
    proxy.nothing_leaks().await;
}

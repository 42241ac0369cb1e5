//! What a session leaves behind on servers: replayed, kept, or refused; never seen by another client.

mod session_support;

use margay::wire::postgres::backend::{self, Message};
use session_support::raw::Raw;
use session_support::{proxy, proxy_of_one_connection};

/// A notification's channel and payload.
async fn notified(raw: &mut Raw) -> String {
    loop {
        let frame = raw.frame().await.expect("the connection stands");
        if frame.tag != b'A' {
            continue;
        }
        let Ok(Message::NotificationResponse { channel, payload, .. }) = backend::decode(b'A', frame.body())
        else {
            panic!("a notification that can't be read");
        };
        return format!("{}:{}", channel.escape_ascii(), payload.escape_ascii());
    }
}

#[tokio::test]
async fn every_clients_listen_and_notify_meet_and_idle_clients_hear_of_it() {
    let proxy = proxy().await;
    for database in ["app", "solo"] {
        let mut listener = Raw::connect_to(proxy.address, database, &[]).await;
        assert_eq!(listener.query("LISTEN news").await.commands(), ["LISTEN"]);
        let mut other = Raw::connect_to(proxy.address, database, &[]).await;
        assert_eq!(other.query("NOTIFY news, 'one'").await.commands(), ["NOTIFY"]);
        assert_eq!(notified(&mut listener).await, "news:one");
        assert_eq!(other.query("SELECT pg_notify('news', 'two')").await.error(), None);
        assert_eq!(notified(&mut listener).await, "news:two");
        // Its own, within a transaction: told with the COMMIT.
        listener.query("BEGIN").await;
        listener.query("NOTIFY news, 'three'").await;
        assert!(listener.query("COMMIT").await.tags().contains('A'));
        assert_eq!(listener.query("SELECT 1").await.column(), ["1"]);
        listener.query("UNLISTEN *").await;
    }
}

#[tokio::test]
async fn a_transaction_over_nodes_may_notify() {
    let proxy = proxy().await;
    let mut listener = Raw::connect(proxy.address, &[]).await;
    listener.query("LISTEN news").await;
    let mut writer = Raw::connect(proxy.address, &[]).await;
    writer.query("BEGIN").await;
    writer.query("INSERT INTO rights VALUES (1, 'x')").await;
    writer.query("INSERT INTO spread VALUES (2, 'x'), (3, 'y')").await;
    assert_eq!(writer.query("NOTIFY news, 'both'").await.error(), None);
    assert_eq!(writer.query("COMMIT").await.commands(), ["COMMIT"]);
    assert_eq!(notified(&mut listener).await, "news:both");
    assert_eq!(proxy.count(1, "rights").await, 1);
}

#[tokio::test]
async fn session_locks_of_all_clients_meet_on_one_server() {
    let proxy = proxy().await;
    let mut first = Raw::connect(proxy.address, &[]).await;
    let mut second = Raw::connect(proxy.address, &[]).await;
    assert_eq!(first.query("SELECT pg_advisory_lock(7)").await.error(), None);
    assert_eq!(
        second.query("SELECT pg_try_advisory_lock(7)").await.column(),
        ["f"]
    );
    assert_eq!(
        second.query("SELECT pg_try_advisory_xact_lock(7)").await.column(),
        ["f"]
    );
    assert_eq!(first.query("SELECT pg_advisory_unlock(7)").await.column(), ["t"]);
    assert_eq!(
        second.query("SELECT pg_try_advisory_lock(7)").await.column(),
        ["t"]
    );
    drop(second);
    session_support::wait_for("the lock to go with its client", || async {
        let mut third = Raw::connect(proxy.address, &[]).await;
        third.query("SELECT pg_try_advisory_xact_lock(7)").await.column() == ["t"]
    })
    .await;
    let refused = first.query("SELECT pg_advisory_xact_lock(id) FROM rights").await;
    assert_eq!(
        refused.error().as_deref(),
        Some("0A000"),
        "it would be another server's lock"
    );
}

#[tokio::test]
async fn the_function_call_protocol_reaches_the_one_server() {
    let proxy = proxy().await;
    // pg_backend_pid(), whose OID is 2026: no arguments, result as text.
    let call = [b'F', 0, 0, 0, 14, 0, 0, 0x07, 0xea, 0, 0, 0, 0, 0, 0];
    let mut solo = Raw::connect_to(proxy.address, "solo", &[]).await;
    solo.out.extend_from_slice(&call);
    let tags: String = solo
        .until_ready()
        .await
        .iter()
        .map(|f| char::from(f.tag))
        .collect();
    assert_eq!(tags, "VZ");
    let mut app = Raw::connect(proxy.address, &[]).await;
    app.out.extend_from_slice(&call);
    let tags: String = app
        .until_ready()
        .await
        .iter()
        .map(|f| char::from(f.tag))
        .collect();
    assert_eq!(tags, "EZ");
    assert_eq!(app.query("SELECT 1").await.column(), ["1"]);
}

#[tokio::test]
async fn what_sql_prepares_on_one_server_can_be_deallocated() {
    let proxy = proxy().await;
    let mut solo = Raw::connect_to(proxy.address, "solo", &[]).await;
    assert_eq!(solo.query("PREPARE p AS SELECT 1").await.commands(), ["PREPARE"]);
    assert_eq!(solo.query("EXECUTE p").await.column(), ["1"]);
    assert_eq!(solo.query("DEALLOCATE p").await.commands(), ["DEALLOCATE"]);
    assert_eq!(solo.query("DEALLOCATE p").await.error().as_deref(), Some("26000"));
    solo.query("PREPARE p AS SELECT 2").await;
    assert_eq!(solo.query("DEALLOCATE ALL").await.commands(), ["DEALLOCATE ALL"]);
    assert_eq!(solo.query("EXECUTE p").await.error().as_deref(), Some("26000"));
    let mut other = Raw::connect_to(proxy.address, "solo", &[]).await;
    assert_eq!(other.query("EXECUTE p").await.error().as_deref(), Some("26000"));
}

/// pg_dump restricts itself so, whether the server knows the setting or not.
#[tokio::test]
async fn set_config_of_what_pg_settings_finds_is_the_sessions() {
    let proxy = proxy_of_one_connection().await;
    for database in ["app", "solo"] {
        let mut one = Raw::connect_to(proxy.address, database, &[]).await;
        let mut other = Raw::connect_to(proxy.address, database, &[]).await;
        let set = |name: &str, value: &str| {
            format!("SELECT set_config(name, '{value}', false) FROM pg_settings WHERE name = '{name}'")
        };
        assert_eq!(one.query(&set("statement_timeout", "7s")).await.column(), ["7s"]);
        assert_eq!(
            one.query(&set("no_such_setting", "x")).await.column(),
            Vec::<String>::new()
        );
        assert_eq!(other.query("SHOW statement_timeout").await.column(), ["0"]);
        assert_eq!(one.query("SHOW statement_timeout").await.column(), ["7s"]);
    }
}

#[tokio::test]
async fn clients_that_share_one_connection_never_see_each_others_settings() {
    let proxy = proxy_of_one_connection().await;
    let set = [
        "SET work_mem = '5MB'",
        "SET SESSION work_mem TO '5MB'",
        "SELECT set_config('work_mem', '5MB', false)",
        "BEGIN; SET work_mem = '5MB'; COMMIT",
        "BEGIN; SET work_mem = '6MB'; SAVEPOINT s; SET work_mem = '7MB'; ROLLBACK TO s; SET work_mem = '5MB'; COMMIT",
        "BEGIN; SET work_mem = '5MB'; SET LOCAL work_mem = '8MB'; COMMIT",
        "BEGIN; SET work_mem = '5MB'; SAVEPOINT s; SET work_mem = '7MB'; ROLLBACK TO s; COMMIT",
    ];
    let unset = [
        "BEGIN; SET work_mem = '5MB'; ROLLBACK",
        "BEGIN; SET LOCAL work_mem = '5MB'; COMMIT",
        "BEGIN; SELECT set_config('work_mem', '5MB', true); COMMIT",
        "BEGIN; SAVEPOINT s; SET work_mem = '5MB'; ROLLBACK TO s; COMMIT",
        "SET work_mem = '5MB'; RESET work_mem",
        "SET work_mem = '5MB'; RESET ALL",
        "SET work_mem = '5MB'; SET work_mem TO DEFAULT",
    ];
    for database in ["app", "solo"] {
        for (statements, expected) in set
            .iter()
            .map(|s| (s, "5MB"))
            .chain(unset.iter().map(|s| (s, "4MB")))
        {
            let mut one = Raw::connect_to(proxy.address, database, &[]).await;
            let mut other = Raw::connect_to(proxy.address, database, &[]).await;
            for statement in statements.split("; ") {
                assert_eq!(one.query(statement).await.error(), None, "{statement}");
            }
            assert_eq!(
                other.query("SHOW work_mem").await.column(),
                ["4MB"],
                "{statements}"
            );
            assert_eq!(
                one.query("SHOW work_mem").await.column(),
                [expected],
                "{statements}"
            );
            one.query("DISCARD ALL").await;
            assert_eq!(one.query("SHOW work_mem").await.column(), ["4MB"], "{statements}");
        }
        let mut one = Raw::connect_to(proxy.address, database, &[("application_name", "one")]).await;
        let mut other = Raw::connect_to(proxy.address, database, &[("application_name", "other")]).await;
        one.query("SET search_path = pg_catalog").await;
        one.query("SET TIME ZONE 'Asia/Tokyo'").await;
        for (setting, ours, theirs) in [
            ("application_name", "one", "other"),
            ("search_path", "pg_catalog", "\"$user\", public"),
        ] {
            assert_eq!(one.query(&format!("SHOW {setting}")).await.column(), [ours]);
            assert_eq!(other.query(&format!("SHOW {setting}")).await.column(), [theirs]);
        }
        assert_eq!(one.query("SHOW timezone").await.column(), ["Asia/Tokyo"]);
        assert_ne!(other.query("SHOW timezone").await.column(), ["Asia/Tokyo"]);
    }
}

#[tokio::test]
async fn prepared_statements_survive_killed_servers_and_changed_tables() {
    let proxy = proxy().await;
    let client = proxy.client().await;
    client
        .batch_execute("INSERT INTO spread VALUES (1, 'a'), (2, 'b')")
        .await
        .expect("rows");
    let texts = [
        // Their columns stay as they are, whatever becomes of the others (`tests/stale_plans.rs`).
        "SELECT id FROM spread WHERE id = $1",
        "SELECT id FROM spread WHERE id >= $1 AND note <> '' ORDER BY id",
        "SELECT count(*) FROM spread WHERE id >= $1",
    ];
    let mut statements = Vec::new();
    for text in texts {
        statements.push(client.prepare(text).await.expect("it is prepared"));
    }
    for round in 0..4 {
        for statement in &statements {
            let rows = client.query(statement, &[&1i64]).await;
            rows.unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
        for node in 0..2 {
            let direct = proxy.direct(node).await;
            let sql = if round % 2 == 0 {
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    .to_owned()
            } else {
                format!("ALTER TABLE spread ALTER note TYPE varchar({})", 50 + round)
            };
            direct.batch_execute(&sql).await.expect("it is done");
            if round % 2 == 0 {
                // A server that is told to end does so a little later.
                session_support::wait_for("the servers' processes to end", || async {
                    let others = "SELECT count(*) FROM pg_stat_activity \
                                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
                    direct
                        .query_one(others, &[])
                        .await
                        .expect("a count")
                        .get::<_, i64>(0)
                        == 0
                })
                .await;
            }
        }
    }
}

//! TLS to servers, and users' own roles there, against a real PostgreSQL with certificates: modes, CA,
//! host names, client certificates, channel binding, cancel; a role never leaks from user to user.

#[path = "control_common/mod.rs"]
mod control_common;
#[path = "tls_support/mod.rs"]
mod tls_support;

use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::time::Duration;

use control_common::TestServer;
use margay::backend::{Fleet, Purpose, Want, open_client};
use margay::model::{Code, Fault, NodeId};
use margay::topology::{self, Overrides, Snapshot};
use tls_support::Authority;

const HBA: &str = "host all app 127.0.0.1/32 trust
hostssl all shop,alice_rw,bob_rw 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
hostssl all trusted 127.0.0.1/32 trust
";

struct Servers {
    ca: Authority,
    server: TestServer,
}

/// One server with TLS, databases `d0` and `d1`, and roles. Its certificate is for localhost, not for 127.0.0.1.
async fn servers() -> Servers {
    let ca = Authority::new();
    ca.sign("server", "localhost", &["localhost"]);
    ca.sign("certified", "certified", &[]);
    let read = |file: &str| std::fs::read_to_string(ca.path(file)).expect("a file");
    let server = TestServer::primary_with(&[
        ("postgresql.conf", "ssl=on\nssl_ca_file='ca.crt'\n"),
        ("server.crt", &read("server.crt")),
        ("server.key", &read("server.key")),
        ("ca.crt", &read("ca.crt")),
        ("pg_hba.conf", HBA),
    ]);
    let client = open_client(&server.address(), PURPOSE)
        .await
        .expect("it lets us in");
    for sql in [
        "CREATE DATABASE d0",
        "CREATE DATABASE d1",
        "CREATE ROLE shop LOGIN SUPERUSER PASSWORD 'secret'",
        "CREATE ROLE alice_rw LOGIN PASSWORD 'alice'",
        "CREATE ROLE bob_rw LOGIN PASSWORD 'bob'",
        "CREATE ROLE certified LOGIN",
        "CREATE ROLE trusted LOGIN",
    ] {
        client.batch_execute(sql).await.expect(sql);
    }
    Servers { ca, server }
}

const PURPOSE: Purpose<'static> = Purpose {
    application: "test",
    options: "",
    limit: Duration::from_secs(10),
};

impl Servers {
    /// Rules of two nodes; `login` and `parameters` are put into their URLs, CA/ is the certificates' folder.
    fn rules(&self, login: &str, host: &str, parameters: &str, users: &str, listen: u16) -> String {
        let url = |database| {
            format!(
                "postgres://{login}@{host}:{}/{database}{parameters}",
                self.server.port
            )
        };
        format!(
            "version: 1\nlisten: {{postgres: \"127.0.0.1:{listen}\"}}\nusers: {users}\nnodes:\n  n0: {{primary: \"{}\"}}\n  n1: {{primary: \"{}\"}}\n\
             databases:\n  shop: {{engine: postgres, default_domain: main, domains: {{main: {{nodes: [n0, n1], tables: {{\
             things: {{shard: {{by: hash, key: {{column: id, type: integer}}}}}}}}}}}}}}\n",
            url("d0"),
            url("d1"),
        )
        .replace("CA/", &self.ca.text(""))
    }

    fn snapshot(&self, login: &str, host: &str, parameters: &str) -> Snapshot {
        let users = "[{name: shop, trust: true}]";
        let text = self.rules(login, host, parameters, users, 6432);
        let loaded = topology::load_texts(
            vec![(PathBuf::from("rules.yaml"), text)],
            &|_| None,
            &Overrides::default(),
        );
        loaded.expect("the rules hold").snapshot
    }

    /// What a data path's connection and one of control's see of their encryption: `true TLSv1.3`.
    async fn reached(&self, login: &str, host: &str, parameters: &str) -> Result<String, Fault> {
        const SQL: &str =
            "SELECT ssl::text || coalesce(' ' || version, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let snapshot = self.snapshot(login, host, parameters);
        let fleet = Fleet::new(&snapshot);
        let server = Arc::clone(&snapshot.node(NodeId(0)).servers[0]);
        let control = open_client(&server, PURPOSE).await;
        let mut lease = match fleet.checkout(NodeId(0), &Want::Primary).await {
            Ok(lease) => lease,
            Err(fault) => {
                assert!(
                    control.is_err(),
                    "{parameters}: control gets in, the data path doesn't"
                );
                return Err(fault);
            }
        };
        let rows = lease.run(SQL).await.expect("an answer");
        let seen = String::from_utf8_lossy(rows.rows[0][0].as_deref().unwrap_or_default()).into_owned();
        let control = control.expect("control gets in where the data path does");
        let by_control: String = control.query_one(SQL, &[]).await.expect("an answer").get(0);
        assert_eq!(seen, by_control, "{parameters}");
        Ok(seen)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_reached_and_verified_by_sslmode() {
    let servers = servers().await;
    let stranger = Authority::named("another CA");
    let strange = format!("?sslmode=verify-ca&sslrootcert={}", stranger.text("ca.crt"));
    let secret = "shop:secret";
    let reached = |login: &'static str, host: &'static str, parameters: String| {
        let servers = &servers;
        async move { servers.reached(login, host, &parameters).await }
    };
    for parameters in [
        "",
        "?sslmode=prefer",
        "?sslmode=require",
        "?sslmode=require&sslrootcert=CA/ca.crt",
        "?sslmode=verify-ca&sslrootcert=CA/ca.crt",
        "?sslmode=require&channel_binding=require",
        "?sslmode=require&channel_binding=disable",
        // PostgreSQL before 18 says that it has 3.0 only.
        "?sslmode=require&max_protocol_version=3.2",
    ] {
        let seen = reached(secret, "127.0.0.1", parameters.into()).await;
        assert_eq!(seen.expect(parameters), "true TLSv1.3", "{parameters}");
    }
    // Its certificate names localhost alone.
    for (host, gets_in) in [("localhost", true), ("127.0.0.1", false)] {
        let full = "?sslmode=verify-full&sslrootcert=CA/ca.crt&channel_binding=require";
        let seen = reached(secret, host, full.into()).await;
        assert_eq!(seen.is_ok(), gets_in, "{host}: {seen:?}");
    }
    for parameters in [
        strange,
        "?sslmode=require&sslrootcert=".to_owned() + &stranger.text("ca.crt"),
    ] {
        let refused = reached(secret, "localhost", parameters).await.unwrap_err();
        assert_eq!(refused.code, Code::SERVER_LOGIN);
    }
    // In clear this server lets nobody in but the superuser.
    let refused = reached(secret, "localhost", "?sslmode=disable".into())
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::SERVER_LOGIN);
    // A login that asks for no password binds nothing.
    let seen = reached("trusted", "localhost", "?sslmode=require".into()).await;
    assert_eq!(seen.expect("trusted"), "true TLSv1.3");
    let refused = reached(
        "trusted",
        "localhost",
        "?sslmode=require&channel_binding=require".into(),
    );
    assert_eq!(refused.await.unwrap_err().code, Code::SERVER_LOGIN);
    let certificate =
        "?sslmode=verify-full&sslrootcert=CA/ca.crt&sslcert=CA/certified.crt&sslkey=CA/certified.key";
    let seen = reached("certified", "localhost", certificate.into()).await;
    assert_eq!(seen.expect("a certificate"), "true TLSv1.3");
    let without = "?sslmode=verify-full&sslrootcert=CA/ca.crt";
    assert!(reached("certified", "localhost", without.into()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_the_rules_ask_for_it() {
    let plain = TestServer::primary();
    let servers = Servers {
        ca: Authority::new(),
        server: plain,
    };
    let snapshot = servers.snapshot("app", "127.0.0.1", "?sslmode=require");
    let server = Arc::clone(&snapshot.node(NodeId(0)).servers[0]);
    let refused = margay::backend::Conn::connect(&server, Duration::from_secs(5)).await;
    assert_eq!(refused.err().map(|fault| fault.code), Some(Code::SERVER_LOGIN));
    let client = open_client(&servers.server.address(), PURPOSE)
        .await
        .expect("in clear");
    for sql in ["CREATE DATABASE d0", "CREATE DATABASE d1"] {
        client.batch_execute(sql).await.expect(sql);
    }
    assert_eq!(
        servers.reached("app", "127.0.0.1", "").await.expect("prefer"),
        "false"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_connections_carry_much_are_cancelled_and_noticed_when_lost() {
    let servers = servers().await;
    let full = "?sslmode=verify-full&sslrootcert=CA/ca.crt";
    let snapshot = servers.snapshot("shop:secret", "localhost", full);
    let fleet = Fleet::new(&snapshot);
    let checkout = || fleet.checkout(NodeId(0), &Want::Primary);
    let mut lease = checkout().await.expect("it gets in");
    let pid = lease.backend_pid();
    // Both ways at once more than all buffers hold.
    let text = "z".repeat(20_000_000);
    let rows = lease
        .run(&format!("SELECT '{text}', repeat('y', 20000000)"))
        .await
        .expect("an answer");
    assert_eq!(rows.rows[0][0].as_deref().map(<[u8]>::len), Some(text.len()));
    assert_eq!(rows.rows[0][1].as_deref().map(<[u8]>::len), Some(20_000_000));

    let key = lease.cancel_key();
    let (slept, cancelled) = tokio::join!(lease.run("SELECT pg_sleep(60)"), async {
        let client = open_client(&servers.server.address(), PURPOSE)
            .await
            .expect("a watcher");
        control_common::until("it sleeps", || async {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
            let count: i64 = client
                .query_one(sql, &[&(pid as i32)])
                .await
                .expect("an answer")
                .get(0);
            count == 1
        })
        .await;
        key.send().await
    });
    cancelled.expect("the cancel is taken");
    assert!(slept.is_err());

    drop(lease);
    let lease = checkout().await.expect("the same");
    assert_eq!(lease.backend_pid(), pid, "an idle connection is used again");
    drop(lease);
    let client = open_client(&servers.server.address(), PURPOSE)
        .await
        .expect("a killer");
    let sql = "SELECT pg_terminate_backend($1, 10000)";
    client.query_one(sql, &[&(pid as i32)]).await.expect("an answer");
    // Its last words may still be on their way; once they have come it is never lent again.
    control_common::until("a new connection", || async {
        let mut lease = checkout().await.expect("another");
        lease.backend_pid() != pid && lease.run("SELECT 1").await.is_ok()
    })
    .await;
}

/// `margay serve`, ended with the value.
struct Proxy {
    child: Child,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(rules: &std::path::Path, port: u16) -> Proxy {
        let mut child = Command::new(env!("CARGO_BIN_EXE_margay"));
        child.arg("serve").arg(rules).env("MARGAY_LOG", "warn");
        let child = child.spawn().expect("margay runs");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Proxy { child, port }
    }

    fn psql(&self, user: &str, sql: &[&str]) -> Output {
        let mut psql = Command::new("psql");
        let url = format!("postgres://{user}@127.0.0.1:{}/shop", self.port);
        psql.args(["-X", "-At", "-q", "-v", "ON_ERROR_STOP=1", &url]);
        for sql in sql {
            psql.args(["-c", sql]);
        }
        psql.output().expect("psql runs")
    }

    fn ask(&self, user: &str, sql: &[&str]) -> String {
        let out = self.psql(user, sql);
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{user} {sql:?}: {error}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_reaches_the_servers_by_its_own_role() {
    let servers = servers().await;
    let users = "
  - {name: shop, trust: true}
  - {name: alice, trust: true, servers: {user: alice_rw, password: {plain: alice}}}
  - {name: bob, trust: true, servers: {user: bob_rw, password: {plain: bob}}}
  - {name: wrong, trust: true, servers: {user: alice_rw, password: {plain: no}}}";
    let port = control_common::free_port();
    let rules = servers.ca.path("rules.yaml");
    let parameters = "?sslmode=verify-full&sslrootcert=CA/ca.crt";
    let text = servers.rules("shop:secret", "localhost", parameters, users, port);
    std::fs::write(&rules, &text).expect("a file");
    let proxy = Proxy::start(&rules, port);
    proxy.ask(
        "shop",
        &[
            "CREATE TABLE things (id integer PRIMARY KEY, what text)",
            "GRANT ALL ON things TO alice_rw",
            "GRANT SELECT ON things TO bob_rw",
        ],
    );
    let who = "SELECT DISTINCT current_setting('is_superuser'), (SELECT usename FROM pg_stat_activity WHERE pid = pg_backend_pid()) FROM pg_class";
    for _ in 0..3 {
        assert_eq!(proxy.ask("alice", &[who]), "off|alice_rw\n");
        assert_eq!(proxy.ask("bob", &[who]), "off|bob_rw\n");
        assert_eq!(proxy.ask("shop", &[who]), "on|shop\n");
        // What SET ROLE can be undone by doesn't lead anywhere.
        let out = proxy.psql("bob", &["RESET ROLE", "RESET SESSION AUTHORIZATION", who]);
        assert!(!String::from_utf8_lossy(&out.stdout).contains("on|"), "{out:?}");
    }
    // A commit over both nodes as a role that owns nothing of Margay's.
    let fill: Vec<String> = (1..=20)
        .map(|i| format!("INSERT INTO things VALUES ({i}, 'x')"))
        .collect();
    let mut block = vec!["BEGIN"];
    block.extend(fill.iter().map(String::as_str));
    block.push("COMMIT");
    proxy.ask("alice", &block);
    assert_eq!(proxy.ask("bob", &["SELECT count(*) FROM things"]), "20\n");
    let refused = proxy.psql("bob", &["INSERT INTO things VALUES (21, 'x')"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("permission denied for table things"));
    // Nobody else's decision may be taken away.
    let refused = proxy.psql("alice", &["DELETE FROM margay.decision"]);
    assert!(!refused.status.success());
    let refused = proxy.psql("wrong", &["SELECT 1"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("MG3004"),
        "{refused:?}"
    );
    assert_eq!(proxy.ask("alice", &["SELECT count(*) FROM things"]), "20\n");
    drop(proxy);

    // What a proxy that died left prepared as alice_rw, any other one finishes as alice_rw.
    let loaded = topology::load(&rules, &|_| None).expect("the rules hold");
    let fleet = Fleet::new(&loaded.snapshot);
    let login = loaded
        .snapshot
        .user("alice")
        .and_then(|u| u.login.clone())
        .expect("a login");
    let server = loaded.snapshot.node(NodeId(1)).servers[0].with_login(&login);
    let alice = open_client(&server, PURPOSE).await.expect("alice gets in");
    let sql = "BEGIN; DELETE FROM things; PREPARE TRANSACTION 'margay:1:n0:00ff:1'";
    alice.batch_execute(sql).await.expect("it is prepared");
    let report = margay::execute::recover(&fleet, &loaded.snapshot, Duration::ZERO).await;
    assert_eq!((report.rolled_back, report.left), (1, 0), "{:?}", report.problems);
}

//! Three hash-split nodes with replicas, and two proxies over them, for tests that kill things.
#![allow(dead_code)] // Each test program uses a part of this.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::{self, MARGAY, Sandbox};

pub const NODES: [&str; 3] = ["n_a", "n_b", "n_c"];

pub const RULES: &str = r#"
version: 1
listen: {postgres: 127.0.0.1:6432, http: 127.0.0.1:9630}
users: [{name: bank, password: {plain: secret}, admin: true}]
nodes:
  n_a: {primary: "postgres://app@10.0.0.1/bank", replicas: ["postgres://app@10.0.0.2/bank"]}
  n_b: {primary: "postgres://app@10.0.0.3/bank", replicas: ["postgres://app@10.0.0.4/bank"]}
  n_c: {primary: "postgres://app@10.0.0.5/bank", replicas: ["postgres://app@10.0.0.6/bank"]}
databases:
  bank:
    engine: postgres
    default_domain: money
    domains:
      money:
        nodes: [n_a, n_b, n_c]
        tables:
          accounts: {shard: {by: hash, key: {column: account, type: bigint}, count: 12}}
          ledger: {shard: {like: accounts}}
"#;

pub const TABLES: &str = "CREATE TABLE accounts (account bigint PRIMARY KEY, balance bigint NOT NULL)";
pub const LEDGER: &str = "CREATE TABLE ledger (id bigint, account bigint, amount bigint NOT NULL, \
     UNIQUE (account, id) DEFERRABLE INITIALLY DEFERRED)";

/// How long anything that must happen may take on a crowded machine.
const LIMIT: Duration = Duration::from_secs(90);

pub struct World {
    pub sandbox: Sandbox,
    second: Option<Child>,
    second_port: u16,
    rules: tempfile::NamedTempFile,
    overrides: tempfile::NamedTempFile,
    log: tempfile::NamedTempFile,
}

impl World {
    /// Servers, both proxies, empty tables.
    pub fn start(runtime: &Runtime) -> World {
        let sandbox = Sandbox::with(RULES, &[]);
        let (second_port, http_port) = (free_port(), free_port());
        let folder = std::path::Path::new(sandbox.var("MARGAY_SANDBOX"));
        let text = std::fs::read_to_string(folder.join("overrides.json")).expect("the sandbox's overrides");
        let mut said: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        said["listen"]["postgres"] = format!("127.0.0.1:{second_port}").into();
        said["listen"]["http"] = format!("127.0.0.1:{http_port}").into();
        let mut world = World {
            overrides: support::rules_file(&said.to_string()),
            rules: support::rules_file(RULES),
            log: tempfile::NamedTempFile::new().expect("a temporary file"),
            second: None,
            second_port,
            sandbox,
        };
        world.start_second(runtime);
        runtime.block_on(async {
            let client = support::connect(world.sandbox.proxy()).await;
            for sql in [TABLES, LEDGER] {
                client.batch_execute(sql).await.expect("a table on every node");
            }
        });
        world
    }

    /// Of both proxies.
    pub fn urls(&self) -> Vec<String> {
        vec![self.sandbox.proxy().to_owned(), self.second_url()]
    }

    pub fn second_url(&self) -> String {
        let url = self.sandbox.proxy();
        let (before, after) = url.rsplit_once(':').expect("a port");
        let database = after.split_once('/').expect("a database").1;
        format!("{before}:{}/{database}", self.second_port)
    }

    pub fn kill_first(&self) {
        self.sandbox.signal("MARGAY_PROXY_PID", "KILL");
    }

    pub fn start_first(&mut self) {
        self.sandbox.start_again("proxy").expect("the proxy starts again");
    }

    pub fn kill_second(&mut self) {
        if let Some(mut child) = self.second.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it ends");
        }
    }

    pub fn start_second(&mut self, runtime: &Runtime) {
        let log = || {
            std::fs::OpenOptions::new()
                .append(true)
                .open(self.log.path())
                .expect("a log")
        };
        let child = Command::new(MARGAY)
            .arg("serve")
            .arg(self.rules.path())
            .arg("--sandbox-overrides")
            .arg(self.overrides.path())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn();
        self.second = Some(child.expect("margay runs"));
        let url = self.second_url();
        runtime.block_on(until("the second proxy takes clients", async || {
            tokio_postgres::connect(&url, NoTls).await.is_ok()
        }));
    }

    pub fn change_rules_of_second(&self, rules: &str) {
        std::fs::write(self.rules.path(), rules).expect("the rules are written");
    }

    /// Gives the second proxy other rules and tells it so.
    pub fn change_second(&mut self, rules: &str) {
        self.change_rules_of_second(rules);
        let pid = self.second.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Whatever was in doubt is finished by the proxies that live.
    pub async fn nothing_stays_prepared(&self) {
        for node in NODES {
            let client = direct(&self.sandbox, node).await;
            until("nothing is prepared any more", async || {
                let row = client
                    .query_one("SELECT count(*) FROM pg_prepared_xacts", &[])
                    .await;
                row.is_ok_and(|row| row.get::<_, i64>(0) == 0)
            })
            .await;
        }
    }

    /// No connection is held, nobody waits, no transaction is open on a server, no task has panicked.
    pub async fn nothing_leaks(&self) {
        for url in self.urls() {
            let console = support::connect(&console_url(&url)).await;
            until("the pools are at rest", async || {
                let pools = rows(&console, "SHOW POOLS").await;
                !pools.is_empty() && pools.iter().all(|pool| pool[2] == "0" && pool[4] == "0")
            })
            .await;
        }
        for node in NODES {
            let client = direct(&self.sandbox, node).await;
            until("no transaction is open on a server", async || {
                let sql = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
                client
                    .query_one(sql, &[])
                    .await
                    .is_ok_and(|row| row.get::<_, i64>(0) == 0)
            })
            .await;
        }
        self.no_panic();
    }

    pub fn no_panic(&self) {
        let folder = std::path::Path::new(self.sandbox.var("MARGAY_SANDBOX"));
        for log in [folder.join("proxy.log"), self.log.path().to_owned()] {
            let text = String::from_utf8_lossy(&std::fs::read(&log).expect("a log")).into_owned();
            let found = text.lines().find(|line| line.contains("panicked"));
            assert_eq!(found, None, "in {}", log.display());
        }
    }

    /// Decisions that nobody needs go, once they are old.
    pub async fn no_decision_stays(&self) {
        for node in NODES {
            let client = direct(&self.sandbox, node).await;
            let old = "UPDATE margay.decision SET decided_at = decided_at - interval '1 hour'";
            client.batch_execute(old).await.expect("the rows are made older");
            until("old decisions are gone", async || {
                let sql =
                    "SELECT count(*) FROM margay.decision WHERE decided_at < now() - interval '30 minutes'";
                client
                    .query_one(sql, &[])
                    .await
                    .is_ok_and(|row| row.get::<_, i64>(0) == 0)
            })
            .await;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_second();
        if std::thread::panicking() {
            let folder = std::path::Path::new(self.sandbox.var("MARGAY_SANDBOX")).to_owned();
            for log in [folder.join("proxy.log"), self.log.path().to_owned()] {
                let text = std::fs::read(&log).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                eprintln!(
                    "--- {}\n{}",
                    log.display(),
                    lines[lines.len().saturating_sub(60)..].join("\n")
                );
            }
        }
    }
}

/// The admin console of a proxy.
pub fn console_url(url: &str) -> String {
    let (before, _) = url.rsplit_once('/').expect("a database");
    format!("{before}/margay")
}

/// The rows of a command of the console.
pub async fn rows(console: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = console
        .simple_query(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(
            (0..row.len())
                .map(|i| row.get(i).unwrap_or_default().to_owned())
                .collect(),
        ),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// A node's primary, past the proxies, as its superuser.
pub async fn direct(sandbox: &Sandbox, node: &str) -> Client {
    let url = sandbox.var(&format!("MARGAY_NODE_{}_URL", node.to_uppercase()));
    let mut config: tokio_postgres::Config = url.parse().expect("a URL");
    config
        .user(sandbox.var("MARGAY_SANDBOX_SUPERUSER"))
        .password(sandbox.var("MARGAY_SANDBOX_PASSWORD"));
    let (client, connection) = config.connect(NoTls).await.expect("the server lets us in");
    tokio::spawn(connection);
    client
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits for a condition; the name says for what.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < LIMIT, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

//! What an operator lives through: clients that vanish, pools that run out, clients that don't
//! read, servers that freeze or are away at the start, rules that change under way. The proxy goes on,
//! tells the truth, and comes to rest.

mod support;
mod two_proxies;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::Sandbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{Client, Error, NoTls};
use two_proxies::{console_url, rows, until};

const RULES: &str = r#"
version: 1
listen: {postgres: 127.0.0.1:6432, http: 127.0.0.1:9630}
users: [{name: shop, password: {plain: secret}, admin: true}]
nodes:
  n_a: {primary: "postgres://app@10.0.0.1/shop"}
  n_b: {primary: "postgres://app@10.0.0.2/shop"}
databases:
  shop:
    engine: postgres
    default_domain: left
    domains:
      left: {nodes: [n_a], tables: {lefts: {}}}
      right: {nodes: [n_b], tables: {rights: {}}}
      both: {nodes: [n_a, n_b], tables: {parts: {shard: {by: hash, key: {column: id, type: bigint}, count: 4}}}}
pool: {max_connections: 4, acquire_timeout: 1s, connect_timeout: 1s}
limits: {health_timeout: 1s}
"#;

async fn start() -> Sandbox {
    let sandbox = Sandbox::with(RULES, &[]);
    let client = support::connect(sandbox.proxy()).await;
    for table in ["lefts", "rights", "parts"] {
        let sql = format!("CREATE TABLE {table} (id bigint PRIMARY KEY, note text)");
        client.batch_execute(&sql).await.expect("a table");
    }
    sandbox
}

fn state(error: &Error) -> &str {
    error.code().map_or("no SQLSTATE", |code| code.code())
}

fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a size");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

/// No connection is on loan, nobody waits, no client is listed (the console isn't one), nothing panicked.
async fn at_rest(sandbox: &Sandbox) {
    let console = support::connect(&console_url(sandbox.proxy())).await;
    until("the pools are at rest", async || {
        rows(&console, "SHOW POOLS")
            .await
            .iter()
            .all(|pool| pool[2] == "0" && pool[4] == "0")
    })
    .await;
    until("the clients are gone", async || {
        rows(&console, "SHOW CLIENTS").await.is_empty()
    })
    .await;
    let log = std::path::Path::new(sandbox.var("MARGAY_SANDBOX")).join("proxy.log");
    let text = String::from_utf8_lossy(&std::fs::read(log).expect("a log")).into_owned();
    assert_eq!(text.lines().find(|line| line.contains("panicked")), None);
}

/// Logs in and works until it is dropped in the middle.
async fn visit(url: &str, id: i64) -> Result<(), Error> {
    let config: tokio_postgres::Config = url.parse()?;
    let port = config.get_ports()[0];
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("the proxy listens");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    let work = async {
        client
            .query("SELECT note FROM parts WHERE id = $1", &[&id])
            .await?;
        client
            .query("SELECT id, note FROM parts ORDER BY id", &[])
            .await?;
        client.batch_execute("BEGIN").await?;
        client
            .execute("INSERT INTO lefts VALUES ($1, 'x')", &[&id])
            .await?;
        client
            .execute("INSERT INTO rights VALUES ($1, 'x')", &[&id])
            .await?;
        let mut sink = pin!(client.copy_in("COPY lefts FROM STDIN").await?);
        for row in 0..50 {
            let line = format!("{}\tcopied\n", 1_000_000 + id * 100 + row);
            sink.send(bytes::Bytes::from(line)).await?;
        }
        sink.finish().await?;
        client.batch_execute("COMMIT").await?;
        let rows = client
            .query_raw(
                "SELECT repeat('x', 2000) FROM generate_series(1, 20000)",
                [0_i32; 0],
            )
            .await?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.next().await {
            row?;
        }
        Ok(())
    };
    tokio::select! {
        done = work => done,
        _ = connection => Ok(()),
    }
}

/// `count` clients, a few at a time, each gone after a moment of its own.
async fn visits(sandbox: &Sandbox, random: &mut StdRng, first: i64, count: usize) {
    let url = sandbox.proxy();
    let config: tokio_postgres::Config = url.parse().expect("a URL");
    let port = config.get_ports()[0];
    let plans: Vec<(i64, Duration)> = (0..count)
        .map(|i| {
            (
                first + i as i64,
                Duration::from_micros(random.random_range(0..60_000)),
            )
        })
        .collect();
    futures_util::stream::iter(plans)
        .for_each_concurrent(8, |(id, stay)| async move {
            if id % 10 == 0 {
                // In the middle of its startup packet.
                let mut stream = TcpStream::connect(("127.0.0.1", port))
                    .await
                    .expect("the proxy listens");
                let _ = stream
                    .write_all(&[0, 0, 0, 90, 0, 3, 0, 0, b'u', b's', b'e'])
                    .await;
                return;
            }
            let _ = tokio::time::timeout(stay, visit(url, id)).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_that_vanish_leave_nothing_behind() {
    let seed = std::env::var("MARGAY_CHAOS_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(rand::random);
    println!("MARGAY_CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let sandbox = start().await;
    visits(&sandbox, &mut random, 1, 500).await;
    at_rest(&sandbox).await;
    let before = rss_kib(sandbox.pid("MARGAY_PROXY_PID"));
    visits(&sandbox, &mut random, 501, 1000).await;
    at_rest(&sandbox).await;
    let after = rss_kib(sandbox.pid("MARGAY_PROXY_PID"));
    println!("memory: {before} KiB after 500 clients, {after} KiB after 1500");
    assert!(after < before + 60_000, "{before} KiB grew to {after} KiB");
    // A transaction that nobody committed is on neither node, one that was committed on both.
    let client = support::connect(sandbox.proxy()).await;
    let lefts = rows(&client, "SELECT id FROM lefts WHERE id < 1000000 ORDER BY id").await;
    let rights = rows(&client, "SELECT id FROM rights ORDER BY id").await;
    assert_eq!(lefts, rights);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_that_run_out_say_so_and_nobody_is_stuck() {
    let sandbox = start().await;
    let url = sandbox.proxy().to_owned();
    // After the first one a login needs no server, so clients come in while all connections are held.
    drop(support::connect(&url).await);
    // Each holds a connection to one node and wants one to the other.
    let crossing = (0..16_i64)
        .map(|id| (id, url.clone()))
        .map(|(id, url)| async move {
            let client = support::connect(&url).await;
            let (first, second) = if id % 2 == 0 {
                ("lefts", "rights")
            } else {
                ("rights", "lefts")
            };
            client.batch_execute("BEGIN").await?;
            client
                .execute(&format!("INSERT INTO {first} VALUES ($1, 'x')"), &[&id])
                .await?;
            client
                .execute(&format!("INSERT INTO {second} VALUES ($1, 'x')"), &[&id])
                .await?;
            client.batch_execute("COMMIT").await
        });
    let mut failed = 0;
    for outcome in join_all(crossing).await {
        if let Err(error) = outcome {
            assert_eq!(state(&error), "53300", "{error:?}");
            failed += 1;
        }
    }
    println!("{failed} of 16 found no connection in time");
    at_rest(&sandbox).await;
    // Scatters take all their connections at once, so they only queue.
    let scatter = (0..24).map(|_| async {
        let client = support::connect(&url).await;
        client
            .query("SELECT id FROM parts ORDER BY id", &[])
            .await
            .map(|rows| rows.len())
    });
    for outcome in join_all(scatter).await {
        assert_eq!(outcome.expect("there is time enough for each"), 0);
    }
    // All connections of one node are held: the others are served, and the waiting are told.
    let held: Vec<Client> = join_all((0..4).map(|_| async {
        let client = support::connect(&url).await;
        client
            .batch_execute("BEGIN; SELECT id FROM rights")
            .await
            .expect("a transaction on n_b");
        client
    }))
    .await;
    let client = support::connect(&url).await;
    let error = client
        .query("SELECT id FROM rights", &[])
        .await
        .expect_err("no connection is free");
    assert_eq!(state(&error), "53300");
    client
        .query("SELECT id FROM lefts", &[])
        .await
        .expect("the other node has some");
    drop(held);
    until("they are free again", async || {
        client.query("SELECT id FROM rights", &[]).await.is_ok()
    })
    .await;
    drop(client);
    at_rest(&sandbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_no_memory() {
    let sandbox = start().await;
    let pid = sandbox.pid("MARGAY_PROXY_PID");
    let client = support::connect(sandbox.proxy()).await;
    let fill = "INSERT INTO parts SELECT g, repeat('x', 4000) FROM generate_series(1, 4) g";
    if client.batch_execute(fill).await.is_err() {
        let values: Vec<String> = (0..400)
            .map(|id| format!("({id}, repeat('x', 100000))"))
            .collect();
        client
            .batch_execute(&format!("INSERT INTO parts VALUES {}", values.join(", ")))
            .await
            .expect("rows");
    }
    let before = rss_kib(pid);
    let mut idle = Vec::new();
    for sql in [
        "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)",
        "SELECT id, note, note, note, note FROM parts",
        "SELECT id, note, note, note, note FROM parts ORDER BY id",
    ] {
        let mut stream = log_in(&sandbox).await;
        let mut message = vec![b'Q'];
        message.extend_from_slice(&(sql.len() as u32 + 5).to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        stream.write_all(&message).await.expect("sent");
        idle.push(stream);
    }
    let server = two_proxies::direct(&sandbox, "n_a").await;
    until("a server waits for the proxy to read", async || {
        let sql = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'";
        rows(&server, sql).await == [["t"]]
    })
    .await;
    let after = rss_kib(pid);
    println!("memory: {before} KiB before, {after} KiB with 3 results that nobody reads");
    assert!(after < before + 60_000, "{before} KiB grew to {after} KiB");
    // Others are served meanwhile.
    client
        .query("SELECT id FROM lefts", &[])
        .await
        .expect("an answer");
    drop((idle, client));
    at_rest(&sandbox).await;
}

/// A client whose socket is ours.
async fn log_in(sandbox: &Sandbox) -> TcpStream {
    let config: tokio_postgres::Config = sandbox.proxy().parse().expect("a URL");
    let proxy = TcpStream::connect(("127.0.0.1", config.get_ports()[0]))
        .await
        .expect("the proxy listens");
    let (inner, outer) = tokio::io::duplex(1 << 16);
    // tokio-postgres logs in over a pipe; after that the socket is handed out.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let pump = tokio::spawn(async move {
        let (mut proxy, mut outer) = (proxy, outer);
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut proxy, &mut outer) => {}
            _ = stopped => {}
        }
        proxy
    });
    let (client, connection) = config.connect_raw(inner, NoTls).await.expect("logged in");
    let driven = tokio::spawn(connection);
    client.simple_query("SELECT 1").await.expect("an answer");
    stop.send(()).expect("the pump runs");
    let proxy = pump.await.expect("the socket");
    driven.abort();
    proxy
}

/// Every process of a server: its postmaster and the children.
fn processes(postmaster: u32) -> Vec<u32> {
    let mut all = vec![postmaster];
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if parent == Some(postmaster) {
            all.push(pid);
        }
    }
    all
}

fn signal(pids: &[u32], signal: &str) {
    for pid in pids {
        // A child may have ended meanwhile.
        let _ = std::process::Command::new("kill")
            .args([format!("-{signal}"), pid.to_string()])
            .status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_lost_to_its_clients_and_the_others_are_served() {
    let sandbox = start().await;
    let url = sandbox.proxy().to_owned();
    let in_flight = support::connect(&url).await;
    let in_transaction = support::connect(&url).await;
    in_transaction
        .batch_execute("BEGIN; INSERT INTO rights VALUES (1, 'x')")
        .await
        .expect("open on n_b");
    let two_nodes = support::connect(&url).await;
    two_nodes
        .batch_execute("BEGIN; INSERT INTO lefts VALUES (2, 'x'); INSERT INTO rights VALUES (2, 'x')")
        .await
        .expect("open on both");
    let frozen = processes(sandbox.pid("MARGAY_NODE_N_B_PID"));
    signal(&frozen, "STOP");
    let waiting = async {
        let error = in_flight
            .query("SELECT id FROM rights", &[])
            .await
            .expect_err("nobody answers");
        assert_eq!(state(&error), "08006");
    };
    let open = async {
        in_transaction
            .batch_execute("UPDATE rights SET note = 'y'")
            .await
            .expect_err("nobody answers");
        in_transaction
            .batch_execute("ROLLBACK")
            .await
            .expect("the session goes on");
    };
    let committing = async {
        let error = two_nodes
            .batch_execute("COMMIT")
            .await
            .expect_err("n_b can't prepare");
        assert_eq!(state(&error), "40000", "{error:?}");
    };
    let others = async {
        let client = support::connect(&url).await;
        for id in 100..140_i64 {
            client
                .execute("INSERT INTO lefts VALUES ($1, 'x')", &[&id])
                .await
                .expect("n_a serves");
        }
    };
    let all = async { tokio::join!(waiting, open, committing, others) };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("everyone gets an answer");
    let console = support::connect(&console_url(&url)).await;
    until("it is shown as down", async || {
        rows(&console, "SHOW PROBLEMS")
            .await
            .iter()
            .any(|problem| problem[2] == "n_b/primary")
    })
    .await;
    let error = in_flight
        .query("SELECT id FROM rights", &[])
        .await
        .expect_err("still frozen");
    assert!(["08006", "53300"].contains(&state(&error)), "{error:?}");
    signal(&frozen, "CONT");
    until("it serves again", async || {
        in_flight.query("SELECT id FROM rights", &[]).await.is_ok()
    })
    .await;
    assert_eq!(rows(&in_flight, "SELECT count(*) FROM rights").await, [["0"]]);
    assert_eq!(
        rows(&in_flight, "SELECT count(*) FROM lefts WHERE id = 2").await,
        [["0"]]
    );
    drop((in_flight, in_transaction, two_nodes, console));
    at_rest(&sandbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_starts_while_a_node_is_down_serves_the_others() {
    let mut sandbox = start().await;
    let url = sandbox.proxy().to_owned();
    sandbox.signal("MARGAY_NODE_N_B_PID", "KILL");
    sandbox.signal("MARGAY_PROXY_PID", "KILL");
    sandbox
        .start_again("proxy")
        .expect("the proxy starts without the node");
    let client = support::connect(&url).await;
    client
        .batch_execute("INSERT INTO lefts VALUES (1, 'x')")
        .await
        .expect("n_a serves");
    let error = client
        .batch_execute("INSERT INTO rights VALUES (1, 'x')")
        .await
        .expect_err("n_b is away");
    assert_eq!(state(&error), "08006");
    let error = client
        .query("SELECT id FROM parts ORDER BY id", &[])
        .await
        .expect_err("a part is away");
    assert!(["08006", "0A000"].contains(&state(&error)), "{error:?}");
    sandbox.start_again("n_b").expect("the node starts again");
    until("n_b serves", async || {
        client.query("SELECT id FROM rights", &[]).await.is_ok()
    })
    .await;
    client
        .batch_execute("INSERT INTO rights VALUES (1, 'x')")
        .await
        .expect("n_b serves");
    until("the catalog is whole", async || {
        client
            .query("SELECT id FROM parts ORDER BY id", &[])
            .await
            .is_ok()
    })
    .await;
    client
        .batch_execute("INSERT INTO parts VALUES (1, 'x'), (2, 'x'), (3, 'x'), (4, 'x')")
        .await
        .expect("rows");

    // Statements are counted where they went, and Margay's own errors by their codes.
    let console = support::connect(&console_url(&url)).await;
    let nodes = rows(&console, "SHOW NODES").await;
    assert!(
        nodes
            .iter()
            .filter(|node| !node[0].ends_with(".shell"))
            .all(|node| node[6].parse::<u64>().expect("a number") > 0),
        "{nodes:?}"
    );
    let stats = rows(&console, "SHOW STATS").await;
    let value = |name: &str, label: &str| {
        let found = stats
            .iter()
            .filter(|row| row[0] == name && row[1].contains(label));
        found
            .map(|row| row[2].parse::<f64>().expect("a number"))
            .sum::<f64>()
    };
    assert!(value("margay_faults_total", "MG3001") >= 1.0, "{stats:?}");
    assert!(value("margay_commits_two_phase_total", "") >= 1.0, "{stats:?}");
    assert!(value("margay_queries_total", "tier=scatter") >= 1.0, "{stats:?}");
    assert!(value("margay_queries_total", "tier=single") >= 1.0, "{stats:?}");
    assert!(
        value("margay_server_errors_total", "n_b/primary") >= 1.0,
        "{stats:?}"
    );
    let page = metrics(&sandbox).await;
    assert!(
        page.contains("margay_server_queries_total{node=\"n_a\""),
        "{page}"
    );
}

#[test]
fn new_rules_by_sighup_are_taken_or_refused_and_never_misplace_a_row() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut world = two_proxies::World::start(&runtime);
    let url = world.second_url();
    let console = runtime.block_on(support::connect(&console_url(&url)));
    let client = runtime.block_on(support::connect(&url));
    runtime
        .block_on(
            client.batch_execute("INSERT INTO accounts (account, balance) VALUES (1, 10), (2, 10), (3, 10)"),
        )
        .expect("rows");
    let shown = async |table: &str| {
        let rules = rows(&console, "SHOW RULES").await;
        rules
            .iter()
            .find(|rule| rule[2].contains(table))
            .map(|rule| rule[3].clone())
    };

    // Another placement of a filled table: refused, and what is in force goes on.
    world.change_second(&two_proxies::RULES.replace("count: 12", "count: 16"));
    runtime.block_on(async {
        until("the new rules are refused", async || {
            rows(&console, "SHOW PROBLEMS")
                .await
                .iter()
                .any(|problem| problem[1] == "rules" && problem[3].contains("MG3006"))
        })
        .await;
        let error = console
            .simple_query("RELOAD")
            .await
            .expect_err("so it is by hand");
        assert_eq!(state(&error), "55000", "{error:?}");
        let told = error.as_db_error().expect("an error of Margay's");
        assert!(
            told.message().contains("MG3006")
                && told.hint().is_some()
                && told
                    .detail()
                    .is_some_and(|d| d.contains("of 12") && d.contains("UPDATE margay.placement")),
            "{told:?}"
        );
        assert!(
            shown("accounts")
                .await
                .is_some_and(|spread| spread.contains("12"))
        );
        assert_eq!(
            rows(&client, "SELECT balance FROM accounts WHERE account = 1").await,
            [["10"]]
        );
        // The proxy with the old rules goes on.
        let first = support::connect(world.sandbox.proxy()).await;
        assert_eq!(
            rows(&first, "SELECT balance FROM accounts WHERE account = 1").await,
            [["10"]]
        );
    });

    // Wrong rules: the present ones stay.
    world.change_second("version: 1\nnodes: {}\n");
    runtime.block_on(until("the wrong rules are refused", async || {
        rows(&console, "SHOW PROBLEMS")
            .await
            .iter()
            .any(|problem| problem[2] == "rules" && !problem[3].contains("MG3006"))
    }));
    assert!(
        runtime
            .block_on(shown("accounts"))
            .is_some_and(|spread| spread.contains("12"))
    );

    // Back to what it was.
    world.change_second(two_proxies::RULES);
    runtime.block_on(async {
        until("it is served again", async || {
            client
                .query("SELECT balance FROM accounts WHERE account = 1", &[])
                .await
                .is_ok_and(|rows| rows.len() == 1)
        })
        .await;
        assert_eq!(rows(&client, "SELECT count(*) FROM accounts").await, [["3"]]);
        assert!(rows(&console, "SHOW PROBLEMS").await.is_empty());
    });
    // So it is for a proxy that starts with other rules.
    world.kill_second();
    world.change_rules_of_second(&two_proxies::RULES.replace("count: 12", "count: 16"));
    world.start_second(&runtime);
    runtime.block_on(async {
        let client = support::connect(&url).await;
        let error = client
            .batch_execute("SELECT balance FROM accounts WHERE account = 1")
            .await;
        assert_eq!(
            state(&error.expect_err("it would look in the wrong place")),
            "55000"
        );
    });
    world.no_panic();
}

async fn metrics(sandbox: &Sandbox) -> String {
    let address = sandbox
        .var("MARGAY_HTTP_URL")
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("the page");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    text
}

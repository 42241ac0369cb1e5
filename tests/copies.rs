//! Copies of a broadcast table stay equal whoever writes them at the same time, by whatever they find.

mod support;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::Sandbox;
use tokio::task::JoinSet;

const RULES: &str = "
version: 1
listen: {postgres: 127.0.0.1:6432}
users: [{name: app, password: {plain: secret}}]
nodes:
  n_a: {primary: postgres://app@10.0.0.1/shop}
  n_b: {primary: postgres://app@10.0.0.2/shop}
  n_c: {primary: postgres://app@10.0.0.3/shop}
databases:
  shop:
    engine: postgres
    default_domain: trade
    domains:
      trade:
        nodes: [n_a, n_b, n_c]
        tables:
          orders: {shard: {by: hash, key: {column: id, type: bigint}, count: 6}}
          rates:  {broadcast: true}
          kinds:  {broadcast: true}
";

/// What reads other rows than it writes, what takes rows away, and what gives new ones.
const WRITES: &[&str] = &[
    "INSERT INTO rates VALUES (100, 0, '')",
    "INSERT INTO rates VALUES (100, 1, 'again') ON CONFLICT (id) DO NOTHING",
    "INSERT INTO rates VALUES (101, 1, 'x') ON CONFLICT (id) DO UPDATE SET c = rates.c + excluded.c",
    "DELETE FROM rates WHERE id = 100",
    "DELETE FROM rates WHERE c > 40 AND id > 2",
    "UPDATE rates SET c = (SELECT count(*) FROM rates) WHERE id = 1",
    "UPDATE rates SET c = c + 1 WHERE id = 2",
    "UPDATE rates SET s = (SELECT c::text FROM rates WHERE id = 2) WHERE id = 1",
    "UPDATE rates SET s = 'many' WHERE c > 1",
    "INSERT INTO rates SELECT 200 + count(*), count(s), 'sum' FROM rates WHERE id < 200 HAVING count(*) < 4 ON CONFLICT DO NOTHING",
    "UPDATE rates SET id = 102 WHERE id = 101",
    "UPDATE kinds SET n = (SELECT count(*) FROM rates WHERE c > 3)",
    "UPDATE rates SET c = (SELECT count(*) FROM kinds) WHERE id = 2",
    "INSERT INTO kinds VALUES (7, 7)",
    "DELETE FROM kinds WHERE id = 7 AND EXISTS (SELECT 1 FROM rates WHERE id = 100)",
    "TRUNCATE kinds",
    "INSERT INTO kinds VALUES (1, 1), (2, 2) ON CONFLICT DO NOTHING",
];

const WRITERS: usize = 4;
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_millis(900);

async fn copies(sandbox: &Sandbox, table: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for node in ["N_A", "N_B", "N_C"] {
        let server = support::connect(sandbox.var(&format!("MARGAY_NODE_{node}_URL"))).await;
        let rows = server
            .query(&format!("SELECT t::text FROM {table} t ORDER BY 1"), &[])
            .await
            .expect("the copy is there");
        all.push(rows.iter().map(|row| row.get(0)).collect());
    }
    all
}

/// What the servers' sessions do, and for whom they wait.
async fn waiting(sandbox: &Sandbox) -> String {
    let sql = "SELECT format('%s %s %s waits for %s: %s', pid, state, wait_event, pg_blocking_pids(pid), query) \
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid() \
        UNION ALL SELECT format('prepared %s', gid) FROM pg_prepared_xacts";
    let mut out = String::new();
    for node in ["N_A", "N_B", "N_C"] {
        let server = support::connect(sandbox.var(&format!("MARGAY_NODE_{node}_URL"))).await;
        for row in server.query(sql, &[]).await.expect("the activity") {
            out.push_str(&format!("{node} {}\n", row.get::<_, String>(0)));
        }
    }
    out
}

/// Until `end`; gives how many statements were carried out.
async fn write(url: String, seed: u64, end: Instant) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let client = support::connect(&url).await;
    let mut done = 0;
    while Instant::now() < end {
        let mut pick = || WRITES[random.random_range(0..WRITES.len())];
        let (first, second) = (pick(), pick());
        let result = if random.random_bool(0.3) {
            let whole = format!("BEGIN; {first}; {second}; COMMIT");
            let result = client.batch_execute(&whole).await;
            if result.is_err() {
                client.batch_execute("ROLLBACK").await.expect("the way out");
            }
            result
        } else {
            client.batch_execute(first).await
        };
        match result {
            Ok(()) => done += 1,
            // What is there twice, what another one locks first, what two wait for.
            Err(error) => {
                let state = error.code().map_or("", |c| c.code());
                assert!(
                    ["23505", "40P01", "55P03", "40001"].contains(&state),
                    "{first}; {second}: {error:?}"
                );
            }
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_stay_equal_under_concurrent_writes() {
    let seed = std::env::var("MARGAY_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(41);
    println!("MARGAY_SEED={seed}");
    let sandbox = Sandbox::start(RULES);
    let url = sandbox.proxy().to_owned();
    let client = support::connect(&url).await;
    let tables = "CREATE TABLE rates (id int PRIMARY KEY, c bigint, s text); \
        CREATE TABLE kinds (id int PRIMARY KEY, n numeric); \
        INSERT INTO rates VALUES (1, 0, ''), (2, 0, ''); INSERT INTO kinds VALUES (1, 1)";
    for sql in tables.split("; ") {
        client.batch_execute(sql).await.expect(sql);
    }
    let mut done = 0;
    for round in 0..ROUNDS {
        let end = Instant::now() + ROUND;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(url.clone(), seed + (round * WRITERS + writer) as u64, end));
        }
        let ended = async {
            let mut done = 0;
            while let Some(one) = writers.join_next().await {
                done += one.expect("a writer");
            }
            done
        };
        // Without the order that a lock gives, writers wait for each other on different nodes, for ever.
        match tokio::time::timeout(Duration::from_secs(30), ended).await {
            Ok(count) => done += count,
            Err(_) => panic!("writers wait for ever:\n{}", waiting(&sandbox).await),
        }
        for table in ["rates", "kinds"] {
            let copies = copies(&sandbox, table).await;
            assert!(
                copies.iter().all(|copy| *copy == copies[0]),
                "{table}, round {round}: {copies:#?}"
            );
        }
    }
    assert!(done > ROUNDS * WRITERS, "only {done} statements were carried out");
    println!("{done} statements");
}

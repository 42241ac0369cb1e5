//! Nothing lost: whatever is killed and whenever, an acknowledged transfer has both of its ledger
//! rows, and every other one both or neither. Clients move money between accounts of different
//! nodes while proxies, backends and whole primaries are killed at random. `MARGAY_CHAOS_SECONDS`
//! makes it longer, `MARGAY_CHAOS_SEED` repeats a choice of victims.

mod support;
mod two_proxies;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};
use two_proxies::{NODES, World, direct, rows as rows_of};

const ACCOUNTS: i64 = 90;
const BALANCE: i64 = 1_000;
const CLIENTS: usize = 8;
/// A client that waits longer than this for anything tries elsewhere; what it had asked for is unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client was told of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Committed,
    /// An error that says that nothing was done.
    Failed,
    /// The connection broke after COMMIT was sent, or Margay said that it doesn't know.
    Unknown,
}

/// `None`: nobody answered in time.
async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, work).await.ok()
}

async fn enter(url: &str) -> Option<Client> {
    let (client, connection) = within(tokio_postgres::connect(url, NoTls)).await?.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// One transfer in a transaction of its own; both accounts in the order of their numbers, so that
/// two transfers don't wait for each other.
async fn transfer(client: &Client, id: i64, from: i64, to: i64, amount: i64) -> Told {
    let (first, second) = if from < to {
        ((from, -amount), (to, amount))
    } else {
        ((to, amount), (from, -amount))
    };
    let mut before_commit = vec!["BEGIN".to_owned()];
    for (account, amount) in [first, second] {
        before_commit.push(format!(
            "UPDATE accounts SET balance = balance + {amount} WHERE account = {account}"
        ));
        before_commit.push(format!(
            "INSERT INTO ledger (id, account, amount) VALUES ({id}, {account}, {amount})"
        ));
    }
    for sql in before_commit {
        match within(client.batch_execute(&sql)).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => {
                let _ = within(client.batch_execute("ROLLBACK")).await;
                return Told::Failed;
            }
        }
    }
    match within(client.simple_query("COMMIT")).await {
        Some(Ok(_)) => Told::Committed,
        Some(Err(error)) if error.code().is_some_and(|c| c.code() != "08007") => Told::Failed,
        Some(Err(_)) | None => Told::Unknown,
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    last_id: AtomicU64,
}

async fn run_client(shared: Arc<Shared>, urls: Vec<String>, seed: u64) -> HashMap<i64, Told> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = HashMap::new();
    let mut client = None;
    while !shared.stop.load(Relaxed) {
        let open: Client = match client.take() {
            Some(open) => open,
            None => match enter(&urls[random.random_range(0..urls.len())]).await {
                Some(open) => open,
                None => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let from = random.random_range(0..ACCOUNTS);
        let to = (from + random.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let id = shared.last_id.fetch_add(1, Relaxed) as i64 + 1;
        let outcome = transfer(&open, id, from, to, random.random_range(1..20)).await;
        told.insert(id, outcome);
        if outcome == Told::Failed {
            // A down node fails at once: no reason to ask it a thousand times.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if outcome != Told::Unknown && !open.is_closed() {
            client = Some(open);
        }
    }
    told
}

/// Kills something until the time is over; says what and how often.
fn wreak(
    world: &mut World,
    runtime: &Runtime,
    random: &mut StdRng,
    until: Instant,
) -> HashMap<&'static str, u32> {
    let mut done: HashMap<&'static str, u32> = HashMap::new();
    let mut victims = 0;
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(random.random_range(50..900)));
        let node = NODES[random.random_range(0..NODES.len())];
        // Each at least once, then at random.
        let choice = if victims < 5 {
            victims
        } else {
            random.random_range(0..5)
        };
        victims += 1;
        let what = match choice {
            0 => {
                world.kill_first();
                world.start_first();
                "first proxy killed"
            }
            1 => {
                world.kill_second();
                world.start_second(runtime);
                "second proxy killed"
            }
            2 => {
                // Frozen, all that it has under way stays where it is; then it is gone.
                world.sandbox.signal("MARGAY_PROXY_PID", "STOP");
                std::thread::sleep(Duration::from_millis(random.random_range(0..300)));
                world.kill_first();
                world.start_first();
                "first proxy frozen, then killed"
            }
            3 => {
                let count = random.random_range(1..4);
                let sql = format!(
                    "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
                     AND usename = 'app' ORDER BY random() LIMIT {count}) x"
                );
                runtime.block_on(async {
                    let client = direct(&world.sandbox, node).await;
                    let _ = client.simple_query(&sql).await;
                });
                "backends terminated"
            }
            _ => {
                let name = format!("MARGAY_NODE_{}", node.to_uppercase());
                world.sandbox.signal(&format!("{name}_PID"), "KILL");
                std::thread::sleep(Duration::from_millis(random.random_range(0..500)));
                world.sandbox.start_again(node).expect("the primary starts again");
                "primary killed"
            }
        };
        *done.entry(what).or_default() += 1;
    }
    done
}

#[test]
fn nothing_is_lost_whatever_is_killed() {
    let seconds = std::env::var("MARGAY_CHAOS_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(25);
    let seed = std::env::var("MARGAY_CHAOS_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(rand::random);
    println!("MARGAY_CHAOS_SEED={seed} MARGAY_CHAOS_SECONDS={seconds}");
    let mut random = StdRng::seed_from_u64(seed);
    let runtime = Runtime::new().expect("a runtime");
    let mut world = World::start(&runtime);
    runtime.block_on(async {
        let client = support::connect(world.sandbox.proxy()).await;
        let rows: Vec<String> = (0..ACCOUNTS).map(|a| format!("({a}, {BALANCE})")).collect();
        let fill = format!("INSERT INTO accounts VALUES {}", rows.join(", "));
        client.batch_execute(&fill).await.expect("accounts");
    });

    let shared = Arc::new(Shared::default());
    let urls = world.urls();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| runtime.spawn(run_client(shared.clone(), urls.clone(), random.random())))
        .collect();
    let done = wreak(
        &mut world,
        &runtime,
        &mut random,
        Instant::now() + Duration::from_secs(seconds),
    );
    shared.stop.store(true, Relaxed);
    let mut told = HashMap::new();
    for client in clients {
        told.extend(runtime.block_on(client).expect("a client doesn't panic"));
    }
    let count = |wanted: Told| told.values().filter(|t| **t == wanted).count();
    println!(
        "{done:?}; {} transfers committed, {} failed, {} unknown",
        count(Told::Committed),
        count(Told::Failed),
        count(Told::Unknown)
    );
    assert!(
        count(Told::Committed) > 20,
        "hardly anything was done: the test shows nothing"
    );

    runtime.block_on(async {
        world.nothing_stays_prepared().await;
        // What each node itself holds, past the proxies.
        let mut total = 0;
        let mut rows: HashMap<i64, Vec<i64>> = HashMap::new();
        for node in NODES {
            let client = direct(&world.sandbox, node).await;
            let sum = client
                .query_one("SELECT coalesce(sum(balance), 0)::bigint FROM accounts", &[])
                .await;
            total += sum.expect("a sum").get::<_, i64>(0);
            for row in client
                .query("SELECT id, amount FROM ledger", &[])
                .await
                .expect("rows")
            {
                rows.entry(row.get(0)).or_default().push(row.get(1));
            }
        }
        for (id, told) in &told {
            let found = rows.get(id).map_or(&[][..], Vec::as_slice);
            let whole = found.len() == 2 && found.iter().sum::<i64>() == 0;
            match told {
                Told::Committed => assert!(whole, "transfer {id} was acknowledged and is {found:?}"),
                Told::Failed => assert!(found.is_empty(), "transfer {id} failed and is {found:?}"),
                Told::Unknown => assert!(whole || found.is_empty(), "transfer {id} is half done: {found:?}"),
            }
        }
        assert_eq!(total, ACCOUNTS * BALANCE, "money was made or lost");
        assert!(
            rows.keys().all(|id| told.contains_key(id)),
            "a transfer that nobody made"
        );
        let client = support::connect(world.sandbox.proxy()).await;
        assert_eq!(
            rows_of(&client, "SELECT sum(balance) FROM accounts").await,
            [[total.to_string()]]
        );
        drop(client);
        world.nothing_leaks().await;
        world.no_decision_stays().await;
    });
}

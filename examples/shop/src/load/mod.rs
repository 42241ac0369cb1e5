//! `shop load`: many visitors at once, for a time; then how much, how fast, and what went wrong.

mod visit;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use tokio::time::{MissedTickBehavior, interval};

use crate::db::Db;
use crate::progress::Progress;
use visit::{Outcome, Step, Visitor};

/// Latencies are kept in microseconds, up to a minute, to two digits.
const LONGEST_US: u64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub clients: usize,
    pub seconds: u64,
    /// Steps a second, all clients together; None: as fast as they can.
    pub rate: Option<f64>,
}

/// What is counted while the load runs.
#[derive(Debug, Default)]
struct Counters {
    steps: AtomicU64,
    orders: AtomicU64,
    out_of_stock: AtomicU64,
    errors: AtomicU64,
    stop: AtomicBool,
}

/// What one client saw; merged when all are done.
struct Tally {
    latencies: Vec<Histogram<u64>>,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    fn new() -> Tally {
        let empty = || Histogram::new_with_max(LONGEST_US, 2).expect("the constants are a valid range");
        Tally {
            latencies: Step::ALL.iter().map(|_| empty()).collect(),
            errors: BTreeMap::new(),
        }
    }

    fn merge(&mut self, other: &Tally) {
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            mine.add(theirs).expect("both have the same range");
        }
        for (message, count) in &other.errors {
            *self.errors.entry(message.clone()).or_default() += count;
        }
    }
}

/// The load's result; an out-of-stock answer is no error.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub steps: u64,
    pub errors: u64,
}

pub async fn run(db: Arc<Db>, options: Options) -> Result<Report> {
    let (users, products) = people_and_goods(&db).await?;
    let counters = Arc::new(Counters::default());
    let started = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..options.clients {
        let (db, users, products) = (Arc::clone(&db), Arc::clone(&users), Arc::clone(&products));
        let counters = Arc::clone(&counters);
        let pace = pace(options.rate, options.clients);
        clients.push(tokio::spawn(async move {
            client(&db, &users, &products, &counters, pace).await
        }));
    }

    watch(&counters, options.seconds, started).await;
    counters.stop.store(true, Ordering::Relaxed);
    let mut tally = Tally::new();
    for client in clients {
        tally.merge(&client.await.context("a client of the load broke down")?);
    }
    let elapsed = started.elapsed();
    print(&tally, &counters, elapsed, options);
    Ok(Report {
        steps: counters.steps.load(Ordering::Relaxed),
        errors: counters.errors.load(Ordering::Relaxed),
    })
}

/// The demo's load leaves the people on the first page of the sign-in alone: one of them is likely the
/// person who looks at the pages, and should find the cart as it was left.
const LEFT_ALONE: usize = 24;

/// A load without end or figures for the demo. Each kind of error is told once.
pub async fn background(db: Arc<Db>, clients: usize, rate: f64) -> Result<()> {
    let (all, products) = people_and_goods(&db).await?;
    let others = all.get(LEFT_ALONE..).filter(|others| !others.is_empty());
    let users = Arc::new(others.unwrap_or(&all).to_vec());
    let told = Arc::new(Mutex::new(BTreeMap::<String, ()>::new()));
    for _ in 0..clients {
        let (db, users, products) = (Arc::clone(&db), Arc::clone(&users), Arc::clone(&products));
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            let mut visitor = Visitor::new(&db, &users, &products);
            let mut ticks = interval(pace(Some(rate), clients).unwrap_or(Duration::from_secs(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let step = visitor.choose();
                if let Err(error) = visitor.take(step).await {
                    let line = format!("{}: {error:#}", step.name());
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    if told.insert(line.clone(), ()).is_none() {
                        eprintln!("load: {line}");
                    }
                }
            }
        });
    }
    Ok(())
}

async fn people_and_goods(db: &Db) -> Result<(Arc<Vec<i64>>, Arc<Vec<i64>>)> {
    let users = db
        .user_ids()
        .await
        .context("the users can't be read; has the shop been seeded?")?;
    let products = db.product_ids().await?;
    if users.is_empty() || products.is_empty() {
        bail!("the shop is empty: run `shop seed` first");
    }
    Ok((Arc::new(users), Arc::new(products)))
}

fn pace(rate: Option<f64>, clients: usize) -> Option<Duration> {
    rate.filter(|rate| *rate > 0.0)
        .map(|rate| Duration::from_secs_f64(clients as f64 / rate))
}

async fn client(
    db: &Db,
    users: &[i64],
    products: &[i64],
    counters: &Counters,
    pace: Option<Duration>,
) -> Tally {
    let mut tally = Tally::new();
    let mut visitor = Visitor::new(db, users, products);
    let mut ticks = pace.map(|pace| {
        let mut ticks = interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    while !counters.stop.load(Ordering::Relaxed) {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let step = visitor.choose();
        let at = Step::ALL
            .iter()
            .position(|one| *one == step)
            .expect("ALL holds every step");
        let started = Instant::now();
        let outcome = visitor.take(step).await;
        let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(LONGEST_US);
        tally.latencies[at].saturating_record(latency_us);
        counters.steps.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Ordered) => drop(counters.orders.fetch_add(1, Ordering::Relaxed)),
            Ok(Outcome::OutOfStock) => drop(counters.out_of_stock.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                counters.errors.fetch_add(1, Ordering::Relaxed);
                *tally
                    .errors
                    .entry(format!("{}: {error:#}", step.name()))
                    .or_default() += 1;
                // A database that is away must not make this a busy loop.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    tally
}

/// Shows a line each second until the time is over.
async fn watch(counters: &Counters, seconds: u64, started: Instant) {
    let mut progress = Progress::new();
    let mut before = 0;
    let mut line = String::new();
    for second in 1..=seconds {
        tokio::time::sleep_until((started + Duration::from_secs(second)).into()).await;
        let steps = counters.steps.load(Ordering::Relaxed);
        line = format!(
            "  {second:>4} s  {:>6} steps/s  {:>6} orders  {} out of stock  {} errors",
            steps - before,
            counters.orders.load(Ordering::Relaxed),
            counters.out_of_stock.load(Ordering::Relaxed),
            counters.errors.load(Ordering::Relaxed),
        );
        before = steps;
        progress.update(&line);
    }
    progress.done(&line);
}

fn print(tally: &Tally, counters: &Counters, elapsed: Duration, options: Options) {
    let steps = counters.steps.load(Ordering::Relaxed);
    let per_second = steps as f64 / elapsed.as_secs_f64();
    println!();
    println!(
        "{steps} steps by {} clients in {:.1} s: {per_second:.0} steps/s; {} orders placed, {} out of stock",
        options.clients,
        elapsed.as_secs_f64(),
        counters.orders.load(Ordering::Relaxed),
        counters.out_of_stock.load(Ordering::Relaxed),
    );
    println!();
    println!(
        "  {:<14} {:>8} {:>9} {:>9} {:>9} {:>9}  ms",
        "step", "count", "p50", "p95", "p99", "max"
    );
    let mut all = Histogram::<u64>::new_with_max(LONGEST_US, 2).expect("the constants are a valid range");
    for (step, latencies) in Step::ALL.iter().zip(&tally.latencies) {
        all.add(latencies).expect("both have the same range");
        print_row(step.name(), latencies);
    }
    print_row("all", &all);
    println!();
    if tally.errors.is_empty() {
        println!("no errors");
        return;
    }
    println!("{} errors:", counters.errors.load(Ordering::Relaxed));
    for (message, count) in &tally.errors {
        println!("  {count:>6} × {message}");
    }
}

fn print_row(name: &str, latencies: &Histogram<u64>) {
    let ms = |us: u64| us as f64 / 1_000.0;
    println!(
        "  {name:<14} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
        latencies.len(),
        ms(latencies.value_at_quantile(0.50)),
        ms(latencies.value_at_quantile(0.95)),
        ms(latencies.value_at_quantile(0.99)),
        ms(latencies.max()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_a_client_is_its_share_of_the_rate() {
        assert_eq!(pace(Some(20.0), 4), Some(Duration::from_millis(200)));
        assert_eq!(pace(None, 4), None);
        assert_eq!(pace(Some(0.0), 4), None);
    }

    #[test]
    fn tallies_add_up() {
        let (mut one, mut two) = (Tally::new(), Tally::new());
        one.latencies[0].record(100).expect("in range");
        two.latencies[0].record(300).expect("in range");
        one.errors.insert("x".into(), 1);
        two.errors.insert("x".into(), 2);
        one.merge(&two);
        assert_eq!(one.latencies[0].len(), 2);
        assert_eq!(one.errors["x"], 3);
    }
}

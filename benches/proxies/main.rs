//! What a proxy costs: `make bench`, or `cargo bench --bench proxies`.
//!
//! One run compares PostgreSQL directly, HAProxy as a relay of bytes, PgBouncer in transaction pooling and Margay, with
//! `pgbench -S` on servers of a sandbox. The contestants take turns in short rounds, so that whatever else the
//! machine does hits all alike; what is printed are medians over the rounds, and the median of the ratios within
//! a round. CPU is the proxy process's own, by /proc.
//!
//! ROUNDS, ROUND_SECONDS, CLIENTS ("1 16 64"), MODES ("simple extended prepared") and ONLY ("margay pgbouncer")
//! narrow it; IDLE=0 leaves the idle clients and the rules out.

mod idle;
mod peers;
mod pgbench;
mod report;
mod rules;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use peers::Contestant;
use report::Results;

/// The proxy under test: the one built with this program unless MARGAY_BIN names another.
fn margay() -> String {
    std::env::var("MARGAY_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_margay").into())
}

/// What is asked for through the environment.
struct Wanted {
    rounds: usize,
    seconds: u64,
    clients: Vec<usize>,
    modes: Vec<String>,
    /// Empty: all.
    only: Vec<String>,
    idle: usize,
}

fn words(name: &str, default: &str) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_else(|_| default.into());
    text.split_whitespace().map(str::to_owned).collect()
}

fn number(name: &str, default: usize) -> Result<usize> {
    match std::env::var(name) {
        Ok(text) => text
            .trim()
            .parse()
            .with_context(|| format!("{name} is no number")),
        Err(_) => Ok(default),
    }
}

impl Wanted {
    fn read() -> Result<Wanted> {
        let clients = words("CLIENTS", "1 16 64");
        let clients: Result<Vec<usize>, _> = clients.iter().map(|c| c.parse()).collect();
        Ok(Wanted {
            rounds: number("ROUNDS", 5)?,
            seconds: number("ROUND_SECONDS", 3)? as u64,
            clients: clients.context("CLIENTS are no numbers")?,
            modes: words("MODES", "simple extended prepared"),
            only: words("ONLY", ""),
            idle: number("IDLE", 5000)?,
        })
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    if std::env::var_os("MARGAY_POSTGRES_URL").is_none() {
        // The servers first: the sandbox starts this program again.
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/proxies/rules.yaml");
        let error = Command::new(margay())
            .args(["sandbox", rules, "--"])
            .arg(std::env::current_exe()?)
            .exec();
        return Err(error).context("the sandbox can't be started");
    }
    let wanted = Wanted::read()?;
    let folder = tempfile::tempdir()?;
    let mut contestants = peers::start(folder.path())?;
    if !wanted.only.is_empty() {
        contestants.retain(|c| wanted.only.iter().any(|o| o == c.name));
    }
    pgbench::fill(&contestants)?;
    let mut results = Results::default();
    for round in 0..wanted.rounds {
        for clients in &wanted.clients {
            for mode in &wanted.modes {
                for contestant in contestants.iter().filter(|c| c.takes(mode)) {
                    let run = pgbench::run(contestant, mode, *clients, wanted.seconds, folder.path())?;
                    results.add(contestant.name, mode, *clients, run);
                }
            }
        }
        eprintln!("bench: round {} of {} is done", round + 1, wanted.rounds);
    }
    println!("\n{}", report::title(&wanted, &contestants));
    print!("{}", results.table(&wanted.modes, &wanted.clients));
    if wanted.idle > 0 {
        for contestant in contestants
            .iter()
            .filter(|c| c.pid.is_some() && c.name != "margay/4")
        {
            println!("{}", idle::measure(contestant, wanted.idle)?);
        }
        println!("{}", rules::measure(folder.path())?);
    }
    contestants.iter_mut().for_each(Contestant::end);
    Ok(())
}

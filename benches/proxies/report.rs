//! The table: medians over the rounds, and ratios of the same round.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Wanted;
use super::peers::Contestant;
use super::pgbench::Run;

/// Name, mode, clients.
type Cell = (&'static str, String, usize);

#[derive(Default)]
pub struct Results {
    runs: BTreeMap<Cell, Vec<Run>>,
    /// In the order of the first round.
    names: Vec<&'static str>,
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".into(), |v| format!("{v:.decimals$}"))
}

impl Results {
    pub fn add(&mut self, name: &'static str, mode: &str, clients: usize, run: Run) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self.runs
            .entry((name, mode.to_owned(), clients))
            .or_default()
            .push(run);
    }

    fn get(&self, name: &'static str, mode: &str, clients: usize) -> &[Run] {
        self.runs
            .get(&(name, mode.to_owned(), clients))
            .map_or(&[], Vec::as_slice)
    }

    /// CPU of one contestant by that of another, round by round.
    fn ratio(&self, name: &'static str, peer: &'static str, mode: &str, clients: usize) -> Option<f64> {
        let mut others = self.get(peer, mode, clients);
        if others.is_empty() && mode == "prepared" {
            // Old PgBouncers have none: what they take for extended stands for it.
            others = self.get(peer, "extended", clients);
        }
        let own = self.get(name, mode, clients);
        let ratios = own.iter().zip(others).filter_map(|(a, b)| Some(a.cpu? / b.cpu?));
        median(ratios.collect())
    }

    pub fn table(&self, modes: &[String], clients: &[usize]) -> String {
        let mut text = format!(
            "{:8} {:>9} {:11} {:>9} {:>8} {:>8} {:>8} {:>10} {:>9} {:>11}\n",
            "clients",
            "mode",
            "proxy",
            "queries/s",
            "p50 µs",
            "p95 µs",
            "p99 µs",
            "CPU µs/q",
            "× haproxy",
            "× pgbouncer"
        );
        for clients in clients {
            for mode in modes {
                for name in &self.names {
                    let runs = self.get(name, mode, *clients);
                    if runs.is_empty() {
                        continue;
                    }
                    let of = |field: fn(&Run) -> Option<f64>| median(runs.iter().filter_map(field).collect());
                    let _ = writeln!(
                        text,
                        "{clients:8} {mode:>9} {name:11} {:>9} {:>8} {:>8} {:>8} {:>10} {:>9} {:>11}",
                        shown(of(|r| Some(r.per_second)), 0),
                        shown(of(|r| Some(r.p50)), 0),
                        shown(of(|r| Some(r.p95)), 0),
                        shown(of(|r| Some(r.p99)), 0),
                        shown(of(|r| r.cpu), 1),
                        shown(self.ratio(name, "haproxy", mode, *clients), 2),
                        shown(self.ratio(name, "pgbouncer", mode, *clients), 2),
                    );
                }
            }
        }
        text
    }
}

/// What was compared, and on what.
pub fn title(wanted: &Wanted, contestants: &[Contestant]) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "pgbench -S, {cores} cores for everything, {} rounds of {} s each; medians. Ratios are of CPU per query,\n\
         round by round; a PgBouncer without prepared statements is compared by its extended mode.\n",
        wanted.rounds, wanted.seconds
    );
    for contestant in contestants {
        let _ = writeln!(text, "  {:11} {}", contestant.name, contestant.version);
    }
    text
}

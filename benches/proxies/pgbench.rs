//! pgbench against one contestant: the rows, one short run, and what its log and /proc say of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::peers::Contestant;

const ACCOUNTS: u32 = 100_000;
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Of a run, not counted: connections are made and statements prepared.
const WARM_UP_US: u64 = 300_000;
/// Of /proc's clock (USER_HZ, the same on every Linux).
const TICK_US: f64 = 10_000.0;

/// One run, in microseconds where it is a time.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub per_second: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    /// CPU of the proxy per query; None: there is no proxy.
    pub cpu: Option<f64>,
}

fn tool(name: &str) -> std::path::PathBuf {
    let beside = std::env::var_os("MARGAY_PG_BIN").map(|folder| Path::new(&folder).join(name));
    beside.filter(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// The same rows for all: one node is reached by each contestant, the four through Margay alone.
pub fn fill(contestants: &[Contestant]) -> Result<()> {
    for (name, url) in [("one", "margay"), ("four", "margay/4")] {
        let through = contestants.iter().find(|c| c.name == url);
        let Some(contestant) = through.or_else(|| contestants.first().filter(|_| name == "one")) else {
            continue;
        };
        let mut sql = String::from(
            "CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));\n\
             CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));\n\
             INSERT INTO pgbench_branches VALUES (1, 0, '');\n",
        );
        for first in (1..=ACCOUNTS).step_by(1000) {
            let rows: Vec<String> = (first..first + 1000)
                .map(|aid| format!("({aid},1,0,'')"))
                .collect();
            sql += &format!("INSERT INTO pgbench_accounts VALUES {};\n", rows.join(","));
        }
        let mut child = Command::new(tool("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &contestant.url.text()])
            .stdin(Stdio::piped())
            .spawn()
            .context("psql")?;
        child
            .stdin
            .take()
            .context("psql's input")?
            .write_all(sql.as_bytes())?;
        if !child.wait()?.success() {
            bail!("the tables of {name} could not be filled");
        }
    }
    // Rows that were just written are tidied up now, not in the middle of a round.
    for (variable, url) in std::env::vars() {
        if variable.starts_with("MARGAY_NODE_") && variable.ends_with("_URL") {
            let vacuum = "VACUUM ANALYZE pgbench_accounts";
            let _ = Command::new(tool("psql"))
                .args(["-X", "-q", &url, "-c", vacuum])
                .stderr(Stdio::null())
                .status();
        }
    }
    Ok(())
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_micros() as u64)
}

/// utime + stime of a process with all its threads, in microseconds.
fn cpu_us(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold blanks.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("/proc/PID/stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) * TICK_US)
}

pub fn run(contestant: &Contestant, mode: &str, clients: usize, seconds: u64, folder: &Path) -> Result<Run> {
    let prefix = folder.join("transactions");
    let mut child = Command::new(tool("pgbench"))
        .args(["-S", "-n", "-l"])
        .arg(format!("--log-prefix={}", prefix.display()))
        .args(["-M", mode])
        .args(["-c", &clients.to_string(), "-j", &clients.min(2).to_string()])
        .args(["-T", &seconds.to_string()])
        .arg(contestant.url.text())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("pgbench")?;
    let mut samples = Vec::new();
    while child.try_wait()?.is_none() {
        if let Some(pid) = contestant.pid {
            samples.push((now_us(), cpu_us(pid)?));
        }
        std::thread::sleep(SAMPLE_EVERY);
    }
    let out = child.wait_with_output()?;
    let log = transactions(folder)?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!("pgbench -M {mode} -c {clients} on {}: {said}", contestant.name);
    }
    evaluate(log, &samples).with_context(|| format!("{} -M {mode} -c {clients}", contestant.name))
}

/// When each ended, and how long it took. The log files are removed.
fn transactions(folder: &Path) -> Result<Vec<(u64, f64)>> {
    let mut log = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_log = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("transactions."));
        if !is_log {
            continue;
        }
        for line in BufReader::new(fs::File::open(&path)?).lines() {
            let line = line?;
            let mut fields = line.split(' ').skip(2);
            let mut next = || -> Option<u64> { fields.next()?.parse().ok() };
            if let (Some(took), Some(_), Some(s), Some(us)) = (next(), next(), next(), next()) {
                log.push((s * 1_000_000 + us, took as f64));
            }
        }
        fs::remove_file(&path)?;
    }
    log.sort_by_key(|(ended, _)| *ended);
    Ok(log)
}

fn evaluate(log: Vec<(u64, f64)>, samples: &[(u64, f64)]) -> Result<Run> {
    let (first, last) = (
        log.first().context("no transactions")?.0,
        log.last().context("no transactions")?.0,
    );
    let (begin, end) = (first + WARM_UP_US, last);
    let within: Vec<_> = samples
        .iter()
        .filter(|(at, _)| (begin..=end).contains(at))
        .collect();
    // Between two readings of the CPU clock, or, without a proxy, the same span.
    let (begin, end, cpu) = match (within.first(), within.last()) {
        (Some((from, before)), Some((to, after))) if to > from => (*from, *to, Some(after - before)),
        _ => (begin, end, None),
    };
    let mut took: Vec<f64> = log
        .iter()
        .filter(|(ended, _)| (begin..end).contains(ended))
        .map(|(_, took)| *took)
        .collect();
    if took.is_empty() {
        bail!("no transactions within the time that counts");
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    Ok(Run {
        per_second: took.len() as f64 / ((end - begin) as f64 / 1e6),
        p50: at(0.50),
        p95: at(0.95),
        p99: at(0.99),
        cpu: cpu.map(|cpu| cpu / took.len() as f64),
    })
}

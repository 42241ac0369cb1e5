//! The commands that aren't a room of their own: `serve`, `check`, `explain`, `schema`. They wire
//! rooms together and print; they decide nothing about queries.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use clap::Args;
use margay::backend::Fleet;
use margay::control::{Config, Control, live};
use margay::model::NodeId;
use margay::plan::{self, Command, Moment, Params, Planner, SessionView};
use margay::session::{Cores, Listener, Shared, Shutdown};
use margay::topology::{self, Database, Loaded, Overrides, Problem, Snapshot, Spread};
use tokio::signal::unix::{SignalKind, signal};

/// Clients that are in a transaction when the proxy is told to end have this long to finish it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct ServeArgs {
    /// A YAML file, or a folder of them.
    rules: PathBuf,
    /// Addresses and passwords that replace those of the rules; written by the sandbox.
    #[arg(long, hide = true)]
    sandbox_overrides: Option<PathBuf>,
}

#[derive(Args)]
pub struct CheckArgs {
    /// A YAML file, or a folder of them.
    rules: PathBuf,
    /// Compare with the servers too: what they are, what they hold, what Margay may do there.
    #[arg(long)]
    live: bool,
    #[arg(long, hide = true)]
    sandbox_overrides: Option<PathBuf>,
}

#[derive(Args)]
pub struct ExplainArgs {
    /// A YAML file, or a folder of them.
    rules: PathBuf,
    /// The statements.
    #[arg(required = true)]
    sql: Vec<String>,
    /// A file of CREATE TABLE statements that tells columns and types.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// The logical database; the first one if left out.
    #[arg(long)]
    database: Option<String>,
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn all(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{p}\n")).collect()
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let load = loader(&args.rules, args.sandbox_overrides.as_deref())?;
    let loaded = match load() {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprint!("{}", all(&problems));
            let s = if problems.len() == 1 { "" } else { "s" };
            eprintln!("{} error{s}", problems.len());
            return Ok(ExitCode::FAILURE);
        }
    };
    say(&topology::check_text(&loaded));
    if !args.live {
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(live::check(&loaded.snapshot, &|line| eprintln!("{line} …")));
    say(&format!("\n{}", report.text()));
    Ok(match report.has_errors() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

pub fn schema() -> anyhow::Result<ExitCode> {
    let text = serde_json::to_string_pretty(&topology::schema::json_schema())?;
    say(&(text + "\n"));
    Ok(ExitCode::SUCCESS)
}

/// Prints to standard output. Who reads it may close it early (`margay schema | head`): that is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Rules without their secrets: explaining connects to nothing.
fn load_without_secrets(rules: &Path) -> anyhow::Result<Loaded> {
    topology::load(rules, &|name| Some(env(name).unwrap_or_else(|| "-".into())))
        .map_err(|problems| anyhow::anyhow!("the rules have errors:\n{}", all(&problems)))
}

pub fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let snapshot = load_without_secrets(&args.rules)?.snapshot;
    let database = match &args.database {
        Some(name) => snapshot
            .database(name)
            .with_context(|| format!("the rules have no database {name}"))?,
        None => snapshot.databases.first().context("the rules have no database")?,
    };
    let mut database = Database::clone(database);
    if let Some(file) = &args.schema {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let catalog =
            plan::catalog_from_sql(&text).map_err(|fault| anyhow::anyhow!("{}: {fault}", file.display()))?;
        database.catalog = Arc::new(catalog);
    }
    let now_us = jiff::Timestamp::now().as_microsecond() - 946_684_800_000_000;
    let view = SessionView::fresh(Arc::new(database), now_us);
    let planner = Planner::default();
    for key in untyped_keys(&view.database) {
        eprintln!(
            "note: the type of {key} isn't known, so a value doesn't narrow the route; give --schema FILE, or type: in the rules"
        );
    }
    let mut refused = false;
    for sql in args.sql.iter().flat_map(|text| plan::split(text, true)) {
        let (text, failed) = explain_one(&planner, &view, &snapshot, sql.trim());
        say(&format!("{sql}\n{text}\n", sql = sql.trim()));
        refused |= failed;
    }
    Ok(if refused {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

/// Sharding keys whose types neither the rules nor a schema file tell.
fn untyped_keys(database: &Database) -> Vec<String> {
    let mut keys = Vec::new();
    for table in database.tables.values() {
        let Spread::Sharded(sharding) = &table.spread else {
            continue;
        };
        for key in sharding.key.iter().filter(|k| k.ty.is_none()) {
            let info = database.catalog.tables.get(&table.name);
            if info.and_then(|i| i.column(&key.column)).is_none() {
                keys.push(format!("{}.{}", table.name, key.column));
            }
        }
    }
    keys.sort();
    keys
}

fn explain_one(planner: &Planner, view: &SessionView, snapshot: &Snapshot, sql: &str) -> (String, bool) {
    let name = |id: NodeId| snapshot.node(id).name.to_string();
    let planned = planner
        .read(sql, view)
        .and_then(|statement| match &statement.command {
            Command::Query(_) => {
                let mut id = 0;
                let mut next_id = || {
                    id += 1;
                    Ok(id)
                };
                let mut moment = Moment {
                    now_us: view.now_us,
                    statement_us: view.now_us,
                    in_transaction: false,
                    next_id: &mut next_id,
                };
                statement.bind(view, &Params::default(), &mut moment).map(Some)
            }
            _ => Ok(None),
        });
    match planned {
        Ok(None) => ("answered by Margay itself\n".into(), false),
        Ok(Some(plan)) => (plan::print(&Ok(plan), sql, &name), false),
        Err(fault) => (plan::print(&Err(fault), sql, &name), true),
    }
}

type Rules = Result<Loaded, Vec<Problem>>;

fn loader(
    rules: &Path,
    overrides: Option<&Path>,
) -> anyhow::Result<impl Fn() -> Rules + Send + Sync + 'static> {
    let overrides = match overrides {
        None => Overrides::default(),
        Some(file) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?
        }
    };
    let rules = rules.to_owned();
    Ok(move || topology::load_with_overrides(&rules, &env, &overrides))
}

pub fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MARGAY_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let load = loader(&args.rules, args.sandbox_overrides.as_deref())?;
    let snapshot = match load() {
        Ok(loaded) => {
            loaded
                .warnings
                .iter()
                .for_each(|warning| tracing::warn!("{warning}"));
            loaded.snapshot
        }
        Err(problems) => {
            eprint!("{}", all(&problems));
            bail!("the rules have errors; nothing was started");
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(snapshot, load))?;
    // Tasks that still wait for a server must not hold the process up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(ExitCode::SUCCESS)
}

/// As many as the machine has.
fn cores() -> std::io::Result<Cores> {
    let count = match std::env::var("MARGAY_CORES") {
        Ok(text) => text.parse().unwrap_or(0),
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Cores::start(count)
}

async fn run(snapshot: Snapshot, load: impl Fn() -> Rules + Send + Sync + 'static) -> anyhow::Result<()> {
    let listen = snapshot.listen.clone();
    let fleet = Fleet::new(&snapshot);
    let snapshots = Arc::new(ArcSwap::from_pointee(snapshot));
    let reload = move || match load() {
        Ok(loaded) => Ok(loaded.snapshot),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    };
    let control = Control::start(Config {
        snapshots: snapshots.clone(),
        fleet: fleet.clone(),
        load: Arc::new(reload),
    })
    .await;
    let mut shared = Shared::new(
        snapshots,
        fleet,
        Arc::new(Planner::default()),
        control.ids.clone(),
    );
    shared.admin = Some(control.admin.clone());
    shared.refresh = Some(control.refresh.clone());
    control.attach(shared.registry.clone());
    if let Some(address) = listen.http {
        let bound = control
            .listen_http(address)
            .await
            .with_context(|| format!("listening on {address} for HTTP"))?;
        tracing::info!("live page and metrics on http://{bound}");
    }
    let Some(address) = listen.postgres else {
        bail!("the rules have no listen.postgres")
    };
    let stop = Shutdown::default();
    let listener = Listener::bind(address, shared, stop.clone())
        .await
        .with_context(|| format!("listening on {address}"))?
        .on(cores().context("starting the threads")?);
    tracing::info!("PostgreSQL clients on {}", listener.local_addr()?);
    control.set_ready(true);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let serving = tokio::spawn(listener.run(PATIENCE));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending: idle clients are let go, transactions may finish");
    control.set_ready(false);
    stop.begin();
    serving.await?;
    Ok(())
}

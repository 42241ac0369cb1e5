//! Real local servers for the demo, the tests and the benches: `margay sandbox RULES [-- CMD ARG…]`.
//!
//! From the machine's own PostgreSQL binaries it makes a primary per node and its streaming replicas
//! in a throw-away folder, starts the proxy on them, and runs CMD. Whatever way it ends, no process
//! and no file stays: it clears up itself, else its guard does, else the next start.
//!
//! It must not touch any server, folder or process that is not its own, and nothing of it is on the data path.

mod account;
mod binaries;
mod cluster;
mod command;
mod environment;
mod folder;
mod guard;
mod outline;
mod ports;
mod process;
mod progress;
mod protocol;
mod proxy;
mod server;
mod template;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use rand::Rng;
use rand::distr::Alphanumeric;

use account::Account;
use binaries::Binaries;
use cluster::{Cluster, Passwords};
use command::Signals;
use environment::{connection_lines, environment};
use folder::Folder;
use guard::Guard;
use outline::Outline;
use progress::Progress;
use proxy::Proxy;
use template::Workshop;

const PASSWORD_CHARACTERS: usize = 20;
/// Somebody may take a port in the moment between our letting go of it and the server's binding it.
const TRIES: u32 = 3;

/// Start real servers and the proxy for RULES, run CMD, leave nothing behind.
#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// A rules file or a folder of them. The servers' addresses in it are replaced.
    #[arg(required_unless_present = "guard")]
    rules: Option<PathBuf>,
    /// One more plain, empty server to compare answers with (MARGAY_ORACLE_URL).
    #[arg(long)]
    oracle: bool,
    /// Print CMD's environment as KEY=VALUE lines, then READY, and stay until standard input ends.
    #[arg(long, conflicts_with = "command")]
    print_env: bool,
    /// Copy the logs of the servers and the proxy into this folder at the end.
    #[arg(long, value_name = "FOLDER")]
    keep_logs: Option<PathBuf>,
    /// Start the servers only.
    #[arg(long, hide = true)]
    no_proxy: bool,
    /// Watch over the sandbox of this lock file (the sandbox starts this itself).
    #[arg(long, hide = true, value_name = "LOCK")]
    guard: Option<PathBuf>,
    /// The command to run; without one the sandbox stays until Ctrl-C.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs a sandbox from start to end and returns the status to exit with.
pub fn run(args: SandboxArgs) -> Result<ExitCode> {
    if let Some(lock_path) = &args.guard {
        guard::watch(lock_path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rules = args.rules.as_ref().context("no rules")?;
    // Fresh for each sandbox, since every user of the machine can reach a loopback port.
    let password = random_password();
    let outline = Outline::read(rules, &password)?;
    let machine = Machine {
        binaries: Binaries::find()?,
        account: Account::for_servers()?,
    };
    process::adopt_orphans()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before anything exists that a signal could leave behind.
        let mut signals = Signals::listen()?;
        for _ in 1..TRIES {
            match live(&args, &outline, &password, &machine, &mut signals).await {
                Err(error) if lost_a_port(&error) => eprintln!("sandbox  a port was taken; starting anew"),
                done => return done,
            }
        }
        live(&args, &outline, &password, &machine, &mut signals).await
    })
}

/// What of the machine a sandbox uses.
struct Machine {
    binaries: Binaries,
    account: Account,
}

/// One folder from its making to its clearing.
async fn live(
    args: &SandboxArgs,
    outline: &Outline,
    password: &str,
    machine: &Machine,
    signals: &mut Signals,
) -> Result<ExitCode> {
    let account = machine.account;
    let folder = tokio::task::spawn_blocking(move || Folder::create(account)).await??;
    let guard = Guard::start(&folder)?;
    let workshop = Workshop {
        binaries: machine.binaries.clone(),
        account,
        folder: folder.path.clone(),
    };
    let status = start_and_use(args, outline, password, workshop, signals).await;
    if let Some(target) = &args.keep_logs
        && let Err(error) = keep_logs(&folder.path, target)
    {
        eprintln!("sandbox  can't keep the logs in {}: {error}", target.display());
    }
    // On its own thread: meanwhile this one waits for the children that end.
    let guard_pid = guard.pid();
    let cleared = tokio::task::spawn_blocking(move || folder.clear(guard_pid)).await?;
    guard.dismiss();
    // What went wrong first is what matters.
    let status = status?;
    cleared?;
    Ok(ExitCode::from(status))
}

async fn start_and_use(
    args: &SandboxArgs,
    outline: &Outline,
    password: &str,
    workshop: Workshop,
    signals: &mut Signals,
) -> Result<u8> {
    let passwords = Passwords {
        servers: password.to_string(),
        client: outline.user.password.clone(),
    };
    let progress = Progress::begin(args.print_env);
    progress.step(&format!(
        "PostgreSQL {} from {}",
        workshop.binaries.version,
        workshop.binaries.folder().display()
    ));
    let started = tokio::select! {
        started = start(args, outline, workshop, &passwords, &progress) => started?,
        signal = signals.next() => return Ok(command::status_of_signal(signal)),
    };
    let (mut cluster, mut proxy) = started;
    let variables = environment(outline, &cluster, proxy.as_ref(), &passwords);
    progress.step("ready");
    if !args.command.is_empty() {
        return command::run(
            &args.command,
            &variables,
            &cluster.workshop.folder.clone(),
            signals,
        )
        .await;
    }
    if args.print_env {
        return protocol::serve(&variables, &mut cluster, proxy.as_mut(), signals).await;
    }
    println!(
        "\n{}",
        connection_lines(outline, &cluster, proxy.as_ref(), &passwords)
    );
    println!("  Ctrl-C ends the sandbox and removes all of it.");
    // To be told to end is how a sandbox without a command ends well.
    signals.next().await;
    Ok(0)
}

async fn start(
    args: &SandboxArgs,
    outline: &Outline,
    workshop: Workshop,
    passwords: &Passwords,
    progress: &Progress,
) -> Result<(Cluster, Option<Proxy>)> {
    let mut cluster = Cluster::start(workshop, outline, args.oracle, passwords, progress).await?;
    if args.no_proxy {
        return Ok((cluster, None));
    }
    let rules = args.rules.as_ref().context("no rules")?;
    let mut proxy = Proxy::prepare(
        rules,
        &cluster.workshop.folder,
        &cluster.servers,
        &passwords.client,
    )?;
    let child = proxy.start().await?;
    cluster.wait_for_proxy(child, proxy.log.clone());
    progress.step(&format!("proxy on port {}", proxy.port));
    Ok((cluster, Some(proxy)))
}

fn keep_logs(folder: &Path, target: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(target)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|ext| ext == "log")) {
            std::fs::copy(&path, target.join(name))?;
        }
    }
    Ok(())
}

fn random_password() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(PASSWORD_CHARACTERS)
        .map(char::from)
        .collect()
}

fn lost_a_port(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("Address already in use") || text.contains("could not create any TCP/IP sockets")
}

//! Runs CMD: passes signals on to it, and returns the status with which the sandbox is to exit.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use super::environment::Environment;
use super::process::MARK;

/// A terminal sends Ctrl-C to CMD as well; only if it did not is it passed on, after this time.
const TERMINAL_FIRST: Duration = Duration::from_millis(300);
/// CMD has this long to end after a signal.
const END_WITHIN: Duration = Duration::from_secs(10);
/// As shells have it.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// The signals that end a sandbox in good order.
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    /// From here on these signals no longer end the process by themselves.
    pub fn listen() -> Result<Signals> {
        Ok(Signals {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }

    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}

/// `128 + signal`, as shells have it.
pub fn status_of_signal(signal: Signal) -> u8 {
    128_u8.saturating_add(u8::try_from(signal.as_raw()).unwrap_or(u8::MAX))
}

/// Runs CMD to its end.
pub async fn run(
    command: &[String],
    environment: &Environment,
    folder: &Path,
    signals: &mut Signals,
) -> Result<u8> {
    let (program, arguments) = command.split_first().context("no command")?;
    let spawned = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(MARK, folder)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            eprintln!("sandbox  can't run {program}: {error}");
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            return Ok(if missing { NOT_FOUND } else { NOT_EXECUTABLE });
        }
    };
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status_of(status?)),
            signal = signals.next() => {
                if let Some(status) = pass_on(&mut child, signal, signals).await? {
                    return Ok(status);
                }
            }
        }
    }
}

/// Passes a signal on and waits for CMD to end; a second signal, or time, kills it.
async fn pass_on(child: &mut Child, signal: Signal, signals: &mut Signals) -> Result<Option<u8>> {
    if signal == Signal::INT
        && let Ok(status) = tokio::time::timeout(TERMINAL_FIRST, child.wait()).await
    {
        return Ok(Some(status_of(status?)));
    }
    // The id is there as long as the child was not waited for, so it can't be anybody else's.
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, signal);
    }
    tokio::select! {
        status = child.wait() => return Ok(Some(status_of(status?))),
        _ = tokio::time::sleep(END_WITHIN) => {}
        _ = signals.next() => {}
    }
    child.start_kill()?;
    Ok(Some(status_of(child.wait().await?)))
}

fn status_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    // Exit statuses have eight bits.
    u8::try_from(code & 0xff).unwrap_or(1)
}

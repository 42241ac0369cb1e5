//! `--print-env`: how a test, in whatever language, holds a sandbox.
//!
//! The sandbox prints `KEY=VALUE` lines and `READY`. The other side closes standard input to end
//! it, or asks for a killed process to be started again:
//! ```text
//! start proxy              → MARGAY_PROXY_PID=…            READY
//! start n_user             → MARGAY_NODE_N_USER_PID=…      READY
//! start n_user replica 0   → MARGAY_NODE_N_USER_REPLICA_0_PID=…
//! start oracle                                             (or: ERROR why)
//! ```

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;

use super::cluster::Cluster;
use super::command::{Signals, status_of_signal};
use super::environment::Environment;
use super::proxy::Proxy;
use super::server::Role;

/// A caller waits for each answer, so that requests never pile up.
const REQUESTS_AHEAD: usize = 4;

/// Serves the protocol until standard input ends.
pub async fn serve(
    variables: &Environment,
    cluster: &mut Cluster,
    mut proxy: Option<&mut Proxy>,
    signals: &mut Signals,
) -> Result<u8> {
    tell(variables)?;
    let mut requests = lines_of_stdin();
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            signal = signals.next() => return Ok(status_of_signal(signal)),
        };
        let Some(request) = request else { return Ok(0) };
        let answer = tokio::select! {
            answer = carry_out(&request, cluster, proxy.as_deref_mut()) => answer,
            signal = signals.next() => return Ok(status_of_signal(signal)),
        };
        match answer {
            Ok(changed) => tell(&vec![changed])?,
            // An error of several lines (a log's end) stays one line of the protocol.
            Err(error) => say(&format!("ERROR {}\n", format!("{error:#}").replace('\n', " | ")))?,
        }
    }
}

async fn carry_out(
    request: &str,
    cluster: &mut Cluster,
    proxy: Option<&mut Proxy>,
) -> Result<(String, String)> {
    let words: Vec<&str> = request.split_whitespace().collect();
    let role = match words.as_slice() {
        ["start", "proxy"] => {
            let proxy = proxy.context("this sandbox has no proxy")?;
            let child = proxy.start().await?;
            cluster.wait_for_proxy(child, proxy.log.clone());
            return Ok(("MARGAY_PROXY_PID".into(), proxy.pid.to_string()));
        }
        ["start", "oracle"] => Role::Oracle,
        ["start", node] => Role::Primary {
            node: node.to_string(),
        },
        ["start", node, "replica", index] => Role::Replica {
            node: node.to_string(),
            index: index.parse().context("which replica?")?,
        },
        _ => bail!("`{request}` is no request"),
    };
    let (variable, pid) = cluster.restart(&role).await?;
    Ok((variable, pid.to_string()))
}

fn tell(variables: &Environment) -> Result<()> {
    let mut text: String = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    text += "READY\n";
    say(&text)
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Standard input can't be read without blocking, so a thread does. It ends with the process.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(REQUESTS_AHEAD);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

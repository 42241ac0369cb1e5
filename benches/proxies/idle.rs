//! What a client costs that does nothing: the proxy's resident memory before and with thousands of them.

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use super::peers::Contestant;

/// Logins at once: they are bound by the password exchange's hashing.
const AT_ONCE: usize = 16;

pub fn measure(contestant: &Contestant, count: usize) -> Result<String> {
    let pid = contestant.pid.context("no proxy")?;
    if contestant.name == "haproxy" {
        // It holds a server connection for each: PostgreSQL has not as many.
        return Ok(String::new());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let before = resident_kib(pid)?;
    let (connected, used) = runtime.block_on(async {
        let clients = connect(contestant.url.text(), count).await?;
        let connected = resident_kib(pid)?;
        for client in &clients {
            // The simple protocol: an old PgBouncer keeps no prepared statements apart.
            client
                .simple_query("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
                .await?;
        }
        anyhow::Ok((connected, resident_kib(pid)?))
    })?;
    let each = |after: u64| (after.saturating_sub(before)) as f64 / count as f64;
    Ok(format!(
        "{count} idle clients, {:10} {:.1} KiB each after their login, {:.1} KiB after a query of each",
        contestant.name,
        each(connected),
        each(used)
    ))
}

async fn connect(url: String, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    let mut running = JoinSet::new();
    let mut started = 0;
    while clients.len() < count {
        while started < count && running.len() < AT_ONCE {
            let url = url.clone();
            running.spawn(async move {
                let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
                tokio::spawn(connection);
                anyhow::Ok(client)
            });
            started += 1;
        }
        clients.push(running.join_next().await.context("no login is under way")???);
    }
    Ok(clients)
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

//! All servers of a sandbox: for each node of the rules a primary and its replicas, and the oracle
//! if asked for. They are made and started side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::Child;
use tokio::task::JoinSet;

use super::outline::{NodeOutline, Outline};
use super::ports;
use super::progress::Progress;
use super::server::{Blueprint, Role, Server, shout, tail};
use super::template::{self, Seed, Workshop};

/// Running servers. Dropping it stops watching them; it does not end them.
#[derive(Debug)]
pub struct Cluster {
    pub workshop: Workshop,
    /// In the order of the rules; each primary is followed by its replicas; the oracle is last.
    pub servers: Vec<Server>,
    /// One waiter per child, so that a killed server does not stay as a zombie, which would look alive.
    waiters: JoinSet<()>,
}

/// Whom the servers of a sandbox let in.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// Of the superuser and of the roles by which Margay reaches the servers.
    pub servers: String,
    /// Of the client that the rules name first.
    pub client: String,
}

impl Cluster {
    pub async fn start(
        workshop: Workshop,
        outline: &Outline,
        oracle: bool,
        passwords: &Passwords,
        progress: &Progress,
    ) -> Result<Cluster> {
        refuse_equal_variables(&outline.nodes)?;
        let mut wanted = Vec::new();
        for node in &outline.nodes {
            wanted.extend(node_servers(node, passwords)?);
        }
        if oracle {
            wanted.push(oracle_server(outline, passwords)?);
        }
        let templates = {
            let seeds: BTreeSet<Seed> = wanted.iter().map(|w| w.seed.clone()).collect();
            let (workshop, superuser) = (workshop.clone(), passwords.servers.clone());
            tokio::task::spawn_blocking(move || template::grow(&workshop, &superuser, seeds)).await??
        };
        progress.step("initdb");
        let furnished = furnish(&workshop, wanted, &templates).await?;
        for data in templates.values() {
            std::fs::remove_dir_all(data).with_context(|| format!("can't remove {}", data.display()))?;
        }
        progress.step("data folders");
        let mut starting = JoinSet::new();
        for (place, (mut server, held)) in furnished {
            let workshop = workshop.clone();
            starting.spawn(async move {
                let child = server.start(&workshop, Some(held)).await?;
                anyhow::Ok((place, server, child))
            });
        }
        let mut cluster = Cluster {
            workshop,
            servers: Vec::new(),
            waiters: JoinSet::new(),
        };
        let mut started = BTreeMap::new();
        while let Some(result) = starting.join_next().await {
            let (place, server, child) = result??;
            progress.step(&format!("{} on port {}", server.role.describe(), server.port));
            cluster.wait_for(child);
            started.insert(place, server);
        }
        cluster.servers = started.into_values().collect();
        Ok(cluster)
    }

    /// Starts a server again that was killed. Returns the variable that holds its new process id.
    pub async fn restart(&mut self, role: &Role) -> Result<(String, u32)> {
        let server = self
            .servers
            .iter_mut()
            .find(|server| server.role == *role)
            .with_context(|| format!("no {} in this sandbox", role.describe()))?;
        let child = server.start(&self.workshop, None).await?;
        let told = (format!("{}_PID", role.variable()), server.pid);
        self.wait_for(child);
        Ok(told)
    }

    fn wait_for(&mut self, mut child: Child) {
        self.waiters.spawn(async move {
            // How a server ended is its own log's business.
            let _ = child.wait().await;
        });
    }

    /// The same for the proxy, whose unexpected end is told with the end of its log.
    pub fn wait_for_proxy(&mut self, mut child: Child, log: PathBuf) {
        self.waiters.spawn(async move {
            let Ok(status) = child.wait().await else { return };
            // Tests kill proxies; whoever did that needs no telling.
            let killed = status.signal() == Some(Signal::KILL.as_raw());
            if !status.success() && !killed {
                eprintln!(
                    "sandbox  the proxy ended ({status}); the end of its log:\n{}",
                    tail(&log)
                );
            }
        });
    }
}

/// A server to be made, with what it must hold.
struct Wanted {
    seed: Seed,
    blueprint: Blueprint,
}

fn node_servers(node: &NodeOutline, passwords: &Passwords) -> Result<Vec<Wanted>> {
    // A replica holds what its primary holds, so roles and databases of all of a node's servers count.
    let mut seed = Seed::default();
    for server in &node.servers {
        seed.roles.insert(server.user.clone(), passwords.servers.clone());
        seed.databases
            .entry(server.database.clone())
            .or_insert_with(|| server.user.clone());
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for (i, server) in node.servers.iter().enumerate() {
        let name = node.name.clone();
        let role = match i.checked_sub(1) {
            None => Role::Primary { node: name },
            Some(index) => Role::Replica { node: name, index },
        };
        wanted.push(Wanted {
            seed: seed.clone(),
            blueprint: Blueprint {
                role,
                held: ports::hold()?,
                user: server.user.clone(),
                password: passwords.servers.clone(),
                database: server.database.clone(),
                weight: server.weight,
                superuser_password: passwords.servers.clone(),
                follows: wanted.first().map(|primary| primary.blueprint.held.port()),
                // Known when the templates are.
                template: Default::default(),
            },
        });
    }
    Ok(wanted)
}

/// The oracle is reached as the proxy is: same user, password and database.
fn oracle_server(outline: &Outline, passwords: &Passwords) -> Result<Wanted> {
    let (user, password) = (outline.user.name.clone(), passwords.client.clone());
    let mut seed = Seed::default();
    seed.roles.insert(user.clone(), password.clone());
    seed.databases.insert(outline.database.clone(), user.clone());
    let blueprint = Blueprint {
        role: Role::Oracle,
        held: ports::hold()?,
        user,
        password,
        database: outline.database.clone(),
        weight: 1,
        superuser_password: passwords.servers.clone(),
        follows: None,
        template: Default::default(),
    };
    Ok(Wanted { seed, blueprint })
}

async fn furnish(
    workshop: &Workshop,
    wanted: Vec<Wanted>,
    templates: &BTreeMap<Seed, PathBuf>,
) -> Result<BTreeMap<usize, (Server, ports::Held)>> {
    let mut copying = JoinSet::new();
    for (place, Wanted { seed, mut blueprint }) in wanted.into_iter().enumerate() {
        blueprint.template.clone_from(&templates[&seed]);
        let workshop = workshop.clone();
        copying.spawn_blocking(move || anyhow::Ok((place, Server::furnish(&workshop, blueprint)?)));
    }
    let mut furnished = BTreeMap::new();
    while let Some(result) = copying.join_next().await {
        let (place, server) = result??;
        furnished.insert(place, server);
    }
    Ok(furnished)
}

fn refuse_equal_variables(nodes: &[NodeOutline]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for node in nodes {
        if let Some(other) = seen.insert(shout(&node.name), &node.name) {
            bail!(
                "nodes {other} and {} would share the environment variables of one node",
                node.name
            );
        }
    }
    Ok(())
}

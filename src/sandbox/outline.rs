//! What servers a sandbox must make, read from the checked rules. Addresses and secrets of servers
//! in the rules do not count: the sandbox has its own.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::topology::{Engine, Overrides, Secret, Snapshot, load_with_overrides};

/// The rules, as far as servers must be made for them.
#[derive(Debug)]
pub struct Outline {
    pub nodes: Vec<NodeOutline>,
    /// Whom CMD's `MARGAY_POSTGRES_URL` logs in as: the first user of the rules who can.
    pub user: ClientOutline,
    /// The first logical PostgreSQL database.
    pub database: String,
}

#[derive(Debug)]
pub struct NodeOutline {
    pub name: String,
    /// The primary first, then the replicas.
    pub servers: Vec<ServerOutline>,
}

#[derive(Clone, Debug)]
pub struct ServerOutline {
    pub user: String,
    pub database: String,
    pub weight: u32,
}

#[derive(Debug)]
pub struct ClientOutline {
    pub name: String,
    pub password: String,
}

impl Outline {
    /// Reads and checks a rules file or a folder of them. `spare_password` stands in for every
    /// secret that this machine does not hold.
    pub fn read(rules: &Path, spare_password: &str) -> Result<Outline> {
        let overrides = Overrides {
            default_password: Some(spare_password.into()),
            ..Overrides::default()
        };
        let env = |name: &str| Some(std::env::var(name).unwrap_or_else(|_| spare_password.into()));
        let loaded = match load_with_overrides(rules, &env, &overrides) {
            Ok(loaded) => loaded,
            Err(problems) => {
                let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
                bail!("the rules do not hold:{}", lines.concat());
            }
        };
        outline(&loaded.snapshot, spare_password)
            .with_context(|| format!("no sandbox for {}", rules.display()))
    }
}

fn outline(snapshot: &Snapshot, spare_password: &str) -> Result<Outline> {
    let mut nodes = Vec::new();
    // The shells are made by the proxy, on these nodes' servers.
    for node in snapshot.rule_nodes() {
        match node.engine {
            Engine::Postgres => {}
            Engine::Mysql => {
                bail!(
                    "node {}: MySQL servers are not supported yet by `margay sandbox`",
                    node.name
                )
            }
        }
        let servers = node.servers.iter().map(|server| ServerOutline {
            user: server.user.to_string(),
            database: server.database.to_string(),
            weight: server.weight,
        });
        nodes.push(NodeOutline {
            name: node.name.to_string(),
            servers: servers.collect(),
        });
    }
    let database = snapshot
        .databases
        .iter()
        .find(|database| database.engine == Engine::Postgres)
        .context("it has no PostgreSQL database under `databases:`")?;
    let user = snapshot
        .users
        .iter()
        // Who needs a certificate can't come in by a URL alone.
        .filter(|user| !user.certificate)
        .filter(|user| {
            user.databases
                .as_ref()
                .is_none_or(|names| names.contains(&database.name))
        })
        .find_map(|user| {
            let password = match &user.secret {
                Secret::Password(password) => password.to_string(),
                // Nobody asks for it, but a URL with a password is what every client takes.
                Secret::Trust => spare_password.to_string(),
                // A verifier does not tell the password.
                Secret::Scram(_) => return None,
            };
            Some(ClientOutline {
                name: user.name.to_string(),
                password,
            })
        })
        .with_context(|| {
            format!(
                "it has no user for database {} whose password is known (`scram:` does not tell it)",
                database.name
            )
        })?;
    Ok(Outline {
        nodes,
        user,
        database: database.name.to_string(),
    })
}

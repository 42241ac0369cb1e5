//! What the sandbox needs to know of the rules before any server exists: names of nodes, roles,
//! databases and users. It does not check the rules (`margay check` and the proxy do) and it
//! ignores every key that it does not need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The rules, as far as servers must be made for them.
#[derive(Debug)]
pub struct Outline {
    pub nodes: Vec<NodeOutline>,
    /// The first user of the rules: whom CMD's `MARGAY_POSTGRES_URL` logs in as.
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

/// What a server address in the rules says apart from the address, which the sandbox overrides.
#[derive(Clone, Debug)]
pub struct ServerOutline {
    pub user: String,
    pub database: String,
    pub weight: u32,
}

#[derive(Debug)]
pub struct ClientOutline {
    pub name: String,
    /// None: the rules hold none that is readable here, so the sandbox's own is used.
    pub password: Option<String>,
}

impl Outline {
    /// Reads a rules file, or every `*.yaml` and `*.yml` of a folder.
    pub fn read(rules: &Path) -> Result<Outline> {
        let mut written = Written::default();
        for file in files(rules)? {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
            let part: Written = serde_saphyr::from_str(&text)
                .with_context(|| format!("{} is not a rules file", file.display()))?;
            written.users.extend(part.users);
            written.nodes.extend(part.nodes);
            written.databases.extend(part.databases);
        }
        written
            .outline()
            .with_context(|| format!("no sandbox for {}", rules.display()))
    }
}

fn files(rules: &Path) -> Result<Vec<PathBuf>> {
    if !rules.is_dir() {
        return Ok(vec![rules.to_path_buf()]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(rules)
        .with_context(|| format!("can't read {}", rules.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml"))
        .collect();
    files.sort();
    Ok(files)
}

#[derive(Default, Deserialize)]
struct Written {
    #[serde(default)]
    users: Vec<WrittenUser>,
    #[serde(default)]
    nodes: BTreeMap<String, WrittenNode>,
    #[serde(default)]
    databases: BTreeMap<String, WrittenDatabase>,
}

#[derive(Deserialize)]
struct WrittenUser {
    name: String,
    #[serde(default)]
    password: Option<WrittenSecret>,
}

#[derive(Deserialize)]
struct WrittenSecret {
    plain: Option<String>,
    env: Option<String>,
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct WrittenNode {
    primary: WrittenServer,
    #[serde(default)]
    replicas: Vec<WrittenServer>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenServer {
    Url(String),
    Full {
        url: String,
        #[serde(default = "one")]
        weight: u32,
    },
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
struct WrittenDatabase {
    #[serde(default)]
    engine: Option<String>,
}

impl Written {
    fn outline(self) -> Result<Outline> {
        let mut nodes = Vec::new();
        for (name, node) in self.nodes {
            let mut servers = vec![server(&name, &node.primary)?];
            for replica in &node.replicas {
                servers.push(server(&name, replica)?);
            }
            nodes.push(NodeOutline { name, servers });
        }
        if nodes.is_empty() {
            bail!("it has no `nodes:`");
        }
        let database = self
            .databases
            .into_iter()
            .find(|(_, database)| database.engine.as_deref() != Some("mysql"))
            .map(|(name, _)| name)
            .context(
                "it has no PostgreSQL database under `databases:`; other engines are not supported yet",
            )?;
        let user = self.users.into_iter().next().context("it has no `users:`")?;
        let password = user.password.and_then(WrittenSecret::readable);
        Ok(Outline {
            nodes,
            user: ClientOutline {
                name: user.name,
                password,
            },
            database,
        })
    }
}

impl WrittenSecret {
    fn readable(self) -> Option<String> {
        if let Some(plain) = self.plain {
            return Some(plain);
        }
        if let Some(name) = self.env {
            return std::env::var(name).ok();
        }
        let text = std::fs::read_to_string(self.file?).ok()?;
        Some(text.trim_end_matches(['\r', '\n']).to_string())
    }
}

fn server(node: &str, written: &WrittenServer) -> Result<ServerOutline> {
    let (url, weight) = match written {
        WrittenServer::Url(url) => (url, 1),
        WrittenServer::Full { url, weight } => (url, *weight),
    };
    if url.starts_with("mysql:") || url.starts_with("mariadb:") {
        bail!("node {node}: MySQL servers are not supported yet by `margay sandbox`");
    }
    let config: tokio_postgres::Config = url
        .parse()
        .with_context(|| format!("node {node}: `{url}` is not a server URL"))?;
    let user = config
        .get_user()
        .with_context(|| format!("node {node}: `{url}` names no user"))?
        .to_string();
    let database = config.get_dbname().unwrap_or(&user).to_string();
    Ok(ServerOutline {
        user,
        database,
        weight,
    })
}

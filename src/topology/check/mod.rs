//! From the rules as written to the Snapshot: every name resolved, every default filled in, every
//! contradiction reported at its place. Reports all it finds; a Snapshot made while something was
//! reported is thrown away by the caller.

pub(super) mod databases;
mod keys;
mod places;
mod servers;
mod sharding;
mod shells;
pub(super) mod tables;
mod tls;
pub(super) mod units;
mod users;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::NodeId;

use super::file;
use super::load::Overrides;
use super::problem::{Finding, Pos, suggest};
use super::shape::Path;
use super::snapshot::{self, Limits, Listen, PoolLimits, Snapshot};
use super::tree::{Data, Node};

/// What checking needs to know besides the rules themselves.
pub(super) struct Check<'a> {
    /// What was read from, with broken parts cut out.
    pub tree: &'a Node,
    /// The same before cutting: a name whose definition is broken is still a known name.
    pub original: &'a Node,
    /// What was cut out: no complaints about what follows from that.
    pub broken: &'a [Path],
    pub files: &'a [PathBuf],
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub overrides: &'a Overrides,
    pub findings: Vec<Finding>,
    pub warnings: Vec<Finding>,
    /// Every node's name, in the order of the files.
    pub node_names: Vec<String>,
    /// The proxy's own.
    pub zone: Option<String>,
}

/// Nodes are numbered with 16 bits; nobody has that many.
const MOST_NODES: usize = 10_000;

impl Check<'_> {
    pub fn run(&mut self, rules: &file::Rules) -> Snapshot {
        self.node_names = match self.original.get("nodes") {
            Some(nodes) => nodes.entries().iter().map(|e| e.key.clone()).collect(),
            None => Vec::new(),
        };
        if rules.version != 1 {
            self.wrong(
                &["version"],
                format!("version {} is not known", rules.version),
                "write `version: 1`",
            );
        }
        if self.node_names.is_empty() {
            self.wrong(
                &["nodes"],
                "there are no nodes",
                "write `nodes: {name: {primary: \"postgres://…\"}}`",
            );
        }
        if self.node_names.len() > MOST_NODES {
            self.wrong(
                &["nodes"],
                format!("more than {MOST_NODES} nodes"),
                "run several proxies",
            );
        }
        self.zone = match &rules.zone {
            None => None,
            Some(file::Zone::Name(name)) => Some(name.clone()),
            Some(file::Zone::Told(file::ZoneSource::Env(name))) => (self.env)(name),
        };
        let mut nodes = self.nodes(&rules.nodes);
        let mut databases = self.databases(&rules.databases, &nodes);
        self.shells(&rules.databases, &mut databases, &mut nodes);
        let users = self.users(&rules.users, &rules.databases);
        let listen = self.listen(rules.listen.as_ref(), &databases);
        let postgres_tls = match rules.listen.as_ref().and_then(|l| l.postgres.as_ref()) {
            Some(file::Listener::Detailed(file::DetailedListener { tls: Some(tls), .. })) => {
                self.listener_tls(tls, &["listen", "postgres", "tls"])
            }
            Some(file::Listener::Detailed(_) | file::Listener::Address(_)) | None => None,
        };
        self.certificates_can_be_asked_for(&rules.users, postgres_tls.as_deref());
        let pool = self.pool(rules.pool.as_ref());
        let limits = self.limits(rules.limits.as_ref());
        Snapshot {
            epoch: 1,
            listen,
            users,
            nodes: nodes.into_iter().map(Arc::new).collect(),
            databases: databases.into_iter().map(Arc::new).collect(),
            pool,
            limits,
            postgres_tls,
        }
    }

    pub fn node_id(&self, name: &str) -> Option<NodeId> {
        self.node_names
            .iter()
            .position(|n| n == name)
            .map(|i| NodeId(i as u16))
    }

    /// Resolves a node's name that stands at `path`.
    fn resolve_node(&mut self, name: &str, path: &[&str]) -> Option<NodeId> {
        let id = self.node_id(name);
        if id.is_none() {
            let fix = suggest(name, self.node_names.iter().map(String::as_str));
            self.wrong(path, format!("there is no node `{name}`"), fix);
        }
        id
    }

    /// Reports at the value of `path`.
    pub fn wrong(&mut self, path: &[&str], message: impl Into<String>, fix: impl Into<String>) {
        if !self.follows_from_broken(path) {
            self.findings
                .push(Finding::new(self.value_pos(path), message, fix));
        }
    }

    /// Reports at the key of `path`.
    pub fn wrong_key(&mut self, path: &[&str], message: impl Into<String>, fix: impl Into<String>) {
        if !self.follows_from_broken(path) {
            self.findings.push(Finding::new(self.key_pos(path), message, fix));
        }
    }

    pub fn warn(&mut self, path: &[&str], message: impl Into<String>, fix: impl Into<String>) {
        self.warnings
            .push(Finding::new(self.value_pos(path), message, fix));
    }

    fn follows_from_broken(&self, path: &[&str]) -> bool {
        self.broken
            .iter()
            .any(|b| b.len() >= path.len() && b.iter().zip(path).all(|(b, p)| b == p))
    }

    /// Place of a value; of the innermost thing around it that exists.
    pub fn value_pos(&self, path: &[&str]) -> Pos {
        let mut node = self.tree;
        for step in path {
            match child(node, step) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.pos
    }

    pub fn key_pos(&self, path: &[&str]) -> Pos {
        let Some((last, parents)) = path.split_last() else {
            return self.tree.pos;
        };
        let parent = parents.iter().try_fold(self.tree, |node, step| child(node, step));
        match parent.and_then(|p| p.entry(last)) {
            Some(entry) => entry.key_pos,
            None => self.value_pos(path),
        }
    }

    /// `file:line:column`, for messages that name a second place.
    pub fn place_text(&self, pos: Pos) -> String {
        let file = self
            .files
            .get(pos.file)
            .map(|f| f.display().to_string())
            .unwrap_or_default();
        format!("{file}:{}:{}", pos.line, pos.column)
    }

    fn listen(&mut self, listen: Option<&file::Listen>, databases: &[snapshot::Database]) -> Listen {
        if let Some(listen) = &self.overrides.listen {
            return listen.clone();
        }
        let serves = |engine| databases.iter().any(|d| d.engine == engine);
        let Some(listen) = listen else {
            return Listen {
                postgres: serves(snapshot::Engine::Postgres)
                    .then_some(SocketAddr::from(([127, 0, 0, 1], 6432))),
                mysql: serves(snapshot::Engine::Mysql).then_some(SocketAddr::from(([127, 0, 0, 1], 6033))),
                http: None,
            };
        };
        let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
        let mut one = |check: &mut Self, key: &'static str, text: Option<&String>, path: &[&str]| {
            let text = text?;
            let Ok(address) = text.parse::<SocketAddr>() else {
                let port = text
                    .rsplit(':')
                    .next()
                    .filter(|p| p.parse::<u16>().is_ok())
                    .unwrap_or("6432");
                check.wrong(
                    path,
                    format!("`{text}` is no address"),
                    format!("write an IP address and a port, as `127.0.0.1:{port}` or `0.0.0.0:{port}`"),
                );
                return None;
            };
            let overlaps = |other: &SocketAddr| {
                address.port() != 0
                    && other.port() == address.port()
                    && (other.ip() == address.ip()
                        || other.ip().is_unspecified()
                        || address.ip().is_unspecified())
            };
            if let Some((other, _)) = taken.iter().find(|(_, a)| overlaps(a)) {
                let message = format!("`listen: {key}` and `listen: {other}` share the address {address}");
                check.wrong(path, message, "give each a port of its own");
            }
            taken.push((key, address));
            Some(address)
        };
        let (postgres, path) = match &listen.postgres {
            None => (None, &["listen", "postgres"][..]),
            Some(file::Listener::Address(address)) => (Some(address), &["listen", "postgres"][..]),
            Some(file::Listener::Detailed(it)) => (Some(&it.address), &["listen", "postgres", "address"][..]),
        };
        Listen {
            postgres: one(self, "postgres", postgres, path),
            mysql: one(self, "mysql", listen.mysql.as_ref(), &["listen", "mysql"]),
            http: one(self, "http", listen.http.as_ref(), &["listen", "http"]),
        }
    }

    fn pool(&mut self, pool: Option<&file::Pool>) -> PoolLimits {
        let none = file::Pool::default();
        let pool = pool.unwrap_or(&none);
        let minute = Duration::from_secs(60);
        PoolLimits {
            max_connections: pool.max_connections.unwrap_or(50),
            acquire_timeout: self.span(&pool.acquire_timeout, "acquire_timeout", "pool", minute / 12),
            connect_timeout: self.span(&pool.connect_timeout, "connect_timeout", "pool", minute / 20),
            idle_timeout: self.span(&pool.idle_timeout, "idle_timeout", "pool", 10 * minute),
            max_lifetime: self.span(&pool.max_lifetime, "max_lifetime", "pool", 60 * minute),
        }
    }

    fn limits(&mut self, limits: Option<&file::Limits>) -> Limits {
        let none = file::Limits::default();
        let limits = limits.unwrap_or(&none);
        let second = Duration::from_secs(1);
        Limits {
            max_clients: limits.max_clients.unwrap_or(10_000),
            max_message_bytes: limits.max_message_bytes.unwrap_or(64 << 20),
            login_timeout: self.span(&limits.login_timeout, "login_timeout", "limits", 10 * second),
            health_interval: self.span(&limits.health_interval, "health_interval", "limits", second / 5),
            health_timeout: self.span(&limits.health_timeout, "health_timeout", "limits", 2 * second),
        }
    }

    fn span(&mut self, span: &Option<file::Span>, key: &str, section: &str, default: Duration) -> Duration {
        self.span_at(span, &[section, key], default)
    }

    /// A span of time longer than nothing.
    fn span_at(&mut self, span: &Option<file::Span>, path: &[&str], default: Duration) -> Duration {
        let Some(file::Span(text)) = span else {
            return default;
        };
        match units::span(text) {
            Some(span) if !span.is_zero() => span,
            Some(_) | None => {
                let message = format!("`{text}` is no span of time");
                self.wrong(
                    path,
                    message,
                    "write a number with a unit, as `100ms`, `5s`, `1m`, `2h`, `1d`",
                );
                default
            }
        }
    }
}

fn child<'n>(node: &'n Node, step: &str) -> Option<&'n Node> {
    match &node.data {
        Data::Map(_) => node.get(step),
        Data::List(items) => items.get(step.parse::<usize>().ok()?),
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => None,
    }
}

/// A path with more steps.
fn join<'p>(path: &[&'p str], more: &[&'p str]) -> Vec<&'p str> {
    path.iter().chain(more).copied().collect()
}

/// The first of equal items by some key, for "is here twice".
fn first_of<K: std::hash::Hash + Eq, V>(seen: &mut HashMap<K, V>, key: K, value: V) -> Option<&V> {
    match seen.entry(key) {
        std::collections::hash_map::Entry::Occupied(old) => Some(old.into_mut()),
        std::collections::hash_map::Entry::Vacant(new) => {
            new.insert(value);
            None
        }
    }
}

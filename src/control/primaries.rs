//! Connections to the nodes' primaries for catalog, leases, bootstrap and time shards: found,
//! kept while idle, replaced when broken. Must not be used to judge health: `health` has
//! connections of its own.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::model::ServerId;
use crate::topology::{Node, Server};

use super::connect::{Link, LinkError};

/// Idle connections kept per server. Catalog, leases and time shards seldom meet.
const IDLE_PER_SERVER: usize = 2;

/// Where a connection leads; nodes may come and go with the rules, servers are what they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Address {
    host: Box<str>,
    port: u16,
    user: Box<str>,
    database: Box<str>,
}

impl From<&Server> for Address {
    fn from(server: &Server) -> Self {
        Address {
            host: server.host.clone(),
            port: server.port,
            user: server.user.clone(),
            database: server.database.clone(),
        }
    }
}

/// The idle connections, all of them to servers that were primaries when they were opened. A
/// primary can't become a replica without a restart, which ends its connections.
pub struct Primaries {
    limit: Duration,
    idle: Mutex<HashMap<Address, Vec<Link>>>,
}

impl Primaries {
    /// `limit`: the longest that any answer may take.
    pub fn new(limit: Duration) -> Self {
        Primaries {
            limit,
            idle: Mutex::default(),
        }
    }

    /// A connection to the node's primary. `known`: the server that health holds to be the
    /// primary; it alone is asked then, since another one that says so too is an old primary that
    /// came back. Without it the servers are asked in the order of the rules.
    pub async fn get(&self, node: &Node, known: Option<ServerId>) -> Result<Held<'_>, LinkError> {
        let candidates: Vec<&Server> = match known.and_then(|id| node.servers.get(id.index())) {
            Some(server) => vec![server],
            None => node.servers.iter().map(|server| &**server).collect(),
        };
        for server in &candidates {
            if let Some(link) = self.take_idle(&Address::from(*server)) {
                return Ok(Held {
                    home: self,
                    address: Address::from(*server),
                    link: Some(link),
                });
            }
        }
        let mut said = Vec::new();
        for server in candidates {
            match self.open(server).await {
                Ok(Some(link)) => {
                    return Ok(Held {
                        home: self,
                        address: Address::from(server),
                        link: Some(link),
                    });
                }
                Ok(None) => said.push(format!("{}:{} is a replica", server.host, server.port)),
                Err(error) => said.push(format!("{}:{}: {error}", server.host, server.port)),
            }
        }
        Err(LinkError::NoPrimary(said.join("; ")))
    }

    /// None: the server is in recovery.
    async fn open(&self, server: &Server) -> Result<Option<Link>, LinkError> {
        let mut link = Link::open(server, self.limit).await?;
        match link.ask_one("SELECT pg_is_in_recovery()").await?.as_deref() {
            Some("f") => Ok(Some(link)),
            Some("t") => Ok(None),
            other => Err(LinkError::Answer(format!("pg_is_in_recovery() gave {other:?}"))),
        }
    }

    fn take_idle(&self, address: &Address) -> Option<Link> {
        let mut idle = self.idle.lock().expect("no code panics while it holds this lock");
        let links = idle.get_mut(address)?;
        links.retain(Link::is_usable);
        links.pop()
    }
}

/// A connection on loan; goes back to the idle ones when dropped, unless it broke.
pub struct Held<'a> {
    home: &'a Primaries,
    address: Address,
    link: Option<Link>,
}

impl Held<'_> {
    pub fn link(&mut self) -> &mut Link {
        self.link
            .as_mut()
            .expect("the link is taken only by drop and by discard")
    }

    /// Closes it: its session may hold something that the next user must not find.
    pub fn discard(mut self) {
        self.link = None;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(link) = self.link.take().filter(Link::is_usable) else {
            return;
        };
        let mut idle = self
            .home
            .idle
            .lock()
            .expect("no code panics while it holds this lock");
        let links = idle.entry(self.address.clone()).or_default();
        if links.len() < IDLE_PER_SERVER {
            links.push(link);
        }
    }
}

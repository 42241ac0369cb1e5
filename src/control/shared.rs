//! What all tasks of `control` stand on: the present Snapshot, the servers' health, connections to
//! primaries, and the list of problems. Must not start anything.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::backend::{Fleet, Health, Role};
use crate::model::{NodeId, ServerId};
use crate::topology::{Engine, Node, Snapshot};

use super::connect::LinkError;
use super::primaries::{Held, Primaries};
use super::problems::Problems;

/// The Snapshot in force. Sessions load it per statement; only `control` stores into it.
pub type Snapshots = Arc<ArcSwap<Snapshot>>;

pub struct Shared {
    pub snapshots: Snapshots,
    pub fleet: Arc<Fleet>,
    pub primaries: Primaries,
    pub problems: Problems,
    /// Names of the shells whose databases are made.
    pub made: tokio::sync::watch::Sender<HashSet<Box<str>>>,
}

impl Shared {
    pub fn new(snapshots: Snapshots, fleet: Arc<Fleet>) -> Arc<Shared> {
        let limit = snapshots.load().limits.health_timeout;
        Arc::new(Shared {
            snapshots,
            fleet,
            primaries: Primaries::new(limit),
            problems: Problems::default(),
            made: tokio::sync::watch::Sender::default(),
        })
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.load_full()
    }

    /// A connection to the node's primary.
    pub async fn primary(&self, node: &Node) -> Result<Held<'_>, LinkError> {
        self.primaries.get(node, self.known_primary(node.id)?).await
    }

    /// The server that health has seen as primary. None: not measured yet. An error where every
    /// server was measured as down, so that nobody waits for a machine that doesn't answer.
    pub fn known_primary(&self, node: NodeId) -> Result<Option<ServerId>, LinkError> {
        let Ok(state) = self.fleet.node(node) else {
            return Ok(None);
        };
        if !state.servers.is_empty() && state.servers.iter().all(|s| s.health() == Health::Down) {
            return Err(LinkError::NoPrimary("every server is down".into()));
        }
        Ok(state.primary().filter(|id| {
            state
                .servers
                .get(id.index())
                .is_some_and(|s| s.health() == Health::Up && s.role() == Role::Primary)
        }))
    }
}

/// The nodes that this part of `control` can serve.
pub fn postgres_nodes(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Node>> {
    snapshot
        .nodes
        .iter()
        .filter(|node| node.engine == Engine::Postgres && !node.servers.is_empty())
}

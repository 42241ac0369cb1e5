//! All nodes and their servers, and the choice of the server that takes a statement.

use std::sync::Arc;
use std::time::Instant;

use super::pool::Lease;
use super::server::ServerState;
use crate::model::{Fault, NodeId, ServerId};
use crate::topology::{Reads, Snapshot};

/// What the lease is for.
#[derive(Clone, Copy, Debug)]
pub enum Want<'a> {
    /// Writes, locks, transactions.
    Primary,
    /// A read. `after`: when this session's last commit on this node was acknowledged.
    Read { policy: &'a Reads, after: Option<Instant> },
}

/// One node: its servers in the order of the rules.
pub struct NodeState {
    pub name: Box<str>,
    pub servers: Vec<Arc<ServerState>>,
}

impl NodeState {
    /// `control` saw the server as primary; `lsn` = its pg_current_wal_insert_lsn(), asked for by a
    /// query that was begun at `begun_at`.
    pub fn record_primary_sample(&self, _server: ServerId, _begun_at: Instant, _lsn: u64) {
        todo!()
    }

    /// `control` saw the server as a replica that has replayed `lsn` (pg_last_wal_replay_lsn()).
    pub fn record_replica(&self, _server: ServerId, _lsn: u64) {
        todo!()
    }

    /// `control` could not reach it, or it isn't what it should be. `why` is for operators.
    pub fn mark_down(&self, _server: ServerId, _why: &str) {
        todo!()
    }

    /// Who is primary now, as far as is known; before any measurement the one that the rules name.
    pub fn primary(&self) -> Option<ServerId> {
        todo!()
    }
}

/// All nodes. Shared by all sessions; nothing is locked while waiting.
pub struct Fleet {}

impl Fleet {
    pub fn new(_snapshot: &Snapshot) -> Arc<Fleet> {
        todo!()
    }

    /// New rules: pools and health of servers that didn't change are kept. Fails, and changes nothing,
    /// if a NodeId would come to mean another node (its name changed), since statements planned
    /// before still carry it; use `renewed` then.
    pub fn apply(&self, _snapshot: &Snapshot) -> Result<(), Fault> {
        todo!()
    }

    /// A fleet for new rules that shares pools and health of unchanged servers with this one; this
    /// one stays valid for who still holds its snapshot.
    pub fn renewed(&self, _snapshot: &Snapshot) -> Arc<Fleet> {
        todo!()
    }

    /// Fails with NODE_DOWN for an id that isn't there.
    pub fn node(&self, _id: NodeId) -> Result<Arc<NodeState>, Fault> {
        todo!()
    }

    pub fn nodes(&self) -> Arc<Vec<Arc<NodeState>>> {
        todo!()
    }

    /// A connection to the right server of a node. Faults: NODE_DOWN, POOL_TIMEOUT, SERVER_LOGIN.
    pub async fn checkout(&self, _node: NodeId, _want: &Want<'_>) -> Result<Lease, Fault> {
        todo!()
    }

    /// One lease per entry, in the order given; taken in the order of node ids, so that two scatters
    /// can't starve each other. All or none.
    pub async fn checkout_many(&self, _wants: &[(NodeId, Want<'_>)]) -> Result<Vec<Lease>, Fault> {
        todo!()
    }
}

//! A client's transaction: open on a node only once it is used there.
//!
//! What was said before a node is opened is replayed on it: BEGIN with its modes, SET, SET LOCAL
//! and savepoints, in their order. All branches thus have the same stack of savepoints, and a
//! rollback to one of them means the same everywhere.

use std::sync::Arc;

use crate::backend::{Lease, Settings};
use crate::model::{NodeId, identifier};
use crate::plan::{Isolation, TxnModes};

use super::oids::OwnOids;

/// Where a session stands. `Failed`: only ROLLBACK (also to a savepoint) and COMMIT are taken.
#[derive(Default)]
pub enum Txn {
    #[default]
    Idle,
    Open(Box<Block>),
    Failed(Box<Block>),
}

impl Txn {
    pub fn block(&self) -> Option<&Block> {
        match self {
            Txn::Idle => None,
            Txn::Open(block) | Txn::Failed(block) => Some(block),
        }
    }

    pub fn block_mut(&mut self) -> Option<&mut Block> {
        match self {
            Txn::Idle => None,
            Txn::Open(block) | Txn::Failed(block) => Some(block),
        }
    }

    /// A statement failed: nothing more can be done in the transaction.
    pub fn fail(&mut self) {
        *self = match std::mem::take(self) {
            Txn::Idle => Txn::Idle,
            Txn::Open(block) | Txn::Failed(block) => Txn::Failed(block),
        };
    }
}

/// An open transaction.
pub struct Block {
    /// Opened by Margay for several statements of one message or batch, or for one statement that
    /// writes on several nodes; ends with it.
    pub implicit: bool,
    pub modes: TxnModes,
    /// The statement that opens it on a node.
    pub begin: Box<str>,
    /// Replayed on a node that is opened later.
    pub(super) log: Vec<Logged>,
    pub(super) branches: Vec<Branch>,
    /// The session's settings when it began: a rollback brings them back.
    pub(super) before: Arc<Settings>,
    /// The session's settings under what was SET LOCAL; None: nothing was.
    pub(super) local: Option<Arc<Settings>>,
    /// Microseconds since 2000-01-01 UTC: the transaction's `now()` for planning.
    pub now_us: i64,
    /// Declared cursors and where they are.
    pub cursors: Vec<(Box<str>, NodeId)>,
    /// Its first statement has opened all nodes at one moment (REPEATABLE READ).
    pub(super) snapshot_taken: bool,
    /// The connection of a branch broke: there is nothing left to come back to.
    pub(super) lost: bool,
    /// Of types and tables that it has made.
    pub(super) oids: OwnOids,
}

pub(super) enum Logged {
    /// SET, SET LOCAL, RESET, SET TRANSACTION as they were written.
    Set(Box<str>),
    /// With what ROLLBACK TO brings back.
    Savepoint {
        name: Box<str>,
        settings: Arc<Settings>,
        local: Option<Arc<Settings>>,
        modes: TxnModes,
    },
}

/// The transaction on one server.
pub(super) struct Branch {
    /// None only while a statement has it.
    pub lease: Option<Lease>,
    pub node: NodeId,
    /// On the node's primary; else on a replica, for reads only.
    pub primary: bool,
    pub wrote: bool,
}

impl Block {
    pub fn new(modes: TxnModes, begin: Box<str>, implicit: bool, before: Arc<Settings>, now_us: i64) -> Self {
        Self {
            implicit,
            modes,
            begin,
            log: Vec::new(),
            branches: Vec::new(),
            before,
            local: None,
            now_us,
            cursors: Vec::new(),
            snapshot_taken: false,
            lost: false,
            oids: OwnOids::default(),
        }
    }

    /// The isolation level: of BEGIN or SET TRANSACTION, else the session's default.
    pub fn isolation(&self, settings: &Settings) -> Isolation {
        self.modes
            .isolation
            .unwrap_or_else(|| default_isolation(settings))
    }

    /// The SQL that opens the transaction on one more node.
    pub(super) fn opening(&self) -> String {
        let mut sql = self.begin.to_string();
        for entry in &self.log {
            sql.push_str("; ");
            match entry {
                Logged::Set(text) => sql.push_str(text),
                Logged::Savepoint { name, .. } => {
                    sql.push_str("SAVEPOINT ");
                    sql.push_str(&identifier(name));
                }
            }
        }
        sql
    }

    /// How much was logged: what is opened now is ended by a rollback to an earlier savepoint.
    pub fn depth(&self) -> usize {
        self.log.len()
    }

    /// Position of the latest savepoint of a name.
    pub(super) fn savepoint(&self, wanted: &str) -> Option<usize> {
        self.log.iter().rposition(|entry| match entry {
            Logged::Savepoint { name, .. } => **name == *wanted,
            Logged::Set(_) => false,
        })
    }

    pub(super) fn has_savepoints(&self) -> bool {
        self.log
            .iter()
            .any(|entry| matches!(entry, Logged::Savepoint { .. }))
    }

    /// Something was SET in it, so the end of it may change settings.
    pub(super) fn has_sets(&self) -> bool {
        self.log.iter().any(|entry| matches!(entry, Logged::Set(_)))
    }

    pub(super) fn writers(&self) -> usize {
        self.branches.iter().filter(|b| b.wrote).count()
    }
}

fn default_isolation(settings: &Settings) -> Isolation {
    let value = settings.get("default_transaction_isolation").unwrap_or_default();
    match value.trim_matches(['\'', '"']).to_ascii_lowercase().as_str() {
        "repeatable read" => Isolation::RepeatableRead,
        "serializable" => Isolation::Serializable,
        _ => Isolation::ReadCommitted,
    }
}

//! What is known of one server right now: health as `control` measured it, and counters.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::topology;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not measured yet.
    Unknown,
    Up,
    /// Measured as down, or a connect failed since the last measurement.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Unknown,
    Primary,
    Replica,
}

pub struct ServerState {
    label: Arc<str>,
    /// Statements sent; whoever sends counts.
    pub queries: AtomicU64,
    /// Faults of the server or the way to it.
    pub errors: AtomicU64,
}

impl ServerState {
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub fn server(&self) -> &Arc<topology::Server> {
        todo!()
    }

    pub fn health(&self) -> Health {
        todo!()
    }

    pub fn role(&self) -> Role {
        todo!()
    }

    /// Leases out.
    pub fn active(&self) -> u32 {
        todo!()
    }

    /// Pool: connections open and statements waiting.
    pub fn open_connections(&self) -> usize {
        todo!()
    }

    pub fn waiting(&self) -> usize {
        todo!()
    }

    /// Last LSN that a replica was seen to have replayed, or a primary to have written.
    pub fn lsn(&self) -> u64 {
        todo!()
    }

    /// How far behind the primary, at most: now − begin of the newest sample replayed. None: not known.
    pub fn lag(&self) -> Option<Duration> {
        todo!()
    }

    /// For operators: may name addresses.
    pub fn last_error(&self) -> Option<Arc<str>> {
        todo!()
    }
}

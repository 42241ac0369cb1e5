//! One node: its servers, who is primary, and how far each replica has come. Health is measured by
//! `control`, which reports it here; nothing here asks a server.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::server::{Health, Role, ServerState};
use crate::model::ServerId;
use crate::topology::{self, PoolLimits};

/// Samples of the primary that are kept: minutes at the usual interval. A replica further behind
/// than the oldest one has no known lag and gets no reads.
const MAX_SAMPLES: usize = 1024;

/// No server is known to be primary.
const NOBODY: u16 = u16::MAX;

/// A position of the primary's WAL: everything committed before `begun_at` is at or before `lsn`.
#[derive(Clone, Copy, Debug)]
struct Sample {
    begun_at: Instant,
    lsn: u64,
}

pub struct NodeState {
    pub name: Box<str>,
    /// In the order of the rules; `ServerId` indexes it.
    pub servers: Vec<Arc<ServerState>>,
    primary: AtomicU16,
    /// Of the present primary, oldest first; both values rise.
    samples: Mutex<VecDeque<Sample>>,
    /// For round robin.
    pub(super) turn: AtomicUsize,
}

impl NodeState {
    /// Servers that are in `old` with the same way to reach them keep their pool and health.
    pub(super) fn new(node: &topology::Node, limits: &PoolLimits, old: Option<&NodeState>) -> Self {
        let mut servers = Vec::with_capacity(node.servers.len());
        for (i, server) in node.servers.iter().enumerate() {
            let label = match i {
                0 => format!("{}/primary", node.name),
                _ => format!("{}/replica{}", node.name, i - 1),
            };
            let kept = old.and_then(|old| old.servers.iter().find(|s| s.is_same(&label, server, limits)));
            let state = kept.cloned();
            servers.push(
                state.unwrap_or_else(|| Arc::new(ServerState::new(label, server.clone(), limits.clone()))),
            );
        }
        // The primary stays who it was, if it is still there.
        let was = old.and_then(|old| old.servers.get(usize::from(old.primary.load(Relaxed))));
        let primary = was.and_then(|was| servers.iter().position(|s| Arc::ptr_eq(s, was)));
        let samples = match (primary, old) {
            (Some(_), Some(old)) => lock(&old.samples).clone(),
            (None, _) | (_, None) => VecDeque::new(),
        };
        Self {
            name: node.name.clone(),
            servers,
            primary: AtomicU16::new(primary.unwrap_or(0) as u16),
            samples: Mutex::new(samples),
            turn: AtomicUsize::new(0),
        }
    }

    pub fn server(&self, id: ServerId) -> Option<&Arc<ServerState>> {
        self.servers.get(id.index())
    }

    /// `control` saw the server as primary; `lsn` = its pg_current_wal_insert_lsn(), asked for by a
    /// query that was begun at `begun_at`.
    ///
    /// Who was a replica and is primary now was promoted, and wins. An old primary that comes back
    /// as primary doesn't: its node has another one. At the start the one that the rules name is
    /// waited for, unless it is down or a replica.
    pub fn record_primary_sample(&self, id: ServerId, begun_at: Instant, lsn: u64) {
        let Some(server) = self.server(id) else { return };
        let before = server.role();
        server.set_up(Role::Primary, lsn);
        let mut samples = lock(&self.samples);
        let current = self.primary.load(Relaxed);
        if current != id.0 {
            let current = self.servers.get(usize::from(current));
            let takes_over = match before {
                Role::Replica => true,
                Role::Unknown | Role::Primary => {
                    current.is_none_or(|s| s.role() == Role::Replica || s.health() == Health::Down)
                }
            };
            if !takes_over {
                return;
            }
            tracing::warn!(server = %server.label(), "is the node's primary now");
            self.primary.store(id.0, Relaxed);
            if let Some(old) = current {
                // What is still acknowledged there would be lost.
                old.cut("another server is the node's primary now");
            }
            // Positions of the old primary's timeline say nothing about the new one's.
            samples.clear();
            self.servers.iter().for_each(|s| s.set_fresh(None));
        }
        if samples.back().is_some_and(|last| begun_at <= last.begun_at) {
            // Out of order: an answer that came late proves nothing new.
            return;
        }
        // A later begin at a lower position says more than what is kept: an answer was slow, or
        // WAL that was never flushed was lost in a crash.
        while samples.back().is_some_and(|last| last.lsn > lsn) {
            samples.pop_back();
        }
        if samples.len() == MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample { begun_at, lsn });
    }

    /// `control` saw the server as a replica that has replayed `lsn` (pg_last_wal_replay_lsn()).
    pub fn record_replica(&self, id: ServerId, lsn: u64) {
        let Some(server) = self.server(id) else { return };
        server.set_up(Role::Replica, lsn);
        let samples = lock(&self.samples);
        if self.primary.load(Relaxed) == id.0 {
            // It was primary, or the rules say so wrongly: someone else is, if anyone.
            self.primary.store(self.any_primary(), Relaxed);
        }
        let replayed = samples.iter().rev().find(|sample| sample.lsn <= lsn);
        server.set_fresh(replayed.map(|sample| sample.begun_at));
    }

    /// `control` could not reach it, or it isn't what it should be. `why` is for operators.
    pub fn mark_down(&self, id: ServerId, why: &str) {
        if let Some(server) = self.server(id) {
            server.set_down(why);
        }
    }

    /// `control` knows that another server was promoted after this one: it takes nothing any more, from
    /// this moment on, even before the other one was measured again.
    pub fn depose(&self, id: ServerId, why: &str) {
        let Some(server) = self.server(id) else { return };
        server.set_down(why);
        {
            let mut samples = lock(&self.samples);
            if self.primary.load(Relaxed) == id.0 {
                self.primary.store(self.any_primary(), Relaxed);
                samples.clear();
                self.servers.iter().for_each(|s| s.set_fresh(None));
            }
        }
        // What is still acknowledged there is lost.
        server.cut(why);
    }

    /// Index of a server that is up and says that it is the primary.
    fn any_primary(&self) -> u16 {
        let is_primary = |s: &Arc<ServerState>| s.role() == Role::Primary && s.health() == Health::Up;
        self.servers
            .iter()
            .position(is_primary)
            .map_or(NOBODY, |i| i as u16)
    }

    /// Ends every connection to the server, those in use too: who waits for it gets SERVER_LOST. For one
    /// that has fallen silent (its machine may still keep the sockets open) or must not be written to.
    pub fn cut(&self, id: ServerId, why: &str) {
        if let Some(server) = self.server(id) {
            server.cut(why);
        }
    }

    /// Who is primary now, as far as is known; before any measurement the one that the rules name.
    pub fn primary(&self) -> Option<ServerId> {
        match self.primary.load(Relaxed) {
            NOBODY => None,
            id => Some(ServerId(id)),
        }
    }
}

/// Nothing panics while holding it; if it did, the samples would still be whole.
fn lock(samples: &Mutex<VecDeque<Sample>>) -> std::sync::MutexGuard<'_, VecDeque<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What is known of one server right now: health as `control` measured it, its pool, counters.
//! All atomics: reading it for each statement takes no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::pools::Pools;
use crate::topology::{self, PoolLimits};

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
    server: Arc<topology::Server>,
    limits: PoolLimits,
    pub(super) pools: Pools,
    health: AtomicU8,
    role: AtomicU8,
    lsn: AtomicU64,
    /// Instants are kept as nanoseconds since `base`, plus one; 0: none.
    base: Instant,
    /// When the newest sample of the primary that this replica has replayed was begun.
    fresh: AtomicU64,
    last_error: ArcSwapOption<Box<str>>,
    pub(super) active: AtomicU32,
    pub(super) tally: Arc<Tally>,
}

/// What the connections to one server count.
#[derive(Debug, Default)]
pub struct Tally {
    /// Statements sent, Margay's own (BEGIN, COMMIT, SET) included: Query, Execute and FunctionCall messages.
    pub queries: AtomicU64,
    /// Faults of the server or the way to it: failed connects, lost connections, broken protocol.
    pub errors: AtomicU64,
}

impl ServerState {
    pub(super) fn new(label: String, server: Arc<topology::Server>, limits: PoolLimits) -> Self {
        let tally = Arc::new(Tally::default());
        Self {
            label: label.into(),
            pools: Pools::new(server.clone(), limits.clone(), tally.clone()),
            server,
            limits,
            health: AtomicU8::new(0),
            role: AtomicU8::new(0),
            lsn: AtomicU64::new(0),
            base: Instant::now(),
            fresh: AtomicU64::new(0),
            last_error: ArcSwapOption::empty(),
            active: AtomicU32::new(0),
            tally,
        }
    }

    /// `n_user/primary`, `n_user/replica0`: what the server is by the rules.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub fn server(&self) -> &Arc<topology::Server> {
        &self.server
    }

    /// New rules say nothing new about it.
    pub(super) fn is_same(&self, label: &str, server: &topology::Server, limits: &PoolLimits) -> bool {
        let (a, b, l, m) = (&*self.server, server, &self.limits, limits);
        let way = (&a.host, a.port, &a.user, &a.password, &a.database, a.weight)
            == (&b.host, b.port, &b.user, &b.password, &b.database, b.weight);
        let pool = (
            l.max_connections,
            l.acquire_timeout,
            l.connect_timeout,
            l.idle_timeout,
            l.max_lifetime,
        ) == (
            m.max_connections,
            m.acquire_timeout,
            m.connect_timeout,
            m.idle_timeout,
            m.max_lifetime,
        );
        &*self.label == label
            && way
            && pool
            && a.tls == b.tls
            && a.near == b.near
            && a.protocol_minor == b.protocol_minor
    }

    pub fn health(&self) -> Health {
        match self.health.load(Relaxed) {
            1 => Health::Up,
            2 => Health::Down,
            _ => Health::Unknown,
        }
    }

    pub fn role(&self) -> Role {
        match self.role.load(Relaxed) {
            1 => Role::Primary,
            2 => Role::Replica,
            _ => Role::Unknown,
        }
    }

    /// Statements sent to it.
    pub fn queries(&self) -> u64 {
        self.tally.queries.load(Relaxed)
    }

    /// Faults of the server or the way to it.
    pub fn errors(&self) -> u64 {
        self.tally.errors.load(Relaxed)
    }

    /// Leases out.
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// Connections open, on loan or idle.
    pub fn open_connections(&self) -> usize {
        self.pools.size()
    }

    /// Statements that wait for a connection.
    pub fn waiting(&self) -> usize {
        self.pools.waiting()
    }

    /// Last LSN that a replica was seen to have replayed, or a primary to have written.
    pub fn lsn(&self) -> u64 {
        self.lsn.load(Relaxed)
    }

    /// How far behind the primary, at most: now − begin of the newest sample replayed. None: not known.
    pub fn lag(&self) -> Option<Duration> {
        Some(self.fresh()?.elapsed())
    }

    /// This replica has replayed all that was committed on the primary before this instant.
    pub fn fresh(&self) -> Option<Instant> {
        match self.fresh.load(Relaxed) {
            0 => None,
            nanos => Some(self.base + Duration::from_nanos(nanos - 1)),
        }
    }

    /// For operators: may name addresses.
    pub fn last_error(&self) -> Option<Arc<str>> {
        self.last_error.load_full().map(|text| Arc::from(&**text))
    }

    pub(super) fn set_up(&self, role: Role, lsn: u64) {
        self.role.store(
            match role {
                Role::Unknown => 0,
                Role::Primary => 1,
                Role::Replica => 2,
            },
            Relaxed,
        );
        self.lsn.store(lsn, Relaxed);
        if self.health.swap(1, Relaxed) != 1 {
            tracing::info!(server = %self.label, ?role, "server is up");
        }
    }

    pub(super) fn set_down(&self, why: &str) {
        self.set_error(why);
        if self.health.swap(2, Relaxed) != 2 {
            tracing::warn!(server = %self.label, why, "server is down");
        }
    }

    pub(super) fn cut(&self, why: &str) {
        let count = self.pools.cut();
        if count > 0 {
            tracing::warn!(server = %self.label, count, why, "connections are cut");
        }
    }

    pub(super) fn set_error(&self, why: &str) {
        self.last_error.store(Some(Arc::new(why.into())));
    }

    pub(super) fn set_fresh(&self, begun_at: Option<Instant>) {
        let nanos = begun_at.map_or(0, |at| {
            at.saturating_duration_since(self.base).as_nanos() as u64 + 1
        });
        self.fresh.store(nanos, Relaxed);
    }
}

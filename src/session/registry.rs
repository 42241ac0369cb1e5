//! Who is connected, and what ran lately. The data path touches it with a few atomic writes and
//! one short lock per statement.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use subtle::ConstantTimeEq;

use crate::model::Code;
use crate::model::admin::{ClientInfo, RecentQuery, Sessions, Totals};
use crate::pipeline::{Tier, Using};

/// Statements remembered.
const RECENT: usize = 500;
/// Under load all of them would be gone in an instant, and keeping them would cost as much as planning: of
/// each moment so many are kept, besides errors and slow ones.
const MOMENT_MS: u64 = 100;
const PER_MOMENT: u64 = 25;
const SLOW: Duration = Duration::from_millis(100);
/// A statement's text is cut to this many bytes.
const RECENT_SQL: usize = 2000;

/// A client as others see it.
pub struct Client {
    pub id: u32,
    /// 4 bytes, or 32 for clients of protocol 3.2.
    pub secret: Box<[u8]>,
    pub user: Box<str>,
    pub database: Arc<str>,
    peer: Box<str>,
    connected_at: SystemTime,
    application: Mutex<Box<str>>,
    state: AtomicU8,
    queries: AtomicU64,
    pub using: Arc<Using>,
}

/// What a client does just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    Idle = 0,
    Active = 1,
    InTransaction = 2,
    Failed = 3,
}

impl Client {
    pub fn set_activity(&self, activity: Activity) {
        self.state.store(activity as u8, Ordering::Relaxed);
    }

    pub fn set_application(&self, name: &str) {
        *lock(&self.application) = name.into();
    }
}

/// A statement that was carried out.
pub struct Work<'w> {
    pub servers: &'w [Arc<str>],
    pub tier: Tier,
    pub replica: bool,
    pub begun: Instant,
    pub ended: Instant,
    pub rows: u64,
    pub error: Option<&'static str>,
    pub sql: &'w str,
}

/// The same, kept.
struct Remembered {
    at: SystemTime,
    client: Arc<Client>,
    servers: Vec<Arc<str>>,
    tier: Tier,
    duration: Duration,
    rows: u64,
    error: Option<&'static str>,
    sql: Box<str>,
}

/// Lets a few statements of each moment be remembered. One number holds the moment and how many it has
/// had, so that asking takes no lock.
struct Sample {
    base: Instant,
    state: AtomicU64,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            state: AtomicU64::new(0),
        }
    }
}

impl Sample {
    fn takes(&self, now: Instant) -> bool {
        let moment = now.saturating_duration_since(self.base).as_millis() as u64 / MOMENT_MS;
        let state = self.state.load(Ordering::Relaxed);
        let (of, had) = (state >> 16, state & 0xffff);
        if of != moment {
            // Whoever comes second here may be counted too few: no harm is done.
            self.state.store(moment << 16 | 1, Ordering::Relaxed);
            return true;
        }
        if had >= PER_MOMENT {
            return false;
        }
        self.state.fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[derive(Default)]
pub struct Registry {
    clients: Mutex<BTreeMap<u32, Arc<Client>>>,
    last_id: AtomicU32,
    connections: AtomicU64,
    recent: Mutex<VecDeque<Remembered>>,
    sample: Sample,
    /// By tier, on a primary and on a replica.
    totals: [[AtomicU64; 2]; Tier::ALL.len()],
    faults: Mutex<BTreeMap<&'static str, u64>>,
    pub(super) one_phase: AtomicU64,
    pub(super) two_phase: AtomicU64,
    pub(super) two_phase_aborts: AtomicU64,
}

impl Registry {
    /// Enters a client; it is listed until the entry is dropped.
    pub(super) fn enter(
        self: &Arc<Self>,
        user: &str,
        database: &str,
        peer: &str,
        application: &str,
        secret: Box<[u8]>,
        using: Arc<Using>,
    ) -> Entry {
        let mut clients = lock(&self.clients);
        let id = loop {
            // Positive as a signed integer, since some drivers read it as one.
            let id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & 0x7fff_ffff;
            if id != 0 && !clients.contains_key(&id) {
                break id;
            }
        };
        let client = Arc::new(Client {
            id,
            secret,
            user: user.into(),
            database: database.into(),
            peer: peer.into(),
            connected_at: SystemTime::now(),
            application: Mutex::new(application.into()),
            state: AtomicU8::new(Activity::Idle as u8),
            queries: AtomicU64::new(0),
            using,
        });
        clients.insert(id, Arc::clone(&client));
        Entry {
            registry: Arc::clone(self),
            client,
        }
    }

    /// An error that belongs to no statement.
    pub(super) fn count_fault(&self, code: &'static str) {
        *lock(&self.faults).entry(code).or_default() += 1;
    }

    pub(super) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks a client's session to cancel what it runs, if the secret is right.
    pub(super) fn cancel(&self, id: u32, secret: &[u8]) {
        let client = lock(&self.clients).get(&id).cloned();
        if let Some(client) = client
            && bool::from(client.secret.ct_eq(secret))
        {
            client.using.ask();
        }
    }

    pub(super) fn record(&self, client: &Arc<Client>, work: &Work<'_>) {
        client.queries.fetch_add(1, Ordering::Relaxed);
        self.totals[work.tier as usize][usize::from(work.replica)].fetch_add(1, Ordering::Relaxed);
        if let Some(code) = work.error {
            *lock(&self.faults).entry(code).or_default() += 1;
        }
        let duration = work.ended.saturating_duration_since(work.begun);
        if work.error.is_none() && duration < SLOW && !self.sample.takes(work.ended) {
            return;
        }
        let cut = (0..=RECENT_SQL.min(work.sql.len()))
            .rev()
            .find(|at| work.sql.is_char_boundary(*at))
            .unwrap_or(0);
        let remembered = Remembered {
            at: SystemTime::now(),
            client: Arc::clone(client),
            servers: work.servers.to_vec(),
            tier: work.tier,
            duration,
            rows: work.rows,
            error: work.error,
            sql: work.sql[..cut].into(),
        };
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_back();
        }
        recent.push_front(remembered);
    }
}

impl Registry {
    /// Of each tier and role that has carried out any.
    fn queries(&self) -> Vec<(&'static str, &'static str, u64)> {
        let roles = ["primary", "replica"];
        let all = Tier::ALL.iter().flat_map(|tier| {
            let counts = self.totals[*tier as usize].iter().zip(roles);
            counts.map(|(count, role)| (tier.name(), role, count.load(Ordering::Relaxed)))
        });
        all.filter(|(_, _, count)| *count > 0).collect()
    }
}

impl Sessions for Registry {
    fn clients(&self) -> Vec<ClientInfo> {
        let clients: Vec<_> = lock(&self.clients).values().cloned().collect();
        clients
            .iter()
            .map(|c| ClientInfo {
                id: c.id,
                user: c.user.clone(),
                database: (*c.database).into(),
                application: lock(&c.application).clone(),
                peer: c.peer.clone(),
                state: match c.state.load(Ordering::Relaxed) {
                    0 => "idle",
                    1 => "active",
                    2 => "idle in transaction",
                    _ => "failed transaction",
                },
                connected_at: c.connected_at,
                queries: c.queries.load(Ordering::Relaxed),
            })
            .collect()
    }

    fn recent(&self) -> Vec<RecentQuery> {
        lock(&self.recent)
            .iter()
            .map(|work| RecentQuery {
                at: work.at,
                database: (*work.client.database).into(),
                user: work.client.user.clone(),
                servers: work.servers.iter().map(|s| server_name(s).into()).collect(),
                tier: work.tier.name(),
                duration: work.duration,
                rows: work.rows,
                error: work.error,
                sql: work.sql.clone(),
            })
            .collect()
    }

    fn totals(&self) -> Totals {
        Totals {
            connections: self.connections.load(Ordering::Relaxed),
            queries: self.queries(),
            faults: lock(&self.faults)
                .iter()
                .filter(|(name, _)| Code::ALL.iter().any(|c| c.name == **name))
                .map(|(name, n)| (*name, *n))
                .collect(),
            commits_one_phase: self.one_phase.load(Ordering::Relaxed),
            commits_two_phase: self.two_phase.load(Ordering::Relaxed),
            two_phase_aborts: self.two_phase_aborts.load(Ordering::Relaxed),
        }
    }
}

/// A server's label as it is shown: the primary of the rules by its node's name alone.
pub(super) fn server_name(label: &str) -> &str {
    label.strip_suffix("/primary").unwrap_or(label)
}

/// A client's place in the registry.
pub(super) struct Entry {
    registry: Arc<Registry>,
    pub client: Arc<Client>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.registry.clients).remove(&self.client.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

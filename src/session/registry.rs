//! Who is connected, and what ran lately. The data path touches it with a few atomic writes and
//! one short lock per statement.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use subtle::ConstantTimeEq;

use crate::model::Code;
use crate::model::admin::{ClientInfo, RecentQuery, Sessions, Totals};
use crate::pipeline::Using;

/// Statements remembered.
const RECENT: usize = 500;
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
pub struct Work {
    pub servers: Vec<Arc<str>>,
    pub tier: &'static str,
    pub replica: bool,
    pub duration: Duration,
    pub rows: u64,
    pub error: Option<&'static str>,
    pub sql: Arc<str>,
}

#[derive(Default)]
pub struct Registry {
    clients: Mutex<BTreeMap<u32, Arc<Client>>>,
    last_id: AtomicU32,
    connections: AtomicU64,
    recent: Mutex<VecDeque<(SystemTime, Arc<Client>, Work)>>,
    totals: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
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

    pub(super) fn record(&self, client: &Arc<Client>, mut work: Work) {
        client.queries.fetch_add(1, Ordering::Relaxed);
        *lock(&self.totals)
            .entry((work.tier, if work.replica { "replica" } else { "primary" }))
            .or_default() += 1;
        if let Some(code) = work.error {
            *lock(&self.faults).entry(code).or_default() += 1;
        }
        if work.sql.len() > RECENT_SQL {
            let cut = (0..=RECENT_SQL)
                .rev()
                .find(|at| work.sql.is_char_boundary(*at))
                .unwrap_or(0);
            work.sql = work.sql[..cut].into();
        }
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_back();
        }
        recent.push_front((SystemTime::now(), Arc::clone(client), work));
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
            .map(|(at, client, work)| RecentQuery {
                at: *at,
                database: (*client.database).into(),
                user: client.user.clone(),
                servers: work.servers.iter().map(|s| server_name(s).into()).collect(),
                tier: work.tier,
                duration: work.duration,
                rows: work.rows,
                error: work.error,
                sql: (*work.sql).into(),
            })
            .collect()
    }

    fn totals(&self) -> Totals {
        Totals {
            connections: self.connections.load(Ordering::Relaxed),
            queries: lock(&self.totals)
                .iter()
                .map(|((tier, role), n)| (*tier, *role, *n))
                .collect(),
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

//! The connections to one server: limits, first come first served, and never a broken one.
//!
//! Written by hand for two things that a ready-made pool doesn't give: a connection on loan costs a fraction
//! of a microsecond, and of idle connections one is preferred that the asking runtime polls itself (see
//! `Conn::move_here`).

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;

use super::conn::Conn;
use super::login::{self, Refusal};
use super::server::{Health, ServerState, Tally};
use super::stream::Breaker;
use crate::model::{Code, Fault, NodeId, ServerId};
use crate::topology::{self, Login, PoolLimits};

/// A connection of another runtime is taken over (a few system calls) if it was idle for so long, or if there
/// can be no more connections. Else a new one is opened, so that each runtime comes to have its own.
const TAKEN_OVER_AFTER: Duration = Duration::from_millis(50);
/// Who waits on the runtime where a connection becomes free goes before others, unless the first in the
/// queue has waited for so long.
const IN_TURN_AFTER: Duration = Duration::from_millis(5);

pub(super) struct Pool {
    server: Arc<topology::Server>,
    limits: PoolLimits,
    tally: Arc<Tally>,
    /// Never held while waiting, connecting or closing.
    shelf: Mutex<Shelf>,
    /// To cut connections that are on loan. Gone ones are cleared out as new ones come.
    breakers: Mutex<Vec<Weak<Breaker>>>,
}

#[derive(Default)]
struct Shelf {
    /// The warmest last.
    #[expect(clippy::vec_box, reason = "a connection is moved on every loan, and is large")]
    idle: Vec<Box<Conn>>,
    /// Idle, on loan, and being opened.
    open: usize,
    waiters: VecDeque<Waiter>,
    closed: bool,
}

struct Waiter {
    home: Id,
    since: Instant,
    gives: oneshot::Sender<Given>,
}

/// What a waiter gets. Dropped unused, it goes to the next.
enum Given {
    Conn(Lease),
    Room(Room),
}

/// The right to have one more connection. Dropped, it goes to a waiter, or is free.
struct Room {
    pool: Option<Arc<Pool>>,
}

/// What can be done at once.
enum Found {
    Idle(Box<Conn>),
    Open,
    Wait(oneshot::Receiver<Given>),
    Closed,
}

/// Why there is no connection.
enum Refused {
    Login(Refusal),
    Timeout,
    Closed,
}

impl Pool {
    pub fn new(server: Arc<topology::Server>, limits: &PoolLimits, tally: Arc<Tally>) -> Self {
        Self {
            server,
            limits: limits.clone(),
            tally,
            shelf: Mutex::default(),
            breakers: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Nothing panics while holding it.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn max(&self) -> usize {
        self.limits.max_connections.max(1) as usize
    }

    pub fn size(&self) -> usize {
        self.lock().open
    }

    pub fn waiting(&self) -> usize {
        let shelf = self.lock();
        shelf.waiters.iter().filter(|w| !w.gives.is_closed()).count()
    }

    /// Closes idle connections that are too old.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut old = Vec::new();
        {
            let mut shelf = self.lock();
            let idle = std::mem::take(&mut shelf.idle);
            let (kept, removed): (Vec<_>, Vec<_>) = idle.into_iter().partition(|c| !self.is_old(c, now));
            shelf.open -= removed.len();
            shelf.idle = kept;
            old.extend(removed);
        }
        // Sockets are closed after the pool's lock is gone.
        drop(old);
    }

    fn is_old(&self, conn: &Conn, now: Instant) -> bool {
        let limits = &self.limits;
        now.saturating_duration_since(conn.created) > limits.max_lifetime
            || now.saturating_duration_since(conn.returned) > limits.idle_timeout
    }

    /// Ends all connections, on loan or idle; their users see that the server is lost. Gives their number.
    pub fn cut(&self) -> usize {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        breakers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|breaker| breaker.cut())
            .count()
    }

    /// Closes idle connections now, and the others when they come back.
    pub fn close(&self) {
        let (idle, waiters) = {
            let mut shelf = self.lock();
            shelf.closed = true;
            shelf.open -= shelf.idle.len();
            (
                std::mem::take(&mut shelf.idle),
                std::mem::take(&mut shelf.waiters),
            )
        };
        drop((idle, waiters));
    }

    /// An idle connection that this runtime watches.
    fn idle_at(&self, here: Id) -> Option<Box<Conn>> {
        let mut shelf = self.lock();
        let at = shelf.own(here)?;
        Some(shelf.idle.remove(at))
    }

    fn find(&self, here: Id, now: Instant) -> Found {
        let mut shelf = self.lock();
        if shelf.closed {
            return Found::Closed;
        }
        let full = shelf.open >= self.max();
        let own = shelf.own(here);
        // The coldest of the others: its runtime misses it least.
        let other = || {
            let first = shelf.idle.first()?;
            let idle_for = now.saturating_duration_since(first.returned);
            (full || idle_for >= TAKEN_OVER_AFTER).then_some(0)
        };
        if let Some(at) = own.or_else(other) {
            return Found::Idle(shelf.idle.remove(at));
        }
        if !full {
            shelf.open += 1;
            return Found::Open;
        }
        shelf.forget_gone();
        let (gives, gets) = oneshot::channel();
        shelf.waiters.push_back(Waiter {
            home: here,
            since: now,
            gives,
        });
        Found::Wait(gets)
    }

    /// A connection that was idle, or that somebody handed over, as one that can be used here and now.
    async fn refresh(&self, conn: &mut Conn, here: Id, now: Instant) -> bool {
        if self.is_old(conn, now) || conn.is_broken() {
            return false;
        }
        if conn.home() != here && conn.move_here(here).is_err() {
            return false;
        }
        if !conn.check_idle() {
            return false;
        }
        if !conn.has_to_close() {
            return true;
        }
        let close = Box::pin(conn.close_evicted());
        let closed = tokio::time::timeout(self.limits.connect_timeout, close).await;
        matches!(closed, Ok(Ok(())))
    }

    async fn open(&self) -> Result<Box<Conn>, Refusal> {
        let mut conn = Box::new(login::connect(&self.server, self.limits.connect_timeout).await?);
        let breaker = Arc::new(conn.breaker()?);
        {
            let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
            breakers.retain(|old| old.strong_count() > 0);
            breakers.push(Arc::downgrade(&breaker));
        }
        conn.belong_to(self.tally.clone(), breaker);
        Ok(conn)
    }
}

impl Shelf {
    /// The warmest of a runtime's own.
    fn own(&self, here: Id) -> Option<usize> {
        self.idle.iter().rposition(|conn| conn.home() == here)
    }

    /// Waiters that gave up don't pile up at the front.
    fn forget_gone(&mut self) {
        while self.waiters.front().is_some_and(|w| w.gives.is_closed()) {
            self.waiters.pop_front();
        }
    }

    /// Who gets what became free on the runtime `home`.
    fn next_waiter(&mut self, home: Option<Id>) -> Option<Waiter> {
        self.forget_gone();
        let at = match (home, self.waiters.front()) {
            (Some(home), Some(first)) if first.home != home && first.since.elapsed() < IN_TURN_AFTER => {
                self.waiters.iter().position(|w| w.home == home).unwrap_or(0)
            }
            (_, _) => 0,
        };
        self.waiters.remove(at)
    }
}

impl Room {
    /// It is used up: the connection that it was for counts from now on.
    fn spend(mut self) {
        self.pool = None;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        let waiter = {
            let mut shelf = pool.lock();
            let waiter = shelf.next_waiter(None);
            if waiter.is_none() {
                shelf.open -= 1;
            }
            waiter
        };
        if let Some(waiter) = waiter {
            let room = Room { pool: Some(pool) };
            // A waiter that has gone drops it, which gives it to the next.
            let _ = waiter.gives.send(Given::Room(room));
        }
    }
}

/// A connection on loan. Dropped, it goes back if it is clean (`Conn::is_reusable`), else it is closed.
pub struct Lease {
    /// None only while dropping.
    conn: Option<Box<Conn>>,
    server: Arc<ServerState>,
    pool: Arc<Pool>,
    node: NodeId,
    id: ServerId,
    /// It must not go back.
    keep_out: bool,
}

impl Lease {
    /// One that is idle on this runtime and good as it is. None: ask `take`, which may have to wait.
    pub(super) fn take_now(
        server: &Arc<ServerState>,
        login: Option<&Arc<Login>>,
        node: NodeId,
        id: ServerId,
        now: Instant,
    ) -> Option<Lease> {
        let pool = pool_of(server, login);
        let conn = pool.idle_at(Handle::current().id())?;
        let mut lease = Lease::of(server, &pool, node, id, conn);
        if pool.is_old(&lease, now) || !lease.check_idle() {
            lease.poison();
            return None;
        }
        (!lease.has_to_close()).then_some(lease)
    }

    /// `login`: as whom; None: as the server's own entry says. `now`: about the present; it saves asking the
    /// clock again.
    pub(super) async fn take(
        server: &Arc<ServerState>,
        login: Option<&Arc<Login>>,
        node: NodeId,
        id: ServerId,
        now: Instant,
    ) -> Result<Lease, Fault> {
        let pool = pool_of(server, login);
        match Self::taken(server, &pool, node, id, now).await {
            Ok(lease) => Ok(lease),
            Err(refused) => {
                server.tally.errors.fetch_add(1, Relaxed);
                Err(fault(server, &pool, refused))
            }
        }
    }

    async fn taken(
        server: &Arc<ServerState>,
        pool: &Arc<Pool>,
        node: NodeId,
        id: ServerId,
        now: Instant,
    ) -> Result<Lease, Refused> {
        let here = Handle::current().id();
        loop {
            let found = match pool.find(here, now) {
                Found::Idle(conn) => Given::Conn(Lease::of(server, pool, node, id, conn)),
                Found::Open => Given::Room(Room {
                    pool: Some(Arc::clone(pool)),
                }),
                Found::Wait(gets) => match tokio::time::timeout(pool.limits.acquire_timeout, gets).await {
                    Ok(Ok(given)) => given,
                    Ok(Err(_)) => return Err(Refused::Closed),
                    Err(_) => return Err(Refused::Timeout),
                },
                Found::Closed => return Err(Refused::Closed),
            };
            match given_room(found) {
                Ok(room) => {
                    let conn = Box::pin(pool.open()).await.map_err(Refused::Login)?;
                    room.spend();
                    return Ok(Lease::of(server, pool, node, id, conn));
                }
                Err(mut lease) => {
                    (lease.node, lease.id) = (node, id);
                    if pool.refresh(&mut lease, here, now).await {
                        return Ok(lease);
                    }
                    lease.poison();
                }
            }
        }
    }

    fn of(server: &Arc<ServerState>, pool: &Arc<Pool>, node: NodeId, id: ServerId, conn: Box<Conn>) -> Lease {
        server.active.fetch_add(1, Relaxed);
        Lease {
            conn: Some(conn),
            server: Arc::clone(server),
            pool: Arc::clone(pool),
            node,
            id,
            keep_out: false,
        }
    }

    /// Never give it to anyone else: it will be closed.
    pub fn poison(&mut self) {
        self.keep_out = true;
    }

    /// It stays with its holder (it carries state of a client): closed at the end like a poisoned
    /// one, and counted against the pool's limit until then.
    pub fn detach(&mut self) {
        self.keep_out = true;
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn server_id(&self) -> ServerId {
        self.id
    }

    pub fn server(&self) -> &Arc<ServerState> {
        &self.server
    }

    /// `n_user/primary`, `n_user/replica0`: what the server is by the rules.
    pub fn server_label(&self) -> &Arc<str> {
        self.server.label()
    }
}

const HELD: &str = "a lease holds its connection until it is dropped";

impl Deref for Lease {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect(HELD)
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect(HELD)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.active.fetch_sub(1, Relaxed);
        let Some(mut conn) = self.conn.take() else {
            return;
        };
        if self.keep_out || !conn.come_to_rest() {
            drop(conn);
            drop(Room {
                pool: Some(Arc::clone(&self.pool)),
            });
            return;
        }
        conn.returned = Instant::now();
        let mut shelf = self.pool.lock();
        if shelf.closed {
            shelf.open -= 1;
            drop(shelf);
            return;
        }
        match shelf.next_waiter(Some(conn.home())) {
            None => shelf.idle.push(conn),
            Some(waiter) => {
                drop(shelf);
                let lease = Lease::of(&self.server, &self.pool, self.node, self.id, conn);
                // A waiter that has gone drops it, which gives it to the next.
                let _ = waiter.gives.send(Given::Conn(lease));
            }
        }
    }
}

fn pool_of(server: &ServerState, login: Option<&Arc<Login>>) -> Arc<Pool> {
    match login {
        None => Arc::clone(&server.pools.own),
        Some(login) => server.pools.of(login),
    }
}

/// What a client may read; the server's own words go to the operator.
fn fault(server: &ServerState, pool: &Pool, refused: Refused) -> Fault {
    match refused {
        Refused::Login(refusal) => {
            // Once it is known to be down, each statement that needs it would say so again.
            match server.health() {
                Health::Down => {
                    tracing::debug!(server = %server.label(), why = refusal.why, "no connection to a server")
                }
                Health::Up | Health::Unknown => {
                    tracing::warn!(server = %server.label(), why = refusal.why, "no connection to a server");
                }
            }
            server.set_error(&refusal.why);
            let mut fault = refusal.fault;
            fault.message = format!("{}: {}", server.label(), fault.message).into();
            fault
        }
        Refused::Timeout => {
            let message = format!("{}: no connection became free in time", server.label());
            Fault::new(Code::POOL_TIMEOUT, message).detail(format!(
                "all {} connections are in use, {} statements wait",
                pool.max(),
                pool.waiting()
            ))
        }
        Refused::Closed => Fault::new(
            Code::NODE_DOWN,
            format!("{}: not in the rules any more", server.label()),
        ),
    }
}

/// Room for a connection, or else a connection.
fn given_room(given: Given) -> Result<Room, Lease> {
    match given {
        Given::Room(room) => Ok(room),
        Given::Conn(lease) => Err(lease),
    }
}

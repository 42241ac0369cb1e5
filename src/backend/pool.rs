//! The connections to one server: limits, first come first served, and never a broken one. Built
//! on deadpool, which queues fairly; lifetime, idle time and cleanliness are added here.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};

use super::conn::Conn;
use super::login::{self, Refusal};
use super::server::{Health, ServerState, Tally};
use super::stream::Breaker;
use crate::model::{Code, Fault, NodeId, ServerId};
use crate::topology::{self, Login, PoolLimits};

/// What deadpool asks for connections.
pub(super) struct Opener {
    server: Arc<topology::Server>,
    connect_timeout: Duration,
    idle_timeout: Duration,
    max_lifetime: Duration,
    tally: Arc<Tally>,
    /// To cut connections that are on loan. Gone ones are cleared out as new ones come.
    breakers: Mutex<Vec<Weak<Breaker>>>,
}

impl managed::Manager for Opener {
    type Type = Conn;
    type Error = Refusal;

    async fn create(&self) -> Result<Conn, Refusal> {
        let mut conn = login::connect(&self.server, self.connect_timeout).await?;
        let breaker = Arc::new(conn.breaker()?);
        {
            let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
            breakers.retain(|old| old.strong_count() > 0);
            breakers.push(Arc::downgrade(&breaker));
        }
        conn.belong_to(self.tally.clone(), breaker);
        Ok(conn)
    }

    async fn recycle(&self, conn: &mut Conn, _: &Metrics) -> RecycleResult<Refusal> {
        if conn.age() > self.max_lifetime || conn.returned.elapsed() > self.idle_timeout {
            return Err(RecycleError::message("too old"));
        }
        if !conn.check_idle() {
            return Err(RecycleError::message("closed by the server"));
        }
        conn.close_evicted()
            .await
            .map_err(|fault| RecycleError::Backend(fault.into()))
    }
}

pub(super) struct Pool {
    inner: managed::Pool<Opener>,
}

impl Pool {
    pub fn new(server: Arc<topology::Server>, limits: &PoolLimits, tally: Arc<Tally>) -> Self {
        let opener = Opener {
            server,
            connect_timeout: limits.connect_timeout,
            idle_timeout: limits.idle_timeout,
            max_lifetime: limits.max_lifetime,
            tally,
            breakers: Mutex::default(),
        };
        let timeouts = Timeouts {
            wait: Some(limits.acquire_timeout),
            create: None,
            recycle: Some(limits.connect_timeout),
        };
        let inner = managed::Pool::builder(opener)
            .max_size(limits.max_connections.max(1) as usize)
            .timeouts(timeouts)
            // Waiters are served in turn; of idle connections the warmest goes out first, so that
            // those beyond need grow old and are closed.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .expect("building fails only for timeouts without a runtime, and one is given");
        Self { inner }
    }

    pub fn size(&self) -> usize {
        self.inner.status().size
    }

    pub fn waiting(&self) -> usize {
        self.inner.status().waiting
    }

    /// Closes idle connections that are too old.
    pub fn sweep(&self) {
        let opener = self.inner.manager();
        let removed = self.inner.retain(|conn, _| {
            conn.age() <= opener.max_lifetime && conn.returned.elapsed() <= opener.idle_timeout
        });
        // Sockets are closed after the pool's lock is gone.
        drop(removed);
    }

    /// Ends all connections, on loan or idle; their users see that the server is lost. Gives their number.
    pub fn cut(&self) -> usize {
        let breakers = self
            .inner
            .manager()
            .breakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        breakers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|breaker| breaker.cut())
            .count()
    }

    /// Closes idle connections now, and the others when they come back.
    pub fn close(&self) {
        self.inner.close();
    }
}

/// A connection on loan. Dropped, it goes back if it is clean (`Conn::is_reusable`), else it is closed.
pub struct Lease {
    /// None only while dropping.
    object: Option<Object<Opener>>,
    server: Arc<ServerState>,
    node: NodeId,
    id: ServerId,
    /// It must not go back.
    keep_out: bool,
}

impl Lease {
    /// `login`: as whom; None: as the server's own entry says.
    pub(super) async fn take(
        server: Arc<ServerState>,
        login: Option<&Arc<Login>>,
        node: NodeId,
        id: ServerId,
    ) -> Result<Lease, Fault> {
        let of_login;
        let pool = match login {
            None => &server.pools.own,
            Some(login) => {
                of_login = server.pools.of(login);
                &*of_login
            }
        };
        match pool.inner.get().await {
            Ok(object) => {
                server.active.fetch_add(1, Relaxed);
                Ok(Lease {
                    object: Some(object),
                    server,
                    node,
                    id,
                    keep_out: false,
                })
            }
            Err(error) => {
                server.tally.errors.fetch_add(1, Relaxed);
                Err(fault(&server, pool, error))
            }
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
        self.object.as_ref().expect(HELD)
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Conn {
        self.object.as_mut().expect(HELD)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.active.fetch_sub(1, Relaxed);
        let Some(mut object) = self.object.take() else {
            return;
        };
        if !self.keep_out && object.come_to_rest() {
            object.returned = Instant::now();
        } else {
            drop(Object::take(object));
        }
    }
}

/// What a client may read; the server's own words go to the operator.
fn fault(server: &ServerState, pool: &Pool, error: PoolError<Refusal>) -> Fault {
    match error {
        PoolError::Backend(refusal) => {
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
            Fault {
                message: format!("{}: {}", server.label(), refusal.fault.message).into(),
                ..refusal.fault
            }
        }
        PoolError::Timeout(_) => {
            let limits = pool.inner.status();
            let message = format!("{}: no connection became free in time", server.label());
            Fault::new(Code::POOL_TIMEOUT, message).detail(format!(
                "all {} connections are in use, {} statements wait",
                limits.max_size, limits.waiting
            ))
        }
        PoolError::Closed => Fault::new(
            Code::NODE_DOWN,
            format!("{}: not in the rules any more", server.label()),
        ),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Fault::internal("the pool is not set up")
        }
    }
}

//! The pools of one server: that of the server's own login, and one for each other login by which users
//! reach it. A connection is never lent across logins, so that no role leaks from client to client:
//! what a client may do is what the server lets its login do, whatever SET ROLE or RESET ROLE it sends.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::pool::Pool;
use super::server::Tally;
use crate::topology::{self, Login, PoolLimits};

pub(super) struct Pools {
    /// Of the server's own login.
    pub own: Arc<Pool>,
    /// Made when first used.
    others: RwLock<HashMap<Arc<Login>, Arc<Pool>>>,
    server: Arc<topology::Server>,
    limits: PoolLimits,
    tally: Arc<Tally>,
}

impl Pools {
    pub fn new(server: Arc<topology::Server>, limits: PoolLimits, tally: Arc<Tally>) -> Self {
        Self {
            own: Arc::new(Pool::new(server.clone(), &limits, tally.clone())),
            others: RwLock::default(),
            server,
            limits,
            tally,
        }
    }

    /// The pool of a login of users.
    pub fn of(&self, login: &Arc<Login>) -> Arc<Pool> {
        let known = self.others.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = known.get(login) {
            return Arc::clone(pool);
        }
        drop(known);
        let mut known = self.others.write().unwrap_or_else(PoisonError::into_inner);
        let pool = known.entry(Arc::clone(login)).or_insert_with(|| {
            let server = Arc::new(self.server.with_login(login));
            Arc::new(Pool::new(server, &self.limits, self.tally.clone()))
        });
        Arc::clone(pool)
    }

    /// Closes the pools of logins that the rules don't name any more.
    pub fn retain(&self, named: impl Fn(&Login) -> bool) {
        let mut known = self.others.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|login, pool| {
            let keep = named(login);
            if !keep {
                pool.close();
            }
            keep
        });
    }

    pub fn size(&self) -> usize {
        self.sum(Pool::size)
    }

    pub fn waiting(&self) -> usize {
        self.sum(Pool::waiting)
    }

    pub fn sweep(&self) {
        self.sum(|pool| {
            pool.sweep();
            0
        });
    }

    /// Ends all connections; gives their number.
    pub fn cut(&self) -> usize {
        self.sum(Pool::cut)
    }

    pub fn close(&self) {
        self.sum(|pool| {
            pool.close();
            0
        });
    }

    fn sum(&self, what: impl Fn(&Pool) -> usize) -> usize {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        what(&self.own) + others.values().map(|pool| what(pool)).sum::<usize>()
    }
}

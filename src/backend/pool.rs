//! The connections to one server: limits, first come first served, and never a broken one.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::conn::Conn;
use super::server::ServerState;
use crate::model::{NodeId, ServerId};

/// A connection on loan. Dropped, it goes back if it is clean (`Conn::is_reusable`), else it is closed.
pub struct Lease {
    conn: Conn,
    server: Arc<ServerState>,
    node: NodeId,
    id: ServerId,
}

impl Lease {
    /// Never give it to anyone else: it will be closed.
    pub fn poison(&mut self) {
        todo!()
    }

    /// It stays with its holder (it carries state of a client): closed at the end like a poisoned
    /// one, and counted against the pool's limit until then.
    pub fn detach(&mut self) {
        todo!()
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

impl Deref for Lease {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

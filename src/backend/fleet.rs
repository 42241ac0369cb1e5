//! All nodes and their servers, and the way to a connection: choose a server, try it, try the next.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::choice::{self, Tried, Want};
use super::node::NodeState;
use super::pool::Lease;
use super::server::ServerState;
use crate::model::{Code, Fault, NodeId, ServerId};
use crate::topology::{Login, Server, Snapshot};

/// All nodes, as seen by one login. Shared by all sessions of that login; nothing is locked while waiting.
pub struct Fleet {
    nodes: Arc<ArcSwap<Vec<Arc<NodeState>>>>,
    /// None: each server by its own entry's login.
    login: Option<Arc<Login>>,
}

/// What can be had without waiting.
pub enum Now {
    Lease(Lease),
    Wait(Chosen),
}

/// The server that a statement's turn fell on, for who has to wait for its connection.
pub struct Chosen {
    node: NodeId,
    state: Arc<NodeState>,
    /// None: the primary.
    replica: Option<ServerId>,
    now: Instant,
}

impl Fleet {
    /// Within a tokio runtime it also closes idle connections that grew too old, as long as it lives.
    pub fn new(snapshot: &Snapshot) -> Arc<Fleet> {
        Self::start(states(snapshot, &[]), snapshot)
    }

    fn start(nodes: Vec<Arc<NodeState>>, snapshot: &Snapshot) -> Arc<Fleet> {
        let fleet = Arc::new(Fleet {
            nodes: Arc::new(ArcSwap::from_pointee(nodes)),
            login: None,
        });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let often = snapshot.pool.idle_timeout.min(snapshot.pool.max_lifetime) / 2;
            let every = often.clamp(Duration::from_millis(100), Duration::from_secs(30));
            runtime.spawn(sweep(Arc::downgrade(&fleet), every));
        }
        fleet
    }

    /// The same nodes for users of another login; None: as the servers' own entries say.
    pub fn of_login(self: &Arc<Self>, login: Option<Arc<Login>>) -> Arc<Fleet> {
        if self.login == login {
            return Arc::clone(self);
        }
        let nodes = Arc::clone(&self.nodes);
        Arc::new(Fleet { nodes, login })
    }

    /// How this fleet's users reach a server.
    pub fn logged_in(&self, server: &Arc<Server>) -> Arc<Server> {
        match &self.login {
            None => Arc::clone(server),
            Some(login) => Arc::new(server.with_login(login)),
        }
    }

    /// The role of this fleet's users on the servers; None: that of each server's own entry.
    pub fn role(&self) -> Option<&str> {
        self.login.as_ref().map(|login| &*login.user)
    }

    /// New rules: pools and health of servers that didn't change are kept. Fails, and changes nothing,
    /// if a NodeId would come to mean another node (its name changed), since statements planned
    /// before still carry it; use `renewed` then.
    pub fn apply(&self, snapshot: &Snapshot) -> Result<(), Fault> {
        let old = self.nodes.load_full();
        for (before, after) in old.iter().zip(&snapshot.nodes) {
            let named = !before.name.is_empty() && !after.name.is_empty();
            if named && before.name != after.name {
                let message = format!("node {} stands where {} stood", after.name, before.name);
                return Err(Fault::new(Code::RULES, message)
                    .hint("add new nodes after the present ones, or restart the proxy"));
            }
        }
        let new = states(snapshot, &old);
        for gone in old.iter().flat_map(|node| &node.servers) {
            if !new
                .iter()
                .flat_map(|node| &node.servers)
                .any(|kept| Arc::ptr_eq(kept, gone))
            {
                gone.pools.close();
            }
        }
        let named = |login: &Login| snapshot.users.iter().any(|u| u.login.as_deref() == Some(login));
        for server in new.iter().flat_map(|node| &node.servers) {
            server.pools.retain(named);
        }
        self.nodes.store(Arc::new(new));
        Ok(())
    }

    /// A fleet for new rules that shares pools and health of unchanged servers with this one; this
    /// one stays valid for who still holds its snapshot.
    pub fn renewed(&self, snapshot: &Snapshot) -> Arc<Fleet> {
        Self::start(states(snapshot, &self.nodes.load()), snapshot)
    }

    /// Fails with NODE_DOWN for an id that isn't there (any more).
    pub fn node(&self, id: NodeId) -> Result<Arc<NodeState>, Fault> {
        let nodes = self.nodes.load();
        let node = nodes.get(id.index());
        node.cloned().ok_or_else(not_there)
    }

    /// Indexed by NodeId.
    pub fn nodes(&self) -> Arc<Vec<Arc<NodeState>>> {
        self.nodes.load_full()
    }

    /// A connection to the right server of a node. Faults: NODE_DOWN, POOL_TIMEOUT, SERVER_LOGIN.
    pub async fn checkout(&self, node: NodeId, want: &Want<'_>) -> Result<Lease, Fault> {
        match self.checkout_now(node, want, Instant::now())? {
            Now::Lease(lease) => Ok(lease),
            Now::Wait(chosen) => self.checkout_of(chosen, want).await,
        }
    }

    /// The usual case: the server that is chosen has an idle connection on this runtime. If not, there is
    /// `checkout_of`. `now`: about the present; it saves asking the clock again.
    pub fn checkout_now(&self, node: NodeId, want: &Want<'_>, now: Instant) -> Result<Now, Fault> {
        let nodes = self.nodes.load();
        let state = nodes.get(node.index()).ok_or_else(not_there)?;
        let replica = match want {
            Want::Read { policy, after } => choice::replica(state, policy, *after, now, 0),
            Want::Primary => None,
        };
        let chosen = replica.or_else(|| state.primary());
        let server = chosen.and_then(|id| Some((id, state.server(id)?)));
        let lease =
            server.and_then(|(id, server)| Lease::take_now(server, self.login.as_ref(), node, id, now));
        Ok(match lease {
            Some(lease) => Now::Lease(lease),
            None => Now::Wait(Chosen {
                node,
                state: Arc::clone(state),
                replica,
                now,
            }),
        })
    }

    /// Waits for a connection to the server that was chosen, and if that is a replica that fails, to the next.
    pub async fn checkout_of(&self, chosen: Chosen, want: &Want<'_>) -> Result<Lease, Fault> {
        let Chosen {
            node,
            state,
            mut replica,
            now,
        } = chosen;
        if let Want::Read { policy, after } = want {
            let mut tried: Tried = 0;
            while let Some(id) = replica {
                let server = &state.servers[id.index()];
                match Lease::take(server, self.login.as_ref(), node, id, now).await {
                    Ok(lease) => return Ok(lease),
                    // It is alive and busy: so are the others, or it would not have been chosen.
                    Err(fault) if fault.code == Code::POOL_TIMEOUT => return Err(fault),
                    // A user's role that isn't let in, or has used up its own connections, says nothing
                    // about the server: other users' reads must not leave it.
                    Err(fault) if fault.code == Code::SERVER_LOGIN && self.login.is_some() => {
                        return Err(fault);
                    }
                    Err(_) if self.login.is_some() => {}
                    Err(fault) => suspect(server, &fault),
                }
                tried |= 1 << id.0;
                replica = choice::replica(&state, policy, *after, now, tried);
            }
        }
        let primary = state.primary().and_then(|id| Some((id, state.server(id)?)));
        let Some((id, server)) = primary else {
            let message = format!("no server of node {} is its primary at the moment", state.name);
            return Err(Fault::new(Code::NODE_DOWN, message));
        };
        Lease::take(server, self.login.as_ref(), node, id, now).await
    }

    /// A connection to one particular server, for `control` and tests of what a server holds.
    pub async fn checkout_server(&self, node: NodeId, id: ServerId) -> Result<Lease, Fault> {
        let state = self.node(node)?;
        let server = state.server(id);
        let server =
            server.ok_or_else(|| Fault::new(Code::NODE_DOWN, "the server is not in the rules any more"))?;
        Lease::take(server, self.login.as_ref(), node, id, Instant::now()).await
    }

    /// One lease per entry, in the order given; taken in the order of node ids, so that two scatters
    /// can't starve each other. All or none.
    pub async fn checkout_many(&self, wants: &[(NodeId, Want<'_>)]) -> Result<Vec<Lease>, Fault> {
        let mut order: Vec<usize> = (0..wants.len()).collect();
        order.sort_by_key(|i| wants[*i].0);
        let mut leases: Vec<Option<Lease>> = wants.iter().map(|_| None).collect();
        for i in order {
            let (node, want) = &wants[i];
            leases[i] = Some(self.checkout(*node, want).await?);
        }
        Ok(leases.into_iter().flatten().collect())
    }
}

fn not_there() -> Fault {
    Fault::new(Code::NODE_DOWN, "the node is not in the rules any more")
}

/// Until `control` has seen it up again it gets no reads.
fn suspect(server: &ServerState, fault: &Fault) {
    let why = server.last_error();
    server.set_down(why.as_deref().unwrap_or(&fault.message));
}

/// The states for a snapshot's nodes; those of the same name are taken over as far as they didn't change.
fn states(snapshot: &Snapshot, old: &[Arc<NodeState>]) -> Vec<Arc<NodeState>> {
    let state = |node: &Arc<crate::topology::Node>| {
        let old = old.iter().find(|o| o.name == node.name).map(|o| &**o);
        Arc::new(NodeState::new(node, &snapshot.pool, old))
    };
    snapshot.nodes.iter().map(state).collect()
}

async fn sweep(fleet: Weak<Fleet>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(fleet) = fleet.upgrade() else { return };
        for server in fleet.nodes().iter().flat_map(|node| &node.servers) {
            server.pools.sweep();
        }
    }
}

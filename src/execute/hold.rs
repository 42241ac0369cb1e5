//! What one client holds of the servers behind Margay: its settings, its transaction with a
//! connection per branch, a connection pinned to it. Gives a statement its seat: the connection it
//! runs on, brought to the client's settings and into its transaction.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;

use crate::backend::{Fleet, Frame, Lease, Now, Settings, TxStatus, Want};
use crate::model::{ClientText, Fault, NodeId};
use crate::plan::{Isolation, Role, TxnModes};
use crate::topology::Database;
use crate::wire::postgres::frontend;

use super::settings::{bring, bring_now};
use super::statuses::Parameter;
use super::transaction::{Block, Branch, Logged, Txn};
use super::{Decisions, Failure, Statuses, Using};

pub struct Hold {
    pub fleet: Arc<Fleet>,
    pub database: Arc<Database>,
    /// Every node of the database, in order.
    nodes: Vec<NodeId>,
    /// What the client has set, SET LOCAL not included.
    pub settings: Arc<Settings>,
    /// How statements are written for servers, which take them in the client's encoding.
    pub text: ClientText,
    pub txn: Txn,
    pub using: Arc<Using>,
    /// Servers that answered the current statement (`n_user/primary`).
    pub answered: Vec<Arc<str>>,
    /// How transactions ended; whoever reports it takes it.
    pub counted: super::commit::Counted,
    /// When this session's last commit on a node was acknowledged.
    wrote_at: Vec<(NodeId, Instant)>,
    /// The session left state on a connection to this node: it stays with the client.
    pins: Option<NodeId>,
    pinned: Option<Lease>,
    pub(super) decisions: Arc<Decisions>,
    /// Notifications that came with answers of Margay's own.
    notified: Vec<Frame>,
    /// Portals that were opened over several parts.
    portals: u64,
    /// What a server's parameters are after a transaction in which something was SET.
    news: Vec<Parameter>,
}

/// A connection for one statement.
pub struct Seat {
    pub lease: Lease,
    /// Quiet answers owed for what was queued to prepare it.
    pub quiet: usize,
    /// Index of its branch in the open transaction.
    branch: Option<usize>,
}

impl Hold {
    pub fn new(fleet: Arc<Fleet>, database: Arc<Database>, decisions: Arc<Decisions>) -> Self {
        let nodes = database.nodes();
        Self {
            fleet,
            database,
            nodes,
            settings: Arc::default(),
            text: ClientText::default(),
            txn: Txn::Idle,
            using: Arc::default(),
            answered: Vec::new(),
            counted: super::commit::Counted::default(),
            wrote_at: Vec::new(),
            pins: None,
            notified: Vec::new(),
            pinned: None,
            decisions,
            portals: 0,
            news: Vec::new(),
        }
    }

    pub(super) fn next_portal(&mut self) -> u64 {
        self.portals += 1;
        self.portals
    }

    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// New rules for the session: taken over between transactions.
    pub fn renew(&mut self, fleet: Arc<Fleet>, database: Arc<Database>) {
        self.nodes = database.nodes();
        self.fleet = fleet;
        self.database = database;
    }

    /// A connection for one statement on `node`. In a transaction: its branch, opened if need be.
    pub async fn seat(&mut self, node: NodeId, role: Role) -> Result<Seat, Failure> {
        if self.txn.block().is_some_and(|block| block.oids.behind) {
            Box::pin(self.learn_oids(node)).await?;
        }
        let Some(index) = self.branch_index(node, role) else {
            let replica_will_do = role == Role::Any && self.replica_allowed();
            // Where nothing has to be waited for, nothing is put into a future either.
            let mut lease = match self.lease_now(node, replica_will_do)? {
                Now::Lease(lease) => lease,
                Now::Wait(chosen) => {
                    let want = self.want(node, replica_will_do);
                    Box::pin(self.fleet.checkout_of(chosen, &want)).await?
                }
            };
            self.using.add(lease.cancel_key());
            let quiet = match self.prepare_now(&mut lease) {
                Some(quiet) => quiet,
                None => Box::pin(self.prepare(&mut lease)).await?,
            };
            let branch = self.add_branch(&lease, replica_will_do);
            return Ok(self.seated(lease, quiet, branch));
        };
        let lease = self
            .txn
            .block_mut()
            .and_then(|b| b.branches.get_mut(index)?.lease.take());
        let lease = lease.ok_or_else(|| Fault::internal("a branch of the transaction is in use twice"))?;
        self.using.add(lease.cancel_key());
        Ok(self.seated(lease, 0, Some(index)))
    }

    /// Connections for several nodes, in the order given; all at once, so that two statements that
    /// need several can't starve each other.
    pub async fn seats(&mut self, nodes: &[NodeId], role: Role) -> Result<Vec<Seat>, Failure> {
        let replica_will_do = role == Role::Any && self.replica_allowed();
        let missing: Vec<NodeId> = nodes
            .iter()
            .copied()
            .filter(|n| self.branch_index(*n, role).is_none())
            .collect();
        // What the client keeps is taken by `seat` below.
        let kept = self.pinned.as_ref().map(Lease::node);
        let wants: Vec<_> = missing
            .iter()
            .filter(|n| Some(**n) != kept)
            .map(|n| (*n, self.want(*n, replica_will_do)))
            .collect();
        let mut fresh = if wants.is_empty() {
            Vec::new()
        } else {
            let fleet = Arc::clone(&self.fleet);
            fleet.checkout_many(&wants).await?
        };
        let mut seats = Vec::with_capacity(nodes.len());
        for node in nodes {
            if let Some(at) = fresh.iter().position(|lease| lease.node() == *node) {
                let mut lease = fresh.swap_remove(at);
                self.using.add(lease.cancel_key());
                let prepared = self.prepare(&mut lease).await;
                let quiet = match prepared {
                    Ok(quiet) => quiet,
                    Err(failure) => {
                        self.leave_all(seats);
                        return Err(failure);
                    }
                };
                let branch = self.add_branch(&lease, replica_will_do);
                seats.push(self.seated(lease, quiet, branch));
            } else {
                seats.push(self.seat(*node, role).await?);
            }
        }
        Ok(seats)
    }

    fn seated(&mut self, mut lease: Lease, quiet: usize, branch: Option<usize>) -> Seat {
        let oids = self.oids(lease.node());
        lease.speak(oids);
        let label = lease.server_label();
        if !self.answered.contains(label) {
            self.answered.push(Arc::clone(label));
        }
        Seat { lease, quiet, branch }
    }

    /// Gives a connection back after its statement, whose answers are all read or whose connection
    /// is broken. `wrote`: the statement may have changed something.
    pub fn leave(&mut self, seat: Seat, wrote: bool) {
        let Seat {
            mut lease, branch, ..
        } = seat;
        let node = lease.node();
        match (self.txn.block_mut(), branch) {
            (Some(block), Some(index)) => {
                if lease.is_broken() {
                    block.lost = true;
                }
                if let Some(branch) = block.branches.get_mut(index) {
                    branch.wrote |= wrote;
                    branch.lease = Some(lease);
                }
                return;
            }
            (None, None) if lease.tx_status() != TxStatus::Idle && !lease.is_broken() => {
                // A transaction that Margay didn't see begin (in text it can't read): it is the
                // client's all the same, on this connection.
                let failed = lease.tx_status() == TxStatus::Failed;
                let mut block = self.new_block(TxnModes::default(), "BEGIN".into(), false);
                block.branches.push(Branch {
                    node,
                    primary: true,
                    wrote: true,
                    lease: Some(lease),
                });
                self.txn = if failed {
                    Txn::Failed(Box::new(block))
                } else {
                    Txn::Open(Box::new(block))
                };
                return;
            }
            (_, _) => {}
        }
        if wrote {
            self.note_write(node);
        }
        if lease.pending_syncs() > 0 {
            lease.poison();
        }
        self.release(lease);
    }

    pub fn leave_all(&mut self, seats: impl IntoIterator<Item = Seat>) {
        seats.into_iter().for_each(|seat| self.leave(seat, false));
    }

    /// From now on the connection stays with this client.
    pub fn pin(&mut self, seat: &mut Seat) {
        if self.pins.is_none() {
            self.pins = Some(seat.lease.node());
            seat.lease.detach();
        }
    }

    pub fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// What the server says on the connection that the client keeps, while nothing runs on it. Never, if
    /// there is none. Cancel-safe.
    pub async fn kept_frame(&mut self) -> Result<Frame, Fault> {
        match &mut self.pinned {
            Some(lease) => lease.next_frame().await,
            None => std::future::pending().await,
        }
    }

    /// DISCARD ALL and the like have cleared the state that made the session keep its connection.
    pub fn unpin(&mut self) {
        self.pins = None;
        self.pinned = None;
    }

    /// Lets everything go: the client has left.
    pub fn abandon(&mut self) {
        self.txn = Txn::Idle;
        self.unpin();
    }

    /// After an acknowledged commit.
    pub(super) fn note_write(&mut self, node: NodeId) {
        let now = Instant::now();
        match self.wrote_at.iter_mut().find(|(n, _)| *n == node) {
            Some((_, at)) => *at = now,
            None => self.wrote_at.push((node, now)),
        }
    }

    pub(super) fn new_block(&self, modes: TxnModes, begin: Box<str>, implicit: bool) -> Block {
        Block::new(modes, begin, implicit, Arc::clone(&self.settings), now_us())
    }

    /// The open transaction's `now()`.
    pub fn now_us(&self) -> Option<i64> {
        self.txn.block().map(|block| block.now_us)
    }

    /// The transaction reads as of one moment, which may be before it has a lock.
    pub fn has_snapshot(&self) -> bool {
        let block = self.txn.block();
        block.is_some_and(|block| block.isolation(&self.settings) != Isolation::ReadCommitted)
    }

    /// The settings as the next statement finds them, SET LOCAL included.
    pub fn effective_settings(&self) -> &Arc<Settings> {
        let local = self.txn.block().and_then(|block| block.local.as_ref());
        local.unwrap_or(&self.settings)
    }

    /// Microseconds since 2000-01-01 UTC.
    pub fn clock_us(&self) -> i64 {
        now_us()
    }

    /// The transaction (or the session's default) is READ ONLY.
    pub fn is_read_only(&self) -> bool {
        self.block_read_only().unwrap_or_else(|| self.default_read_only())
    }

    /// What the open transaction says itself.
    pub fn block_read_only(&self) -> Option<bool> {
        self.txn.block().and_then(|block| block.modes.read_only)
    }

    /// By the session's settings.
    pub fn default_read_only(&self) -> bool {
        let value = self.settings.get("default_transaction_read_only");
        matches!(
            value
                .unwrap_or_default()
                .trim_matches('\'')
                .to_ascii_lowercase()
                .as_str(),
            "on" | "true" | "yes" | "1"
        )
    }

    /// Back to the pool, or to the client that it is pinned to.
    pub(super) fn release(&mut self, mut lease: Lease) {
        self.notified.append(&mut lease.notifications);
        let kept = self.pins == Some(lease.node()) && lease.server().role() != crate::backend::Role::Replica;
        if kept && self.pinned.is_none() {
            if lease.is_broken() {
                self.pins = None;
            } else {
                self.pinned = Some(lease);
            }
        }
    }

    fn branch_index(&self, node: NodeId, role: Role) -> Option<usize> {
        let branches = &self.txn.block()?.branches;
        // What may write needs the primary even where a read has opened a replica.
        let fits = |b: &&Branch| b.node == node && (b.primary || role == Role::Any);
        branches
            .iter()
            .position(|b| fits(&b) && b.primary)
            .or_else(|| branches.iter().position(|b| fits(&b)))
    }

    /// Reads may go to a replica: outside of a transaction, or in a READ ONLY one whose statements
    /// needn't share a snapshot.
    fn replica_allowed(&self) -> bool {
        match self.txn.block() {
            None => true,
            Some(block) => self.is_read_only() && block.isolation(&self.settings) == Isolation::ReadCommitted,
        }
    }

    fn want(&self, node: NodeId, replica_will_do: bool) -> Want<'_> {
        if !replica_will_do {
            return Want::Primary;
        }
        let after = self.wrote_at.iter().find(|(n, _)| *n == node).map(|(_, at)| *at);
        Want::Read {
            policy: &self.database.reads,
            after,
        }
    }

    fn lease_now(&mut self, node: NodeId, replica_will_do: bool) -> Result<Now, Fault> {
        if let Some(lease) = self.pinned.take_if(|lease| lease.node() == node) {
            return Ok(Now::Lease(lease));
        }
        let want = self.want(node, replica_will_do);
        self.fleet.checkout_now(node, &want, Instant::now())
    }

    /// Nothing is to be prepared, or queued at most.
    fn prepare_now(&self, lease: &mut Lease) -> Option<usize> {
        match self.txn.block() {
            None => bring_now(lease, &self.settings),
            Some(_) => None,
        }
    }

    /// Queues settings, and in a transaction its opening.
    async fn prepare(&self, lease: &mut Lease) -> Result<usize, Failure> {
        let Some(block) = self.txn.block() else {
            return bring(lease, &self.settings).await;
        };
        let mut quiet = bring(lease, &block.before).await?;
        frontend::query(lease.write_buf(), block.opening().as_bytes());
        quiet += 1;
        Ok(quiet)
    }

    fn add_branch(&mut self, lease: &Lease, replica_will_do: bool) -> Option<usize> {
        let pinned = self.pins == Some(lease.node());
        let primary = !replica_will_do || pinned || lease.server().role() != crate::backend::Role::Replica;
        let block = self.txn.block_mut()?;
        block.branches.push(Branch {
            lease: None,
            node: lease.node(),
            primary,
            wrote: false,
        });
        Some(block.branches.len() - 1)
    }

    /// `take_snapshot` has something to do, or to refuse.
    pub fn needs_snapshot(&self) -> bool {
        self.snapshot_isolation().is_some()
    }

    /// The isolation of an open transaction whose statements, on whatever nodes, share one snapshot that
    /// isn't taken yet.
    fn snapshot_isolation(&self) -> Option<Isolation> {
        let isolation = match &self.txn {
            Txn::Open(block) if !block.snapshot_taken => block.isolation(&self.settings),
            Txn::Idle | Txn::Open(_) | Txn::Failed(_) => return None,
        };
        (self.nodes.len() > 1 && isolation != Isolation::ReadCommitted).then_some(isolation)
    }

    /// REPEATABLE READ over several nodes: all of them take their snapshot now, at once.
    pub async fn take_snapshot(&mut self) -> Result<(), Failure> {
        let Some(isolation) = self.snapshot_isolation() else {
            return Ok(());
        };
        if isolation == Isolation::Serializable {
            return Err(Failure::Margay(super::commands::serializable(
                &self.database.name,
            )));
        }
        let nodes = self.nodes.clone();
        let mut seats = self.seats(&nodes, Role::Primary).await?;
        let takes = seats.iter_mut().map(|seat| async {
            // Returns nothing, but needs a snapshot.
            frontend::query(seat.lease.write_buf(), b"SELECT 1 WHERE false");
            let result = quiet_answers(&mut seat.lease).await;
            seat.quiet = 0;
            result
        });
        let outcomes = futures_util::future::join_all(takes).await;
        self.leave_all(seats);
        if let Some(block) = self.txn.block_mut() {
            block.snapshot_taken = true;
        }
        outcomes.into_iter().collect()
    }

    pub(super) fn note_news(&mut self, lease: &Lease) {
        if !lease.is_broken() {
            self.news = lease
                .parameters()
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
        }
    }

    pub(super) fn note_news_of_a_branch(&mut self) {
        let lease = self
            .txn
            .block()
            .and_then(|b| b.branches.iter().find_map(|branch| branch.lease.as_ref()));
        if let Some(lease) = lease {
            self.news = lease
                .parameters()
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
        }
    }

    /// Tells the client what the end of a transaction changed.
    pub fn tell_news(&mut self, statuses: &mut Statuses, out: &mut BytesMut) {
        for (name, value) in self.news.drain(..) {
            statuses.report_pair(&name, &value, out);
        }
        for frame in self.notified.drain(..) {
            out.extend_from_slice(&frame.bytes);
        }
    }

    /// Runs SQL of Margay's own on the connection that a statement on `node` would get.
    pub async fn run_quietly(&mut self, node: NodeId, sql: &str) -> Result<(), Failure> {
        let mut seat = self.seat(node, Role::Primary).await?;
        frontend::query(seat.lease.write_buf(), sql.as_bytes());
        let result = quiet_answers(&mut seat.lease).await;
        self.leave(seat, false);
        result
    }

    /// DEALLOCATE ALL on the connection that the session keeps, if it has one.
    pub async fn forget_prepared(&mut self) -> Result<(), Failure> {
        if self.pins.is_none() {
            return Ok(());
        }
        let mut seat = self.seat(self.database.anywhere, Role::Primary).await?;
        frontend::query(seat.lease.write_buf(), b"DEALLOCATE ALL");
        let result = quiet_answers(&mut seat.lease).await;
        seat.lease.forget_all_prepared();
        self.leave(seat, false);
        result
    }

    /// Logs what a branch opened later must be told.
    pub(super) fn log(&mut self, entry: Logged) {
        if let Some(block) = self.txn.block_mut() {
            block.log.push(entry);
        }
    }
}

/// Reads and drops all answers owed; the first error is the result.
pub(super) async fn quiet_answers(lease: &mut Lease) -> Result<(), Failure> {
    let mut failure = None;
    while lease.pending_syncs() > 0 || !lease.write_buf().is_empty() {
        let frame = match lease.next_frame().await {
            Ok(frame) => frame,
            Err(fault) => return Err(failure.unwrap_or(Failure::Margay(fault))),
        };
        if frame.tag == b'A' {
            lease.notifications.push(frame.clone());
        }
        if frame.tag == b'E' {
            failure.get_or_insert(Failure::Server(frame));
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Microseconds since 2000-01-01 00:00:00 UTC.
fn now_us() -> i64 {
    const EPOCH_2000: i64 = 946_684_800_000_000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros())
        .unwrap_or(i64::MAX)
        .saturating_sub(EPOCH_2000)
}

//! One client's session: its state, the loop over its messages, and the end of each of them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::fatal;
use super::inlet::Inlet;
use super::statements::Extended;
use super::view::{Hints, view};
use super::watch::watched;
use super::welcome::Newcomer;
use crate::backend::Settings;
use crate::model::{Code, Fault};
use crate::pipeline::{
    self, Client, CopyFeed, Failure, Hold, Outlet, Statuses, Task, Tier, Txn, copy_channel,
};
use crate::plan::{LogicalNames, Role, SessionView};
use crate::session::listener::Shutdown;
use crate::session::registry::{Activity, Entry, Work};
use crate::session::shared::Shared;
use crate::topology::Snapshot;
use crate::wire::postgres::backend::{self, TxStatus};
use crate::wire::postgres::frame::Frame;

/// The client's side for `pipeline`, next to a borrow of the session's `hold`.
macro_rules! client {
    ($session:expr) => {
        &mut Client {
            out: &mut $session.out,
            statuses: &mut $session.statuses,
            copy: $session
                .feed
                .as_mut()
                .expect("the feed is made before the first message"),
        }
    };
}
pub(super) struct Session {
    pub shared: Shared,
    pub snapshot: Arc<Snapshot>,
    pub hold: Hold,
    pub out: Outlet,
    pub statuses: Statuses,
    pub feed: Option<CopyFeed>,
    /// What RESET goes back to.
    pub startup: Arc<Settings>,
    pub hints: Hints,
    pub extended: Extended,
    pub entry: Entry,
    /// Servers that answered the previous statement.
    pub previous_servers: Vec<Arc<str>>,
    /// Schema was changed in a transaction that isn't committed yet, or just was.
    pub catalog_changed: bool,
    /// When the present message or batch began.
    pub begun: Instant,
    view: Option<Viewed>,
    /// Functions and views that the open transaction makes.
    pub(super) made: Vec<Box<str>>,
    _seat: OwnedSemaphorePermit,
}

/// A view with what it was computed from.
struct Viewed {
    view: Arc<SessionView>,
    settings: Arc<Settings>,
    statuses: u64,
    read_only: bool,
    /// By these settings.
    default_read_only: bool,
    made: Instant,
}

/// A view holds the time that DDL on time shards is planned with: it is renewed at least so often.
const VIEW_LIVES: Duration = Duration::from_secs(60);

/// What to do after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Leave,
}

/// What a session was waiting for.
enum Waited {
    More,
    /// By the server whose connection the client keeps.
    Told(Result<Frame, Fault>),
    Left,
    Stopped,
}

/// Messages of the extended protocol that wait for their Sync or Flush.
fn is_collected(tag: u8) -> bool {
    matches!(tag, b'P' | b'B' | b'D' | b'E' | b'C')
}

impl Session {
    pub fn new(newcomer: Newcomer, shared: Shared, out: Outlet) -> Self {
        let Newcomer {
            snapshot,
            hold,
            statuses,
            startup,
            entry,
            seat,
        } = newcomer;
        Self {
            shared,
            snapshot,
            hold,
            out,
            statuses,
            feed: None,
            startup,
            hints: Hints::default(),
            extended: Extended::default(),
            entry,
            previous_servers: Vec::new(),
            catalog_changed: false,
            begun: Instant::now(),
            view: None,
            made: Vec::new(),
            _seat: seat,
        }
    }

    /// Serves the client until it leaves.
    pub async fn run(mut self: Box<Self>, mut inlet: Inlet, stop: Shutdown) {
        let ids = Arc::clone(&self.shared.ids);
        let (copy, feed) = copy_channel(ids, &self.hold.database.name);
        self.feed = Some(feed);
        let using = Arc::clone(&self.hold.using);
        let mut begun = pin!(stop.begun());
        // From here on this task is woken when the shutdown begins; asking the flag is enough then.
        poll_fn(|cx| {
            let _ = begun.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        loop {
            // What was read for a COPY that ended early comes first.
            let leftover = self.feed.as_mut().and_then(|feed| feed.leftover.pop_front());
            let next = leftover.map_or_else(|| inlet.buffered(), |frame| Ok(Some(frame)));
            let frame = match next {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    let idle = matches!(self.hold.txn, Txn::Idle) && self.extended.is_idle();
                    match self.wait(&mut inlet, idle, &stop).await {
                        Waited::More => continue,
                        Waited::Told(told) => {
                            if self.told_between(told).await {
                                continue;
                            }
                            break;
                        }
                        Waited::Left => break,
                        Waited::Stopped => {
                            let fault = Fault::new(
                                Code::SHUTDOWN,
                                "terminating connection due to administrator command",
                            );
                            fatal(&mut self.out, &fault);
                            break;
                        }
                    }
                }
                Err(error) => {
                    fatal(&mut self.out, &error.into());
                    break;
                }
            };
            if is_collected(frame.tag) && self.extended.has_room(&frame) {
                self.extended.collect(frame);
                continue;
            }
            let next = {
                // Built where it stays: it is too large to be moved for each message.
                let work = pin!(self.message(frame));
                watched(work, &mut inlet, &using, &copy).await
            };
            if next == Next::Leave || self.out.is_gone() {
                break;
            }
        }
        self.hold.rollback().await;
        self.hold.abandon();
        self.out.close().await;
    }

    /// Waits for more of the client, for what its own server says, or for a shutdown while it is idle.
    async fn wait(&mut self, inlet: &mut Inlet, idle: bool, stop: &Shutdown) -> Waited {
        let mut told = pin!(self.hold.kept_frame());
        poll_fn(|cx| {
            match inlet.poll_more(cx) {
                Poll::Ready(true) => return Poll::Ready(Waited::More),
                Poll::Ready(false) => return Poll::Ready(Waited::Left),
                Poll::Pending => {}
            }
            if let Poll::Ready(told) = told.as_mut().poll(cx) {
                return Poll::Ready(Waited::Told(told));
            }
            if idle && stop.is_begun() {
                return Poll::Ready(Waited::Stopped);
            }
            Poll::Pending
        })
        .await
    }

    async fn message(&mut self, frame: Frame) -> Next {
        match frame.tag {
            b'Q' => self.simple(frame).await,
            tag if is_collected(tag) => {
                self.extended.collect(frame);
                if self.extended.is_full() {
                    Box::pin(self.flush_batch()).await;
                }
            }
            b'H' => Box::pin(self.flush_batch()).await,
            b'S' => self.sync().await,
            b'X' => return Next::Leave,
            // What is left of a COPY that has failed.
            b'd' | b'c' | b'f' => {}
            b'F' => {
                self.begin_message();
                if let Err(failure) = Box::pin(self.function_call(&frame)).await {
                    Box::pin(self.failed(failure)).await;
                }
                self.ready().await;
            }
            tag => {
                let fault = Fault::new(Code::PROTOCOL, format!("invalid frontend message type {tag}"));
                fatal(&mut self.out, &fault);
                return Next::Leave;
            }
        }
        Next::GoOn
    }

    /// What a server says between statements: notifications, mostly. False: it has gone, and with it what
    /// the client keeps there.
    async fn told_between(&mut self, told: Result<Frame, Fault>) -> bool {
        match told {
            Ok(frame) => {
                match frame.tag {
                    b'A' | b'N' => self.out.buf().extend_from_slice(&frame.bytes),
                    b'S' => self.statuses.report(frame.body(), self.out.buf()),
                    b'E' => {
                        Failure::Server(frame).write_fatal(self.out.buf());
                        return false;
                    }
                    _ => {}
                }
                self.out.flush().await;
                true
            }
            Err(fault) => {
                fatal(&mut self.out, &fault);
                false
            }
        }
    }

    /// The function call protocol: for the server that serves the whole database.
    async fn function_call(&mut self, frame: &Frame) -> Result<(), Failure> {
        if matches!(self.hold.txn, Txn::Failed(_)) {
            return Err(pipeline::aborted());
        }
        let &[node] = self.hold.nodes() else {
            let fault = Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                "the function call protocol isn't supported on a database of several nodes",
            );
            return Err(fault.hint("write SELECT function(…)").into());
        };
        let task = Task {
            node,
            role: Role::Primary,
            writes: true,
            pins: false,
        };
        pipeline::simple(&mut self.hold, task, &frame.bytes, client!(self)).await?;
        Ok(())
    }

    /// The beginning of a message or batch that may run statements.
    pub fn begin_message(&mut self) {
        self.begun = Instant::now();
        self.hold.using.clear();
        self.hold.using.forget_request();
        self.entry.client.set_activity(Activity::Active);
        if matches!(self.hold.txn, Txn::Idle) {
            self.renew_rules();
        }
    }

    /// Between transactions the session takes over what the rules and the catalog have become.
    fn renew_rules(&mut self) {
        let newest = self.shared.snapshot.load();
        if Arc::ptr_eq(&newest, &self.snapshot) {
            return;
        }
        if let Some(database) = newest.database(&self.hold.database.name) {
            let login = newest
                .user(&self.entry.client.user)
                .and_then(|user| user.login.clone());
            self.hold
                .renew(self.shared.fleet.of_login(login), Arc::clone(database));
            self.snapshot = Arc::clone(&newest);
            self.view = None;
        }
    }

    pub fn view(&mut self) -> Arc<SessionView> {
        if let Some(viewed) = &self.view {
            let fresh = Arc::ptr_eq(&viewed.settings, self.hold.effective_settings())
                && viewed.statuses == self.statuses.changes
                && viewed.read_only == self.hold.block_read_only().unwrap_or(viewed.default_read_only)
                && self.begun.saturating_duration_since(viewed.made) < VIEW_LIVES;
            if fresh {
                return Arc::clone(&viewed.view);
            }
        }
        let read_only = self.hold.is_read_only();
        let database = &self.hold.database;
        let node = self.snapshot.nodes.get(database.anywhere.index());
        let own = node.and_then(|n| n.servers.first()).map(|server| &*server.user);
        let role = self.hold.fleet.role().or(own).unwrap_or_default();
        let mut view = view(
            self.snapshot.epoch,
            database,
            role,
            self.hold.effective_settings(),
            &self.statuses,
            &self.hints,
            read_only,
        );
        view.names = self.names();
        self.hold.text = view.text;
        let view = Arc::new(view);
        self.view = Some(Viewed {
            view: Arc::clone(&view),
            settings: Arc::clone(self.hold.effective_settings()),
            statuses: self.statuses.changes,
            read_only,
            default_read_only: self.hold.default_read_only(),
            made: self.begun,
        });
        view
    }

    /// The names that the client knows, where those of the servers are others. A role that the client
    /// has SET is the servers' own.
    fn names(&self) -> LogicalNames {
        let database = &self.hold.database;
        let nodes = self.hold.nodes().iter();
        let servers = nodes
            .filter_map(|n| self.snapshot.nodes.get(n.index()))
            .flat_map(|n| &n.servers);
        let (mut same_user, mut same_database) = (true, true);
        let user = &self.entry.client.user;
        let role = self.hold.fleet.role();
        for server in servers {
            same_user &= role.unwrap_or(&server.user) == &**user;
            same_database &= server.database == database.name;
        }
        let settings = self.hold.effective_settings();
        let set = |name: &str| settings.get(name).is_some();
        let own = (!same_user).then(|| Box::<str>::from(&**user));
        LogicalNames {
            current_user: own
                .clone()
                .filter(|_| !set("role") && !set("session_authorization")),
            session_user: own.filter(|_| !set("session_authorization")),
            database: (!same_database).then(|| database.name.clone()),
        }
    }

    /// Margay's own settings changed.
    pub fn forget_view(&mut self) {
        self.view = None;
    }

    /// An error: said to the client, and the transaction is failed.
    pub async fn failed(&mut self, failure: Failure) {
        failure.write(self.out.buf(), &self.hold.database);
        if self.hold.txn.block().is_some_and(|block| block.implicit) {
            self.hold.rollback().await;
            self.extended.end_portals();
        } else {
            Box::pin(self.hold.fail()).await;
        }
    }

    /// The end of a message or batch: ReadyForQuery with the right status.
    pub async fn ready(&mut self) {
        self.hold.using.settle().await;
        self.hold.using.clear();
        self.count_commits();
        let idle = matches!(self.hold.txn, Txn::Idle);
        if idle {
            self.made.clear();
        }
        if idle && self.catalog_changed {
            self.catalog_changed = false;
            if let Some(refresh) = self.shared.refresh.clone() {
                Box::pin(refresh.refresh(&self.hold.database.name)).await;
            }
        }
        self.hold.tell_news(&mut self.statuses, self.out.buf());
        let (status, activity) = match &self.hold.txn {
            Txn::Idle => (TxStatus::Idle, Activity::Idle),
            Txn::Open(_) => (TxStatus::InTxn, Activity::InTransaction),
            Txn::Failed(_) => (TxStatus::Failed, Activity::Failed),
        };
        self.entry.client.set_activity(activity);
        backend::ready_for_query(self.out.buf(), status);
        self.out.flush().await;
    }

    /// Notes a statement that was carried out.
    pub fn record(&mut self, sql: &str, tier: Tier, begun: Instant, result: &Result<u64, Failure>) {
        std::mem::swap(&mut self.previous_servers, &mut self.hold.answered);
        self.hold.answered.clear();
        let servers = &self.previous_servers;
        let work = Work {
            servers,
            tier,
            replica: servers.iter().any(|s| is_replica(s)),
            begun,
            ended: Instant::now(),
            rows: result.as_ref().copied().unwrap_or(0),
            error: result.as_ref().err().map(Failure::code_name),
            sql,
        };
        self.shared.registry.record(&self.entry.client, &work);
    }
}

/// By a server's label: `n_user/primary`, `n_user/replica0`.
fn is_replica(label: &str) -> bool {
    label
        .rsplit_once('/')
        .is_some_and(|(_, server)| server.starts_with("replica"))
}

pub(super) use client;

/// `Client` must be in scope where the macro is used; this keeps the import in one place.
pub(super) type PipelineClient<'c> = Client<'c>;

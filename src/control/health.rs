//! Watches every server: its role, its position in the write-ahead log, whether it answers at
//! all. Feeds the Fleet, which decides with it who takes a statement.
//!
//! Sessions rely on one thing here (docs/operating.md, *Reads after writes*): a primary's sample
//! carries the instant *before* its question was sent. A replica that has replayed a sample begun
//! after a commit was acknowledged has replayed that commit.
//!
//! Must not move or promote anything: who is primary is the servers' business.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::backend::NodeState;
use crate::model::{NodeId, ServerId};
use crate::topology::Server;

use super::connect::{Link, LinkError};
use super::lsn;
use super::notes;
use super::problems::Watch;
use super::shared::{Shared, postgres_nodes};

/// The longest time between two samples. A session that wrote reads from the primary until a
/// replica has replayed a sample begun after its commit, so this bounds how long that takes.
const SAMPLE_AT_LEAST_EVERY: Duration = Duration::from_millis(100);
/// A server that is down is tried again after this, twice as much after each failure …
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// … up to this, unless `health_interval` is longer.
const RETRY_LAST: Duration = Duration::from_secs(2);

/// A server that leaves so many questions in a row unanswered, the last of them on a new connection, is held to
/// be frozen: who waits for an answer of it is told that it is lost.
const CUT_AFTER: u32 = 2;

/// One question for all: role, position and timeline. The timeline that a replica receives is
/// shown only to members of pg_read_all_stats, and only while it receives.
const SAMPLE: &str = "SELECT pg_is_in_recovery(), \
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, \
     CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli::text FROM pg_stat_wal_receiver) \
          ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END";

const SIZES: &str = "SELECT (SELECT setting FROM pg_settings WHERE name = 'wal_block_size'), \
     (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')";

/// Servers with different identifiers are not copies of each other.
const IDENTITY: &str = "SELECT system_identifier FROM pg_control_system()";

/// A server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    Primary { lsn: u64, timeline: u32 },
    Replica { lsn: u64, timeline: Option<u32> },
}

/// What the tasks of one node's servers tell each other.
#[derive(Debug, Default)]
struct NodeView {
    /// Servers that say that they are the primary, and on which timeline.
    primaries: BTreeMap<ServerId, u32>,
    /// pg_control's system identifier, where it may be asked for.
    identities: BTreeMap<ServerId, String>,
    /// The newest timeline ever seen, by system identifier.
    newest: BTreeMap<Option<String>, u32>,
}

impl NodeView {
    fn says_primary(&mut self, server: ServerId, timeline: u32) {
        self.primaries.insert(server, timeline);
        let newest = self
            .newest
            .entry(self.identities.get(&server).cloned())
            .or_default();
        *newest = timeline.max(*newest);
    }

    /// Promotion starts a new timeline, so of several primaries the one on the newest is the true
    /// one. An old primary stays refused when the new one goes down: what was written since the
    /// promotion isn't on it.
    fn true_primary(&self) -> Option<ServerId> {
        let is_newest = |(id, timeline): &(&ServerId, &u32)| {
            self.newest
                .get(&self.identities.get(id).cloned())
                .is_none_or(|newest| newest == *timeline)
        };
        self.primaries
            .iter()
            .filter(is_newest)
            .max_by_key(|(id, timeline)| (**timeline, std::cmp::Reverse(**id)))
            .map(|(id, _)| *id)
    }

    /// Whether a replica follows a timeline on which another server was promoted: positions there
    /// say nothing about what it has of the new primary's.
    fn is_left_behind(&self, server: ServerId, timeline: u32) -> bool {
        self.newest
            .get(&self.identities.get(&server).cloned())
            .is_some_and(|newest| timeline < *newest)
    }

    /// Whether `server` is known not to be a copy of the server that is primary.
    fn is_foreign(&self, server: ServerId) -> bool {
        let primary = self.true_primary().and_then(|id| self.identities.get(&id));
        match (primary, self.identities.get(&server)) {
            (Some(primary), Some(own)) => primary != own,
            _ => false,
        }
    }
}

/// Watches the servers of the present Snapshot until dropped.
pub struct Watching {
    _tasks: JoinSet<()>,
}

/// Starts a task per server. After a reload of the rules call it again and drop the earlier one.
pub fn watch(shared: &Arc<Shared>) -> Watching {
    let snapshot = shared.snapshot();
    let mut tasks = JoinSet::new();
    for node in postgres_nodes(&snapshot) {
        let Ok(state) = shared.fleet.node(node.id) else {
            continue;
        };
        let view = Arc::new(Mutex::new(NodeView::default()));
        for (index, server) in node.servers.iter().enumerate() {
            let watcher = Watcher {
                shared: shared.clone(),
                node: state.clone(),
                id: ServerId(index as u16),
                server: server.clone(),
                rules_node: node.id,
                label: format!("{}/{}", node.name, server_name(index)),
                view: view.clone(),
                timeout: snapshot.limits.health_timeout,
                every: snapshot.limits.health_interval.min(SAMPLE_AT_LEAST_EVERY),
                retry_last: snapshot.limits.health_interval.max(RETRY_LAST),
                last: None,
            };
            let (made, shell) = (
                shared.made.subscribe(),
                node.shell_of.is_some().then(|| node.name.clone()),
            );
            tasks.spawn(async move {
                // Before that there is nothing to look at.
                let mut made = made;
                if let Some(shell) = shell
                    && made.wait_for(|made| made.contains(&shell)).await.is_err()
                {
                    return;
                }
                watcher.run().await;
            });
        }
    }
    Watching { _tasks: tasks }
}

/// What a server is called beside its node's name: its place in the rules, whatever its role is now.
pub fn server_name(index: usize) -> String {
    match index.checked_sub(1) {
        None => "primary".to_owned(),
        Some(replica) => format!("replica{replica}"),
    }
}

/// What a server was found to be last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Primary,
    Replica,
    Down,
}

struct Watcher {
    shared: Arc<Shared>,
    node: Arc<NodeState>,
    id: ServerId,
    server: Arc<Server>,
    rules_node: NodeId,
    label: String,
    view: Arc<Mutex<NodeView>>,
    timeout: Duration,
    every: Duration,
    retry_last: Duration,
    last: Option<Found>,
}

impl Watcher {
    async fn run(mut self) {
        let mut retry = RETRY_FIRST;
        let mut silent = 0_u32;
        loop {
            let began = Instant::now();
            let error = self.until_it_fails().await;
            self.down(&error.to_string());
            silent = match error {
                // The first may be due to a crowded machine; a connection that breaks says so itself.
                LinkError::Timeout(_) => silent + 1,
                LinkError::Postgres(_) | LinkError::NoPrimary(_) | LinkError::Answer(_) => 0,
            };
            if silent == CUT_AFTER {
                self.node.cut(self.id, "it has fallen silent");
            }
            // It had been up for a while: the first new try comes soon.
            if began.elapsed() > self.retry_last {
                retry = RETRY_FIRST;
            }
            sleep(retry).await;
            retry = (retry * 2).min(self.retry_last);
        }
    }

    /// Connects and takes samples for as long as the server answers.
    async fn until_it_fails(&mut self) -> LinkError {
        match self.sample_forever().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn sample_forever(&mut self) -> Result<std::convert::Infallible, LinkError> {
        let mut link = Link::open(&self.server, self.timeout).await?;
        match link.ask_one(IDENTITY).await {
            Ok(identity) => self.note_identity(identity),
            // Someone revoked the right to ask. The rest can be asked all the same.
            Err(error) if error.sqlstate() == Some("42501") => {
                link = Link::open(&self.server, self.timeout).await?;
            }
            Err(error) => return Err(error),
        }
        // A server whose rows lie otherwise than the rules say must not answer for them even once.
        match notes::before_up(&self.shared, self.rules_node, &mut link).await {
            Ok(()) => {}
            // A right is missing: whoever writes notes reports it.
            Err(error) if error.sqlstate().is_some() => {
                link = Link::open(&self.server, self.timeout).await?;
            }
            Err(error) => return Err(error),
        }
        let sizes = link.ask(SIZES).await?;
        let size = |at: usize| {
            let row = sizes.first().and_then(|rows| rows.first())?;
            row.try_get(at).ok().flatten()?.parse::<u64>().ok()
        };
        let (block, segment) = (size(0).unwrap_or(0), size(1).unwrap_or(0));
        let mut tick = interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let begun_at = Instant::now();
            match ask_sample(&mut link).await? {
                Sample::Primary { lsn, timeline } => {
                    self.primary(begun_at, lsn::end_of_log(lsn, block, segment), timeline);
                }
                Sample::Replica { lsn, timeline } => self.replica(lsn, timeline),
            }
        }
    }

    fn primary(&mut self, begun_at: Instant, lsn: u64, timeline: u32) {
        let (truth, stale) = {
            let mut view = self.view.lock().expect("no code panics while it holds this lock");
            view.says_primary(self.id, timeline);
            let truth = view.true_primary();
            let stale: Vec<ServerId> = view
                .primaries
                .keys()
                .copied()
                .filter(|id| truth != Some(*id))
                .collect();
            (truth, stale)
        };
        let why = "says that it is the primary, but another server was promoted after it";
        if truth != Some(self.id) {
            self.node.depose(self.id, why);
            return self.down(why);
        }
        // They hear of it at their next sample; clients must not reach them until then.
        stale.into_iter().for_each(|id| self.node.depose(id, why));
        self.node.record_primary_sample(self.id, begun_at, lsn);
        self.up(Found::Primary);
    }

    fn replica(&mut self, lsn: u64, timeline: Option<u32>) {
        let (foreign, left_behind) = {
            let mut view = self.view.lock().expect("no code panics while it holds this lock");
            view.primaries.remove(&self.id);
            (
                view.is_foreign(self.id),
                timeline.is_some_and(|timeline| view.is_left_behind(self.id, timeline)),
            )
        };
        if foreign {
            return self.down("is a replica of another server than this node's primary");
        }
        if left_behind {
            return self.down("is a replica of a server that is no longer the primary");
        }
        self.node.record_replica(self.id, lsn);
        self.up(Found::Replica);
    }

    fn note_identity(&self, identity: Option<String>) {
        let mut view = self.view.lock().expect("no code panics while it holds this lock");
        match identity {
            Some(identity) => drop(view.identities.insert(self.id, identity)),
            None => drop(view.identities.remove(&self.id)),
        }
    }

    fn up(&mut self, role: Found) {
        if self.last != Some(role) {
            self.last = Some(role);
            self.shared.problems.settle(Watch::Health, &self.label);
        }
    }

    fn down(&mut self, why: &str) {
        self.view
            .lock()
            .expect("no code panics while it holds this lock")
            .primaries
            .remove(&self.id);
        self.node.mark_down(self.id, why);
        self.last = Some(Found::Down);
        self.shared.problems.raise(Watch::Health, &self.label, why);
    }
}

async fn ask_sample(link: &mut Link) -> Result<Sample, LinkError> {
    let sets = link.ask(SAMPLE).await?;
    let row = sets.first().and_then(|rows| rows.first());
    let column = |at: usize| row.and_then(|row| row.try_get(at).ok().flatten());
    let sample = match column(0) {
        Some("t") => {
            // NULL before the first record is replayed.
            let lsn = column(1).map_or(Some(0), lsn::parse).unwrap_or(0);
            Some(Sample::Replica {
                lsn,
                timeline: column(2).and_then(|text| text.parse().ok()),
            })
        }
        Some("f") => column(1)
            .and_then(lsn::parse)
            .zip(column(2).and_then(lsn::timeline))
            .map(|(lsn, timeline)| Sample::Primary { lsn, timeline }),
        _ => None,
    };
    sample.ok_or_else(|| LinkError::Answer("role and position could not be read".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_primaries_the_one_promoted_last_is_the_true_one() {
        let mut view = NodeView::default();
        assert_eq!(view.true_primary(), None);
        view.says_primary(ServerId(0), 1);
        assert_eq!(view.true_primary(), Some(ServerId(0)));
        view.says_primary(ServerId(1), 2);
        assert_eq!(view.true_primary(), Some(ServerId(1)));
        view.primaries.remove(&ServerId(1));
        assert_eq!(
            view.true_primary(),
            None,
            "the old one lacks what was written since"
        );
        view.says_primary(ServerId(0), 3);
        assert_eq!(view.true_primary(), Some(ServerId(0)));
    }

    #[test]
    fn replica_of_another_cluster_is_foreign() {
        let mut view = NodeView::default();
        view.primaries.insert(ServerId(0), 1);
        view.identities.insert(ServerId(1), "7".into());
        assert!(!view.is_foreign(ServerId(1)), "nothing is known of the primary");
        view.identities.insert(ServerId(0), "7".into());
        assert!(!view.is_foreign(ServerId(1)));
        view.identities.insert(ServerId(1), "8".into());
        assert!(view.is_foreign(ServerId(1)));
    }
}

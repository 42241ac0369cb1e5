//! Takes new rules into force while the proxy runs: read, check, give the Fleet its servers, swap
//! the Snapshot; or keep the old ones and say everything that is wrong with the new. Must not
//! close a client's connection.

use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::model::{Code, Fault};
use crate::topology::{Database, Snapshot};

use super::bootstrap;
use super::health;
use super::ids::{self, Ids};
use super::notes::{self, Misplaced};
use super::placement;
use super::problems::Watch;
use super::refresh::Refresher;
use super::shared::Shared;

/// Reads and checks the rules from where the proxy was told to at its start. An error has a line
/// per problem, with file, line and column.
pub type LoadRules = Arc<dyn Fn() -> Result<Snapshot, Vec<String>> + Send + Sync>;

/// The subject of the problem when the rules on disk can't be used.
const SUBJECT: &str = "rules";

/// Tasks that follow the nodes and databases of one version of the rules.
struct Following {
    _watching: health::Watching,
    preparing: JoinSet<()>,
    _leasing: ids::Leasing,
}

pub struct Reloader {
    shared: Arc<Shared>,
    refresher: Arc<Refresher>,
    ids: Arc<Ids>,
    load: LoadRules,
    following: Mutex<Option<Following>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Reloader {
    pub fn new(
        shared: Arc<Shared>,
        refresher: Arc<Refresher>,
        ids: Arc<Ids>,
        load: LoadRules,
    ) -> Arc<Reloader> {
        Arc::new(Reloader {
            shared,
            refresher,
            ids,
            load,
            following: Mutex::new(None),
            one_at_a_time: tokio::sync::Mutex::new(()),
        })
    }

    /// Starts (anew) what follows the present Snapshot's nodes and databases.
    pub fn follow(&self) {
        let following = Following {
            _watching: health::watch(&self.shared),
            preparing: bootstrap::prepare_all(&self.shared),
            _leasing: ids::keep_leases(&self.shared, &self.ids),
        };
        *self
            .following
            .lock()
            .expect("no code panics while it holds this lock") = Some(following);
    }

    /// Whether schema margay is prepared on every node.
    pub fn is_prepared(&self) -> bool {
        let mut following = self
            .following
            .lock()
            .expect("no code panics while it holds this lock");
        let Some(following) = following.as_mut() else {
            return true;
        };
        while following.preparing.try_join_next().is_some() {}
        following.preparing.is_empty()
    }

    /// Ends what `follow` started.
    pub fn stop(&self) {
        *self
            .following
            .lock()
            .expect("no code panics while it holds this lock") = None;
    }

    /// Reads the rules again. An error: nothing changed, and its detail lists every problem.
    pub async fn reload(&self) -> Result<(), Fault> {
        let _turn = self.one_at_a_time.lock().await;
        let load = self.load.clone();
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let fresh = match loaded {
            Ok(Ok(fresh)) => fresh,
            Ok(Err(problems)) => return Err(self.refuse(problems.join("\n"))),
            Err(_) => return Err(self.refuse("reading the rules panicked".to_owned())),
        };
        let conflicts = notes::conflicts(&self.shared, &fresh).await;
        if !conflicts.is_empty() {
            return Err(self.refuse_moving(&conflicts));
        }
        if let Err(fault) = self.shared.fleet.apply(&fresh) {
            return Err(self.refuse(fault.to_string()));
        }
        self.warn_of_restart(&fresh);
        self.shared
            .snapshots
            .rcu(|current| Arc::new(succeed(current, &fresh)));
        self.shared.problems.start_over();
        tracing::info!(epoch = self.shared.snapshot().epoch, "new rules are in force");
        self.follow();
        self.refresher.reload_all().await;
        Ok(())
    }

    fn refuse(&self, problems: String) -> Fault {
        self.shared
            .problems
            .raise(Watch::Rules, SUBJECT, problems.clone());
        Fault::new(
            Code::RULES,
            "the new rules can't be used; the old ones stay in force",
        )
        .detail(problems)
    }

    /// New rules that would leave tables unserved, which the present ones serve.
    fn refuse_moving(&self, conflicts: &[Misplaced]) -> Fault {
        let lines = conflicts.iter().map(|m| {
            format!(
                "{}: {}; to settle it there once its rows are where the rules want them: {}",
                m.table, m.why, m.settle
            )
        });
        let lines = lines.collect::<Vec<_>>().join("\n");
        let code = Code::PLACEMENT_MISMATCH;
        self.shared
            .problems
            .raise(Watch::Rules, SUBJECT, format!("{}: {lines}", code.name));
        Fault::new(
            code,
            "the new rules place tables otherwise than when they were filled; the old ones stay in force",
        )
        .detail(lines)
        .hint("Bring the rules back to what they were. If you have moved the rows, type on each node what DETAIL says, then RELOAD.")
    }

    fn warn_of_restart(&self, fresh: &Snapshot) {
        let (old, new) = (&self.shared.snapshot().listen, &fresh.listen);
        if (old.postgres, old.mysql, old.http) != (new.postgres, new.mysql, new.http) {
            tracing::warn!("`listen` changed: it takes effect when the proxy is restarted");
        }
    }
}

/// New rules with the catalogs that are known of databases of the same name, until they are read anew.
fn succeed(current: &Snapshot, fresh: &Snapshot) -> Snapshot {
    let databases = fresh
        .databases
        .iter()
        .map(|database| match current.database(&database.name) {
            Some(known) if known.engine == database.engine => {
                let mut catalog = (*known.catalog).clone();
                catalog.epoch += 1;
                catalog
                    .misplaced
                    .extend(placement::moved(current, fresh, &database.name));
                Arc::new(Database {
                    catalog: Arc::new(catalog),
                    ..(**database).clone()
                })
            }
            Some(_) | None => database.clone(),
        });
    Snapshot {
        epoch: current.epoch + 1,
        databases: databases.collect(),
        ..fresh.clone()
    }
}

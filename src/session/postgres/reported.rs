//! What servers report (ParameterStatus) under a login's settings. It is kept, so that a login needs no server's
//! connection: where all are in use, clients still come in. What a session is told here may be out of date by
//! some seconds; the first answer of a server puts it right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::backend::{Fleet, Settings, Want};
use crate::pipeline::{Failure, Statuses};
use crate::topology::{Database, Login};

/// Logins with settings of their own that are remembered.
const MANY: usize = 1024;
/// What is older is asked again, behind the client's back.
const FRESH: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    database: Arc<str>,
    user: Arc<str>,
    login: Option<Arc<Login>>,
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Kept {
    statuses: Arc<Statuses>,
    at: Instant,
}

pub(crate) struct Reported {
    kept: Cache<Key, Kept>,
}

impl Default for Reported {
    fn default() -> Self {
        let kept = Cache::new(MANY);
        Self { kept }
    }
}

impl Reported {
    /// What a client is told at its login. The first time a server judges the settings on the way.
    pub async fn of(
        self: &Arc<Self>,
        fleet: &Arc<Fleet>,
        login: Option<&Arc<Login>>,
        database: &Arc<Database>,
        settings: &Arc<Settings>,
        user: &str,
    ) -> Result<Statuses, Failure> {
        let key = Key {
            database: database.name.clone().into(),
            user: user.into(),
            login: login.cloned(),
            settings: Arc::clone(settings),
        };
        let Some(kept) = self.kept.get(&key) else {
            return Ok(Statuses::clone(&*self.ask(key, fleet, database).await?));
        };
        if kept.at.elapsed() > FRESH {
            // One asks, the others go on with what there is.
            let at = Instant::now();
            let statuses = Arc::clone(&kept.statuses);
            self.kept.insert(key.clone(), Kept { statuses, at });
            let (reported, fleet, database) = (Arc::clone(self), Arc::clone(fleet), Arc::clone(database));
            tokio::spawn(async move {
                // If it fails the next one asks, and this client's first statement says why.
                let _ = reported.ask(key, &fleet, &database).await;
            });
        }
        Ok(Statuses::clone(&kept.statuses))
    }

    async fn ask(&self, key: Key, fleet: &Fleet, database: &Database) -> Result<Arc<Statuses>, Failure> {
        let want = Want::Read {
            policy: &database.reads,
            after: None,
        };
        let mut lease = fleet.checkout(database.anywhere, &want).await?;
        lease.apply_settings(&key.settings).await?;
        let mut statuses = Statuses::default();
        for (name, value) in lease.parameters() {
            match name {
                b"in_hot_standby" => statuses.note(name, b"off"),
                b"session_authorization" => statuses.note(name, key.user.as_bytes()),
                _ => statuses.note(name, value),
            };
        }
        let statuses = Arc::new(statuses);
        let kept = Kept {
            statuses: Arc::clone(&statuses),
            at: Instant::now(),
        };
        self.kept.insert(key, kept);
        Ok(statuses)
    }
}

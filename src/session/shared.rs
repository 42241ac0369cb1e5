//! What every session is handed. Nothing here is global: `main` and the tests each build their own.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::postgres::{Reported, Verifiers};
use super::registry::Registry;
use crate::backend::Fleet;
use crate::model::admin::{SharedAdmin, SharedIds, SharedRefresh};
use crate::pipeline::Decisions;
use crate::plan::Planner;
use crate::topology::Snapshot;

/// Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub fleet: Arc<Fleet>,
    pub planner: Arc<Planner>,
    /// Ids for `generate: snowflake`.
    pub ids: SharedIds,
    /// Implements `model::admin::Sessions`.
    pub registry: Arc<Registry>,
    /// The admin console; None: there is none.
    pub admin: Option<SharedAdmin>,
    /// Reads the catalog anew after DDL; None: nobody does.
    pub refresh: Option<SharedRefresh>,
    pub decisions: Arc<Decisions>,
    /// Drawn once per process: hides from strangers which users exist.
    pub(super) login_secret: [u8; 32],
    pub(super) verifiers: Arc<Verifiers>,
    pub(super) reported: Arc<Reported>,
}

impl Shared {
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        fleet: Arc<Fleet>,
        planner: Arc<Planner>,
        ids: SharedIds,
    ) -> Self {
        Self {
            snapshot,
            fleet,
            planner,
            ids,
            registry: Arc::default(),
            admin: None,
            refresh: None,
            decisions: Arc::default(),
            login_secret: rand::random(),
            verifiers: Arc::default(),
            reported: Arc::default(),
        }
    }
}

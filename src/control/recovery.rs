//! Runs `execute::recovery` at the start and all the time: what a proxy that died left prepared
//! is committed or rolled back by any other one. Must not decide anything itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::execute::recover;

use super::problems::Watch;
use super::shared::Shared;

/// How often the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A transaction that was prepared more recently is probably being finished by its own proxy.
const OLDER_THAN: Duration = Duration::from_secs(5);

/// What recovery has done since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub committed: AtomicU64,
    pub rolled_back: AtomicU64,
    /// At the last look: still prepared, and not finished.
    pub left: AtomicU64,
}

/// Looks until dropped.
pub async fn run(shared: Arc<Shared>, counts: Arc<Counts>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let report = recover(&shared.fleet, &shared.snapshot(), OLDER_THAN).await;
        counts.committed.fetch_add(report.committed, Ordering::Relaxed);
        counts
            .rolled_back
            .fetch_add(report.rolled_back, Ordering::Relaxed);
        counts.left.store(report.left, Ordering::Relaxed);
        if report.committed + report.rolled_back > 0 {
            tracing::warn!(
                committed = report.committed,
                rolled_back = report.rolled_back,
                "finished transactions that were left prepared"
            );
        }
        // Servers that are down are reported by health; here only what can't be finished counts.
        if report.left > 0 && !report.problems.is_empty() {
            let text = format!(
                "{} prepared transactions can't be finished: {}",
                report.left,
                report.problems.join("; ")
            );
            shared
                .problems
                .raise(Watch::Recovery, "prepared transactions", text);
        } else {
            shared.problems.settle(Watch::Recovery, "prepared transactions");
        }
    }
}

//! Leases of worker numbers, so that two proxies never put the same one into generated ids. A row
//! of `margay.worker` says: its holder may issue ids up to `high_water_ms`. Whoever finds the
//! high water in the past may take the row and must start above it. Knows nothing of how ids
//! are made; `snowflake` does.

use super::bootstrap::LOCK_WORKER;
use super::connect::{Link, LinkError, literal};
use super::snowflake::WORKERS;

/// A row of `margay.worker` that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub worker: u16,
    /// Ids at or below this time may have been issued by an earlier holder.
    pub floor_ms: i64,
    /// Ids up to this time may be issued.
    pub high_water_ms: i64,
}

/// Takes the first worker number that is free: never leased, or whose high water has passed, by
/// this proxy's clock and by the server's. `holder` must be unique to this source of ids.
pub async fn take(
    link: &mut Link,
    holder: &str,
    now_ms: i64,
    ahead_ms: i64,
) -> Result<Option<Lease>, LinkError> {
    // The new high water lies above the old one even if this clock is behind.
    let sql = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({LOCK_WORKER}); \
         INSERT INTO margay.worker AS w (worker, holder, high_water_ms) \
         SELECT n, {holder}, {until} FROM generate_series(0, {last}) n \
            LEFT JOIN margay.worker k ON k.worker = n \
            WHERE k.worker IS NULL OR k.high_water_ms < {now_ms} \
            ORDER BY k.high_water_ms NULLS FIRST, n LIMIT 1 \
         ON CONFLICT (worker) DO UPDATE SET holder = excluded.holder, high_water_ms = excluded.high_water_ms; \
         SELECT worker, high_water_ms FROM margay.worker WHERE holder = {holder}; COMMIT",
        holder = literal(holder),
        until = now_ms + ahead_ms,
        last = WORKERS - 1,
    );
    let sets = link.ask(&sql).await?;
    let Some(row) = sets.last().and_then(|rows| rows.first()) else {
        return Ok(None);
    };
    let number = |at: usize| {
        row.try_get(at)
            .ok()
            .flatten()
            .and_then(|text| text.parse::<i64>().ok())
    };
    match (number(0), number(1)) {
        (Some(worker), Some(high_water_ms)) if (0..i64::from(WORKERS)).contains(&worker) => {
            // Free means: the earlier holder's high water is below now.
            Ok(Some(Lease {
                worker: worker as u16,
                floor_ms: now_ms,
                high_water_ms,
            }))
        }
        _ => Err(LinkError::Answer(
            "margay.worker holds something that is no lease".into(),
        )),
    }
}

/// Moves the high water of a lease that is still ours. False: it is no longer, for it had run
/// out and someone else took it.
pub async fn extend(link: &mut Link, holder: &str, lease: &Lease, until_ms: i64) -> Result<bool, LinkError> {
    let sql = format!(
        "UPDATE margay.worker SET high_water_ms = greatest(high_water_ms, {until_ms}) \
         WHERE worker = {} AND holder = {} RETURNING high_water_ms",
        lease.worker,
        literal(holder),
    );
    Ok(link.ask_one(&sql).await?.is_some())
}

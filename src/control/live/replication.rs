//! Whether each node has one primary, and whether its replicas are copies that follow it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::model::NodeId;
use crate::topology::{Engine, Snapshot};

use super::super::lsn;
use super::{Asked, Finding, error, note, warning};

/// A replica is given at least so long to replay what the primary had written when it was asked.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(2);

pub async fn check(snapshot: &Snapshot, asked: &mut [Asked<'_>], tell: &dyn Fn(&str)) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut by_node: BTreeMap<NodeId, Vec<&mut Asked<'_>>> = BTreeMap::new();
    for one in asked.iter_mut() {
        by_node.entry(one.node.id).or_default().push(one);
    }
    for (id, servers) in by_node {
        let node = snapshot.node(id);
        let (primaries, replicas): (Vec<_>, Vec<_>) = servers.into_iter().partition(|one| one.is_primary());
        let Some(primary) = primaries.first() else {
            found.push(error(
                &*node.name,
                "none of its servers that answer is a primary",
                "start or promote one; until then every write to the node is refused",
            ));
            continue;
        };
        for other in &primaries[1..] {
            found.push(error(
                other.name(),
                format!(
                    "it is no replica of {}: it takes writes of its own",
                    primary.name()
                ),
                "rebuild it with pg_basebackup from the node's primary, or take it out of the rules",
            ));
        }
        if primary.index > 0 {
            found.push(note(
                primary.name(),
                "it is the node's primary now, the rules call another server so",
                "exchange them in the rules when it suits: Margay goes by what the servers say",
            ));
        }
        if node.servers.len() > 1 && primary.facts.text("synchronous_standby_names").is_empty() {
            found.push(note(
                primary.name(),
                "it doesn't wait for a replica when it commits: a failover loses the last commits",
                "set synchronous_standby_names, if nothing may be lost",
            ));
        }
        let max_lag = snapshot
            .databases
            .iter()
            .filter(|d| d.engine == Engine::Postgres && d.nodes().contains(&id))
            .map(|d| d.reads.max_lag)
            .max()
            .unwrap_or_default();
        for replica in replicas {
            found.extend(follows(primary, replica, max_lag, tell).await);
        }
    }
    found
}

async fn follows(
    primary: &Asked<'_>,
    replica: &mut Asked<'_>,
    max_lag: Duration,
    tell: &dyn Fn(&str),
) -> Vec<Finding> {
    let name = replica.name();
    let rebuild = "rebuild it with pg_basebackup from the node's primary, or take it out of the rules";
    let (own, its) = (replica.facts.text("system"), primary.facts.text("system"));
    if !own.is_empty() && !its.is_empty() && own != its {
        let text = format!("it is a replica of another server than {}", primary.name());
        return vec![error(name, text, rebuild)];
    }
    let (own, its) = (replica.facts.number("timeline"), primary.facts.number("timeline"));
    if own.zip(its).is_some_and(|(own, its)| own > its) {
        let text = format!(
            "it follows a newer timeline than {}'s: another server was promoted",
            primary.name()
        );
        return vec![error(
            name,
            text,
            "find the server that was promoted; name it in the rules",
        )];
    }
    let mut found = Vec::new();
    if replica.facts.number("receivers") == Some(0) {
        found.push(error(
            &name,
            "it receives nothing from a primary (no WAL receiver)",
            "look at its log and primary_conninfo; it gets no reads once it is behind max_lag",
        ));
    } else if let Some(wanted) = lsn::parse(primary.facts.text("lsn")) {
        let limit = max_lag.max(CATCH_UP_WITHIN);
        tell(&format!("waiting up to {limit:?} for {name} to replay"));
        match behind(replica, wanted, limit).await {
            Some(0) => {}
            Some(bytes) => found.push(warning(
                &name,
                format!("after {limit:?} it is {bytes} bytes behind what {} had written before", primary.name()),
                "see what holds it up (load, recovery_min_apply_delay, a paused replay); it gets no reads meanwhile",
            )),
            None => found.push(warning(
                &name,
                "how far it has replayed can't be asked",
                "look at its log",
            )),
        }
    }
    if replica.facts.text("hot_standby_feedback") == "off" {
        found.push(note(
            &name,
            "hot_standby_feedback is off: long reads on it may be cancelled (40001)",
            "set it to on, if reads take longer than max_standby_streaming_delay",
        ));
    }
    if !replica.facts.is("stats") && !replica.facts.is("superuser") {
        found.push(note(
            &name,
            format!(
                "{} isn't a member of pg_read_all_stats: a replica that follows an old primary can't be told",
                replica.facts.text("user")
            ),
            format!("GRANT pg_read_all_stats TO {}", replica.facts.text("user")),
        ));
    }
    for setting in [
        "max_connections",
        "max_prepared_transactions",
        "max_locks_per_transaction",
    ] {
        let (own, its) = (replica.facts.number(setting), primary.facts.number(setting));
        if own.zip(its).is_some_and(|(own, its)| own < its) {
            found.push(warning(
                &name,
                format!(
                    "{setting} is lower than on {}: it stops replaying",
                    primary.name()
                ),
                format!("raise {setting} in its postgresql.conf and restart it"),
            ));
        }
    }
    found
}

/// How many bytes before `wanted` it is when the time is over; None: it doesn't say.
async fn behind(replica: &mut Asked<'_>, wanted: u64, limit: Duration) -> Option<u64> {
    let begun = Instant::now();
    loop {
        let replayed = replica
            .link
            .ask_one("SELECT pg_last_wal_replay_lsn()")
            .await
            .ok()??;
        let left = wanted.saturating_sub(lsn::parse(&replayed)?);
        if left == 0 || begun.elapsed() >= limit {
            return Some(left);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

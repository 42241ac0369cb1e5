//! Finishes what a dead proxy began: transactions that are prepared on some node and whose
//! decision stands, or is missing, on their coordinator node.
//!
//! The rule, safe for any number of proxies at once. A transaction's gid names its coordinator
//! node. The coordinator's own transaction inserts the decision row *before* anything is prepared
//! elsewhere and commits it last of all, so the row is visible exactly when the transaction is
//! decided. Recovery tries to insert the same row marked `aborted`:
//! - that waits while the coordinator's transaction still runs (then: later again);
//! - it succeeds: the coordinator's transaction is gone and was never committed → roll back;
//! - it conflicts: the row that is there says which of the two it is.
//!
//! Off the data path, hence on plain `tokio-postgres` connections of its own. Must never decide
//! from time alone: `older_than` only keeps it out of the way of living commits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::backend::Fleet;
use crate::model::NodeId;
use crate::topology::{Engine, Server, Snapshot};

/// Every gid of Margay: `margay:<format>:<coordinator node>:<random>:<number of the part>`.
pub const GID_PREFIX: &str = "margay:1:";

/// The advisory lock under which Margay's own schema is created on a server.
const SCHEMA_LOCK: i64 = 0x6d61_7267_6179;

/// What `recover` did and what it had to leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub committed: u64,
    pub rolled_back: u64,
    /// Still under way, or a server could not be reached: the next run tries again.
    pub left: u64,
    /// Decision rows removed since nothing is prepared under them any more.
    pub forgotten: u64,
    /// Why something was left, for the log; holds server addresses, never for clients.
    pub problems: Vec<String>,
}

/// How a transaction over several nodes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    Aborted,
}

/// The statements that make the decision table, in the `margay` schema of a node.
pub const DECISION_TABLE: &str = "CREATE SCHEMA IF NOT EXISTS margay;
CREATE TABLE IF NOT EXISTS margay.decision (
  gid text PRIMARY KEY,
  aborted boolean NOT NULL DEFAULT false,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp())";

/// Looks at every node's primary once and finishes what is older than `older_than`.
pub async fn recover(fleet: &Fleet, snapshot: &Snapshot, older_than: Duration) -> Report {
    let mut report = Report::default();
    let mut clients: HashMap<NodeId, Client> = HashMap::new();
    for node in snapshot.nodes.iter().filter(|n| n.engine == Engine::Postgres) {
        match connect_to(fleet, node.id).await {
            Ok(client) => drop(clients.insert(node.id, client)),
            Err(problem) => report.problems.push(format!("{}: {problem}", node.name)),
        }
    }
    // Decisions are listed before the prepared transactions: see `forget`.
    let old_decisions = list_decisions(&clients, &mut report).await;
    let mut all_nodes_seen = report.problems.is_empty();
    let mut prepared: Vec<(NodeId, String, bool)> = Vec::new();
    for (node, client) in &clients {
        match list_prepared(client, older_than).await {
            Ok(found) => prepared.extend(found.into_iter().map(|(gid, old)| (*node, gid, old))),
            Err(problem) => {
                all_nodes_seen = false;
                report.problems.push(problem);
            }
        }
    }
    let mut outcomes: HashMap<String, Outcome> = HashMap::new();
    for (node, gid, old) in &prepared {
        if !*old {
            report.left += 1;
            continue;
        }
        match finish_one(snapshot, &clients, *node, gid, &mut outcomes).await {
            Ok(Outcome::Committed) => report.committed += 1,
            Ok(Outcome::Aborted) => report.rolled_back += 1,
            Err(problem) => {
                report.left += 1;
                report.problems.push(format!("{gid}: {problem}"));
            }
        }
    }
    if all_nodes_seen {
        let open: HashSet<&str> = prepared
            .iter()
            .filter_map(|(_, gid, _)| Some(split_gid(gid)?.base))
            .collect();
        forget(&clients, old_decisions, &open, &mut report).await;
    }
    report
}

/// What became of the transaction `base` (its gid without the part's number), asked and, where it
/// isn't decided, decided as aborted on its coordinator's primary. An error: not known yet.
pub async fn resolve(coordinator: &Server, base: &str) -> Result<Outcome, String> {
    let client = connect(coordinator).await.map_err(|e| explain(&e))?;
    decide(&client, base).await
}

/// COMMIT PREPARED or ROLLBACK PREPARED of one part, on a connection of its own.
pub(super) async fn finish(server: &Server, gid: &str, outcome: Outcome) -> Result<(), String> {
    let client = connect(server).await.map_err(|e| explain(&e))?;
    finish_prepared(&client, gid, outcome).await
}

/// Creates the decision table where it is missing.
pub(super) async fn ensure_table(server: &Server) -> Result<(), String> {
    let client = connect(server).await.map_err(|e| explain(&e))?;
    let there = client
        .query_one("SELECT to_regclass('margay.decision') IS NOT NULL", &[])
        .await;
    if there.and_then(|row| row.try_get(0)).map_err(|e| explain(&e))? {
        return Ok(());
    }
    create_decision_table(&client).await.map_err(|e| explain(&e))
}

/// How to reach the node's primary of now.
pub(super) fn primary_server(fleet: &Fleet, node: NodeId) -> Option<Arc<Server>> {
    let node = fleet.node(node).ok()?;
    let primary = node.primary()?;
    Some(Arc::clone(node.servers.get(primary.index())?.server()))
}

/// The parts of a gid.
struct Gid<'a> {
    /// Without the part's number: the key of the decision row.
    base: &'a str,
    coordinator: &'a str,
}

fn split_gid(gid: &str) -> Option<Gid<'_>> {
    let (base, _part) = gid.rsplit_once(':')?;
    let (before, _random) = base.rsplit_once(':')?;
    Some(Gid {
        base,
        coordinator: before.strip_prefix(GID_PREFIX)?,
    })
}

async fn connect_to(fleet: &Fleet, node: NodeId) -> Result<Client, String> {
    let server = primary_server(fleet, node).ok_or("no primary is known")?;
    connect(&server).await.map_err(|e| explain(&e))
}

/// The gids of prepared transactions, and whether each is old enough to be touched.
async fn list_prepared(client: &Client, older_than: Duration) -> Result<Vec<(String, bool)>, String> {
    let rows = client
        .query(
            "SELECT gid, clock_timestamp() - prepared >= make_interval(secs => $1)
               FROM pg_prepared_xacts WHERE gid LIKE 'margay:%' AND database = current_database()",
            &[&older_than.as_secs_f64()],
        )
        .await
        .map_err(|e| explain(&e))?;
    let found = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    found
        .collect::<Result<Vec<_>, tokio_postgres::Error>>()
        .map_err(|e| explain(&e))
}

async fn finish_one(
    snapshot: &Snapshot,
    clients: &HashMap<NodeId, Client>,
    node: NodeId,
    gid: &str,
    outcomes: &mut HashMap<String, Outcome>,
) -> Result<Outcome, String> {
    let parts = split_gid(gid).ok_or("not a gid of this version")?;
    let outcome = match outcomes.get(parts.base) {
        Some(known) => *known,
        None => {
            let coordinator = snapshot
                .node_id(parts.coordinator)
                .ok_or("the rules don't name its coordinator")?;
            let client = clients
                .get(&coordinator)
                .ok_or("its coordinator can't be reached")?;
            let outcome = decide(client, parts.base).await?;
            outcomes.insert(parts.base.to_owned(), outcome);
            outcome
        }
    };
    let client = clients.get(&node).ok_or("the node was lost")?;
    finish_prepared(client, gid, outcome).await?;
    Ok(outcome)
}

/// COMMIT PREPARED or ROLLBACK PREPARED. That it is gone is as good as done: by the rule above
/// nobody could have finished it the other way.
async fn finish_prepared(client: &Client, gid: &str, outcome: Outcome) -> Result<(), String> {
    let verb = match outcome {
        Outcome::Committed => "COMMIT",
        Outcome::Aborted => "ROLLBACK",
    };
    match client
        .batch_execute(&format!("{verb} PREPARED {}", literal(gid)))
        .await
    {
        Err(e) if e.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(()),
        other => other.map_err(|e| explain(&e)),
    }
}

async fn decide(client: &Client, base: &str) -> Result<Outcome, String> {
    client
        .batch_execute("SET lock_timeout = '2s'")
        .await
        .map_err(|e| explain(&e))?;
    // The two statements are not one: under a snapshot taken before its wait for the other
    // transaction, `INSERT … ON CONFLICT DO NOTHING` would not see the row that stopped it.
    let insert = format!(
        "INSERT INTO margay.decision (gid, aborted) VALUES ({}, true) ON CONFLICT DO NOTHING",
        literal(base)
    );
    let inserted = match client.execute(&insert, &[]).await {
        Err(e) if is_missing_table(&e) => {
            create_decision_table(client).await.map_err(|e| explain(&e))?;
            client.execute(&insert, &[]).await
        }
        other => other,
    };
    if inserted.map_err(|e| explain(&e))? == 1 {
        return Ok(Outcome::Aborted);
    }
    let select = format!(
        "SELECT aborted FROM margay.decision WHERE gid = {}",
        literal(base)
    );
    let row = client.query_opt(&select, &[]).await.map_err(|e| explain(&e))?;
    match row
        .ok_or("the decision vanished while it was read")?
        .try_get(0)
        .map_err(|e| explain(&e))?
    {
        true => Ok(Outcome::Aborted),
        false => Ok(Outcome::Committed),
    }
}

/// Creates Margay's schema and the decision table, once for all proxies (`CREATE … IF NOT EXISTS`
/// alone fails now and then when several clients run it at once).
pub async fn create_decision_table(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK}); {DECISION_TABLE}; COMMIT"
        ))
        .await
}

/// A decision is kept at least so long, since a living proxy that lost its coordinator asks for it
/// (`resolve`) for up to `RESOLVE_FOR`.
const KEEP_DECISIONS: Duration = Duration::from_secs(600);

async fn list_decisions(clients: &HashMap<NodeId, Client>, report: &mut Report) -> Vec<(NodeId, String)> {
    let mut old = Vec::new();
    for (node, client) in clients {
        let rows = client
            .query(
                "SELECT gid FROM margay.decision
                  WHERE decided_at < clock_timestamp() - make_interval(secs => $1)",
                &[&KEEP_DECISIONS.as_secs_f64()],
            )
            .await;
        match rows {
            Ok(rows) => old.extend(rows.iter().filter_map(|row| Some((*node, row.try_get(0).ok()?)))),
            Err(e) if is_missing_table(&e) => {}
            Err(e) => report.problems.push(explain(&e)),
        }
    }
    old
}

/// Removes decisions under which nothing is prepared on any node. They were visible before the
/// prepared transactions were listed; a visible row means that all its parts had been prepared,
/// so a part that wasn't listed is finished and none can appear later.
async fn forget(
    clients: &HashMap<NodeId, Client>,
    decisions: Vec<(NodeId, String)>,
    open: &HashSet<&str>,
    report: &mut Report,
) {
    for (node, gid) in decisions.iter().filter(|(_, gid)| !open.contains(gid.as_str())) {
        let Some(client) = clients.get(node) else { continue };
        match client
            .execute("DELETE FROM margay.decision WHERE gid = $1", &[gid])
            .await
        {
            Ok(count) => report.forgotten += count,
            Err(e) => report.problems.push(explain(&e)),
        }
    }
}

fn is_missing_table(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::UNDEFINED_TABLE) | Some(&SqlState::INVALID_SCHEMA_NAME)
    )
}

async fn connect(server: &Server) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    if server.host.starts_with('/') {
        config.host_path(&*server.host);
    } else {
        config.host(&*server.host);
    }
    config
        .port(server.port)
        .user(&*server.user)
        .dbname(&*server.database)
        .application_name("margay recovery");
    config.connect_timeout(Duration::from_secs(5));
    if let Some(password) = &server.password {
        config.password(password.as_bytes());
    }
    let (client, connection) = config.connect(NoTls).await?;
    // Ends by itself when the client is dropped.
    tokio::spawn(connection);
    Ok(client)
}

/// A string literal that means the same under any `standard_conforming_strings`: a gid has no
/// backslash, since node names have none.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.code().code(), db.message()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gid_names_its_coordinator() {
        let gid = split_gid("margay:1:n_trade0:6f1c:2").expect("a gid");
        assert_eq!(
            (gid.base, gid.coordinator),
            ("margay:1:n_trade0:6f1c", "n_trade0")
        );
        assert!(split_gid("margay:2:n_trade0:6f1c:2").is_none());
        assert!(split_gid("other").is_none());
    }
}

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
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::backend::{Fleet, Health, OpenError, Purpose, open_client};
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

/// The longest that a server may take to answer. A frozen one (its kernel still takes connections) must
/// hold up neither the others' recovery nor a commit.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Looks at every node's primary once and finishes what is older than `older_than`.
pub async fn recover(fleet: &Fleet, snapshot: &Snapshot, older_than: Duration) -> Report {
    let mut report = Report::default();
    let mut clients: HashMap<NodeId, Asked> = HashMap::new();
    let nodes = snapshot.nodes.iter();
    let nodes = nodes.filter(|n| n.engine == Engine::Postgres && !n.servers.is_empty());
    let connected = join_all(nodes.map(|node| async move { (node, connect_to(fleet, node.id).await) })).await;
    for (node, client) in connected {
        match client {
            Ok(client) => drop(clients.insert(node.id, client)),
            Err(problem) => report.problems.push(format!("{}: {problem}", node.name)),
        }
    }
    // Decisions are listed before the prepared transactions: see `forget`.
    let old_decisions = list_decisions(&clients, &mut report).await;
    let mut all_nodes_seen = report.problems.is_empty();
    let mut prepared: Vec<(NodeId, Prepared)> = Vec::new();
    for (node, client) in &clients {
        match list_prepared(client, older_than).await {
            Ok(found) => prepared.extend(found.into_iter().map(|one| (*node, one))),
            Err(problem) => {
                all_nodes_seen = false;
                report.problems.push(problem);
            }
        }
    }
    let mut outcomes: HashMap<String, Outcome> = HashMap::new();
    for (node, one) in &prepared {
        if !one.old {
            report.left += 1;
            continue;
        }
        match finish_one(fleet, snapshot, &clients, *node, one, &mut outcomes).await {
            Ok(Outcome::Committed) => report.committed += 1,
            Ok(Outcome::Aborted) => report.rolled_back += 1,
            Err(problem) => {
                report.left += 1;
                report.problems.push(format!("{}: {problem}", one.gid));
            }
        }
    }
    if all_nodes_seen {
        let open: HashSet<&str> = prepared
            .iter()
            .filter_map(|(_, one)| Some(split_gid(&one.gid)?.base))
            .collect();
        forget(&clients, old_decisions, &open, &mut report).await;
    }
    report
}

/// What became of the transaction `base` (its gid without the part's number), asked and, where it
/// isn't decided, decided as aborted on its coordinator's primary. An error: not known yet.
pub async fn resolve(coordinator: &Server, base: &str) -> Result<Outcome, String> {
    let client = connect(coordinator).await?;
    decide(&client, base).await
}

/// COMMIT PREPARED or ROLLBACK PREPARED of one part, on a connection of its own.
pub(super) async fn finish(server: &Server, gid: &str, outcome: Outcome) -> Result<(), String> {
    let client = connect(server).await?;
    finish_prepared(&client, gid, outcome).await
}

/// Creates the decision table where it is missing.
pub(super) async fn ensure_table(server: &Server) -> Result<(), String> {
    let asked = connect(server).await?;
    let there = asked
        .client
        .query_one("SELECT to_regclass('margay.decision') IS NOT NULL", &[]);
    if asked.answer(there).await?.try_get(0).map_err(|e| explain(&e))? {
        return Ok(());
    }
    asked.answer(create_decision_table(&asked.client)).await
}

/// How to reach the node's primary of now. None while it is down: it may be about to be replaced, and
/// what an old primary says of a decision must not count.
pub(super) fn primary_server(fleet: &Fleet, node: NodeId) -> Option<Arc<Server>> {
    let node = fleet.node(node).ok()?;
    let server = node.servers.get(node.primary()?.index())?;
    (server.health() != Health::Down).then(|| Arc::clone(server.server()))
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

async fn connect_to(fleet: &Fleet, node: NodeId) -> Result<Asked, String> {
    let server = primary_server(fleet, node).ok_or("no primary is known")?;
    connect(&server).await
}

/// A prepared transaction as a server lists it.
struct Prepared {
    gid: String,
    /// Who prepared it and may finish it: beside superusers nobody else.
    owner: String,
    /// Old enough to be touched.
    old: bool,
}

async fn list_prepared(asked: &Asked, older_than: Duration) -> Result<Vec<Prepared>, String> {
    let seconds = older_than.as_secs_f64();
    let parameters: [&(dyn ToSql + Sync); 1] = [&seconds];
    let rows = asked.client.query(
        "SELECT gid, owner::text, clock_timestamp() - prepared >= make_interval(secs => $1)
           FROM pg_prepared_xacts WHERE gid LIKE 'margay:%' AND database = current_database()",
        &parameters,
    );
    let rows = asked.answer(rows).await?;
    let found = rows.iter().map(|row| {
        Ok(Prepared {
            gid: row.try_get(0)?,
            owner: row.try_get(1)?,
            old: row.try_get(2)?,
        })
    });
    found
        .collect::<Result<Vec<_>, tokio_postgres::Error>>()
        .map_err(|e| explain(&e))
}

async fn finish_one(
    fleet: &Fleet,
    snapshot: &Snapshot,
    clients: &HashMap<NodeId, Asked>,
    node: NodeId,
    one: &Prepared,
    outcomes: &mut HashMap<String, Outcome>,
) -> Result<Outcome, String> {
    let parts = split_gid(&one.gid).ok_or("not a gid of this version")?;
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
    let server = primary_server(fleet, node).ok_or("no primary is known")?;
    let logins = snapshot.users.iter().filter_map(|user| user.login.as_ref());
    match logins.into_iter().find(|login| *login.user == *one.owner) {
        Some(login) if *one.owner != *server.user => {
            finish(&server.with_login(login), &one.gid, outcome).await?;
        }
        // Its own, or that of a user who left the rules, which a superuser can still finish.
        Some(_) | None => finish_prepared(client, &one.gid, outcome).await?,
    }
    Ok(outcome)
}

/// COMMIT PREPARED or ROLLBACK PREPARED. That it is gone is as good as done: by the rule above
/// nobody could have finished it the other way.
async fn finish_prepared(asked: &Asked, gid: &str, outcome: Outcome) -> Result<(), String> {
    let verb = match outcome {
        Outcome::Committed => "COMMIT",
        Outcome::Aborted => "ROLLBACK",
    };
    let sql = format!("{verb} PREPARED {}", literal(gid));
    let done = async {
        match asked.client.batch_execute(&sql).await {
            Err(e) if e.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(()),
            other => other,
        }
    };
    asked.answer(done).await
}

async fn decide(asked: &Asked, base: &str) -> Result<Outcome, String> {
    let client = &asked.client;
    asked
        .answer(client.batch_execute("SET lock_timeout = '2s'"))
        .await?;
    // The two statements are not one: under a snapshot taken before its wait for the other
    // transaction, `INSERT … ON CONFLICT DO NOTHING` would not see the row that stopped it.
    let insert = format!(
        "INSERT INTO margay.decision (gid, aborted) VALUES ({}, true) ON CONFLICT DO NOTHING",
        literal(base)
    );
    let inserted = async {
        match client.execute(&insert, &[]).await {
            Err(e) if is_missing_table(&e) => {
                create_decision_table(client).await?;
                client.execute(&insert, &[]).await
            }
            other => other,
        }
    };
    if asked.answer(inserted).await? == 1 {
        return Ok(Outcome::Aborted);
    }
    let select = format!(
        "SELECT aborted FROM margay.decision WHERE gid = {}",
        literal(base)
    );
    let row = asked.answer(client.query_opt(&select, &[])).await?;
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

async fn list_decisions(clients: &HashMap<NodeId, Asked>, report: &mut Report) -> Vec<(NodeId, String)> {
    let mut old = Vec::new();
    for (node, asked) in clients {
        let listed = async {
            let sql = "SELECT gid FROM margay.decision
                        WHERE decided_at < clock_timestamp() - make_interval(secs => $1)";
            match asked.client.query(sql, &[&KEEP_DECISIONS.as_secs_f64()]).await {
                Err(e) if is_missing_table(&e) => Ok(Vec::new()),
                other => other,
            }
        };
        match asked.answer(listed).await {
            Ok(rows) => old.extend(rows.iter().filter_map(|row| Some((*node, row.try_get(0).ok()?)))),
            Err(problem) => report.problems.push(problem),
        }
    }
    old
}

/// Removes decisions under which nothing is prepared on any node. They were visible before the
/// prepared transactions were listed; a visible row means that all its parts had been prepared,
/// so a part that wasn't listed is finished and none can appear later.
async fn forget(
    clients: &HashMap<NodeId, Asked>,
    decisions: Vec<(NodeId, String)>,
    open: &HashSet<&str>,
    report: &mut Report,
) {
    for (node, gid) in decisions.iter().filter(|(_, gid)| !open.contains(gid.as_str())) {
        let Some(asked) = clients.get(node) else { continue };
        match asked
            .answer(
                asked
                    .client
                    .execute("DELETE FROM margay.decision WHERE gid = $1", &[gid]),
            )
            .await
        {
            Ok(count) => report.forgotten += count,
            Err(problem) => report.problems.push(problem),
        }
    }
}

fn is_missing_table(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::UNDEFINED_TABLE) | Some(&SqlState::INVALID_SCHEMA_NAME)
    )
}

/// A connection, and whether its server has fallen silent: then nothing more is asked of it.
struct Asked {
    client: Client,
    silent: AtomicBool,
}

impl Asked {
    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, String> {
        if self.silent.load(Relaxed) {
            return Err("the server did not answer before".into());
        }
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer.map_err(|e| explain(&e)),
            Err(_) => {
                self.silent.store(true, Relaxed);
                Err(format!("no answer within {ANSWER_WITHIN:?}"))
            }
        }
    }
}

/// What role or database set by ALTER ROLE or ALTER DATABASE must not bend what is asked here.
const OPTIONS: &str = "-c search_path=pg_catalog -c default_transaction_read_only=off \
     -c default_transaction_isolation=read\\ committed -c synchronous_commit=on -c statement_timeout=0";

async fn connect(server: &Server) -> Result<Asked, String> {
    let purpose = Purpose {
        application: "margay recovery",
        options: OPTIONS,
        limit: ANSWER_WITHIN,
    };
    let client = open_client(server, purpose).await.map_err(|error| match error {
        OpenError::Postgres(error) => explain(&error),
        OpenError::Timeout(_) => error.to_string(),
    })?;
    Ok(Asked {
        client,
        silent: AtomicBool::new(false),
    })
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

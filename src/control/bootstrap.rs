//! Prepares schema `margay` on each node's primary: the tables that proxies share. Any number of
//! proxies may do so at once. Must not touch anything outside of that schema.
//!
//! - `margay.decision`: the outcome of a commit over several nodes (execute::recovery).
//! - `margay.worker`: leases of the worker numbers in generated ids (`snowflake`).
//! - `margay.placement`: the placement under which a node's tables were filled (`notes`).

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::topology::Node;

use super::connect::{Link, LinkError, identifier, literal};
use super::problems::Watch;
use super::shared::{Shared, postgres_nodes};

/// Advisory locks of Margay, in the key space of one bigint, per database of a server: "margay" in
/// ASCII and the two numbers after it. Users who take advisory locks of their own should keep
/// clear of them. This one is held while schema `margay` is prepared; execute::recovery takes it too.
pub const LOCK_BOOTSTRAP: i64 = 0x6d61_7267_6179;
/// Held while the tables of time shards are created.
pub const LOCK_TIME_SHARDS: i64 = LOCK_BOOTSTRAP + 1;
/// Held while a worker number is chosen.
pub const LOCK_WORKER: i64 = LOCK_BOOTSTRAP + 2;

/// Each table with the statement that makes it. `IF NOT EXISTS` alone isn't enough: two sessions
/// that create the same table at once can collide in the system catalog, hence the lock.
const TABLES: [(&str, &str); 3] = [
    (
        "margay.decision",
        "CREATE TABLE IF NOT EXISTS margay.decision (\
            gid text PRIMARY KEY, \
            aborted boolean NOT NULL DEFAULT false, \
            decided_at timestamptz NOT NULL DEFAULT clock_timestamp())",
    ),
    (
        "margay.worker",
        "CREATE TABLE IF NOT EXISTS margay.worker (\
            worker integer PRIMARY KEY, \
            holder text NOT NULL, \
            high_water_ms bigint NOT NULL)",
    ),
    (
        "margay.placement",
        "CREATE TABLE IF NOT EXISTS margay.placement (\
            database_name text NOT NULL, \
            table_name text NOT NULL, \
            relation text NOT NULL, \
            fingerprint text NOT NULL, \
            description text NOT NULL, \
            key_types text, \
            epoch bigint NOT NULL DEFAULT 1, \
            noted_at timestamptz NOT NULL DEFAULT clock_timestamp(), \
            PRIMARY KEY (database_name, table_name))",
    ),
];

/// Makes what is missing. Where everything is there already, no right to create is needed: a
/// cautious DBA may have run the statements by hand.
pub async fn prepare(link: &mut Link) -> Result<(), LinkError> {
    let present: Vec<String> = TABLES
        .iter()
        .map(|(name, _)| format!("to_regclass('{name}') IS NOT NULL"))
        .collect();
    let all = format!("SELECT {}", present.join(" AND "));
    if link.ask_one(&all).await?.as_deref() == Some("t") {
        return Ok(());
    }
    let create: Vec<&str> = TABLES.iter().map(|(_, sql)| *sql).collect();
    let sql = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({LOCK_BOOTSTRAP}); CREATE SCHEMA IF NOT EXISTS margay; {}; COMMIT",
        create.join("; ")
    );
    link.ask(&sql).await?;
    Ok(())
}

/// How soon a node that could not be prepared is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Prepares every node of the present Snapshot, each in a task of its own which ends when it is
/// done; those that can't be reached are tried again for as long as the returned set lives.
pub fn prepare_all(shared: &Arc<Shared>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for node in postgres_nodes(&shared.snapshot()) {
        tasks.spawn(prepare_until_done(shared.clone(), node.clone()));
    }
    tasks
}

async fn prepare_until_done(shared: Arc<Shared>, node: Arc<Node>) {
    loop {
        match prepare_node(&shared, &node).await {
            Ok(()) => return shared.problems.settle(Watch::Bootstrap, &node.name),
            Err(error) => {
                shared
                    .problems
                    .raise(Watch::Bootstrap, &node.name, what_is_wrong(&node, &error));
                sleep(RETRY).await;
            }
        }
    }
}

fn what_is_wrong(node: &Node, error: &LinkError) -> String {
    let Some(server) = node.servers.first().filter(|_| node.shell_of.is_some()) else {
        return format!("schema margay is not prepared: {error}");
    };
    let database = super::connect::identifier(&server.database);
    let fix = match error.sqlstate() {
        Some("42501") => format!(
            "; as a superuser: ALTER ROLE {role} CREATEDB, or CREATE DATABASE {database} OWNER {role} TEMPLATE template0",
            role = super::connect::identifier(&server.user)
        ),
        Some(_) | None => String::new(),
    };
    format!("the shell {database} can't be made: {error}{fix}")
}

async fn prepare_node(shared: &Shared, node: &Node) -> Result<(), LinkError> {
    if let Some(of) = &node.shell_of {
        let host = shared.snapshot().node(of.host).clone();
        super::shell::make(shared, node, &host).await?;
        shared
            .made
            .send_if_modified(|made| made.insert(node.name.clone()));
        return Ok(());
    }
    let mut held = shared.primary(node).await?;
    prepare(held.link()).await?;
    let snapshot = shared.snapshot();
    let mut roles: Vec<&str> = snapshot
        .users
        .iter()
        .filter_map(|u| Some(&*u.login.as_ref()?.user))
        .collect();
    roles.sort_unstable();
    roles.dedup();
    admit(held.link(), &roles).await
}

/// Lets the roles by which users reach the servers write decisions of their own commits; not read,
/// change or delete anyone's. Where they may already, or aren't there, nothing is done.
async fn admit(link: &mut Link, roles: &[&str]) -> Result<(), LinkError> {
    for role in roles {
        let lacks = format!(
            "SELECT count(*) FROM pg_roles WHERE rolname = {} \
             AND NOT (has_schema_privilege(oid, 'margay', 'USAGE') AND has_table_privilege(oid, 'margay.decision', 'INSERT'))",
            literal(role)
        );
        if link.ask_one(&lacks).await?.as_deref() == Some("1") {
            let role = identifier(role);
            let sql =
                format!("GRANT USAGE ON SCHEMA margay TO {role}; GRANT INSERT ON margay.decision TO {role}");
            link.ask(&sql).await?;
        }
    }
    Ok(())
}

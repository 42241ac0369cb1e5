//! Whether Margay's users may do on the servers what it has to do there.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::NodeId;
use crate::topology::placement::Scheme;
use crate::topology::{Layout, Snapshot, Spread};

use super::super::connect::{Link, identifier, literal};
use super::super::placement::quoted;
use super::{ANSWER_WITHIN, Asked, Finding, error, note};

/// Schema margay: missing and may not be made, or there and may not be used.
const SCHEMA: &str = "SELECT CASE WHEN to_regnamespace('margay') IS NULL \
        THEN CASE WHEN has_database_privilege(current_database(), 'CREATE') THEN 'none yet' ELSE 'may not be made' END \
        ELSE coalesce((SELECT 'no rights on ' || string_agg(t, ', ') FROM (VALUES ('decision'), ('worker'), ('placement')) m(t) \
            WHERE CASE WHEN to_regclass('margay.' || t) IS NULL THEN NOT has_schema_privilege('margay', 'CREATE') \
                ELSE NOT has_table_privilege('margay.' || t, 'SELECT, INSERT, UPDATE, DELETE') \
                    OR NOT has_schema_privilege('margay', 'USAGE') END), 'fine') END";

pub async fn check(
    snapshot: &Snapshot,
    primaries: &mut BTreeMap<NodeId, Asked<'_>>,
    tell: &dyn Fn(&str),
) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in primaries.values_mut() {
        let user = one.facts.text("user").to_owned();
        match one.link.ask_one(SCHEMA).await {
            Ok(Some(text)) if text == "fine" => {}
            Ok(Some(text)) if text == "none yet" => found.push(note(
                one.name(),
                "schema margay isn't there yet",
                "nothing: the first proxy that starts makes it",
            )),
            Ok(Some(text)) => found.push(error(
                one.name(),
                format!("schema margay: {text}"),
                format!(
                    "as a superuser: GRANT CREATE ON DATABASE {} TO {user}; or make the schema by hand and grant its tables to {user}",
                    identifier(&one.server.database)
                ),
            )),
            Ok(None) | Err(_) => {}
        }
        if one.facts.text("system").is_empty() {
            found.push(note(
                one.name(),
                format!("{user} may not call pg_control_system(): a server that is no copy of this one can't be told"),
                format!("GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() TO {user}"),
            ));
        }
        found.extend(periods(snapshot, one).await);
    }
    found.extend(shells(snapshot, primaries).await);
    found.extend(roles(snapshot, primaries, tell).await);
    found
}

/// A table whose periods Margay adds must be its own.
async fn periods(snapshot: &Snapshot, one: &mut Asked<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for database in &snapshot.databases {
        for table in database.tables.values() {
            let Spread::Sharded(sharding) = &table.spread else {
                continue;
            };
            let by_time =
                matches!(sharding.scheme, Scheme::Time(_)) && sharding.layout == Layout::Partitioned;
            if !by_time || !sharding.nodes.contains(&one.node.id) {
                continue;
            }
            let sql = format!(
                "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass({}) \
                 AND NOT pg_has_role(relowner, 'USAGE')",
                literal(&quoted(&table.name))
            );
            if let Ok(Some(owner)) = one.link.ask_one(&sql).await {
                let user = one.facts.text("user");
                found.push(error(
                    one.name(),
                    format!(
                        "{} belongs to {owner}: Margay can't add its next periods",
                        table.name
                    ),
                    format!("GRANT {} TO {}", identifier(&owner), identifier(user)),
                ));
            }
        }
    }
    found
}

/// The shells' databases: there, or to be made.
async fn shells(snapshot: &Snapshot, primaries: &mut BTreeMap<NodeId, Asked<'_>>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (shell, of) in snapshot
        .nodes
        .iter()
        .filter_map(|node| Some((node, node.shell_of.as_ref()?)))
    {
        let (Some(host), Some(server)) = (primaries.get_mut(&of.host), shell.servers.first()) else {
            continue;
        };
        let there = format!(
            "SELECT count(*) FROM pg_database WHERE datname = {}",
            literal(&server.database)
        );
        if host.link.ask_one(&there).await.ok().flatten().as_deref() != Some("0") {
            continue;
        }
        let (user, database) = (identifier(host.facts.text("user")), identifier(&server.database));
        found.push(match host.facts.is("createdb") || host.facts.is("superuser") {
            true => note(
                host.name(),
                format!("the shell {} of database {} isn't there yet", server.database, of.database),
                "nothing: the first proxy that starts makes it",
            ),
            false => error(
                host.name(),
                format!("the shell {} of database {} is missing, and {user} may not make it", server.database, of.database),
                format!("as a superuser: ALTER ROLE {user} CREATEDB; or CREATE DATABASE {database} OWNER {user} TEMPLATE template0"),
            ),
        });
    }
    found
}

/// Users with roles of their own (`users.servers`) must be let in everywhere.
async fn roles(
    snapshot: &Snapshot,
    primaries: &BTreeMap<NodeId, Asked<'_>>,
    tell: &dyn Fn(&str),
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tried = BTreeSet::new();
    for user in &snapshot.users {
        let Some(login) = &user.login else { continue };
        for one in primaries.values() {
            let used = snapshot.databases.iter().any(|d| {
                d.nodes().contains(&one.node.id)
                    && user
                        .databases
                        .as_ref()
                        .is_none_or(|names| names.contains(&d.name))
            });
            if !used || !tried.insert((login.user.clone(), one.node.id)) {
                continue;
            }
            tell(&format!("logging in to {} as {}", one.name(), login.user));
            if let Err(why) = Link::open(&one.server.with_login(login), ANSWER_WITHIN).await {
                found.push(error(
                    one.name(),
                    format!("user {} can't log in there as {}: {why}", user.name, login.user),
                    "make the role there with this password, or correct `users.servers`",
                ));
            }
        }
    }
    found
}

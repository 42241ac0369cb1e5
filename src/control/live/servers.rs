//! Servers one by one, and those of a database side by side: version, locale, settings, connections.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::NodeId;
use crate::topology::{Database, Engine, Snapshot};

use super::{Asked, Finding, error, note, warning};

/// The oldest version whose catalogs Margay reads.
const OLDEST_MAJOR: i64 = 12;

/// Connections of Margay's own to each database of a server: health, catalog, leases, recovery.
const OWN_CONNECTIONS: i64 = 5;

/// Settings by which the same statement gives other values, and that Margay doesn't set itself.
const SAME_EVERYWHERE: [&str; 13] = [
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "bytea_output",
    "standard_conforming_strings",
    "extra_float_digits",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "default_text_search_config",
    "default_transaction_isolation",
    "array_nulls",
    "xmloption",
];

pub fn check(snapshot: &Snapshot, asked: &[Asked<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in asked {
        found.extend(alone(one));
        found.extend(connections(snapshot, one, asked));
    }
    found.extend(same_database_twice(asked));
    for database in snapshot.databases.iter().filter(|d| d.engine == Engine::Postgres) {
        let nodes = database.nodes();
        let of: Vec<&Asked<'_>> = asked.iter().filter(|one| nodes.contains(&one.node.id)).collect();
        found.extend(side_by_side(&of));
        found.extend(two_phases(snapshot, database, &of));
    }
    found
}

fn alone(one: &Asked<'_>) -> Vec<Finding> {
    let (facts, name) = (&one.facts, one.name());
    let mut found = Vec::new();
    if facts.major() < OLDEST_MAJOR {
        let text = format!("version {} is older than Margay knows", facts.version());
        found.push(error(
            &name,
            text,
            format!("upgrade it to PostgreSQL {OLDEST_MAJOR} or later"),
        ));
    }
    let (recorded, actual) = (facts.text("collation recorded"), facts.text("collation actual"));
    if !recorded.is_empty() && !actual.is_empty() && recorded != actual {
        found.push(warning(
            &name,
            format!("its database was made with collation version {recorded}, the library's is {actual} now: indexes on text may be in another order"),
            "REINDEX DATABASE on the primary, then ALTER DATABASE … REFRESH COLLATION VERSION",
        ));
    }
    for (setting, loses) in [
        ("fsync", "a crash of the machine may destroy the database"),
        ("full_page_writes", "a crash of the machine may destroy pages"),
        (
            "synchronous_commit",
            "a crash loses commits that were acknowledged",
        ),
    ] {
        if one.is_primary() && facts.text(setting) == "off" {
            let fix = format!("set {setting} = on in postgresql.conf and reload it");
            found.push(warning(&name, format!("{setting} is off: {loses}"), fix));
        }
    }
    if one.is_primary() && facts.is("default_transaction_read_only") {
        let fix = "ALTER ROLE, ALTER DATABASE or postgresql.conf: default_transaction_read_only = off";
        found.push(error(
            &name,
            "every write is refused (default_transaction_read_only)",
            fix,
        ));
    }
    if one.is_primary() && one.node.servers.len() > 1 && facts.text("wal_level") == "minimal" {
        let fix = "set wal_level = replica in postgresql.conf and restart it";
        found.push(error(
            &name,
            "wal_level is minimal, so that no replica can follow",
            fix,
        ));
    }
    if one.is_primary() && !facts.text("left").is_empty() {
        found.push(warning(
            &name,
            format!("prepared transactions of Margay are left: {}", facts.text("left")),
            "a running proxy finishes them within seconds, once the node that the gid names is up; don't COMMIT PREPARED by hand before",
        ));
    }
    if one.is_primary() && !facts.text("left by others").is_empty() {
        found.push(note(
            &name,
            format!(
                "prepared transactions that aren't Margay's are older than an hour: {}",
                facts.text("left by others")
            ),
            "they hold locks and keep VACUUM from cleaning up: finish them where they were prepared",
        ));
    }
    found
}

/// What the pools of one proxy may open to the server, all of its databases and users' roles taken together.
fn connections(snapshot: &Snapshot, one: &Asked<'_>, asked: &[Asked<'_>]) -> Option<Finding> {
    let is_here = |host: &str, port: u16| host == &*one.server.host && port == one.server.port;
    // Said once per server, by the first node that has it.
    let first = asked.iter().find(|a| is_here(&a.server.host, a.server.port))?;
    if !std::ptr::eq(first, one) {
        return None;
    }
    let entries = snapshot
        .nodes
        .iter()
        .flat_map(|node| &node.servers)
        .filter(|s| is_here(&s.host, s.port))
        .count() as i64;
    let roles: BTreeSet<&str> = snapshot
        .users
        .iter()
        .map(|user| user.login.as_ref().map_or("", |login| &*login.user))
        .collect();
    let pool = i64::from(snapshot.pool.max_connections);
    let needed = entries * (pool * roles.len().max(1) as i64 + OWN_CONNECTIONS);
    let limit = one.facts.number("max_connections")? - one.facts.number("superuser_reserved_connections")?;
    (needed > limit).then(|| {
        warning(
            one.name(),
            format!(
                "a proxy may open {needed} connections to it ({entries} databases, pool.max_connections {pool}, {} roles), it takes {limit}",
                roles.len().max(1)
            ),
            format!(
                "raise max_connections there to {} per proxy, or lower pool.max_connections",
                needed + one.facts.number("superuser_reserved_connections").unwrap_or(0)
            ),
        )
    })
}

/// Two nodes that are one database: each row would be found twice.
fn same_database_twice(asked: &[Asked<'_>]) -> Vec<Finding> {
    let mut seen: BTreeMap<[&str; 4], &Asked<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    for one in asked {
        // Servers that were copied from one another have the same identifiers, but not the same beginning.
        let key = ["system", "database", "started", "port"].map(|fact| one.facts.text(fact));
        let first = *seen.entry(key).or_insert(one);
        if first.node.id != one.node.id {
            found.push(error(
                one.name(),
                format!(
                    "it is the same database as {}, under another node's name",
                    first.name()
                ),
                "give each node a database of its own, or put the tables of both on one node",
            ));
        }
    }
    found
}

/// What must be the same on all servers of a database. The first one is what the others are compared with.
fn side_by_side(of: &[&Asked<'_>]) -> Vec<Finding> {
    let Some(first) = of.first() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for one in &of[1..] {
        let differs = |fact: &str| {
            let (a, b) = (first.facts.text(fact), one.facts.text(fact));
            (a != b).then(|| format!("{b}, on {} {a}", first.name()))
        };
        if let Some(text) = differs("encoding") {
            found.push(error(
                one.name(),
                format!("its encoding is {text}"),
                "make the database anew with the other's ENCODING, and copy its rows",
            ));
        }
        if let Some(text) = differs("locale") {
            found.push(error(
                one.name(),
                format!("its locale is {text}: text sorts and compares otherwise"),
                "make the database anew with the other's LC_COLLATE, LC_CTYPE and provider, and copy its rows",
            ));
        }
        let collation = differs("collation actual").filter(|_| differs("locale").is_none());
        if let Some(text) = collation {
            found.push(warning(
                one.name(),
                format!("the version of its collations is {text}: text may sort otherwise"),
                "bring both machines to the same version of the operating system's libraries",
            ));
        }
        if one.facts.major() != first.facts.major() {
            found.push(warning(
                one.name(),
                format!(
                    "its version is {}, on {} {}",
                    one.facts.version(),
                    first.name(),
                    first.facts.version()
                ),
                "bring all servers of a database to the same major version",
            ));
        } else if one.facts.version() != first.facts.version() {
            found.push(note(
                one.name(),
                format!(
                    "its version is {}, on {} {}",
                    one.facts.version(),
                    first.name(),
                    first.facts.version()
                ),
                "upgrade the older one when it suits",
            ));
        }
        for setting in SAME_EVERYWHERE {
            if let Some(text) = differs(setting) {
                found.push(warning(
                    one.name(),
                    format!("{setting} is {text}: the same statement gives other values"),
                    format!(
                        "set {setting} alike in postgresql.conf, ALTER DATABASE or ALTER ROLE of all servers"
                    ),
                ));
            }
        }
    }
    found
}

/// Commits over several nodes need PREPARE TRANSACTION on each of them.
fn two_phases(snapshot: &Snapshot, database: &Database, of: &[&Asked<'_>]) -> Vec<Finding> {
    let nodes: BTreeSet<NodeId> = database.nodes().into_iter().collect();
    if nodes.len() < 2 {
        return Vec::new();
    }
    let pool = i64::from(snapshot.pool.max_connections);
    let mut found = Vec::new();
    for one in of {
        // A replica needs as many as its primary, and becomes one.
        let has = one.facts.number("max_prepared_transactions").unwrap_or(0);
        if has == 0 {
            found.push(error(
                one.name(),
                "max_prepared_transactions is 0, so that no transaction can commit on several nodes",
                format!(
                    "set max_prepared_transactions = {} in postgresql.conf and restart it",
                    pool.max(100)
                ),
            ));
        } else if has < pool {
            found.push(warning(
                one.name(),
                format!("max_prepared_transactions is {has}, less than pool.max_connections ({pool}): so many may commit at once"),
                format!("set max_prepared_transactions = {pool} per proxy in postgresql.conf and restart it"),
            ));
        }
        if one.facts.text("default_transaction_isolation") == "serializable" {
            found.push(warning(
                one.name(),
                "default_transaction_isolation is serializable, which Margay refuses over several nodes",
                "set it to repeatable read or read committed",
            ));
        }
    }
    found
}

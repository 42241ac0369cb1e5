//! What `margay check` prints about rules that hold: nodes, databases, and where each table is.

use std::fmt::Write;

use super::check::databases::engine_name;
use super::check::tables::table_nodes;
use super::check::units;
use super::load::Loaded;
use super::placement::{RetireAction, Scheme};
use super::snapshot::{Consistency, Database, Domain, Layout, ReadFrom, Sharding, Snapshot, Spread, Table};
use crate::model::{NodeId, ShardId};

/// The text of a successful check, with a line end at its end.
pub fn check_text(loaded: &Loaded) -> String {
    let mut out = String::new();
    let s = &loaded.snapshot;
    for warning in &loaded.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    let files = match loaded.source.files.as_slice() {
        [one] => one.display().to_string(),
        several => format!("{} files", several.len()),
    };
    let users = match s.users.len() {
        1 => "1 user".to_owned(),
        n => format!("{n} users"),
    };
    let _ = writeln!(out, "{files}: the rules hold ({users})");
    let tls = match &s.postgres_tls {
        None => "",
        Some(tls) if tls.required => ", TLS required",
        Some(_) => ", TLS offered",
    };
    for (protocol, address, tls) in [
        ("postgres", s.listen.postgres, tls),
        ("mysql", s.listen.mysql, ""),
        ("http", s.listen.http, ""),
    ] {
        if let Some(address) = address {
            let _ = writeln!(out, "  listens for {protocol} on {address}{tls}");
        }
    }
    for user in &s.users {
        if let Some(login) = &user.login {
            let _ = writeln!(out, "  user {} reaches the servers as {}", user.name, login.user);
        }
    }
    let _ = writeln!(out, "\nnodes");
    let width = s.rule_nodes().map(|n| n.name.len()).max().unwrap_or(0);
    for node in s.rule_nodes() {
        let mut servers = node.servers.iter().map(|s| format!("{s:?}"));
        let primary = servers.next().unwrap_or_default();
        let replicas: Vec<String> = servers.collect();
        let _ = write!(
            out,
            "  {:width$}  {} primary {primary}",
            node.name,
            engine_name(node.engine)
        );
        let _ = match replicas.as_slice() {
            [] => writeln!(out, ", no replica"),
            [one] => writeln!(out, ", replica {one}"),
            several => writeln!(out, ", replicas {}", several.join(", ")),
        };
    }
    for database in &s.databases {
        let _ = write!(out, "\n{}", database_text(s, database));
    }
    out
}

fn database_text(s: &Snapshot, database: &Database) -> String {
    let mut out = format!("database {} ({})", database.name, engine_name(database.engine));
    let default = database.domains.get(database.default_domain.index());
    let _ = writeln!(
        out,
        ", default domain {}{}, {}",
        default.map(|d| &*d.name).unwrap_or_default(),
        shell(s, database),
        reads(database)
    );
    for (i, domain) in database.domains.iter().enumerate() {
        let _ = writeln!(
            out,
            "  domain {} on {}",
            domain.name,
            node_names(s, &domain.nodes)
        );
        let mut tables: Vec<&Table> = database
            .tables
            .values()
            .map(|t| &**t)
            .filter(|t| t.domain.index() == i)
            .collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let width = tables.iter().map(|t| t.name.to_string().len()).max().unwrap_or(0);
        for table in tables {
            let _ = writeln!(
                out,
                "    {:width$}  {}",
                table.name.to_string(),
                placement(s, table, domain)
            );
        }
    }
    out
}

fn shell(s: &Snapshot, database: &Database) -> String {
    match database
        .shell
        .and_then(|id| s.nodes.get(id.index())?.servers.first())
    {
        Some(server) => format!(", shell {server:?}"),
        None => String::new(),
    }
}

fn reads(database: &Database) -> String {
    match database.reads.from {
        ReadFrom::Primary => "reads from primaries".to_owned(),
        ReadFrom::Replicas => {
            let consistency = match database.reads.consistency {
                Consistency::Session => "session",
                Consistency::Eventual => "eventual",
            };
            format!(
                "reads from replicas within {}, {consistency} consistency",
                units::print(database.reads.max_lag)
            )
        }
    }
}

fn placement(s: &Snapshot, table: &Table, domain: &Domain) -> String {
    let mut text = match &table.spread {
        Spread::Whole(node) => format!("on {}", node_name(s, *node)),
        Spread::Broadcast => format!("broadcast to {}", node_names(s, &table_nodes(table, domain))),
        Spread::Sharded(sharding) => sharded(s, table, sharding),
    };
    if !table.generate.is_empty() {
        let columns: Vec<&str> = table.generate.iter().map(|g| &*g.column).collect();
        let _ = write!(text, "; generates {}", columns.join(", "));
    }
    text
}

fn sharded(s: &Snapshot, table: &Table, sharding: &Sharding) -> String {
    let key: Vec<&str> = sharding.key.iter().map(|k| &*k.column).collect();
    let key = key.join(", ");
    let how = match &sharding.scheme {
        Scheme::Hash(hash) => format!(
            "hash({key}) by {} over {} shards",
            hash.function.name(),
            hash.count
        ),
        Scheme::Time(time) => {
            let zone = time.zone.iana_name().unwrap_or("UTC");
            let first = super::physical_name(table, ShardId(0));
            let mut text = format!(
                "{key} by {} ({zone}) from {first}, {} ahead",
                time.every.name(),
                time.ahead
            );
            if let Some(retire) = time.retire {
                let action = match retire.action {
                    RetireAction::Detach => "detached",
                    RetireAction::Drop => "dropped",
                };
                let _ = write!(text, ", {action} after {}", retire.after);
            }
            text
        }
        Scheme::Range(range) => format!("{key} by range in {} shards", range.count()),
        Scheme::List(_) => format!("{key} by list in {} shards", sharding.place.len()),
    };
    let layout = match sharding.layout {
        Layout::PerNode => "one table per node",
        Layout::Partitioned => "partitioned",
        Layout::Separate => "separate tables",
    };
    format!("{how}, {layout}; {}", shards_by_node(s, sharding))
}

/// `n_trade0: 0 2 4 …`, one entry per node.
fn shards_by_node(s: &Snapshot, sharding: &Sharding) -> String {
    const MOST_SHOWN: usize = 16;
    if matches!(sharding.scheme, Scheme::Time(_)) {
        return format!("in turn on {}", node_names(s, &sharding.place));
    }
    let per_node = sharding.nodes.iter().map(|node| {
        let mut shards: Vec<String> = sharding
            .place
            .iter()
            .enumerate()
            .filter(|(_, placed)| *placed == node)
            .map(|(i, _)| i.to_string())
            .collect();
        let more = if shards.len() > MOST_SHOWN { " …" } else { "" };
        shards.truncate(MOST_SHOWN);
        format!("{}: {}{more}", node_name(s, *node), shards.join(" "))
    });
    per_node.collect::<Vec<_>>().join(", ")
}

fn node_name(s: &Snapshot, id: NodeId) -> &str {
    s.nodes.get(id.index()).map(|n| &*n.name).unwrap_or_default()
}

fn node_names(s: &Snapshot, ids: &[NodeId]) -> String {
    ids.iter()
        .map(|id| node_name(s, *id))
        .collect::<Vec<_>>()
        .join(", ")
}

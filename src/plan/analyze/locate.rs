//! A table's name → its place in the rules and its entry in the catalog.

use crate::model::TableName;
use crate::topology::{Database, Spread};

use super::super::query::Name;
use super::super::scope::Home;
use super::super::types::SessionView;

/// A table's place as the rules and the catalog have it.
pub struct Located {
    pub name: TableName,
    pub home: Home,
    pub rule: Option<std::sync::Arc<crate::topology::Table>>,
    pub info: Option<std::sync::Arc<crate::model::catalog::TableInfo>>,
}

/// Finds a table as the server would: by its schema, or along the search path.
pub fn locate(name: &Name, view: &SessionView) -> Located {
    let db = &view.database;
    let (schema, table) = match name.parts.as_slice() {
        [.., schema, table] => (Some(schema.clone()), table.clone()),
        [table] => (None, table.clone()),
        [] => (None, "".into()),
    };
    let known = |schema: &str| {
        let name = TableName::new(schema, table.clone());
        let catalog = &db.catalog;
        let there = db.tables.contains_key(&name)
            || catalog.tables.contains_key(&name)
            || catalog.sequences.contains_key(&name);
        there.then_some(name)
    };
    let (found, system) = match &schema {
        Some(s) => (
            Some(TableName::new(s.clone(), table.clone())),
            is_system_schema(s),
        ),
        None => {
            let hit = view.search_path.iter().find_map(|s| known(s));
            let system = hit.is_none() && table.starts_with("pg_");
            (hit, system)
        }
    };
    let name = found.unwrap_or_else(|| {
        TableName::new(
            view.search_path
                .first()
                .cloned()
                .unwrap_or_else(|| "public".into()),
            table,
        )
    });
    let rule = db.tables.get(&name).cloned();
    let home = match (&rule, system) {
        (_, true) => Home::System,
        (None, false) => sequence_home(&name, view).unwrap_or_else(|| Home::Node(default_node(db))),
        (Some(rule), false) => match &rule.spread {
            Spread::Whole(node) => Home::Node(*node),
            Spread::Broadcast => Home::Everywhere(db.domain(rule.domain).nodes.clone()),
            Spread::Sharded(s) => Home::Sharded(s.clone()),
        },
    };
    let info = db.catalog.tables.get(&name).cloned();
    Located {
        name,
        home,
        rule,
        info,
    }
}

/// A sequence is where its owner is: on each node of a table that is on several, and there none counts,
/// since nothing that would move one of them alone is let through.
pub fn sequence_home(name: &TableName, view: &SessionView) -> Option<Home> {
    let Some(owner) = &view.database.catalog.sequences.get(name)?.owner else {
        return Some(Home::Node(view.database.anywhere));
    };
    let owner = Name {
        parts: vec![owner.schema.clone(), owner.table.clone()],
        span: super::super::query::Span::default(),
    };
    Some(match locate(&owner, view).home {
        Home::Sharded(s) if s.nodes.len() == 1 => Home::Node(s.nodes.first().copied()?),
        Home::Sharded(s) => Home::Everywhere(s.nodes.clone()),
        home @ (Home::Node(_) | Home::Everywhere(_) | Home::System) => home,
    })
}

fn is_system_schema(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema" | "pg_toast") || schema.starts_with("pg_temp")
}

/// Where a table lives that no rule names.
fn default_node(db: &Database) -> crate::model::NodeId {
    db.domain(db.default_domain)
        .nodes
        .first()
        .copied()
        .unwrap_or(db.anywhere)
}

//! What functions of users' read and write: as the rules say, or as the body of a function in SQL shows. A call
//! then counts as a reference to these tables, so that it is routed with them or refused. The safe direction
//! is not to know: what isn't known is refused.

use std::sync::Arc;

use crate::model::catalog::Language;
use crate::model::{Code, Fault, NodeId, TableName};
use crate::topology::{Layout, Routine, Sharding};

use super::analyze::{Analysis, analyze, locate};
use super::compile::Compiler;
use super::functions::{self, Effect};
use super::lex::{self, Kind};
use super::query::{Name, Root};
use super::scope::{Entity, Home, Shape, TableRef};
use super::shape::shape;
use super::views::{self, NOWHERE};
use super::{fixed, lower};

/// Functions that call functions that call functions …
const MAX_DEPTH: usize = 16;

/// Words with which a body in PL/pgSQL reaches tables, sequences or the session, or names that are a shard's.
const REACHING: [&str; 45] = [
    "alter",
    "analyze",
    "call",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "currval",
    "cursor",
    "delete",
    "do",
    "drop",
    "execute",
    "fetch",
    "from",
    "grant",
    "insert",
    "into",
    "lastval",
    "listen",
    "lock",
    "merge",
    "move",
    "nextval",
    "notify",
    "open",
    "perform",
    "refcursor",
    "refresh",
    "reindex",
    "reset",
    "revoke",
    "rollback",
    "select",
    "set",
    "setval",
    "table",
    "tg_relid",
    "tg_relname",
    "tg_table_name",
    "truncate",
    "update",
    "vacuum",
];

impl Compiler<'_> {
    /// What a function does to tables. None: it isn't known.
    pub(super) fn routine(&self, name: &str) -> Option<Routine> {
        self.routine_within(name, MAX_DEPTH)
    }

    fn routine_within(&self, name: &str, depth: usize) -> Option<Routine> {
        let database = &self.view.database;
        if let Some(said) = database.functions.get(name) {
            return Some(said.clone());
        }
        let body = database.catalog.bodies.get(name)?;
        match body.language {
            Language::Sql => self.of_sql(&body.text, depth.checked_sub(1)?),
            Language::PlPgSql => self.stays_local(&body.text).then(Routine::default),
        }
    }

    /// The tables that a body in SQL names, if nothing in it reaches further.
    fn of_sql(&self, text: &str, depth: usize) -> Option<Routine> {
        let catalog = &self.view.database.catalog;
        let mut out = Routine::default();
        for statement in lex::split(text, true) {
            let mut lowered = lower::lower(statement, &shape(statement, true), true).ok()?;
            views::expand(&mut lowered.root, self.view).ok()?;
            let analysis = analyze(&lowered.root, self.view);
            if analysis.into || analysis.system_column || analysis.too_large {
                return None;
            }
            if analysis.casts.iter().any(|ty| functions::of_catalog(ty)) {
                return None;
            }
            let writes = !matches!(lowered.root, Root::Query(_)) || !analysis.nested_writes.is_empty();
            let into = if writes { &mut out.writes } else { &mut out.reads };
            for table in &analysis.facts.refs {
                let is_view = catalog.tables.get(&table.name).is_some_and(|t| t.is_view);
                if is_view || matches!(table.home, Home::System) {
                    return None;
                }
                into.push(table.name.clone());
            }
            for call in &analysis.calls {
                let name = call.name.last();
                if functions::hides_reads(name, catalog) {
                    let inner = self.routine_within(name, depth)?;
                    out.reads.extend(inner.reads);
                    out.writes.extend(inner.writes);
                    out.by_key |= inner.by_key;
                } else if !self.is_harmless(name) {
                    return None;
                }
            }
        }
        Some(out)
    }

    /// Reads no table, leaves nothing behind, and means the same on each node.
    fn is_harmless(&self, name: &str) -> bool {
        functions::effect(name, &self.view.database.catalog) == Effect::Reads
            && !functions::differs_by_node(name)
            && !functions::runs_text(name)
            && !functions::takes_servers_names(name)
            && !name.starts_with("to_reg")
            && name != "current_setting"
    }

    /// A body in PL/pgSQL that works on its arguments, NEW and OLD alone.
    fn stays_local(&self, text: &str) -> bool {
        let catalog = &self.view.database.catalog;
        let tokens = lex::tokens(text, true);
        let names = tokens
            .iter()
            .enumerate()
            .filter(|(_, t)| matches!(t.kind, Kind::Word | Kind::QuotedIdent));
        let named = names.map(|(at, t)| (at, lex::fold_ident(t.text(text))));
        let mut reaching = named.filter(|(at, name)| {
            let called = tokens.get(at + 1).is_some_and(|t| t.is_punct(text, '('));
            let known = catalog.functions.contains_key(&**name);
            let unsafe_call =
                called && known && (functions::hides_reads(name, catalog) || !self.is_harmless(name));
            REACHING.contains(&&**name) || functions::of_catalog(name) || unsafe_call
        });
        !tokens.iter().any(|t| t.kind == Kind::Bad) && reaching.next().is_none()
    }

    /// What depends on more than a trigger's row: copies of a broadcast row would differ.
    fn differs_by_copy(&self, name: &str) -> bool {
        let catalog = &self.view.database.catalog;
        match catalog.bodies.get(name) {
            Some(body) => {
                !fixed::in_text(&body.text).is_empty()
                    || functions::first_unlike(&body.text, catalog).is_some()
            }
            None => true,
        }
    }

    /// Adds what the statement's functions touch to what it reads. `target`: of an INSERT.
    pub(super) fn routines(&self, root: &Root, analysis: &mut Analysis) -> Result<(), Fault> {
        let catalog = &self.view.database.catalog;
        if self.view.database.nodes().len() == 1 || catalog.functions.is_empty() {
            return Ok(());
        }
        let calls = analysis.calls.iter().map(|call| call.name.last());
        let mut names: Vec<Box<str>> = calls
            .filter(|name| functions::hides_reads(name, catalog))
            .map(Into::into)
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let routine = self.routine(&name).ok_or_else(|| not_known(&name))?;
            if let Root::Insert(insert) = root {
                let target = locate(&insert.table.name, self.view).home;
                self.must_be_on(&name, &routine, &target)?;
                continue;
            }
            self.add_refs(&name, &routine, analysis)?;
        }
        Ok(())
    }

    fn add_refs(&self, name: &str, routine: &Routine, analysis: &mut Analysis) -> Result<(), Fault> {
        let own: Vec<Arc<Sharding>> = analysis.facts.refs.iter().filter_map(sharding).collect();
        for (table, writes) in touched(routine) {
            let located = self.located(table);
            let home = match located.home {
                Home::System => return Err(not_known(name)),
                Home::Everywhere(nodes) if writes && nodes.len() > 1 => {
                    return Err(one_copy(name, table));
                }
                Home::Sharded(s) if s.layout == Layout::Separate => return Err(separate(name, table)),
                Home::Sharded(s) => match s.nodes.as_slice() {
                    [one] => Home::Node(*one),
                    // Rows of the same key, which are on the node of the row that it is called for.
                    _ if routine.by_key && own.iter().any(|other| other.group == s.group) => continue,
                    _ => {
                        analysis.obstacle.get_or_insert_with(|| spread(name, table));
                        if !routine.by_key {
                            return Err(spread(name, table));
                        }
                        Home::Sharded(s)
                    }
                },
                home @ (Home::Node(_) | Home::Everywhere(_)) => home,
            };
            analysis.facts.entities.push(Entity {
                label: None,
                shape: Shape::Unknown,
            });
            analysis.facts.refs.push(TableRef {
                entity: analysis.facts.entities.len() - 1,
                name: table.clone(),
                home,
                // Nothing of it is named in the text.
                rule: None,
                info: located.info,
                span: NOWHERE,
                has_alias: true,
                in_expression: true,
            });
        }
        Ok(())
    }

    /// Wherever rows of the target are written, the function must find its tables.
    fn must_be_on(&self, name: &str, routine: &Routine, target: &Home) -> Result<(), Fault> {
        let nodes = match target {
            Home::Node(node) => vec![*node],
            Home::Everywhere(nodes) => nodes.clone(),
            Home::Sharded(s) => s.nodes.clone(),
            Home::System => Vec::new(),
        };
        for (table, writes) in touched(routine) {
            let there = match self.located(table).home {
                Home::System => return Err(not_known(name)),
                Home::Everywhere(on) if writes && on.len() > 1 => return Err(one_copy(name, table)),
                Home::Everywhere(on) => nodes.iter().all(|node| on.contains(node)),
                Home::Node(node) => nodes == [node],
                Home::Sharded(s) if s.layout == Layout::Separate => return Err(separate(name, table)),
                Home::Sharded(s) => {
                    let alike = matches!(target, Home::Sharded(t) if t.group == s.group);
                    (routine.by_key && alike) || (s.nodes.len() == 1 && nodes == s.nodes)
                }
            };
            if !there {
                return Err(spread(name, table));
            }
        }
        Ok(())
    }

    /// Whether a trigger's function finds on each node of its table all that it touches there.
    pub(super) fn trigger_runs_on(&self, name: &str, table: &Name) -> Result<(), Fault> {
        let home = locate(table, self.view).home;
        let routine = self.routine(name).ok_or_else(|| {
            Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                format!("what the trigger function {name}() reads and writes isn't known"),
            )
            .hint(format!(
                "Say it in the rules, functions: {{{name}: {{reads: […], writes: […]}}}}; or have it work on NEW and OLD alone."
            ))
        })?;
        let declared = self.view.database.functions.contains_key(name);
        if matches!(&home, Home::Everywhere(nodes) if nodes.len() > 1)
            && !declared
            && self.differs_by_copy(name)
        {
            return Err(Fault::new(
                Code::BROADCAST_DIVERGES,
                format!("the trigger function {name}() might give each node's copy of a row another value"),
            )
            .hint("Compute the value in the application."));
        }
        self.must_be_on(name, &routine, &home)
    }

    /// A new body for a function that triggers may use already.
    pub(super) fn guard_new_body(&self) -> Result<(), Fault> {
        let database = &self.view.database;
        let word = |at: usize, w: &str| self.tokens.get(at).is_some_and(|t| t.is_word(self.sql, w));
        let returns = (0..self.tokens.len()).any(|at| word(at, "returns") && word(at + 1, "trigger"));
        let mut r = super::reader::Reader::new(self.sql, self.tokens);
        if !returns || !r.take_all(&["create", "or", "replace", "function"]) {
            return Ok(());
        }
        let name = r.name();
        let name = name.as_ref().map_or("", |n| n.last());
        let judged = database.catalog.bodies.contains_key(name) && self.routine(name).is_some();
        if !judged || database.functions.contains_key(name) {
            return Ok(());
        }
        let strings = self
            .tokens
            .iter()
            .filter(|t| matches!(t.kind, Kind::String | Kind::SpecialString));
        // Whatever quotes there are around it are no words.
        let mut bodies = strings.map(|t| t.text(self.sql));
        let plain = bodies.all(|text| {
            let inner = text.trim_matches('\'');
            let dollar = text.strip_prefix('$').and_then(|t| t.split_once('$'));
            let inner = match dollar {
                Some((tag, rest)) => rest.strip_suffix(&format!("${tag}$")).unwrap_or(rest),
                None => inner,
            };
            !text.starts_with(['e', 'E', 'u', 'U']) && self.stays_local(&inner.replace("''", "'"))
        });
        if plain {
            return Ok(());
        }
        Err(Fault::new(
            Code::FUNCTION_ACROSS_NODES,
            format!("triggers may use {name}(), and what its new body reads and writes isn't known"),
        )
        .hint("Say it in the rules (functions:), or give the function another name."))
    }

    /// CALL of a procedure goes to the one node that has all of its tables.
    pub(super) fn call(&self) -> Result<NodeId, Fault> {
        let catalog = &self.view.database.catalog;
        let mut r = super::reader::Reader::new(self.sql, self.tokens);
        r.take("call");
        let name = r.name();
        let name = name.as_ref().map_or("", |n| n.last());
        let routine = self.routine(name).ok_or_else(|| not_known(name))?;
        for (at, token) in self.tokens.iter().enumerate().skip(r.at) {
            let word = lex::fold_ident(token.text(self.sql));
            let called = self.tokens.get(at + 1).is_some_and(|t| t.is_punct(self.sql, '('));
            let is_name = matches!(token.kind, Kind::Word | Kind::QuotedIdent);
            let asks = token.is_word(self.sql, "select") || token.is_word(self.sql, "table");
            if asks
                || (is_name && called && (functions::hides_reads(&word, catalog) || !self.is_harmless(&word)))
            {
                return Err(super::ddl::unsupported(
                    "CALL with arguments that aren't plain values",
                ));
            }
        }
        let mut nodes = self.view.database.nodes();
        for (table, writes) in touched(&routine) {
            match self.located(table).home {
                Home::System => return Err(not_known(name)),
                Home::Everywhere(on) if writes && on.len() > 1 => return Err(one_copy(name, table)),
                Home::Everywhere(on) => nodes.retain(|node| on.contains(node)),
                Home::Node(on) => nodes.retain(|node| *node == on),
                Home::Sharded(s) if s.layout != Layout::Separate && s.nodes.len() == 1 => {
                    nodes.retain(|node| s.nodes.contains(node));
                }
                Home::Sharded(_) => return Err(spread(name, table)),
            }
        }
        let anywhere = self.view.database.anywhere;
        let first = nodes.iter().find(|node| **node == anywhere).or(nodes.first());
        first.copied().ok_or_else(|| {
            Fault::new(
                Code::CROSS_NODE_JOIN,
                format!("the tables of the procedure {name}() are on different nodes"),
            )
        })
    }

    fn located(&self, table: &TableName) -> super::analyze::Located {
        let name = Name {
            parts: vec![table.schema.clone(), table.table.clone()],
            span: NOWHERE,
        };
        locate(&name, self.view)
    }
}

fn sharding(table: &TableRef) -> Option<Arc<Sharding>> {
    match &table.home {
        Home::Sharded(s) => Some(Arc::clone(s)),
        Home::Node(_) | Home::Everywhere(_) | Home::System => None,
    }
}

fn touched(routine: &Routine) -> impl Iterator<Item = (&TableName, bool)> {
    let reads = routine.reads.iter().map(|table| (table, false));
    reads.chain(routine.writes.iter().map(|table| (table, true)))
}

fn not_known(name: &str) -> Fault {
    Fault::new(
        Code::FUNCTION_ACROSS_NODES,
        format!("what the function {name}() reads isn't known"),
    )
    .hint(format!(
        "Say it in the rules (functions: {{{name}: {{reads: […]}}}}), declare it IMMUTABLE if it reads no table, or write its query out."
    ))
}

fn spread(name: &str, table: &TableName) -> Fault {
    Fault::new(
        Code::FUNCTION_ACROSS_NODES,
        format!("the function {name}() needs {table}, whose rows aren't all where it would run"),
    )
    .hint("Write its query out; or, if it touches rows of one sharding key, say `runs: node` in the rules and give the key: /* margay: key=… */.")
}

fn separate(name: &str, table: &TableName) -> Fault {
    Fault::new(
        Code::FUNCTION_ACROSS_NODES,
        format!("the function {name}() names {table}, whose shards are separate tables"),
    )
    .hint("Write its query out in the statement.")
}

fn one_copy(name: &str, table: &TableName) -> Fault {
    Fault::new(
        Code::FUNCTION_ACROSS_NODES,
        format!("the function {name}() would write one node's copy of {table} alone"),
    )
    .hint("Write the table in a statement of its own.")
}

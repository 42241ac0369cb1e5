//! Shape → Compiled: everything about a statement that doesn't depend on its values.

use std::sync::Arc;

use crate::model::{Code, Fault, NodeId, TableName};
use crate::topology::{Database, Layout};

use super::analyze::{self, Analysis, analyze};
use super::functions::{self, Effect};
use super::insert::{self, Rows};
use super::lex::{Kind as TokenKind, Token};
use super::lower::{self, Unreadable};
use super::prune::Pruning;
use super::query::{Assignment, Insert, InsertSource, Lowered, Name, Root, Span, Write};
use super::scatter::{self, Scatter, Source};
use super::scope::{Home, TableRef};
use super::set_config::{self, SetCall};
use super::shape::{Shape, Slot};
use super::types::{ReadHint, Role, SessionView};

/// Everything about a statement's shape that doesn't depend on its values. Immutable, shared.
#[derive(Debug)]
pub struct Compiled {
    /// The text without its literals; splices are in its coordinates.
    pub(super) shape: String,
    pub(super) slots: Vec<Slot>,
    pub(super) route: Route,
    pub(super) role: Role,
    pub(super) writes: bool,
    pub(super) changes_catalog: bool,
    pub(super) pins: bool,
    pub(super) outside_txn: bool,
    /// Not a query: planned anew each time.
    pub(super) is_utility: bool,
    /// Slots whose values planning has read.
    pub(super) pinned: Vec<usize>,
    /// Calls of `set_config()` that the session takes over.
    pub(super) sets: Vec<SetCall>,
    /// `$n` occurs.
    pub(super) has_params: bool,
    /// See `Constants::untyped`.
    pub(super) untyped: Vec<u16>,
}

/// How to find the nodes.
#[derive(Debug)]
pub(super) enum Route {
    /// One node, whatever the values.
    Fixed(NodeId),
    /// The same text on each; copies of the same rows or the same DDL.
    Same { nodes: Vec<NodeId>, now: Vec<NowSplice> },
    /// Statements of Margay's own making, in order (DDL of a sharded table).
    Parts(Vec<(NodeId, String)>),
    Tables(Box<Tables>),
    Insert(Box<InsertRoute>),
    /// Can't be done, whatever the values.
    Refused(Fault),
}

/// A `now()` to be replaced, in the shape's coordinates.
#[derive(Clone, Debug)]
pub(super) struct NowSplice {
    pub at: Span,
    pub ty: &'static str,
    /// In a select list, where its name may become a column's name.
    pub name: Option<Box<str>>,
}

/// A table named in the text, for routing and for splicing its physical name.
#[derive(Debug)]
pub(super) struct NamedTable {
    pub table: TableRef,
    /// In the shape's coordinates.
    pub at: Span,
    /// The table's name as written, to become its alias.
    pub written: String,
    pub pruning: Option<Pruning>,
}

#[derive(Debug)]
pub(super) struct Tables {
    pub tables: Vec<NamedTable>,
    pub scatter: Result<ScatterSplices, Fault>,
    pub write: bool,
    /// The first table is the target of a write.
    pub key_hint: Option<String>,
    pub shard_hint: Option<i32>,
}

/// A Scatter with its places in the shape's coordinates.
#[derive(Debug)]
pub(super) struct ScatterSplices {
    pub scatter: Scatter,
    pub hidden: Option<(u32, String)>,
    pub remove: Vec<Span>,
    pub limit_at: u32,
    pub now: Vec<NowSplice>,
}

#[derive(Debug)]
pub(super) struct InsertRoute {
    pub table: NamedTable,
    pub rows: Rows,
    /// Row spans and cells in the shape's coordinates, as in `rows`.
    pub list_at: u32,
    pub spans: Vec<Span>,
    pub replaced: Vec<Vec<Span>>,
    pub now: Vec<NowSplice>,
}

/// What a hint comment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub read: Option<ReadHint>,
    pub key: Option<String>,
    pub shard: Option<i32>,
}

pub(super) struct Compiler<'a> {
    pub sql: &'a str,
    pub shape: &'a Shape,
    pub tokens: &'a [Token],
    pub view: &'a SessionView,
    pub hints: Hints,
}

impl<'a> Compiler<'a> {
    fn db(&self) -> &'a Database {
        &self.view.database
    }

    fn single_node(&self) -> Option<NodeId> {
        match self.db().nodes().as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    pub fn finish(&self, route: Route) -> Compiled {
        Compiled {
            shape: self.shape.text.clone(),
            slots: self.shape.slots.clone(),
            route,
            role: Role::Primary,
            writes: true,
            changes_catalog: false,
            pins: false,
            outside_txn: false,
            is_utility: false,
            pinned: Vec::new(),
            sets: Vec::new(),
            has_params: self.tokens.iter().any(|t| t.kind == TokenKind::Param),
            untyped: super::params::untyped(self.sql, self.tokens),
        }
    }

    /// Compiles a query or a write. `body`: the text to parse, equal in length to `sql` (a prefix such
    /// as EXPLAIN may be blanked out).
    pub fn query(&self, body: &str) -> Result<Compiled, Fault> {
        let lowered = match lower::lower(body, self.shape, self.view.standard_conforming_strings) {
            Ok(lowered) => lowered,
            Err(why) => return self.by_names(&why),
        };
        let analysis = analyze(&lowered.root, self.view);
        let mut compiled = match &lowered.root {
            Root::Query(_) => self.finish(self.tables(&lowered, &analysis, false)?),
            Root::Insert(i) => self.finish(self.insert(i, &lowered, &analysis)?),
            Root::Update(w) | Root::Delete(w) => self.finish(self.write(w, &lowered, &analysis)?),
        };
        self.check_once(&analysis)?;
        let is_query = matches!(lowered.root, Root::Query(_));
        let sets = set_config::plain_calls(&lowered.root);
        let called = analysis.calls.iter().filter(|c| c.name.last() == "set_config").count();
        if matches!(compiled.route, Route::Fixed(_)) && sets.len() == called {
            compiled.sets = sets;
        }
        self.effects(&analysis, is_query, &mut compiled)?;
        self.pin(&mut compiled);
        Ok(compiled)
    }

    /// A view on a node sees that node's rows alone, and what it reads isn't known here.
    fn refuse_view(&self, name: &TableName) -> Result<(), Fault> {
        let is_view = self.db().catalog.tables.get(name).is_some_and(|t| t.is_view);
        if !is_view || self.single_node().is_some() {
            return Ok(());
        }
        Err(Fault::new(Code::FUNCTION_ACROSS_NODES, format!("what the view {name} reads isn't known"))
            .hint("Write the view's query out in the statement."))
    }

    /// What no route may do, not even one to a single node.
    fn check_once(&self, analysis: &Analysis) -> Result<(), Fault> {
        let refs = &analysis.facts.refs;
        for table in refs {
            self.refuse_view(&table.name)?;
        }
        let partitioned = |t: &TableRef| matches!(&t.home, Home::Sharded(s) if s.layout != Layout::PerNode);
        if analysis.system_column && refs.iter().any(partitioned) {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                "system columns such as ctid and tableoid are those of a shard, not of the table",
            ));
        }
        let separate = |t: &TableRef| matches!(&t.home, Home::Sharded(s) if s.layout == Layout::Separate);
        if analysis.qualified_columns && refs.iter().any(separate) {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                "columns qualified by a schema can't be used with a table whose shards are separate tables",
            )
            .hint("Qualify the column by the table's name or alias alone."));
        }
        if self.single_node().is_some() {
            return Ok(());
        }
        if analysis.into {
            return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, "SELECT INTO isn't supported on a database of several nodes")
                .hint("Create the table first, then insert its rows."));
        }
        for (at, set) in &analysis.nested_writes {
            let target = &refs[*at];
            if matches!(&target.home, Home::Everywhere(nodes) if nodes.len() > 1) {
                return Err(Fault::new(
                    Code::WRITE_ACROSS_NODES,
                    format!("a WITH can't write the broadcast table {}, which is on several nodes", target.name),
                )
                .hint("Write it in a statement of its own."));
            }
            if let Home::Sharded(sharding) = &target.home
                && let Some(key) = sharding.key.iter().find(|k| set.contains(&k.column))
            {
                return Err(key_update(target, &key.column));
            }
        }
        for call in &analysis.calls {
            if functions::runs_text(call.name.last()) {
                return Err(Fault::new(
                    Code::FUNCTION_ACROSS_NODES,
                    format!("what {}() reads is not for this proxy to see", call.name.last()),
                ));
            }
        }
        Ok(())
    }

    /// Role, writes and session effects.
    fn effects(&self, analysis: &Analysis, is_query: bool, compiled: &mut Compiled) -> Result<(), Fault> {
        let catalog = &self.db().catalog;
        let mut may_write = analysis.writes || !is_query;
        let several = self.single_node().is_none();
        for call in &analysis.calls {
            let name = call.name.last();
            match functions::effect(name, catalog) {
                Effect::Reads => {}
                Effect::Session if name == "set_config" && !compiled.sets.is_empty() => {}
                Effect::MayWrite => may_write = true,
                Effect::Session if several => {
                    return Err(Fault::new(
                        Code::SESSION_STATE,
                        format!("{name}() leaves state in one server's session, which can't be kept over several nodes"),
                    )
                    .hint("For locks use pg_advisory_xact_lock; for settings use SET."));
                }
                Effect::Session => {
                    compiled.pins = true;
                    may_write = true;
                }
            }
            if several && functions::hides_reads(name, catalog) {
                return Err(Fault::new(Code::FUNCTION_ACROSS_NODES, format!("what the function {name}() reads isn't known"))
                    .hint("Declare it IMMUTABLE if it reads no table; otherwise write its query out."));
            }
        }
        compiled.writes = may_write;
        let hint = self.hints.read.or(self.view.read_hint);
        compiled.role = if may_write || analysis.locks || hint == Some(ReadHint::Primary) { Role::Primary } else { Role::Any };
        Ok(())
    }

    fn pin(&self, compiled: &mut Compiled) {
        let mut spans: Vec<Span> = Vec::new();
        if let Route::Tables(t) = &compiled.route
            && let Ok(s) = &t.scatter
        {
            spans.extend(s.scatter.pinned.iter().copied());
        }
        compiled.pinned = self
            .shape
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| spans.iter().any(|s| s.start <= slot.span.start && slot.span.end <= s.end))
            .map(|(i, _)| i)
            .collect();
    }

    fn named(&self, table: &TableRef, analysis: &Analysis) -> NamedTable {
        NamedTable {
            at: self.shape.range(table.span),
            written: table.name.table.to_string(),
            pruning: Pruning::new(&analysis.facts, table),
            table: table.clone(),
        }
    }

    /// Calls of now() and kin.
    fn now_splices(&self, analysis: &Analysis) -> Result<Vec<NowSplice>, Fault> {
        let mut out = Vec::new();
        for call in &analysis.calls {
            let Some(ty) = functions::transaction_time(call.name.last()) else { continue };
            if call.has_args {
                return Err(Fault::new(Code::FUNCTION_ACROSS_NODES, format!("{} with a precision over several nodes", call.name.last())));
            }
            let name = call.name.span;
            let mut end = name.end;
            if !call.bare {
                let close = self.tokens.iter().find(|t| t.start >= name.end && t.is_punct(self.sql, ')'));
                end = close.map_or(end, |t| t.end);
            }
            let at = Span { start: name.start, end };
            let name = call.names_output.then(|| call.name.last().into());
            out.push(NowSplice { at: self.shape.range(at), ty, name });
        }
        Ok(out)
    }

    fn tables(&self, lowered: &Lowered, analysis: &Analysis, write: bool) -> Result<Route, Fault> {
        if analysis.facts.refs.is_empty() {
            return Ok(Route::Fixed(self.db().shell));
        }
        let src = Source { sql: self.sql, tokens: self.tokens };
        let planned = match &lowered.root {
            Root::Query(q) => scatter::plan(q, analysis, lowered.clauses.as_ref(), &src, self.view),
            Root::Insert(_) | Root::Update(_) | Root::Delete(_) => {
                scatter::check(analysis, self.view, true).map(|()| Scatter::default())
            }
        };
        let scatter = planned.and_then(|scatter| {
            Ok(ScatterSplices {
                hidden: scatter.hidden.as_ref().map(|(at, text)| (self.shape.position(*at), text.clone())),
                remove: scatter.remove.iter().map(|s| self.shape.range(*s)).collect(),
                limit_at: self.shape.position(scatter.limit_at),
                now: self.now_splices(analysis)?,
                scatter,
            })
        });
        let tables: Vec<NamedTable> = analysis.facts.refs.iter().map(|r| self.named(r, analysis)).collect();
        Ok(Route::Tables(Box::new(Tables {
            tables,
            scatter,
            write,
            key_hint: self.hints.key.clone().or_else(|| self.view.key_hint.as_ref().map(|k| k.to_string())),
            shard_hint: self.hints.shard,
        })))
    }

    fn write(&self, w: &Write, lowered: &Lowered, analysis: &Analysis) -> Result<Route, Fault> {
        let Some(target) = target(analysis, &w.table.name) else {
            return Err(Fault::internal("the target of the write was not found"));
        };
        self.refuse_key_update(target, &w.set)?;
        if let Home::Everywhere(nodes) = &target.home {
            return self.same_everywhere(nodes, target, lowered, analysis);
        }
        self.tables(lowered, analysis, true)
    }

    fn refuse_key_update(&self, target: &TableRef, set: &[Assignment]) -> Result<(), Fault> {
        let Home::Sharded(sharding) = &target.home else { return Ok(()) };
        for column in set.iter().flat_map(|a| &a.columns) {
            if sharding.key.iter().any(|k| k.column == *column) {
                return Err(key_update(target, column));
            }
        }
        Ok(())
    }

    /// A write to a table that is complete on each of several nodes: every copy must get the same rows.
    fn same_everywhere(&self, nodes: &[NodeId], target: &TableRef, lowered: &Lowered, analysis: &Analysis) -> Result<Route, Fault> {
        if let [one] = nodes {
            let home = Home::Node(*one);
            return if analysis.facts.refs.iter().all(|r| on_node(&r.home, *one)) {
                Ok(Route::Fixed(*one))
            } else {
                drop(home);
                self.tables(lowered, analysis, true)
            };
        }
        if analysis.may_differ || analysis.system_column {
            return Err(Fault::new(
                Code::BROADCAST_DIVERGES,
                format!("each copy of {} might get other rows: the statement leaves open which it takes", target.name),
            )
            .hint("Read the rows first and write them as values."));
        }
        for table in &analysis.facts.refs {
            let complete = matches!(&table.home, Home::Everywhere(on) if nodes.iter().all(|n| on.contains(n)));
            if !complete {
                return Err(Fault::new(
                    Code::WRITE_ACROSS_NODES,
                    format!("a write to the broadcast table {} can't read {}, which isn't on each of its nodes", target.name, table.name),
                )
                .hint("Read the rows first and write them as values."));
            }
        }
        for call in &analysis.calls {
            let name = call.name.last();
            if functions::differs_by_call(name, &self.db().catalog) {
                return Err(Fault::new(Code::BROADCAST_DIVERGES, format!("{name}() would give each copy of a row of {} another value", target.name))
                    .hint("Compute the value first and pass it as a constant."));
            }
        }
        Ok(Route::Same { nodes: nodes.to_vec(), now: self.now_splices(analysis)? })
    }

    fn insert(&self, i: &Insert, lowered: &Lowered, analysis: &Analysis) -> Result<Route, Fault> {
        let Some(target) = target(analysis, &i.table.name) else {
            return Err(Fault::internal("the target of the INSERT was not found"));
        };
        if let Some(conflict) = &i.conflict {
            self.refuse_key_update(target, &conflict.set)?;
            self.check_conflict(target, conflict)?;
        }
        let generates = target.rule.as_ref().is_some_and(|r| !r.generate.is_empty());
        match (&i.source, &target.home) {
            (InsertSource::Values(values), Home::Sharded(_) | Home::Everywhere(_)) => self.rows(i, values, target, lowered, analysis),
            (InsertSource::Values(values), Home::Node(_)) if generates => self.rows(i, values, target, lowered, analysis),
            (_, Home::Node(_) | Home::System) => self.tables(lowered, analysis, true),
            (InsertSource::Query(q), Home::Everywhere(nodes)) => {
                if q.is_limited() && nodes.len() > 1 {
                    return Err(Fault::new(Code::BROADCAST_DIVERGES, "INSERT … SELECT … LIMIT may pick other rows on each node"));
                }
                self.same_everywhere(nodes, target, lowered, analysis)
            }
            (InsertSource::DefaultValues, Home::Everywhere(nodes)) if nodes.len() == 1 => Ok(Route::Fixed(nodes[0])),
            (InsertSource::Query(_) | InsertSource::DefaultValues, Home::Sharded(s)) if s.nodes.len() == 1 && s.layout != Layout::Separate => {
                self.tables(lowered, analysis, true)
            }
            (InsertSource::DefaultValues, Home::Sharded(_) | Home::Everywhere(_)) => Err(Fault::new(
                Code::KEY_MISSING,
                format!("INSERT INTO {} DEFAULT VALUES gives no sharding key", target.name),
            )),
            (InsertSource::Query(_), Home::Sharded(_)) => Err(Fault::new(
                Code::WRITE_ACROSS_NODES,
                format!("INSERT INTO {} … SELECT can't be split over its nodes", target.name),
            )
            .hint("Read the rows first and insert them as VALUES.")),
        }
    }

    /// A conflict is only seen within a shard: its target must hold the key wherever the server
    /// doesn't demand that anyway.
    fn check_conflict(&self, target: &TableRef, conflict: &super::query::Conflict) -> Result<(), Fault> {
        let Home::Sharded(sharding) = &target.home else { return Ok(()) };
        let unique_holds_key = |columns: &[Box<str>]| sharding.key.iter().all(|k| columns.contains(&k.column));
        let safe = match sharding.layout {
            // The server refuses unique keys without the partition key.
            Layout::Partitioned => true,
            Layout::PerNode | Layout::Separate => {
                if conflict.columns.is_empty() {
                    target.info.as_ref().is_some_and(|i| i.unique.iter().all(|u| unique_holds_key(u)))
                } else {
                    unique_holds_key(&conflict.columns)
                }
            }
        };
        if safe || sharding.place.len() == 1 {
            return Ok(());
        }
        Err(Fault::new(Code::WRITE_ACROSS_NODES, "ON CONFLICT must name columns that include the sharding key")
            .hint("A row that conflicts may be on another node, where it would not be seen."))
    }

    fn rows(&self, i: &Insert, values: &[Vec<super::query::Expr>], target: &TableRef, lowered: &Lowered, analysis: &Analysis) -> Result<Route, Fault> {
        let others = analysis.facts.refs.iter().filter(|r| r.span != target.span).count();
        if others > 0 || !i.ctes.is_empty() {
            let one = match &target.home {
                Home::Everywhere(nodes) if nodes.len() == 1 => Some(nodes[0]),
                Home::Sharded(s) if s.nodes.len() == 1 => Some(s.nodes[0]),
                Home::Node(n) => Some(*n),
                Home::Everywhere(_) | Home::Sharded(_) | Home::System => None,
            };
            if one.is_none() {
                return Err(Fault::new(Code::WRITE_ACROSS_NODES, format!("INSERT INTO {} with subqueries can't be split over its nodes", target.name))
                    .hint("Read the values first and pass them as constants."));
            }
            return self.tables(lowered, analysis, true);
        }
        if let Home::Everywhere(nodes) = &target.home
            && nodes.len() > 1
        {
            for call in &analysis.calls {
                let name = call.name.last();
                if functions::differs_by_call(name, &self.db().catalog) {
                    return Err(Fault::new(Code::BROADCAST_DIVERGES, format!("{name}() would give each copy of the row another value"))
                        .hint("Compute the value first and pass it as a constant."));
                }
            }
        }
        let rows = insert::rows(i, values, target, self.sql, self.tokens, self.view)?;
        let replaced: Vec<Vec<Span>> =
            rows.rows.iter().map(|r| r.replaced.iter().map(|(s, _)| self.shape.range(*s)).collect()).collect();
        // The other now()s matter only where copies must agree.
        let now = match &target.home {
            Home::Everywhere(nodes) if nodes.len() > 1 => {
                let taken: Vec<Span> = replaced.iter().flatten().copied().collect();
                let mut all = self.now_splices(analysis)?;
                all.retain(|n| !taken.iter().any(|t| t.start <= n.at.start && n.at.end <= t.end));
                all
            }
            Home::Everywhere(_) | Home::Node(_) | Home::Sharded(_) | Home::System => Vec::new(),
        };
        Ok(Route::Insert(Box::new(InsertRoute {
            table: self.named(target, analysis),
            list_at: self.shape.position(rows.list_at),
            spans: rows.rows.iter().map(|r| self.shape.range(r.span)).collect(),
            replaced,
            now,
            rows,
        })))
    }

    /// A statement that can't be read: it may run where all tables that its words could mean are.
    pub fn by_names(&self, why: &Unreadable) -> Result<Compiled, Fault> {
        let mut compiled = self.finish(Route::Fixed(self.db().shell));
        if let Some(node) = self.single_node() {
            compiled.route = Route::Fixed(node);
            return Ok(compiled);
        }
        let homes = self.homes_by_names();
        for (name, _) in self.db().catalog.tables.iter().filter(|(_, t)| t.is_view) {
            if homes.iter().any(|(named, _)| *named == name.to_string()) {
                self.refuse_view(name)?;
            }
        }
        let mut nodes: Option<Vec<NodeId>> = None;
        for (name, home) in &homes {
            let on = match home {
                Home::Node(n) => vec![*n],
                Home::Everywhere(list) => list.clone(),
                Home::Sharded(s) if s.nodes.len() == 1 && s.layout != Layout::Separate => s.nodes.clone(),
                Home::Sharded(_) => return Err(unreadable(why, name)),
                Home::System => continue,
            };
            let left = match nodes {
                None => on,
                Some(before) => before.into_iter().filter(|n| on.contains(n)).collect(),
            };
            if left.is_empty() {
                return Err(unreadable(why, name));
            }
            nodes = Some(left);
        }
        // A table that is on several nodes must not be written on one.
        let copies = homes.iter().any(|(_, h)| matches!(h, Home::Everywhere(list) if list.len() > 1));
        let first = self.tokens.first().map_or("", |t| t.text(self.sql)).to_ascii_lowercase();
        let writes = |t: &Token| ["insert", "update", "delete", "merge"].iter().any(|w| t.is_word(self.sql, w));
        let reads = matches!(first.as_str(), "select" | "table" | "values" | "show" | "explain");
        if copies && (!reads || self.tokens.iter().any(writes)) {
            return Err(unreadable(why, &homes[0].0));
        }
        if let Some(node) = nodes.and_then(|n| n.first().copied()) {
            compiled.route = Route::Fixed(node);
        }
        Ok(compiled)
    }

    /// Nothing is served on tables that the rules place otherwise than when they were filled. By
    /// words, since a table must not be reached in any kind of statement; too many are refused.
    pub fn refuse_misplaced(&self) -> Result<(), Fault> {
        let misplaced = &self.view.database.catalog.misplaced;
        if misplaced.is_empty() {
            return Ok(());
        }
        let named = self.homes_by_names();
        match misplaced.iter().find(|(table, _)| named.iter().any(|(name, _)| *name == table.to_string())) {
            None => Ok(()),
            Some((table, why)) => Err(Fault::new(
                Code::PLACEMENT_MISMATCH,
                format!("the rules place {table} otherwise than when it was filled"),
            )
            .detail(why.to_string())
            .hint("Bring the rules back to what they were, or move the rows and then delete the table's row in margay.placement on each of its nodes; then RELOAD.")),
        }
    }

    /// Every table of the rules or the catalog that a word of the statement could mean.
    pub fn homes_by_names(&self) -> Vec<(String, Home)> {
        let mut out: Vec<(String, Home)> = Vec::new();
        let ident = |t: &Token| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent);
        for (i, token) in self.tokens.iter().enumerate() {
            if !ident(token) {
                continue;
            }
            let text = |t: &Token| super::lex::fold_ident(t.text(self.sql));
            let mut parts = vec![text(token)];
            if i >= 2 && self.tokens[i - 1].is_punct(self.sql, '.') && ident(&self.tokens[i - 2]) {
                parts.insert(0, text(&self.tokens[i - 2]));
            }
            for parts in [parts.clone(), vec![text(token)]] {
                let located = analyze::locate(&Name { parts, span: Span::default() }, self.view);
                if (located.rule.is_some() || located.info.is_some()) && !out.iter().any(|(n, _)| *n == located.name.to_string()) {
                    out.push((located.name.to_string(), located.home));
                }
            }
        }
        out
    }
}

fn unreadable(why: &Unreadable, table: &str) -> Fault {
    Fault::new(Code::UNREADABLE, format!("this statement can't be read here and names {table}, which is spread over several nodes"))
        .detail(why.0.clone())
        .hint("Write it in plainer SQL, or direct it to one shard with /* margay: shard=N */ where it reads one.")
}

fn key_update(target: &TableRef, column: &str) -> Fault {
    Fault::new(Code::KEY_UPDATE, format!("{}.{column} is the sharding key and can't be updated", target.name))
        .hint("Delete the row and insert it again with the new key, in one transaction.")
}

fn target<'a>(analysis: &'a Analysis, name: &Name) -> Option<&'a TableRef> {
    analysis.facts.refs.iter().find(|r| r.span == name.span)
}

fn on_node(home: &Home, node: NodeId) -> bool {
    match home {
        Home::Node(n) => *n == node,
        Home::Everywhere(list) => list.contains(&node),
        Home::Sharded(s) => s.nodes.as_slice() == [node] && s.layout != Layout::Separate,
        Home::System => true,
    }
}

impl Compiled {
    pub(super) fn shared(self) -> Arc<Compiled> {
        Arc::new(self)
    }
}

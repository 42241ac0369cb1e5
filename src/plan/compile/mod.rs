//! Shape → Compiled: everything about a statement that doesn't depend on its values.

mod copies;
mod effects;
mod fixed;
mod insert;
mod names;
mod only;

use std::sync::{Arc, OnceLock};

use crate::model::catalog::ColumnDefault;
use crate::model::{Code, Fault, NodeId};
use crate::topology::{Database, Layout};

use super::analyze::{Analysis, analyze};
use super::copy::{CopyOut, CopyRows};
use super::fixed::{self as fixed_words, Fixed};
use super::insert::Rows;
use super::lex::{Kind as TokenKind, Token};
use super::lower;
use super::prune::Pruning;
use super::query::{Assignment, Expr, Lowered, Name, Root, Span, Write};
use super::scatter::{self, Scatter, Source};
use super::scope::{Home, TableRef};
use super::set_config::{self, SetCall};
use super::shape::{Shape, Slot};
use super::splice::Splice;
use super::types::{CursorUse, Plan, ReadHint, Role, SessionView};
use super::views;

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
    pub(super) cursor: Option<CursorUse>,
    pub(super) copy_out: Option<CopyOut>,
    pub(super) copy_in: Option<Arc<CopyRows>>,
    /// `$n` occurs.
    pub(super) has_params: bool,
    /// See `Constants::untyped`.
    pub(super) untyped: Vec<u16>,
    /// Only in a transaction block does it make sense, and the server would say so: LOCK TABLE.
    pub(super) needs_block: bool,
    /// A system catalog is read, or a function that looks names up in it: they are those of the server.
    pub(super) reads_catalogs: bool,
    /// Words that the proxy may have to put a value for.
    pub(super) fixed: Vec<FixedSplice>,
    /// Why it can't run where the proxy has to give these values.
    pub(super) unfixed: Vec<Unfixed>,
    /// Words that say nothing of a logical table, and would of a node's: they are left out.
    pub(super) nothing: Vec<Span>,
    /// See `Plan::lock`.
    pub(super) lock: Option<Arc<str>>,
}

/// How to find the nodes.
#[derive(Debug)]
pub(super) enum Route {
    /// One node, whatever the values.
    Fixed(NodeId),
    /// The shell, with what it would tell of itself replaced by what is so of the logical database.
    Catalogs {
        node: NodeId,
        splices: Vec<Splice>,
    },
    /// The same text on each; copies of the same rows or the same DDL.
    Same {
        nodes: Vec<NodeId>,
    },
    /// Statements of Margay's own making, in order (DDL of a sharded table).
    Parts(Vec<(NodeId, String)>),
    Tables(Box<Tables>),
    Insert(Box<InsertRoute>),
    /// Can't be done, whatever the values.
    Refused(Fault),
}

/// A `now()` or `current_user` to be replaced, in the shape's coordinates.
#[derive(Clone, Debug)]
pub(super) struct FixedSplice {
    pub at: Span,
    pub what: Fixed,
    /// In a select list, where its name may become a column's name.
    pub name: Option<Box<str>>,
}

/// What decides a value that the statement leaves to the server, and must not where the proxy has to.
#[derive(Clone, Debug)]
pub(super) enum Unfixed {
    /// Such a word at a place where nothing can be put for it, or in a statement that can't be read.
    Word(Fixed, Box<str>),
    /// The default of a column: `table.column` and the expression.
    Default(String, Box<str>),
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
    pub shard_hint: Option<Box<str>>,
    /// Plans made already, by shard: see `Binder::one_table`.
    pub ready: [OnceLock<Arc<Plan>>; READY],
}

/// Of so many shards the plans are kept, a few hundred bytes each.
pub(super) const READY: usize = 16;

/// A Scatter with its places in the shape's coordinates.
#[derive(Debug)]
pub(super) struct ScatterSplices {
    pub scatter: Scatter,
    pub hidden: Option<(u32, String)>,
    pub remove: Vec<Span>,
    pub limit_at: u32,
}

#[derive(Debug)]
pub(super) struct InsertRoute {
    pub table: NamedTable,
    pub rows: Rows,
    /// Row spans and cells in the shape's coordinates, as in `rows`.
    pub list_at: u32,
    pub spans: Vec<Span>,
    pub replaced: Vec<Vec<Span>>,
    /// The name behind ON CONSTRAINT.
    pub constraint: Option<(Span, Box<str>)>,
}

/// What a hint comment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub read: Option<ReadHint>,
    pub key: Option<String>,
    pub shard: Option<Box<str>>,
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
            cursor: None,
            copy_out: None,
            copy_in: None,
            has_params: self.tokens.iter().any(|t| t.kind == TokenKind::Param),
            untyped: super::params::untyped(self.sql, self.tokens),
            needs_block: false,
            reads_catalogs: false,
            fixed: Vec::new(),
            unfixed: Vec::new(),
            nothing: Vec::new(),
            lock: None,
        }
    }

    /// Compiles a query or a write. `body`: the text to parse, equal in length to `sql` (a prefix such
    /// as EXPLAIN may be blanked out).
    pub fn query(&self, body: &str) -> Result<Compiled, Fault> {
        let mut lowered = match lower::lower(body, self.shape, self.view.standard_conforming_strings) {
            Ok(lowered) => lowered,
            Err(why) => return self.by_names(&why),
        };
        views::expand(&mut lowered.root, self.view)?;
        let mut analysis = analyze(&lowered.root, self.view);
        self.refuse_shards_read(&analysis)?;
        self.routines(&lowered.root, &mut analysis)?;
        let mut compiled = match &lowered.root {
            Root::Query(_) => self.finish(self.tables(&lowered, &analysis, false)?),
            Root::Insert(i) => self.finish(self.insert(i, &lowered, &analysis)?),
            Root::Update(w) | Root::Delete(w) => self.finish(self.write(w, &lowered, &analysis)?),
        };
        self.check_once(&analysis)?;
        self.check_row_locks(&analysis)?;
        compiled.nothing = self.only_words(&analysis)?;
        compiled.lock = self.lock_of_copies(&lowered.root, &analysis);
        self.fix(&lowered, &analysis, &mut compiled);
        let is_query = matches!(lowered.root, Root::Query(_));
        let sets = set_config::plain_calls(&lowered.root);
        let called = analysis
            .calls
            .iter()
            .filter(|c| c.name.last() == "set_config")
            .count();
        if !sets.is_empty() && sets.iter().all(|set| set.if_rows) {
            // Settings are asked where they are set.
            compiled.route = Route::Fixed(self.db().anywhere);
        }
        if matches!(compiled.route, Route::Fixed(_)) && sets.len() == called {
            compiled.sets = sets;
        }
        self.effects(&analysis, is_query, &mut compiled)?;
        self.pin(&mut compiled, self.sequence(&analysis)?.map(|(_, span)| span));
        Ok(compiled)
    }

    fn pin(&self, compiled: &mut Compiled, sequence: Option<Span>) {
        // A precision is read while planning: `CURRENT_TIMESTAMP(3)`.
        let fixed = fixed_words::found(self.sql, self.tokens).into_iter();
        let mut spans: Vec<Span> = fixed
            .map(|f| Span {
                start: self.tokens[f.first].start,
                end: self.tokens[f.last].end,
            })
            .chain(sequence)
            .collect();
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
            .filter(|(_, slot)| {
                spans
                    .iter()
                    .any(|s| s.start <= slot.span.start && slot.span.end <= s.end)
            })
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

    fn tables(&self, lowered: &Lowered, analysis: &Analysis, write: bool) -> Result<Route, Fault> {
        if let Some(route) = self.catalogs(analysis)? {
            return Ok(route);
        }
        if analysis.facts.refs.is_empty() {
            let nodes = self.sequence(analysis)?.map(|(nodes, _)| nodes);
            return Ok(match nodes.as_deref() {
                None | Some([]) => Route::Fixed(self.db().anywhere),
                Some([one]) => Route::Fixed(*one),
                Some(several) => Route::Same {
                    nodes: several.to_vec(),
                },
            });
        }
        let src = Source {
            sql: self.sql,
            tokens: self.tokens,
        };
        let planned = match &lowered.root {
            Root::Query(q) => scatter::plan(q, analysis, lowered.clauses.as_ref(), &src, self.view),
            Root::Insert(_) | Root::Update(_) | Root::Delete(_) => {
                scatter::check(analysis, true).map(|()| Scatter::default())
            }
        };
        let scatter = planned.map(|scatter| ScatterSplices {
            hidden: scatter
                .hidden
                .as_ref()
                .map(|(at, text)| (self.shape.position(*at), text.clone())),
            remove: scatter.remove.iter().map(|s| self.shape.range(*s)).collect(),
            limit_at: self.shape.position(scatter.limit_at),
            scatter,
        });
        let tables: Vec<NamedTable> = analysis
            .facts
            .refs
            .iter()
            .map(|r| self.named(r, analysis))
            .collect();
        Ok(Route::Tables(Box::new(Tables {
            ready: Default::default(),
            tables,
            scatter,
            write,
            key_hint: self
                .hints
                .key
                .clone()
                .or_else(|| self.view.key_hint.as_ref().map(|k| k.to_string())),
            shard_hint: self.hints.shard.clone(),
        })))
    }

    fn write(&self, w: &Write, lowered: &Lowered, analysis: &Analysis) -> Result<Route, Fault> {
        let Some(target) = target(analysis, &w.table.name) else {
            return Err(Fault::internal("the target of the write was not found"));
        };
        self.refuse_key_update(target, &w.set)?;
        if let Home::Everywhere(nodes) = &target.home {
            if nodes.len() > 1 {
                let reset = w
                    .set
                    .iter()
                    .filter(|a| is_default(&a.value))
                    .flat_map(|a| &a.columns);
                self.refuse_defaults(target, &|column| reset.clone().any(|c| &**c == column))?;
            }
            return self.same_everywhere(nodes, target, lowered, analysis);
        }
        self.tables(lowered, analysis, true)
    }

    /// Defaults that would give each copy of a broadcast row another value.
    fn refuse_defaults(&self, target: &TableRef, used: &dyn Fn(&str) -> bool) -> Result<(), Fault> {
        let columns = target.info.iter().flat_map(|i| &i.columns);
        let differs =
            |d: &ColumnDefault| matches!(d, ColumnDefault::OfSession(_) | ColumnDefault::Volatile(_));
        match columns.into_iter().find(|c| differs(&c.default) && used(&c.name)) {
            None => Ok(()),
            Some(column) => Err(Fault::new(
                Code::BROADCAST_DIVERGES,
                format!(
                    "the default of {}.{} would give each node's copy another value",
                    target.name, column.name
                ),
            )
            .hint("Give the column's value in the statement.")),
        }
    }

    fn refuse_key_update<'s>(
        &self,
        target: &TableRef,
        set: impl IntoIterator<Item = &'s Assignment>,
    ) -> Result<(), Fault> {
        let Home::Sharded(sharding) = &target.home else {
            return Ok(());
        };
        for column in set.into_iter().flat_map(|a| &a.columns) {
            if sharding.key.iter().any(|k| k.column == *column) {
                return Err(key_update(target, column));
            }
        }
        Ok(())
    }

    /// A write to a table that is complete on each of several nodes: every copy must get the same rows.
    fn same_everywhere(
        &self,
        nodes: &[NodeId],
        target: &TableRef,
        lowered: &Lowered,
        analysis: &Analysis,
    ) -> Result<Route, Fault> {
        if let [one] = nodes {
            return if analysis.facts.refs.iter().all(|r| on_node(&r.home, *one)) {
                Ok(Route::Fixed(*one))
            } else {
                self.tables(lowered, analysis, true)
            };
        }
        if analysis.may_differ || analysis.system_column {
            return Err(Fault::new(
                Code::BROADCAST_DIVERGES,
                format!(
                    "each copy of {} might get other rows: the statement leaves open which it takes",
                    target.name
                ),
            )
            .hint("Read the rows first and write them as values."));
        }
        for table in &analysis.facts.refs {
            let complete =
                matches!(&table.home, Home::Everywhere(on) if nodes.iter().all(|n| on.contains(n)));
            if !complete {
                return Err(Fault::new(
                    Code::WRITE_ACROSS_NODES,
                    format!(
                        "a write to the broadcast table {} can't read {}, which isn't on each of its nodes",
                        target.name, table.name
                    ),
                )
                .hint("Read the rows first and write them as values."));
            }
        }
        self.check_copies(target, analysis)?;
        Ok(Route::Same {
            nodes: nodes.to_vec(),
        })
    }
}

fn key_update(target: &TableRef, column: &str) -> Fault {
    Fault::new(
        Code::KEY_UPDATE,
        format!(
            "{}.{column} is the sharding key and can't be updated",
            target.name
        ),
    )
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

/// `DEFAULT` as the value of SET.
fn is_default(value: &Expr) -> bool {
    matches!(value, Expr::Column(name) if name.parts.len() == 1 && name.last() == "default")
}

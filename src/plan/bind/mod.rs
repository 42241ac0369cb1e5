//! Compiled + values → Plan.

mod absent;
mod fixed;
mod hinted;
mod insert;
mod shards;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{Code, Fault, KeyType, NodeId, ShardId, Value};
use crate::topology::Layout;

pub(super) use absent::refusal;
use hinted::{hinted_key, hinted_shard};
use shards::name_splice;

use super::compile::{Compiled, NamedTable, Route, ScatterSplices, Tables};
use super::copy::{CopyFill, CopyIn, CopyRows, merged_out};
use super::insert::Fill;

use super::prune::Shards;
use super::query::Expr;
use super::scope::Home;
use super::shape::SlotKind;
use super::splice::{Splice, splice};
use super::types::{Merge, Moment, Params, Part, Plan, Planned, SessionView, Text};
use super::value::{Constants, Key};

/// A plan before it is shared.
type Bound = Result<Plan, Fault>;

pub(super) struct Binder<'a, 'm> {
    pub compiled: &'a Compiled,
    /// Literal texts by slot.
    pub literals: Vec<(SlotKind, &'a str)>,
    pub view: &'a SessionView,
    pub params: &'a Params<'a>,
    pub moment: &'a mut Moment<'m>,
    /// A text was made of values of this execution.
    pub once: Cell<bool>,
}

impl Binder<'_, '_> {
    fn constants(&self) -> Constants<'_> {
        Constants {
            slots: &self.literals,
            params: self.params,
            time_zone: self.view.time_zone.as_ref(),
            text: self.view.text,
            untyped: &self.compiled.untyped,
        }
    }

    fn plan(&self, parts: Vec<Part>, merge: Merge) -> Plan {
        let c = self.compiled;
        Plan {
            role: c.role,
            writes: c.writes,
            // Rows of one part alone still have the columns that were added for a merge.
            merge: if parts.len() == 1 && !matches!(merge, Merge::Rows(_)) {
                Merge::Relay
            } else {
                merge
            },
            parts,
            changes_catalog: c.changes_catalog,
            pins: c.pins,
            outside_txn: c.outside_txn,
            periods: Vec::new(),
            sets: Vec::new(),
            once: self.once.get(),
            cursor: c.cursor.clone(),
            lock: c.lock.clone(),
        }
    }

    fn spliced(&self, splices: Vec<Splice>) -> Text {
        if splices.is_empty() {
            return Text::Original;
        }
        Text::Spliced(
            splice(
                &self.compiled.shape,
                &self.compiled.slots,
                &self.literals,
                splices,
            )
            .into(),
        )
    }

    pub fn bind(&mut self) -> Planned {
        let compiled = self.compiled;
        let usual = match &compiled.route {
            Route::Tables(tables) => self.one_table(tables)?,
            Route::Fixed(_)
            | Route::Catalogs { .. }
            | Route::Same { .. }
            | Route::Parts(_)
            | Route::Insert(_)
            | Route::Refused(_) => None,
        };
        let mut plan = match usual {
            Some(plan) => plan,
            None => Arc::new(self.routed()?),
        };
        self.refuse_absent(&plan)?;
        if let Some(out) = compiled.copy_out {
            let merge = merged_out(&plan.merge, plan.parts.len(), out)?;
            Arc::make_mut(&mut plan).merge = merge;
        }
        if let Some(rows) = &compiled.copy_in {
            let merge = Merge::CopyIn(self.copied_in(rows)?);
            Arc::make_mut(&mut plan).merge = merge;
        }
        Ok(plan)
    }

    /// What is appended to the rows of a COPY.
    fn copied_in(&self, rows: &Arc<CopyRows>) -> Result<CopyIn, Fault> {
        let filled = rows.fills.iter().map(|fill| {
            Ok(match fill {
                Fill::NextId => CopyFill::NextId,
                Fill::Default(text) => return Err(Fault::internal(format!("the default {text} as a value"))),
                Fill::Now(ty) => {
                    let value = self.now_value(*ty)?;
                    let zone = if *ty == KeyType::Timestamptz { "+00" } else { "" };
                    let binary: Box<[u8]> = match &value {
                        Value::Date(days) => days.to_be_bytes().into(),
                        Value::Timestamp(us) => us.to_be_bytes().into(),
                        other => return Err(Fault::internal(format!("now() as {other}"))),
                    };
                    CopyFill::Value {
                        text: format!("{value}{zone}").into(),
                        binary,
                    }
                }
            })
        });
        Ok(CopyIn {
            rows: Arc::clone(rows),
            filled: filled.collect::<Result<_, Fault>>()?,
        })
    }

    fn routed(&mut self) -> Bound {
        let compiled = self.compiled;
        match &compiled.route {
            Route::Refused(fault) => Err(fault.clone()),
            Route::Fixed(node) => {
                let text = self.spliced(self.fixed_splices(false)?);
                let mut plan = self.plan(vec![part(*node, text)], Merge::Relay);
                let constants = self.constants();
                plan.sets = compiled
                    .sets
                    .iter()
                    .map(|call| call.read(&constants))
                    .collect::<Result<_, _>>()?;
                Ok(plan)
            }
            Route::Catalogs { node, splices } => {
                let mut splices = splices.clone();
                splices.extend(self.fixed_splices(false)?);
                let text = self.spliced(splices);
                Ok(self.plan(vec![part(*node, text)], Merge::Relay))
            }
            Route::Same { nodes } => {
                if compiled.needs_block && nodes.len() > 1 && !self.moment.in_transaction {
                    return Err(outside_block());
                }
                if nodes.len() > 1 && self.compiled.writes && !self.compiled.is_utility {
                    self.refuse_moving_texts()?;
                }
                let text = self.spliced(self.fixed_splices(nodes.len() > 1)?);
                Ok(self.plan(
                    nodes.iter().map(|n| part(*n, text.clone())).collect(),
                    Merge::Same,
                ))
            }
            Route::Parts(list) => {
                if compiled.needs_block && !self.moment.in_transaction {
                    return Err(outside_block());
                }
                let parts = list
                    .iter()
                    .map(|(n, text)| part(*n, Text::Spliced(text.as_str().into())))
                    .collect();
                Ok(self.plan(parts, Merge::Same))
            }
            Route::Tables(tables) => self.tables(tables),
            Route::Insert(insert) => self.insert(insert),
        }
    }

    /// A text that any one node can describe: the original, or with the names of one shard.
    pub fn describe(&self, separate: bool) -> Result<super::planner::Describe, Fault> {
        let tables: Vec<&NamedTable> = match &self.compiled.route {
            Route::Tables(t) => t.tables.iter().collect(),
            Route::Insert(i) => vec![&i.table],
            Route::Catalogs { node, splices } => {
                let mut splices = splices.clone();
                splices.extend(self.fixed_splices(false)?);
                return Ok(super::planner::Describe {
                    node: *node,
                    text: self.spliced(splices),
                });
            }
            Route::Fixed(_) | Route::Same { .. } | Route::Parts(_) | Route::Refused(_) => Vec::new(),
        };
        // A node that has every table; tables of several domains are described nowhere.
        let mut nodes: Option<Vec<NodeId>> = None;
        for table in &tables {
            let on = match &table.table.home {
                Home::Node(n) => vec![*n],
                Home::Everywhere(list) => list.clone(),
                Home::Sharded(s) => s.nodes.clone(),
                Home::System => continue,
            };
            nodes = Some(match nodes {
                None => on,
                Some(before) => before.into_iter().filter(|n| on.contains(n)).collect(),
            });
        }
        let node = match nodes {
            None => self.view.database.anywhere,
            Some(list) => list.first().copied().ok_or_else(cross_node)?,
        };
        if !separate {
            return Ok(super::planner::Describe {
                node,
                text: Text::Original,
            });
        }
        let splices = tables
            .iter()
            .filter_map(|t| {
                let sharding = &t.pruning.as_ref()?.sharding;
                let shard = (0..sharding.place.len() as i32)
                    .map(ShardId)
                    .find(|s| sharding.node_of(*s) == node)?;
                name_splice(t, shard)
            })
            .collect();
        Ok(super::planner::Describe {
            node,
            text: self.spliced(splices),
        })
    }

    /// The shards of each sharded table.
    fn shards(&self, tables: &Tables) -> Result<Vec<Option<Shards>>, Fault> {
        let constants = self.constants();
        tables
            .tables
            .iter()
            .map(|t| {
                let Some(pruning) = &t.pruning else {
                    return Ok(None);
                };
                if let Some(shard) = &tables.shard_hint {
                    return hinted_shard(&pruning.sharding, shard, t).map(Some);
                }
                if let Some(key) = &tables.key_hint {
                    return hinted_key(pruning, key, t, self.view.time_zone.as_ref()).map(Some);
                }
                Ok(Some(if pruning.is_hopeless() {
                    Shards::All
                } else {
                    pruning.shards(&constants)
                }))
            })
            .collect()
    }

    /// The usual statement: one table that is on one node, or of which one key value is wanted. The same as by
    /// the long way, which works with sets.
    fn one_place(&self, tables: &Tables) -> Option<(NodeId, Option<ShardId>)> {
        let [table] = tables.tables.as_slice() else {
            return None;
        };
        if tables.shard_hint.is_some() || tables.key_hint.is_some() {
            return None;
        }
        match (&table.table.home, &table.pruning) {
            (Home::Node(node), None) => Some((*node, None)),
            (Home::Sharded(sharding), Some(pruning)) if sharding.layout != Layout::Separate => {
                let shard = pruning.one_shard(&self.constants())?;
                Some((sharding.node_of(shard), Some(shard)))
            }
            (_, _) => None,
        }
    }

    /// Where its text stays as it is, such a statement's plan depends on nothing but the place, and is shared.
    fn one_table(&self, tables: &Tables) -> Result<Option<Arc<Plan>>, Fault> {
        let Some((node, shard)) = self.one_place(tables) else {
            return Ok(None);
        };
        let splices = self.fixed_splices(false)?;
        let is_plain = splices.is_empty();
        let make = || {
            let part = Part {
                shards: shard.into_iter().collect(),
                ..part(node, self.spliced(splices))
            };
            Arc::new(self.plan(vec![part], Merge::Relay))
        };
        let at = shard.map_or(Ok(0), |shard| usize::try_from(shard.0));
        let kept = at.ok().filter(|_| is_plain).and_then(|at| tables.ready.get(at));
        Ok(Some(match kept {
            Some(kept) => Arc::clone(kept.get_or_init(make)),
            None => make(),
        }))
    }

    fn tables(&mut self, tables: &Tables) -> Bound {
        let shards = self.shards(tables)?;
        let hinted = tables.shard_hint.is_some() || tables.key_hint.is_some();
        let separate = tables.tables.iter().any(|t| {
            t.pruning.as_ref().is_some_and(|p| {
                p.sharding.layout == Layout::Separate || (hinted && p.sharding.layout != Layout::PerNode)
            })
        });
        if separate {
            return self.by_shard(tables, &shards);
        }
        let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
        let mut complete: Option<Vec<NodeId>> = None;
        for (table, shards) in tables.tables.iter().zip(&shards) {
            match (&table.table.home, shards) {
                (Home::Sharded(sharding), Some(shards)) => nodes.extend(shards.nodes(sharding)),
                (Home::Node(node), _) => {
                    nodes.insert(*node);
                }
                (Home::Everywhere(list), _) => {
                    complete = Some(match complete {
                        None => list.clone(),
                        Some(before) => before.into_iter().filter(|n| list.contains(n)).collect(),
                    });
                }
                (Home::Sharded(_) | Home::System, _) => {}
            }
        }
        if nodes.len() > 1 {
            return self.scatter(tables, &nodes, &shards);
        }
        let node = match nodes.first() {
            Some(node) => *node,
            None => self.any_node(tables, complete.as_deref()),
        };
        // A table without a needed row must still be there to be named.
        if complete.is_some_and(|list| !list.contains(&node))
            || !tables.tables.iter().all(|t| is_on(&t.table.home, node))
        {
            return Err(apart(tables));
        }
        let mut part = part(node, self.spliced(self.fixed_splices(false)?));
        part.shards = listed(tables, &shards, Some(node));
        Ok(self.plan(vec![part], Merge::Relay))
    }

    /// No row is needed, or any node has them all.
    fn any_node(&self, tables: &Tables, complete: Option<&[NodeId]>) -> NodeId {
        let sharded = tables
            .tables
            .iter()
            .find_map(|t| t.pruning.as_ref().and_then(|p| p.sharding.nodes.first().copied()));
        let anywhere = self.view.database.anywhere;
        match (sharded, complete) {
            (Some(node), None) => node,
            (Some(node), Some(list)) if list.contains(&node) => node,
            (_, Some(list)) if list.contains(&anywhere) => anywhere,
            (_, Some(list)) => list.first().copied().unwrap_or(anywhere),
            (None, None) => anywhere,
        }
    }

    fn scatter(&mut self, tables: &Tables, nodes: &BTreeSet<NodeId>, shards: &[Option<Shards>]) -> Bound {
        let scatter = tables.scatter.as_ref().map_err(Clone::clone)?;
        let (merge, splices) = self.merge(scatter)?;
        let needs_param_types = self.drops_params(scatter, &splices);
        let text = self.spliced(splices);
        let parts = nodes
            .iter()
            .map(|n| Part {
                shards: listed(tables, shards, Some(*n)),
                needs_param_types,
                ..part(*n, text.clone())
            })
            .collect();
        Ok(self.plan(parts, if tables.write { Merge::Sum } else { merge }))
    }

    /// Is there a parameter in LIMIT or OFFSET that the parts' text no longer has?
    fn drops_params(&self, s: &ScatterSplices, splices: &[Splice]) -> bool {
        let kept = |e: &Expr| match e {
            Expr::Param(n) => splices
                .iter()
                .any(|s| s.text.contains(&format!("${n}::pg_catalog.int8"))),
            _ => !has_param(e),
        };
        !s.scatter.limit.iter().chain(&s.scatter.offset).all(kept)
    }

    fn merge(&mut self, s: &ScatterSplices) -> Result<(Merge, Vec<Splice>), Fault> {
        let mut merge = s.scatter.merge.clone();
        merge.limit = self.count(s.scatter.limit.as_ref(), "LIMIT")?;
        merge.offset = self.count(s.scatter.offset.as_ref(), "OFFSET")?.unwrap_or(0);
        let mut splices = self.fixed_splices(true)?;
        splices.extend(
            s.hidden
                .iter()
                .map(|(at, text)| Splice::insert(*at, text.clone())),
        );
        splices.extend(s.remove.iter().map(|at| Splice::replace(*at, "")));
        if s.scatter.limit.is_some() && s.scatter.push_limit {
            // A parameter must stay in the text, or the server couldn't tell its type.
            let fits = merge
                .limit
                .unwrap_or(0)
                .checked_add(merge.offset)
                .is_some_and(|n| i64::try_from(n).is_ok());
            let term = |e: &Option<Expr>, value: u64| match e {
                Some(Expr::Param(n)) => format!("${n}::pg_catalog.int8"),
                _ => value.to_string(),
            };
            if let Some(limit) = merge.limit.filter(|_| fits) {
                let limit = term(&s.scatter.limit, limit);
                let text = match merge.offset {
                    0 if !matches!(s.scatter.offset, Some(Expr::Param(_))) => format!(" LIMIT {limit}"),
                    offset => format!(" LIMIT {limit} + {}", term(&s.scatter.offset, offset)),
                };
                splices.push(Splice::insert(s.limit_at, text));
            }
        }
        Ok((Merge::Rows(merge), splices))
    }

    fn count(&self, expr: Option<&Expr>, what: &str) -> Result<Option<u64>, Fault> {
        let Some(expr) = expr else { return Ok(None) };
        match self.constants().key(expr, KeyType::Int8) {
            Key::Known(Value::Int(n)) => match u64::try_from(n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(
                    Fault::new(Code::LIMIT_NOT_KNOWN, format!("{what} must not be negative"))
                        .sqlstate(if what == "LIMIT" { "2201W" } else { "2201X" }),
                ),
            },
            Key::Null => Ok(None),
            Key::Known(_) | Key::Nothing | Key::Unknown => Err(Fault::new(
                Code::LIMIT_NOT_KNOWN,
                format!("the value of {what} isn't an integer that can be read here"),
            )
            .hint("Write a whole number, or pass a bigint parameter.")),
        }
    }
}

/// As PostgreSQL says it.
fn outside_block() -> Fault {
    let message = "LOCK TABLE can only be used in transaction blocks";
    Fault::new(Code::UNSUPPORTED_STATEMENT, message).sqlstate("25P01")
}

fn part(node: NodeId, text: Text) -> Part {
    Part {
        node,
        text,
        shards: Vec::new(),
        needs_param_types: false,
    }
}

fn has_param(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |e| found |= matches!(e, Expr::Param(_)), &mut |_| {});
    found
}

fn is_on(home: &Home, node: NodeId) -> bool {
    match home {
        Home::Node(n) => *n == node,
        Home::Everywhere(list) => list.contains(&node),
        Home::Sharded(s) => s.nodes.contains(&node),
        Home::System => true,
    }
}

/// Which tables are on different nodes.
fn apart(tables: &Tables) -> Fault {
    let mut names: Vec<String> = Vec::new();
    for table in &tables.tables {
        let name = table.table.name.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let message = format!("{} are not together on one node", names.join(", "));
    Fault::new(Code::CROSS_NODE_JOIN, message)
        .hint("Query each domain on its own and join in the application, or make the smaller table `broadcast` where the others are.")
}

fn cross_node() -> Fault {
    Fault::new(Code::CROSS_NODE_JOIN, "the tables are not together on one node")
        .hint("Query each domain on its own and join in the application.")
}

/// The shards that a part touches, for EXPLAIN ROUTE.
fn listed(tables: &Tables, shards: &[Option<Shards>], node: Option<NodeId>) -> Vec<ShardId> {
    let mut out: BTreeSet<ShardId> = BTreeSet::new();
    for (table, set) in tables.tables.iter().zip(shards) {
        if let (Some(p), Some(set)) = (&table.pruning, set)
            && let Some(list) = set.listed(&p.sharding)
        {
            out.extend(
                list.into_iter()
                    .filter(|s| node.is_none_or(|n| p.sharding.node_of(*s) == n)),
            );
        }
    }
    out.into_iter().collect()
}

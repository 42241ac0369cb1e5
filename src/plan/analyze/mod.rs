//! Walks a statement once and gathers what routing and scattering need: facts about columns,
//! every table reference, every function call, and the first reason why the statement can't be
//! computed shard by shard.
//!
//! That reason only counts if the route turns out to need several nodes: on one node any SQL is
//! exact. Within subqueries of expressions nothing of the kind is recorded: they are exact as soon
//! as every sharded table in them is tied to the outer row by its key, which `scatter` checks.

mod conditions;
mod local;
mod locate;
mod sources;
mod writes;

use crate::model::{Code, Fault};

use super::query::{
    Body, Cte, CteBody, Distinct, Expr, Item, Name, OrderItem, Query, Root, Select, SetOp, Span,
};
use super::scope::{Column, EntityId, Facts, Scope};
use super::types::SessionView;

pub use local::{has_aggregate, has_window, holds_key, is_aggregate_call, is_aggregated, windows_are_local};
pub use locate::{Located, locate, sequence_home};

/// A function call met anywhere in the statement.
#[derive(Clone, Debug)]
pub struct CallSite {
    pub name: Name,
    /// In FROM, where no expression can stand in its place.
    pub as_relation: bool,
    /// The type of its one argument, a plain column.
    pub of_column: Option<Box<str>>,
    /// Within a select item without alias, whose column may be named after it.
    pub names_output: bool,
}

/// The rows of a FROM: the same on every node, or spread over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dist {
    Same,
    Spread,
}

#[derive(Debug, Default)]
pub struct Analysis {
    pub facts: Facts,
    pub calls: Vec<CallSite>,
    /// Types that something is cast to.
    pub casts: Vec<Box<str>>,
    /// Why the statement can't be computed shard by shard.
    pub obstacle: Option<Fault>,
    /// FOR UPDATE and such, anywhere.
    pub locks: bool,
    /// A WITH that writes, SELECT INTO.
    pub writes: bool,
    /// Scope of the outermost SELECT.
    pub top: Scope,
    /// Rows of the outermost FROM.
    pub dist: Option<Dist>,
    /// Table references of the outermost FROM, subqueries in FROM included: candidates for the anchor.
    pub anchors: Vec<usize>,
    /// References of each arm of the outermost UNION ALL, or of the one SELECT.
    pub arms: Vec<std::ops::Range<usize>>,
    /// A column like ctid, whose value is a server's own.
    pub system_column: bool,
    /// Targets of writes within WITH, as indexes of references, with the columns that are set.
    pub nested_writes: Vec<(usize, Vec<Box<str>>)>,
    /// Names behind ONLY of tables whose rows are all in partitions on their nodes.
    pub only_of_partitioned: Vec<Span>,
    /// SELECT INTO.
    pub into: bool,
    /// A subquery's LIMIT, window or DISTINCT ON, or a join in a write, may give each copy of a row another value.
    pub may_differ: bool,
    /// Schema-qualified columns (`public.t.a`), which a spliced alias can't serve.
    pub qualified_columns: bool,
    pub too_large: bool,
}

struct Output {
    dist: Dist,
    columns: Option<Vec<(Box<str>, Option<Column>)>>,
    /// A condition on the column from outside may be applied within.
    transparent: Vec<Column>,
}

/// One WITH entry in sight. Its `ctes` index bounds what its own body sees.
#[derive(Clone, Copy)]
struct CteInSight<'a> {
    cte: &'a Cte,
    /// How many of the entries in sight its own body sees: those before it, or with RECURSIVE all of its WITH.
    sees: usize,
}

pub struct Walk<'a> {
    view: &'a SessionView,
    ctes: Vec<CteInSight<'a>>,
    open: Vec<*const Cte>,
    referenced: Vec<*const Cte>,
    in_expression: usize,
    /// Within a select item without alias.
    in_item: bool,
    /// The next call met is a table function.
    as_relation: bool,
    /// Subqueries of `x IN (…)` that stand as conjuncts, where NULL and false are alike.
    conjunct_in: Vec<*const Query>,
    pub out: Analysis,
}

/// Entities that a condition may leave out rows of.
type Valid = Vec<EntityId>;

pub fn analyze(root: &Root, view: &SessionView) -> Analysis {
    let mut walk = Walk {
        view,
        ctes: Vec::new(),
        open: Vec::new(),
        referenced: Vec::new(),
        in_expression: 0,
        in_item: false,
        as_relation: false,
        conjunct_in: Vec::new(),
        out: Analysis::default(),
    };
    match root {
        Root::Query(q) => {
            let output = walk.query(q, &[], true);
            walk.out.dist = Some(output.dist);
        }
        Root::Insert(i) => walk.insert(i),
        Root::Update(w) | Root::Delete(w) => walk.write(w),
    }
    walk.out
}

impl<'a> Walk<'a> {
    fn obstacle(&mut self, fault: Fault) {
        if self.in_expression == 0 && self.out.obstacle.is_none() {
            self.out.obstacle = Some(fault);
        }
    }

    fn with_ctes<T>(&mut self, ctes: &'a [Cte], recursive: bool, run: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.ctes.len();
        let sees = |i: usize| mark + if recursive { ctes.len() } else { i };
        self.ctes.extend(
            ctes.iter()
                .enumerate()
                .map(|(i, cte)| CteInSight { cte, sees: sees(i) }),
        );
        for cte in ctes {
            if let CteBody::Write(root) = cte.body.as_ref() {
                self.out.writes = true;
                self.obstacle(Fault::new(
                    Code::WRITE_ACROSS_NODES,
                    "a WITH that writes can't be split over several nodes",
                ));
                self.within(cte, |walk| walk.nested_write(root));
            }
        }
        let result = run(self);
        // What nobody references still runs if it writes, and may fail: its tables count too.
        for cte in ctes {
            if !self.referenced.contains(&std::ptr::from_ref(cte))
                && let CteBody::Query(q) = cte.body.as_ref()
            {
                self.in_expression += 1;
                self.within(cte, |walk| walk.query(q, &[], false));
                self.in_expression -= 1;
            }
        }
        self.ctes.truncate(mark);
        result
    }

    /// Runs with the WITH entries in sight that the body of one of them sees.
    fn within<T>(&mut self, cte: &'a Cte, run: impl FnOnce(&mut Self) -> T) -> T {
        let at = self.ctes.iter().rposition(|c| std::ptr::eq(c.cte, cte));
        let sees = at.map_or(self.ctes.len(), |at| self.ctes[at].sees);
        let saved = self.ctes.split_off(sees.min(self.ctes.len()));
        let result = run(self);
        self.ctes.extend(saved);
        result
    }

    fn query(&mut self, q: &'a Query, outer: &[Scope], top: bool) -> Output {
        self.with_ctes(&q.ctes, q.recursive, |walk| walk.query_inner(q, outer, top))
    }

    fn query_inner(&mut self, q: &'a Query, outer: &[Scope], top: bool) -> Output {
        self.out.locks |= q.locks;
        let mut output = self.body(&q.body, q, outer, top, top);
        for e in q.limit.iter().chain(&q.offset) {
            self.expr(e, outer);
        }
        if q.is_limited() {
            self.out.may_differ |= !top;
            output.transparent.clear();
            if !top && output.dist == Dist::Spread {
                self.obstacle(subquery("LIMIT in a subquery over a sharded table"));
            }
        }
        output
    }

    /// `arm`: an arm of the outermost set operation, or the outermost SELECT itself.
    fn body(&mut self, body: &'a Body, q: &'a Query, outer: &[Scope], top: bool, arm: bool) -> Output {
        match body {
            Body::Select(s) => {
                let first = self.out.facts.refs.len();
                let order = if top {
                    q.order.as_slice()
                } else if arm {
                    &[]
                } else {
                    q.order.as_slice()
                };
                let output = self.select(s, order, outer, top);
                if arm {
                    self.out.arms.push(first..self.out.facts.refs.len());
                }
                output
            }
            Body::Query(inner) => {
                let first = self.out.facts.refs.len();
                let output = self.query(inner, outer, false);
                if arm {
                    // Its own arms, if it has any, count as one.
                    self.out.arms.push(first..self.out.facts.refs.len());
                }
                self.out.top = Scope::default();
                output
            }
            Body::SetOp { op, all, left, right } => {
                let a = self.body(left, q, outer, false, arm);
                let b = self.body(right, q, outer, false, arm);
                let mut dist = Dist::Same;
                if a.dist == Dist::Spread || b.dist == Dist::Spread {
                    dist = Dist::Spread;
                    let name = match op {
                        SetOp::Union => "UNION",
                        SetOp::Intersect => "INTERSECT",
                        SetOp::Except => "EXCEPT",
                    };
                    if *op != SetOp::Union || !all {
                        self.obstacle(subquery(&format!("{name} without ALL over sharded tables")));
                    } else if !arm {
                        self.obstacle(subquery("UNION ALL in a subquery over sharded tables"));
                    } else if a.dist != b.dist {
                        self.obstacle(subquery("UNION ALL of a sharded table with one that isn't"));
                    }
                }
                if top {
                    q.order.iter().for_each(|item| self.expr(&item.expr, outer));
                }
                Output {
                    dist,
                    columns: None,
                    transparent: Vec::new(),
                }
            }
            Body::Values(rows) => {
                rows.iter().flatten().for_each(|e| self.expr(e, outer));
                Output {
                    dist: Dist::Same,
                    columns: None,
                    transparent: Vec::new(),
                }
            }
            Body::Write(root) => {
                self.out.writes = true;
                self.nested_write(root);
                Output {
                    dist: Dist::Same,
                    columns: None,
                    transparent: Vec::new(),
                }
            }
        }
    }

    fn select(&mut self, s: &'a Select, order: &'a [OrderItem], outer: &[Scope], top: bool) -> Output {
        let first_ref = self.out.facts.refs.len();
        let mut scope = Scope::default();
        let mut dist = Dist::Same;
        let mut pending = Vec::new();
        for source in &s.from {
            let d = self.source(source, &mut scope, outer, &mut pending);
            if d == Dist::Spread {
                dist = Dist::Spread;
            }
        }
        let from_refs: Vec<usize> = (first_ref..self.out.facts.refs.len()).collect();
        let mut scopes = outer.to_vec();
        scopes.push(scope.clone());
        // ON conditions see the whole FROM; that is more than SQL allows, so nothing valid is lost.
        for (on, valid) in pending {
            self.condition(on, &scopes, &valid);
        }
        if let Some(filter) = &s.filter {
            self.condition(filter, &scopes, &scope.entities.clone());
        }
        self.items(&s.items, &scopes);
        s.expanded.iter().for_each(|e| self.expr(e, &scopes));
        if !s.expanded.is_empty() && dist == Dist::Spread {
            self.obstacle(subquery("(…).* in a select list over a sharded table"));
        }
        if let Distinct::On(list) = &s.distinct {
            list.iter().for_each(|e| self.expr(e, &scopes));
        }
        for e in s.group.iter().chain(&s.having) {
            self.expr(e, &scopes);
        }
        for item in order {
            self.expr(&item.expr, &scopes);
        }
        self.out.writes |= s.into;
        self.out.into |= s.into;
        if s.into || s.windows {
            self.obstacle(subquery("WINDOW or INTO over a sharded table"));
        }
        self.out.may_differ |= matches!(s.distinct, Distinct::On(_)) || s.windows;
        if !outer.is_empty() {
            self.check_outer_aggregates(s, &scope, &scopes);
        }
        if top {
            self.out.top = scope.clone();
        }
        if self.in_expression == 0 {
            self.out.anchors.extend(
                from_refs
                    .iter()
                    .copied()
                    .filter(|r| !self.out.anchors.contains(r))
                    .collect::<Vec<_>>(),
            );
        }
        let columns = self.columns(&s.items, &scope, &scopes);
        let aggregated = is_aggregated(s, order, self.view);
        let group: Vec<Column> = s
            .group
            .iter()
            .filter_map(|e| self.column_of(e, &scopes))
            .collect();
        if !top && dist == Dist::Spread {
            self.check_local(s, &from_refs, &group, aggregated, &scopes);
        }
        let opaque = s.into
            || s.windows
            || s.odd_group
            || matches!(s.distinct, Distinct::On(_))
            || s.items
                .iter()
                .any(|i| matches!(i, Item::Expr { expr, .. } if has_window(expr)));
        let transparent = if opaque {
            Vec::new()
        } else if aggregated {
            group
        } else {
            columns.iter().flatten().filter_map(|(_, c)| c.clone()).collect()
        };
        Output {
            dist,
            columns,
            transparent,
        }
    }

    fn column_of(&self, expr: &Expr, scopes: &[Scope]) -> Option<Column> {
        match expr {
            Expr::Column(name) => self.out.facts.resolve(name, scopes),
            _ => None,
        }
    }

    /// Select items, or those of RETURNING.
    fn items(&mut self, items: &'a [Item], scopes: &[Scope]) {
        for item in items {
            if let Item::Expr { expr, alias, .. } = item {
                let before = std::mem::replace(&mut self.in_item, alias.is_none());
                self.expr(expr, scopes);
                self.in_item = before;
            }
        }
    }
}

fn subquery(what: &str) -> Fault {
    Fault::new(Code::SUBQUERY_ACROSS_SHARDS, format!("{what} can't be computed shard by shard"))
        .hint("Give the sharding key in WHERE, so that one node holds all the rows, or split the query in the application.")
}

fn window() -> Fault {
    Fault::new(
        Code::WINDOW_ACROSS_SHARDS,
        "a window function over rows of several shards isn't supported",
    )
    .hint("PARTITION BY the sharding key, or give the sharding key in WHERE.")
}

pub fn window_fault() -> Fault {
    window()
}

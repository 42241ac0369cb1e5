//! Walks a statement once and gathers what routing and scattering need: facts about columns,
//! every table reference, every function call, and the first reason why the statement can't be
//! computed shard by shard.
//!
//! That reason only counts if the route turns out to need several nodes: on one node any SQL is
//! exact. Within subqueries of expressions nothing of the kind is recorded: they are exact as soon
//! as every sharded table in them is tied to the outer row by its key, which `scatter` checks.

use crate::model::{Code, Fault, TableName};
use crate::topology::{Database, Spread};

use super::query::{
    Body, Call, Compare, Cte, CteBody, Distinct, Expr, Insert, InsertSource, Item, JoinKind, Name, OrderItem, Query, Root, Select, SetOp,
    Source, Span, Table, Write,
};
use super::scope::{Column, Cond, EntityId, Facts, Home, Scope, Shape, TableRef};
use super::types::SessionView;
use super::value::is_constant;

/// A function call met anywhere in the statement.
#[derive(Clone, Debug)]
pub struct CallSite {
    pub name: Name,
    pub bare: bool,
    pub has_args: bool,
    /// Within a select item without alias, whose column may be named after it.
    pub names_output: bool,
}

/// Bounds the work on statements that reference one CTE within another again and again.
const MAX_REFS: usize = 512;

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
        self.ctes.extend(ctes.iter().enumerate().map(|(i, cte)| CteInSight { cte, sees: sees(i) }));
        for cte in ctes {
            if let CteBody::Write(root) = cte.body.as_ref() {
                self.out.writes = true;
                self.obstacle(Fault::new(Code::WRITE_ACROSS_NODES, "a WITH that writes can't be split over several nodes"));
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

    fn nested_write(&mut self, root: &'a Root) {
        self.in_expression += 1;
        // The walk meets the target before any other table of the write, but after its WITH.
        let first = self.out.facts.refs.len();
        let (target, set) = match root {
            Root::Query(_) => (None, Vec::new()),
            Root::Insert(i) => {
                let set = i.conflict.iter().flat_map(|c| &c.set).flat_map(|a| a.columns.iter().cloned()).collect();
                (Some(i.table.name.span), set)
            }
            Root::Update(w) | Root::Delete(w) => {
                (Some(w.table.name.span), w.set.iter().flat_map(|a| a.columns.iter().cloned()).collect())
            }
        };
        match root {
            Root::Query(q) => {
                self.query(q, &[], false);
            }
            Root::Insert(i) => self.insert(i),
            Root::Update(w) | Root::Delete(w) => self.write(w),
        }
        self.in_expression -= 1;
        let refs = &self.out.facts.refs;
        if let Some(at) = (first..refs.len()).find(|&r| Some(refs[r].span) == target) {
            self.out.nested_writes.push((at, set));
        }
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
                let order = if top { q.order.as_slice() } else if arm { &[] } else { q.order.as_slice() };
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
                Output { dist, columns: None, transparent: Vec::new() }
            }
            Body::Values(rows) => {
                rows.iter().flatten().for_each(|e| self.expr(e, outer));
                Output { dist: Dist::Same, columns: None, transparent: Vec::new() }
            }
            Body::Write(root) => {
                self.out.writes = true;
                self.nested_write(root);
                Output { dist: Dist::Same, columns: None, transparent: Vec::new() }
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
            self.out.anchors.extend(from_refs.iter().copied().filter(|r| !self.out.anchors.contains(r)).collect::<Vec<_>>());
        }
        let columns = self.columns(&s.items, &scope, &scopes);
        let aggregated = is_aggregated(s, order, self.view);
        let group: Vec<Column> = s.group.iter().filter_map(|e| self.column_of(e, &scopes)).collect();
        if !top && dist == Dist::Spread {
            self.check_local(s, &from_refs, &group, aggregated, &scopes);
        }
        let opaque = s.into
            || s.windows
            || s.odd_group
            || matches!(s.distinct, Distinct::On(_))
            || s.items.iter().any(|i| matches!(i, Item::Expr { expr, .. } if has_window(expr)));
        let transparent = if opaque {
            Vec::new()
        } else if aggregated {
            group
        } else {
            columns.iter().flatten().filter_map(|(_, c)| c.clone()).collect()
        };
        Output { dist, columns, transparent }
    }

    /// An aggregate in a subquery whose arguments are all columns of an outer query is an aggregate of
    /// that outer query (SQL:1999, 6.16): then the outer query isn't what it looks like.
    fn check_outer_aggregates(&mut self, s: &'a Select, scope: &Scope, scopes: &[Scope]) {
        let items = s.items.iter().filter_map(|i| match i {
            Item::Expr { expr, .. } => Some(expr),
            Item::Wildcard | Item::QualifiedWildcard(_) => None,
        });
        let mut outer = false;
        for e in items.chain(&s.having) {
            e.walk(
                &mut |e| {
                    let Expr::Call(call) = e else { return };
                    if !is_aggregate_call(call, self.view) {
                        return;
                    }
                    let (mut any, mut own) = (false, false);
                    for arg in call.args.iter().chain(&call.filter) {
                        arg.walk(
                            &mut |e| {
                                if let Expr::Column(name) = e {
                                    any = true;
                                    let column = self.out.facts.resolve(name, scopes);
                                    own |= column.is_some_and(|c| scope.entities.contains(&c.entity));
                                }
                            },
                            &mut |_| {},
                        );
                    }
                    outer |= any && !own;
                },
                &mut |_| {},
            );
        }
        if outer && self.out.obstacle.is_none() {
            self.out.obstacle = Some(
                Fault::new(Code::AGGREGATE_ACROSS_SHARDS, "an aggregate in a subquery may be one of the outer query")
                    .hint("Qualify its columns by the subquery's own tables."),
            );
        }
    }

    /// A subquery in FROM is computed per node: its groups, distinct rows and windows must not
    /// reach over shards.
    fn check_local(&mut self, s: &'a Select, refs: &[usize], group: &[Column], aggregated: bool, scopes: &[Scope]) {
        if (aggregated || s.odd_group) && (s.odd_group || !self.holds_key(group, refs)) {
            self.obstacle(subquery("aggregation in a subquery that doesn't group by the sharding key"));
        }
        let listed: Vec<Column> = s
            .items
            .iter()
            .filter_map(|i| match i {
                Item::Expr { expr, .. } => self.column_of(expr, scopes),
                Item::Wildcard | Item::QualifiedWildcard(_) => None,
            })
            .collect();
        match &s.distinct {
            Distinct::No => {}
            Distinct::All if self.holds_key(&listed, refs) => {}
            Distinct::All | Distinct::On(_) => {
                self.obstacle(subquery("DISTINCT in a subquery that doesn't select the sharding key"));
            }
        }
        for item in &s.items {
            if let Item::Expr { expr, .. } = item
                && !self.windows_are_local(expr, refs, scopes)
            {
                self.obstacle(window());
            }
        }
    }

    /// Do all windows of the expression keep to one sharding key?
    fn windows_are_local(&self, expr: &'a Expr, refs: &[usize], scopes: &[Scope]) -> bool {
        windows_are_local(&self.out.facts, expr, refs, scopes)
    }

    fn holds_key(&self, columns: &[Column], refs: &[usize]) -> bool {
        holds_key(&self.out.facts, columns, refs)
    }

    fn column_of(&self, expr: &Expr, scopes: &[Scope]) -> Option<Column> {
        match expr {
            Expr::Column(name) => self.out.facts.resolve(name, scopes),
            _ => None,
        }
    }

    fn columns(&self, items: &[Item], scope: &Scope, scopes: &[Scope]) -> Option<Vec<(Box<str>, Option<Column>)>> {
        let mut out = Vec::new();
        for item in items {
            match item {
                Item::Expr { expr, name, .. } => {
                    let column = self.column_of(expr, scopes);
                    out.push((name.clone()?, column));
                }
                Item::Wildcard => {
                    if !scope.merged.is_empty() {
                        return None;
                    }
                    for &e in &scope.entities {
                        self.expand(e, &mut out)?;
                    }
                }
                Item::QualifiedWildcard(name) => {
                    let entity = scope
                        .entities
                        .iter()
                        .find(|&&e| self.out.facts.entities[e].label.as_deref() == Some(name.last()))?;
                    self.expand(*entity, &mut out)?;
                }
            }
        }
        Some(out)
    }

    fn expand(&self, entity: EntityId, out: &mut Vec<(Box<str>, Option<Column>)>) -> Option<()> {
        let column = |name: &Box<str>| (name.clone(), Some(Column { entity, name: name.clone() }));
        match &self.out.facts.entities[entity].shape {
            Shape::Table { info: Some(info), .. } => out.extend(info.columns.iter().map(|c| column(&c.name))),
            Shape::Derived { columns: Some(columns) } => out.extend(columns.iter().map(|(n, _)| column(n))),
            Shape::Table { info: None, .. } | Shape::Derived { columns: None } | Shape::Unknown => return None,
        }
        Some(())
    }

    /// Enters a source into the scope. ON conditions are kept for when the scope is whole.
    fn source(
        &mut self,
        source: &'a Source,
        scope: &mut Scope,
        outer: &[Scope],
        pending: &mut Vec<(&'a Expr, Valid)>,
    ) -> Dist {
        match source {
            Source::Table(t) => self.table(t, scope),
            Source::Derived { query, alias, columns, lateral } => {
                let mut scopes = outer.to_vec();
                if *lateral {
                    scopes.push(scope.clone());
                }
                let output = self.query(query, &scopes, false);
                self.derived(output, alias.clone(), columns, scope)
            }
            Source::Function { args, alias, .. } => {
                // A function in FROM sees the sources before it.
                let mut scopes = outer.to_vec();
                scopes.push(scope.clone());
                args.iter().for_each(|e| self.expr(e, &scopes));
                let entity = self.out.facts.add_entity(alias.clone(), Shape::Unknown);
                scope.entities.push(entity);
                Dist::Same
            }
            Source::Join { kind, left, right, on, using, natural } => {
                let mark = scope.entities.len();
                let first = self.out.facts.entities.len();
                let l = self.source(left, scope, outer, pending);
                let middle = scope.entities.len();
                let second = self.out.facts.entities.len();
                let r = self.source(right, scope, outer, pending);
                let end = self.out.facts.entities.len();
                match kind {
                    JoinKind::Inner => {}
                    JoinKind::Left => self.out.facts.nullable.push(second..end),
                    JoinKind::Right => self.out.facts.nullable.push(first..second),
                    JoinKind::Full => self.out.facts.nullable.push(first..end),
                }
                let (a, b) = (scope.entities[mark..middle].to_vec(), scope.entities[middle..].to_vec());
                let valid: Valid = match kind {
                    JoinKind::Inner => a.iter().chain(&b).copied().collect(),
                    JoinKind::Left => b.clone(),
                    JoinKind::Right => a.clone(),
                    JoinKind::Full => Vec::new(),
                };
                if let Some(on) = on {
                    pending.push((on, valid.clone()));
                }
                for column in using {
                    self.using(column, &a, &b, *kind, &valid, scope);
                }
                if *natural {
                    // Which columns it joins by is for the server to know; bare names stay unresolved.
                    for e in a.iter().chain(&b) {
                        self.hide_bare_names(*e, scope);
                    }
                }
                self.join_dist(*kind, l, r)
            }
        }
    }

    fn hide_bare_names(&self, entity: EntityId, scope: &mut Scope) {
        if let Shape::Table { info, keys } = &self.out.facts.entities[entity].shape {
            let names = info.iter().flat_map(|i| i.columns.iter().map(|c| c.name.clone())).chain(keys.iter().cloned());
            for name in names {
                scope.merged.insert(name, None);
            }
        }
    }

    fn using(&mut self, column: &str, a: &[EntityId], b: &[EntityId], kind: JoinKind, valid: &Valid, scope: &mut Scope) {
        let name = Name { parts: vec![column.into()], span: Span::default() };
        let side = |entities: &[EntityId]| {
            let scopes = [Scope { entities: entities.to_vec(), merged: scope.merged.clone() }];
            self.out.facts.resolve(&name, &scopes)
        };
        let (left, right) = (side(a), side(b));
        if let (Some(l), Some(r)) = (&left, &right) {
            if valid.contains(&r.entity) {
                self.out.facts.add_edge(l, r);
            }
            if valid.contains(&l.entity) {
                self.out.facts.add_edge(r, l);
            }
        }
        let merged = match kind {
            JoinKind::Inner | JoinKind::Left => left,
            JoinKind::Right => right,
            JoinKind::Full => None,
        };
        scope.merged.insert(column.into(), merged);
    }

    fn join_dist(&mut self, kind: JoinKind, left: Dist, right: Dist) -> Dist {
        let (preserved, other) = match kind {
            JoinKind::Inner => (Dist::Spread, Dist::Same),
            JoinKind::Left => (left, right),
            JoinKind::Right => (right, left),
            JoinKind::Full => {
                if left == Dist::Spread || right == Dist::Spread {
                    self.obstacle(Fault::new(Code::NOT_COLOCATED, "FULL JOIN with a sharded table needs all its shards on one node"));
                }
                (Dist::Spread, Dist::Same)
            }
        };
        if preserved == Dist::Same && other == Dist::Spread {
            self.obstacle(
                Fault::new(
                    Code::NOT_COLOCATED,
                    "an outer join that keeps all rows of a table that is on every node would return them once per node",
                )
                .hint("Put the sharded table on the preserved side, or use an inner join."),
            );
        }
        if left == Dist::Spread || right == Dist::Spread { Dist::Spread } else { Dist::Same }
    }

    fn derived(&mut self, output: Output, label: Option<Box<str>>, renamed: &[Box<str>], scope: &mut Scope) -> Dist {
        let mut columns = output.columns;
        if let Some(columns) = &mut columns {
            for (column, name) in columns.iter_mut().zip(renamed) {
                column.0 = name.clone();
            }
            // Two columns of one name can't be told apart.
            let names: Vec<Box<str>> = columns.iter().map(|(n, _)| n.clone()).collect();
            for column in columns.iter_mut() {
                if names.iter().filter(|n| **n == column.0).count() > 1 {
                    column.1 = None;
                }
            }
        }
        let entity = self.out.facts.add_entity(label, Shape::Derived { columns: columns.clone() });
        for (name, inner) in columns.into_iter().flatten() {
            let Some(inner) = inner else { continue };
            let column = Column { entity, name };
            self.out.facts.add_edge(&inner, &column);
            if output.transparent.contains(&inner) {
                self.out.facts.add_edge(&column, &inner);
            }
        }
        scope.entities.push(entity);
        output.dist
    }

    fn table(&mut self, t: &'a Table, scope: &mut Scope) -> Dist {
        if let [name] = t.name.parts.as_slice()
            && let Some(at) = self.ctes.iter().rposition(|c| c.cte.name == *name)
        {
            return self.cte(at, t, scope);
        }
        self.base_table(t, scope)
    }

    fn cte(&mut self, at: usize, t: &'a Table, scope: &mut Scope) -> Dist {
        let in_sight = self.ctes[at];
        let pointer = std::ptr::from_ref(in_sight.cte);
        self.referenced.push(pointer);
        let label = t.alias.clone().or_else(|| Some(in_sight.cte.name.clone()));
        let query = match in_sight.cte.body.as_ref() {
            CteBody::Query(q) if !self.open.contains(&pointer) => q,
            CteBody::Query(_) | CteBody::Write(_) => {
                if self.open.contains(&pointer) {
                    self.obstacle(subquery("WITH RECURSIVE"));
                }
                let entity = self.out.facts.add_entity(label, Shape::Unknown);
                scope.entities.push(entity);
                return Dist::Same;
            }
        };
        if self.out.facts.refs.len() > MAX_REFS {
            self.out.too_large = true;
            return Dist::Same;
        }
        self.open.push(pointer);
        let output = self.within(in_sight.cte, |walk| walk.query(query, &[], false));
        self.open.pop();
        self.derived(output, label, &in_sight.cte.columns, scope)
    }

    fn base_table(&mut self, t: &'a Table, scope: &mut Scope) -> Dist {
        let located = locate(&t.name, self.view);
        let keys = match &located.home {
            Home::Sharded(s) => s.key.iter().map(|k| k.column.clone()).collect(),
            Home::Node(_) | Home::Everywhere(_) | Home::System => Vec::new(),
        };
        let label = t.alias.clone().or_else(|| Some(located.name.table.clone()));
        let shape = if t.renames { Shape::Unknown } else { Shape::Table { info: located.info.clone(), keys } };
        let entity = self.out.facts.add_entity(label, shape);
        let dist = match &located.home {
            Home::Sharded(_) => Dist::Spread,
            Home::Node(_) | Home::Everywhere(_) | Home::System => Dist::Same,
        };
        if t.odd && dist == Dist::Spread {
            self.obstacle(subquery("TABLESAMPLE of a sharded table"));
        }
        self.out.facts.refs.push(TableRef {
            entity,
            name: located.name,
            home: located.home,
            rule: located.rule,
            info: located.info,
            span: t.name.span,
            has_alias: t.alias.is_some(),
            in_expression: self.in_expression > 0,
        });
        scope.entities.push(entity);
        dist
    }

    /// A condition that rows must satisfy: its conjuncts become facts, valid for some entities.
    fn condition(&mut self, expr: &'a Expr, scopes: &[Scope], valid: &Valid) {
        for conjunct in expr.conjuncts() {
            if let Expr::InQuery { query, negated: false, .. } = conjunct {
                self.conjunct_in.push(std::ptr::from_ref(query.as_ref()));
            }
            self.fact(conjunct, scopes, valid);
        }
        self.expr(expr, scopes);
    }

    fn valid_column(&self, expr: &Expr, scopes: &[Scope], valid: &Valid) -> Option<Column> {
        self.column_of(expr, scopes).filter(|c| valid.contains(&c.entity))
    }

    fn fact(&mut self, e: &'a Expr, scopes: &[Scope], valid: &Valid) {
        match e {
            Expr::Compare { op: Compare::Eq, left, right } => {
                if let (Expr::Row(a), Expr::Row(b)) = (left.as_ref(), right.as_ref()) {
                    if a.len() == b.len() {
                        a.iter().zip(b).for_each(|(a, b)| self.equality(a, b, scopes, valid));
                    }
                } else {
                    self.equality(left, right, scopes, valid);
                }
            }
            Expr::Compare { op, left, right } if *op != Compare::Ne => {
                if let Some(c) = self.valid_column(left, scopes, valid).filter(|_| is_constant(right)) {
                    self.out.facts.add_cond(c, Cond::Bound { op: *op, value: (**right).clone() });
                } else if let Some(c) = self.valid_column(right, scopes, valid).filter(|_| is_constant(left)) {
                    self.out.facts.add_cond(c, Cond::Bound { op: op.mirrored(), value: (**left).clone() });
                }
            }
            Expr::Between { expr, low, high, negated: false } if is_constant(low) && is_constant(high) => {
                if let Some(c) = self.valid_column(expr, scopes, valid) {
                    self.out.facts.add_cond(c.clone(), Cond::Bound { op: Compare::Ge, value: (**low).clone() });
                    self.out.facts.add_cond(c, Cond::Bound { op: Compare::Le, value: (**high).clone() });
                }
            }
            Expr::In { .. } | Expr::Or(_) => {
                if let Some((c, list)) = self.one_of(e, scopes).filter(|(c, _)| valid.contains(&c.entity)) {
                    self.out.facts.add_cond(c, Cond::OneOf(list));
                }
            }
            Expr::Any { op: Compare::Eq, expr, array } => {
                if let Some(c) = self.valid_column(expr, scopes, valid).filter(|_| is_constant(array)) {
                    self.out.facts.add_cond(c, Cond::AnyOf((**array).clone()));
                }
            }
            _ => {}
        }
    }

    fn equality(&mut self, a: &Expr, b: &Expr, scopes: &[Scope], valid: &Valid) {
        let (left, right) = (self.column_of(a, scopes), self.column_of(b, scopes));
        match (left, right) {
            (Some(l), Some(r)) => {
                if valid.contains(&r.entity) {
                    self.out.facts.add_edge(&l, &r);
                }
                if valid.contains(&l.entity) {
                    self.out.facts.add_edge(&r, &l);
                }
            }
            (Some(c), None) if is_constant(b) && valid.contains(&c.entity) => {
                self.out.facts.add_cond(c, Cond::OneOf(vec![b.clone()]));
            }
            (None, Some(c)) if is_constant(a) && valid.contains(&c.entity) => {
                self.out.facts.add_cond(c, Cond::OneOf(vec![a.clone()]));
            }
            _ => {}
        }
    }

    /// `k = 1 OR k IN (2, 3)`: one column, constants only. In a disjunction of conjunctions each
    /// branch must say something of the same column.
    fn one_of(&self, e: &Expr, scopes: &[Scope]) -> Option<(Column, Vec<Expr>)> {
        match e {
            Expr::Compare { op: Compare::Eq, left, right } => {
                if is_constant(right) {
                    Some((self.column_of(left, scopes)?, vec![(**right).clone()]))
                } else if is_constant(left) {
                    Some((self.column_of(right, scopes)?, vec![(**left).clone()]))
                } else {
                    None
                }
            }
            Expr::In { expr, list, negated: false } if list.iter().all(is_constant) => {
                Some((self.column_of(expr, scopes)?, list.clone()))
            }
            Expr::Or(terms) => {
                let branches: Vec<Vec<(Column, Vec<Expr>)>> = terms
                    .iter()
                    .map(|t| t.conjuncts().into_iter().filter_map(|c| self.one_of(c, scopes)).collect())
                    .collect();
                let (first, rest) = branches.split_first()?;
                first.iter().find_map(|(column, list)| {
                    let mut all = list.clone();
                    for branch in rest {
                        let (_, more) = branch.iter().find(|(c, _)| c == column)?;
                        all.extend(more.iter().cloned());
                    }
                    Some((column.clone(), all))
                })
            }
            _ => None,
        }
    }

    /// Everything within an expression that isn't a fact: calls, system columns, subqueries.
    fn expr(&mut self, e: &'a Expr, scopes: &[Scope]) {
        let mut queries = Vec::new();
        let mut calls: Vec<&'a Call> = Vec::new();
        let (mut system, mut qualified) = (false, false);
        let mut in_queries = Vec::new();
        e.walk(
            &mut |e| match e {
                Expr::Call(c) => calls.push(c),
                Expr::Column(n) => {
                    system |= is_system_column(n.last());
                    qualified |= n.parts.len() > 2;
                }
                Expr::InQuery { expr, query, .. } => in_queries.push((expr.as_ref(), std::ptr::from_ref(query.as_ref()))),
                _ => {}
            },
            &mut |q| queries.push(q),
        );
        self.out.system_column |= system;
        self.out.qualified_columns |= qualified;
        self.out.may_differ |= calls.iter().any(|c| c.over.is_some());
        for c in calls {
            self.out.calls.push(CallSite { name: c.name.clone(), bare: c.bare, has_args: !c.args.is_empty(), names_output: self.in_item });
        }
        for q in queries {
            self.in_expression += 1;
            let output = self.query(q, scopes, false);
            self.in_expression -= 1;
            // `o.k IN (SELECT i.k …)` as a conjunct: of the inner rows only those with the outer key matter.
            // (Elsewhere a NULL among the others would tell false from unknown.)
            let conjunct = self.conjunct_in.contains(&std::ptr::from_ref(q));
            let outer = in_queries.iter().find(|(_, p)| std::ptr::eq(*p, q)).and_then(|(e, _)| self.column_of(e, scopes));
            if let (true, Some(outer), Some(columns)) = (conjunct, outer, &output.columns)
                && let [(_, Some(inner))] = columns.as_slice()
                && output.transparent.contains(inner)
            {
                self.out.facts.add_edge(&outer, inner);
            }
        }
    }

    fn insert(&mut self, i: &'a Insert) {
        self.with_ctes(&i.ctes, i.recursive, |walk| {
            let mut scope = Scope::default();
            walk.base_table(&i.table, &mut scope);
            match &i.source {
                InsertSource::DefaultValues => {}
                InsertSource::Values(rows) => rows.iter().flatten().for_each(|e| walk.expr(e, &[])),
                InsertSource::Query(q) => {
                    walk.in_expression += 1;
                    walk.query(q, &[], false);
                    walk.in_expression -= 1;
                }
            }
            let scopes = [scope];
            if let Some(c) = &i.conflict {
                c.set.iter().for_each(|a| walk.expr(&a.value, &scopes));
                c.filter.iter().for_each(|e| walk.expr(e, &scopes));
            }
            walk.items(&i.returning, &scopes);
        });
    }

    fn write(&mut self, w: &'a Write) {
        self.with_ctes(&w.ctes, w.recursive, |walk| {
            let mut scope = Scope::default();
            walk.base_table(&w.table, &mut scope);
            let mut pending = Vec::new();
            for source in &w.from {
                walk.source(source, &mut scope, &[], &mut pending);
            }
            // Of several matching rows an UPDATE takes any.
            walk.out.may_differ |= !w.from.is_empty() && !w.set.is_empty();
            let scopes = [scope.clone()];
            for (on, valid) in pending {
                walk.condition(on, &scopes, &valid);
            }
            if let Some(filter) = &w.filter {
                walk.condition(filter, &scopes, &scope.entities.clone());
            }
            w.set.iter().for_each(|a| walk.expr(&a.value, &scopes));
            walk.items(&w.returning, &scopes);
            if walk.in_expression == 0 {
                walk.out.top = scope;
            }
        });
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
    Fault::new(Code::WINDOW_ACROSS_SHARDS, "a window function over rows of several shards isn't supported")
        .hint("PARTITION BY the sharding key, or give the sharding key in WHERE.")
}

pub fn window_fault() -> Fault {
    window()
}

fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}

pub fn has_window(e: &Expr) -> bool {
    let mut found = false;
    e.walk(&mut |e| found |= matches!(e, Expr::Call(c) if c.over.is_some()), &mut |_| {});
    found
}

/// Do all windows of the expression keep to one sharding key?
pub fn windows_are_local(facts: &Facts, expr: &Expr, refs: &[usize], scopes: &[Scope]) -> bool {
    let mut local = true;
    expr.walk(
        &mut |e| {
            if let Expr::Call(call) = e
                && let Some(over) = &call.over
            {
                let partition: Vec<Column> = over
                    .partition
                    .iter()
                    .filter_map(|e| match e {
                        Expr::Column(name) => facts.resolve(name, scopes),
                        _ => None,
                    })
                    .collect();
                local &= !over.named && holds_key(facts, &partition, refs);
            }
        },
        &mut |_| {},
    );
    local
}

/// Do these columns hold every key column of one of the sharded tables, as equal values?
/// Equality must hold both ways: an outer join's NULLs would form one group over all shards.
pub fn holds_key(facts: &Facts, columns: &[Column], refs: &[usize]) -> bool {
    refs.iter().any(|&r| {
        let table = &facts.refs[r];
        let Home::Sharded(sharding) = &table.home else { return false };
        !facts.is_nullable(table.entity) && sharding.key.iter().all(|k| {
            let key = Column { entity: table.entity, name: k.column.clone() };
            columns.iter().any(|c| *c == key || (facts.reaches(c, &key) && facts.reaches(&key, c)))
        })
    })
}

pub fn is_aggregate_call(call: &Call, view: &SessionView) -> bool {
    call.over.is_none() && (super::functions::is_aggregate(call.name.last(), &view.database.catalog) || call.star)
}

pub fn has_aggregate(e: &Expr, view: &SessionView) -> bool {
    let mut found = false;
    e.walk(&mut |e| found |= matches!(e, Expr::Call(c) if is_aggregate_call(c, view)), &mut |_| {});
    found
}

pub fn is_aggregated(s: &Select, order: &[OrderItem], view: &SessionView) -> bool {
    !s.group.is_empty()
        || s.odd_group
        || s.having.is_some()
        || order.iter().any(|o| has_aggregate(&o.expr, view))
        || s.items.iter().any(|i| matches!(i, Item::Expr { expr, .. } if has_aggregate(expr, view)))
}

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
        (db.tables.contains_key(&name) || db.catalog.tables.contains_key(&name)).then_some(name)
    };
    let (found, system) = match &schema {
        Some(s) => (Some(TableName::new(s.clone(), table.clone())), is_system_schema(s)),
        None => {
            let hit = view.search_path.iter().find_map(|s| known(s));
            let system = hit.is_none() && table.starts_with("pg_");
            (hit, system)
        }
    };
    let name = found.unwrap_or_else(|| {
        TableName::new(view.search_path.first().cloned().unwrap_or_else(|| "public".into()), table)
    });
    let rule = db.tables.get(&name).cloned();
    let home = match (&rule, system) {
        (_, true) => Home::System,
        (None, false) => Home::Node(default_node(db)),
        (Some(rule), false) => match &rule.spread {
            Spread::Whole(node) => Home::Node(*node),
            Spread::Broadcast => Home::Everywhere(db.domain(rule.domain).nodes.clone()),
            Spread::Sharded(s) => Home::Sharded(s.clone()),
        },
    };
    let info = db.catalog.tables.get(&name).cloned();
    Located { name, home, rule, info }
}

fn is_system_schema(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema" | "pg_toast") || schema.starts_with("pg_temp")
}

/// Where a table lives that no rule names.
pub fn default_node(db: &Database) -> crate::model::NodeId {
    db.domain(db.default_domain).nodes.first().copied().unwrap_or(db.shell)
}

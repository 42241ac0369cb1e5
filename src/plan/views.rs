//! Views: planning sees through them. In the model a view's name becomes its query, as a subquery of that
//! name; the text stays as the client wrote it, since the view is on every node that has its tables.
//!
//! Literals of the view's own are unknown values here, and its positions mean nothing in the client's
//! text, so both are taken out of the model.

use crate::model::{Code, Fault, TableName};

use super::lower;
use super::query::{
    Body, CteBody, Distinct, Expr, InsertSource, Item, Name, Query, Root, Source, Span, Table,
};
use super::shape::shape;
use super::types::SessionView;

/// Views of views of views …: deeper than any real one.
const MAX_DEPTH: usize = 32;

/// A view's names stand nowhere in the client's text.
pub const NOWHERE: Span = Span {
    start: u32::MAX,
    end: u32::MAX,
};

/// Replaces the views that a statement reads by their queries.
pub fn expand(root: &mut Root, view: &SessionView) -> Result<(), Fault> {
    let catalog = &view.database.catalog;
    if catalog.views.is_empty() {
        return Ok(());
    }
    let mut walk = Expand {
        view,
        ctes: Vec::new(),
        depth: 0,
        fault: None,
    };
    walk.root(root);
    walk.fault.map_or(Ok(()), Err)
}

struct Expand<'a> {
    view: &'a SessionView,
    /// Names of WITH in sight, which hide views.
    ctes: Vec<Box<str>>,
    depth: usize,
    fault: Option<Fault>,
}

impl Expand<'_> {
    fn root(&mut self, root: &mut Root) {
        match root {
            Root::Query(q) => self.query(q),
            Root::Insert(i) => {
                let mark = self.with(&mut i.ctes);
                match &mut i.source {
                    InsertSource::DefaultValues => {}
                    InsertSource::Values(rows) => rows.iter_mut().flatten().for_each(|e| self.expr(e)),
                    InsertSource::Query(q) => self.query(q),
                }
                if let Some(c) = &mut i.conflict {
                    c.set.iter_mut().for_each(|a| self.expr(&mut a.value));
                    c.filter.iter_mut().for_each(|e| self.expr(e));
                }
                self.items(&mut i.returning);
                self.ctes.truncate(mark);
            }
            Root::Update(w) | Root::Delete(w) => {
                let mark = self.with(&mut w.ctes);
                w.from.iter_mut().for_each(|s| self.source(s));
                w.set.iter_mut().for_each(|a| self.expr(&mut a.value));
                w.filter.iter_mut().for_each(|e| self.expr(e));
                self.items(&mut w.returning);
                self.ctes.truncate(mark);
            }
        }
    }

    fn with(&mut self, ctes: &mut [super::query::Cte]) -> usize {
        let mark = self.ctes.len();
        // More names than are in sight of each hide a view that is meant at most: then it stays a name,
        // and a view that stays one is refused.
        self.ctes.extend(ctes.iter().map(|c| c.name.clone()));
        for cte in ctes {
            match cte.body.as_mut() {
                CteBody::Query(q) => self.query(q),
                CteBody::Write(root) => self.root(root),
            }
        }
        mark
    }

    fn query(&mut self, q: &mut Query) {
        let mark = self.with(&mut q.ctes);
        self.body(&mut q.body);
        q.limit.iter_mut().chain(&mut q.offset).for_each(|e| self.expr(e));
        q.order.iter_mut().for_each(|o| self.expr(&mut o.expr));
        self.ctes.truncate(mark);
    }

    fn body(&mut self, body: &mut Body) {
        match body {
            Body::Select(s) => {
                if let Distinct::On(list) = &mut s.distinct {
                    list.iter_mut().for_each(|e| self.expr(e));
                }
                self.items(&mut s.items);
                s.from.iter_mut().for_each(|f| self.source(f));
                let conditions = s.filter.iter_mut().chain(&mut s.group).chain(&mut s.having);
                conditions.for_each(|e| self.expr(e));
            }
            Body::Query(q) => self.query(q),
            Body::SetOp { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            Body::Values(rows) => rows.iter_mut().flatten().for_each(|e| self.expr(e)),
            Body::Write(root) => self.root(root),
        }
    }

    fn items(&mut self, items: &mut [Item]) {
        for item in items {
            if let Item::Expr { expr, .. } = item {
                self.expr(expr);
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        each_query(expr, &mut |q| self.query(q));
    }

    fn source(&mut self, source: &mut Source) {
        match source {
            Source::Table(t) => {
                if let Some(derived) = self.derived(t) {
                    *source = derived;
                }
            }
            Source::Derived { query, .. } => self.query(query),
            Source::Function { args, .. } => args.iter_mut().for_each(|e| self.expr(e)),
            Source::Join { left, right, on, .. } => {
                self.source(left);
                self.source(right);
                on.iter_mut().for_each(|e| self.expr(e));
            }
        }
    }

    /// The subquery that a view's name stands for.
    fn derived(&mut self, t: &Table) -> Option<Source> {
        let catalog = &self.view.database.catalog;
        let name = match t.name.parts.as_slice() {
            [one] if self.ctes.contains(one) => return None,
            [table] => self.view.search_path.iter().find_map(|s| {
                let name = TableName::new(s.clone(), table.clone());
                // A table earlier on the path hides it.
                (catalog.tables.contains_key(&name) || self.view.database.tables.contains_key(&name))
                    .then_some(name)
            })?,
            [.., schema, table] => TableName::new(schema.clone(), table.clone()),
            [] => return None,
        };
        let text = catalog.views.get(&name)?.trim().trim_end_matches(';');
        if t.renames || t.odd || self.depth >= MAX_DEPTH {
            return None;
        }
        let lowered = match lower::lower(text, &shape(text, true), true) {
            Ok(lowered) => lowered,
            Err(why) => {
                let message = format!("the query of the view {name} can't be read here");
                self.fault
                    .get_or_insert_with(|| Fault::new(Code::UNREADABLE, message).detail(why.0));
                return None;
            }
        };
        let Root::Query(mut query) = lowered.root else {
            return None;
        };
        forget_places(&mut query);
        let hidden = std::mem::take(&mut self.ctes);
        self.depth += 1;
        self.query(&mut query);
        self.depth -= 1;
        self.ctes = hidden;
        let columns = catalog.tables.get(&name)?.columns.iter();
        Some(Source::Derived {
            query: Box::new(query),
            alias: t.alias.clone().or(Some(name.table.clone())),
            columns: columns.map(|c| c.name.clone()).collect(),
            lateral: false,
        })
    }
}

/// Hands each query directly within an expression to `f`.
fn each_query(expr: &mut Expr, f: &mut dyn FnMut(&mut Query)) {
    each(expr, &mut |_| {}, f);
}

/// Hands an expression, all within it and its queries to `e` and `q`.
fn each(expr: &mut Expr, e: &mut dyn FnMut(&mut Expr), q: &mut dyn FnMut(&mut Query)) {
    e(expr);
    match expr {
        Expr::Column(_) | Expr::Slot(_) | Expr::Param(_) | Expr::Null | Expr::Bool(_) => {}
        Expr::Negate(x) | Expr::Not(x) => each(x, e, q),
        Expr::Cast { expr, .. } => each(expr, e, q),
        Expr::And(list) | Expr::Or(list) | Expr::Row(list) | Expr::Opaque(list) => {
            list.iter_mut().for_each(|x| each(x, e, q));
        }
        Expr::Compare { left, right, .. } => {
            each(left, e, q);
            each(right, e, q);
        }
        Expr::Between { expr, low, high, .. } => {
            each(expr, e, q);
            each(low, e, q);
            each(high, e, q);
        }
        Expr::In { expr, list, .. } => {
            each(expr, e, q);
            list.iter_mut().for_each(|x| each(x, e, q));
        }
        Expr::Any { expr, array, .. } => {
            each(expr, e, q);
            each(array, e, q);
        }
        Expr::InQuery { expr, query, .. } => {
            each(expr, e, q);
            q(query);
        }
        Expr::Exists(query) | Expr::Scalar(query) => q(query),
        Expr::Call(call) => {
            call.args.iter_mut().for_each(|x| each(x, e, q));
            call.filter.iter_mut().for_each(|x| each(x, e, q));
            if let Some(window) = &mut call.over {
                let all = window.partition.iter_mut().chain(&mut window.order);
                all.for_each(|x| each(x, e, q));
            }
        }
    }
}

fn nowhere(name: &mut Name) {
    name.span = NOWHERE;
}

/// Takes positions and literals out of a view's query.
fn forget_places(query: &mut Query) {
    for cte in &mut query.ctes {
        if let CteBody::Query(q) = cte.body.as_mut() {
            forget_places(q);
        }
    }
    forget_in_body(&mut query.body);
    query.limit.iter_mut().chain(&mut query.offset).for_each(forget);
    query.order.iter_mut().for_each(|o| forget(&mut o.expr));
}

fn forget_in_body(body: &mut Body) {
    match body {
        Body::Select(s) => {
            if let Distinct::On(list) = &mut s.distinct {
                list.iter_mut().for_each(forget);
            }
            for item in &mut s.items {
                match item {
                    Item::Expr { expr, .. } => forget(expr),
                    Item::QualifiedWildcard(name) => nowhere(name),
                    Item::Wildcard => {}
                }
            }
            s.from.iter_mut().for_each(forget_in_source);
            let conditions = s.filter.iter_mut().chain(&mut s.group).chain(&mut s.having);
            conditions.for_each(forget);
        }
        Body::Query(q) => forget_places(q),
        Body::SetOp { left, right, .. } => {
            forget_in_body(left);
            forget_in_body(right);
        }
        Body::Values(rows) => rows.iter_mut().flatten().for_each(forget),
        // A view's query writes nothing.
        Body::Write(_) => {}
    }
}

fn forget_in_source(source: &mut Source) {
    match source {
        Source::Table(t) => nowhere(&mut t.name),
        Source::Derived { query, .. } => forget_places(query),
        Source::Function { args, .. } => args.iter_mut().for_each(forget),
        Source::Join { left, right, on, .. } => {
            forget_in_source(left);
            forget_in_source(right);
            on.iter_mut().for_each(forget);
        }
    }
}

fn forget(expr: &mut Expr) {
    let mut one = |e: &mut Expr| match e {
        Expr::Slot(_) => *e = Expr::Opaque(Vec::new()),
        Expr::Column(name) => nowhere(name),
        Expr::Call(call) => nowhere(&mut call.name),
        _ => {}
    };
    each(expr, &mut one, &mut forget_places);
}

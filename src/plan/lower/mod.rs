//! Parser tree → query model. The only place that knows `sqlparser`.
//!
//! Lowering never guesses: what it doesn't recognise becomes `Opaque` with its children, and at
//! the end the tables that the parser's own visitor sees must all be in the model; otherwise the
//! statement counts as unreadable.

mod dialect;
mod expr;
mod labels;
mod merge;
mod plain;
mod query;
mod schema;
mod words;

use std::ops::ControlFlow;

use sqlparser::ast::{ObjectName, Statement, Visit, Visitor};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Location;

pub use schema::{ForeignKey, catalog_from_sql, foreign_keys};

use super::clauses;
use super::lex::{self, Token};
use super::query::{Body, CteBody, Expr, InsertSource, Lowered, Query, Root, Source};
use super::shape::Shape;
use dialect::Postgres;
use plain::Notes;
use words::Word;

/// Why a statement could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

/// Parenthesis nesting that the parser follows before it gives up.
const RECURSION_LIMIT: usize = 200;

/// State of one lowering: slots, and what the parser wasn't shown.
pub(super) struct Lower<'a> {
    shape: &'a Shape,
    notes: Notes,
}

impl Lower<'_> {
    fn offset(&self, at: Location) -> u32 {
        words::offset(at)
    }
}

/// Why the planner can't read a query or a write; None: it can. For the test of coverage.
pub fn unreadable(sql: &str) -> Option<String> {
    lower(sql, &super::shape::shape(sql, true), true)
        .err()
        .map(|Unreadable(why)| why)
}

/// Reads one statement. `sql` must be the text that `shape` was made of.
pub fn lower(sql: &str, shape: &Shape, standard_strings: bool) -> Result<Lowered, Unreadable> {
    if shape.unreadable {
        return Err(Unreadable(
            "it holds a token that servers of different versions read differently".into(),
        ));
    }
    let tokens = lex::tokens(sql, standard_strings);
    let locks_at = locking_tail(sql, &tokens);
    if locks_at.is_some_and(|at| limited_behind(sql, &tokens, at)) {
        return Err(Unreadable("LIMIT stands behind the locking clause".into()));
    }
    let shown = tokens.partition_point(|t| locks_at.is_none_or(|at| t.start < at));
    let mut words = words::words(sql, &tokens[..shown])?;
    if words.iter().any(|w| w.is("merge")) {
        words = merge::prepare(words);
    }
    let (words, notes) = plain::plain(words);
    let words = words.into_iter().map(Word::into_parsed).collect();
    let mut statements = Parser::new(&Postgres)
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens_with_locations(words)
        .parse_statements()
        .map_err(|e| Unreadable(e.to_string()))?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(Unreadable("it isn't one statement".into()));
    };
    let lower = Lower { shape, notes };
    let mut root = lower.root(&statement)?;
    if let (Root::Query(query), true) = (&mut root, locks_at.is_some()) {
        query.locks = true;
    }
    let mut seen = Relations(0);
    let _ = statement.visit(&mut seen);
    let mut known = 0;
    count_root(&root, &mut known);
    if seen.0 != known {
        return Err(Unreadable(format!(
            "it names {} tables, of which {known} are understood",
            seen.0
        )));
    }
    Ok(Lowered {
        root,
        clauses: clauses::read(sql, &tokens),
    })
}

/// LIMIT, OFFSET or FETCH behind a position: PostgreSQL takes them behind FOR UPDATE too.
fn limited_behind(sql: &str, tokens: &[Token], at: u32) -> bool {
    let limiting = |t: &Token| {
        ["limit", "offset", "fetch", "order"]
            .iter()
            .any(|w| t.is_word(sql, w))
    };
    tokens.iter().any(|t| t.start > at && limiting(t))
}

/// Where `FOR [NO KEY] UPDATE …` begins: the parser doesn't read all of its forms.
fn locking_tail(sql: &str, tokens: &[Token]) -> Option<u32> {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        if token.is_punct(sql, '(') {
            depth += 1;
        } else if token.is_punct(sql, ')') {
            depth -= 1;
        }
        let word = |ahead: usize, w: &str| tokens.get(i + ahead).is_some_and(|t| t.is_word(sql, w));
        if depth == 0
            && word(0, "for")
            && (word(1, "update")
                || word(1, "share")
                || (word(1, "no") && word(2, "key"))
                || (word(1, "key") && word(2, "share")))
        {
            return Some(token.start);
        }
    }
    None
}

struct Relations(usize);

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<()> {
        self.0 += 1;
        ControlFlow::Continue(())
    }
}

fn count_root(root: &Root, n: &mut usize) {
    match root {
        Root::Query(q) => count_query(q, n),
        Root::Insert(i) => {
            *n += 1;
            i.ctes.iter().for_each(|c| count_cte(&c.body, n));
            match &i.source {
                InsertSource::DefaultValues => {}
                InsertSource::Values(rows) => rows.iter().flatten().for_each(|e| count_expr(e, n)),
                InsertSource::Query(q) => count_query(q, n),
            }
            if let Some(c) = &i.conflict {
                c.set.iter().for_each(|a| count_expr(&a.value, n));
                c.filter.iter().for_each(|e| count_expr(e, n));
            }
            count_items(&i.returning, n);
        }
        Root::Update(w) | Root::Delete(w) => {
            *n += 1;
            w.ctes.iter().for_each(|c| count_cte(&c.body, n));
            w.from.iter().for_each(|s| count_source(s, n));
            w.set.iter().for_each(|a| count_expr(&a.value, n));
            w.filter.iter().for_each(|e| count_expr(e, n));
            count_items(&w.returning, n);
        }
    }
}

fn count_cte(body: &CteBody, n: &mut usize) {
    match body {
        CteBody::Query(q) => count_query(q, n),
        CteBody::Write(w) => count_root(w, n),
    }
}

fn count_items(items: &[super::query::Item], n: &mut usize) {
    for item in items {
        if let super::query::Item::Expr { expr, .. } = item {
            count_expr(expr, n);
        }
    }
}

fn count_query(query: &Query, n: &mut usize) {
    query.ctes.iter().for_each(|c| count_cte(&c.body, n));
    count_body(&query.body, n);
    query.order.iter().for_each(|o| count_expr(&o.expr, n));
    query
        .limit
        .iter()
        .chain(&query.offset)
        .for_each(|e| count_expr(e, n));
}

fn count_body(body: &Body, n: &mut usize) {
    match body {
        Body::Select(s) => {
            if let super::query::Distinct::On(list) = &s.distinct {
                list.iter().for_each(|e| count_expr(e, n));
            }
            count_items(&s.items, n);
            s.from.iter().for_each(|f| count_source(f, n));
            s.filter
                .iter()
                .chain(&s.group)
                .chain(&s.having)
                .chain(&s.expanded)
                .for_each(|e| count_expr(e, n));
        }
        Body::Query(q) => count_query(q, n),
        Body::SetOp { left, right, .. } => {
            count_body(left, n);
            count_body(right, n);
        }
        Body::Values(rows) => rows.iter().flatten().for_each(|e| count_expr(e, n)),
        Body::Write(root) => count_root(root, n),
    }
}

fn count_source(source: &Source, n: &mut usize) {
    match source {
        Source::Table(_) => *n += 1,
        Source::Derived { query, .. } => count_query(query, n),
        Source::Function { args, relation, .. } => {
            *n += usize::from(*relation);
            args.iter().for_each(|e| count_expr(e, n));
        }
        Source::Join { left, right, on, .. } => {
            count_source(left, n);
            count_source(right, n);
            on.iter().for_each(|e| count_expr(e, n));
        }
    }
}

fn count_expr(expr: &Expr, n: &mut usize) {
    let mut queries = Vec::new();
    expr.walk(&mut |_| {}, &mut |q| queries.push(q));
    queries.into_iter().for_each(|q| count_query(q, n));
}

impl Lower<'_> {
    fn root(&self, statement: &Statement) -> Result<Root, Unreadable> {
        match statement {
            Statement::Query(q) => {
                let mut query = self.query(q)?;
                // WITH … INSERT | UPDATE | DELETE: the WITH belongs to the write.
                if let Body::Write(mut root) = query.body {
                    let (ctes, recursive) = match root.as_mut() {
                        Root::Insert(i) => (&mut i.ctes, &mut i.recursive),
                        Root::Update(w) | Root::Delete(w) => (&mut w.ctes, &mut w.recursive),
                        Root::Query(_) => return Err(Unreadable("a query as the body of a WITH".into())),
                    };
                    ctes.splice(0..0, std::mem::take(&mut query.ctes));
                    *recursive |= query.recursive;
                    return Ok(*root);
                }
                Ok(Root::Query(query))
            }
            Statement::Insert(i) => self.insert(i),
            Statement::Update(u) => self.update(u),
            Statement::Delete(d) => self.delete(d),
            Statement::Merge(m) => self.merge(m),
            _ => Err(Unreadable("it is a kind of statement that isn't planned".into())),
        }
    }
}

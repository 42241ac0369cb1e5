//! May a statement run on several nodes, and how do the parts' rows become the answer?
//!
//! It may if every row of the answer can be computed on one node alone (each sharded table in it is
//! tied to one *anchor* table by the sharding key, everything else is complete on every node), and
//! if what spans rows (ORDER BY, LIMIT, aggregates, DISTINCT) can be merged exactly.
//!
//! Example, orders and items sharded alike by user_id: `orders o JOIN items i USING (user_id)` has
//! the anchor o, and i's rows are reached over the edge o.user_id → i.user_id. `SELECT count(*)`
//! over that is a sum of counts; `SELECT max(x) OVER ()` is refused.

mod aggregate;
mod check;
mod distinct;
mod order;
mod source;

use crate::model::{Code, Fault};

use super::analyze::{self, Analysis, has_window, holds_key, is_aggregated};
use super::clauses::Clauses;
use super::lex;
use super::query::{Body, Expr, Item, Name, Query, Select, Span};
use super::scope::{Column, Scope};
use super::types::{ColumnAt, RowMerge, SessionView, SortKey};
use super::value::is_constant;

pub use check::check;
pub use source::Source;

/// How to run a query on several nodes.
#[derive(Clone, Debug, Default)]
pub struct Scatter {
    /// Without limit and offset, whose values come with each execution.
    pub merge: RowMerge,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    /// LIMIT may be given to the parts (as limit + offset).
    pub push_limit: bool,
    /// Where the parts' LIMIT goes, and the clauses to be removed; original coordinates.
    pub limit_at: u32,
    pub remove: Vec<Span>,
    /// `, expr` behind the select list; original coordinates.
    pub hidden: Option<(u32, String)>,
    /// Literals whose values planning has read.
    pub pinned: Vec<Span>,
}

/// Plans the merge of a query's rows.
pub fn plan(
    query: &Query,
    analysis: &Analysis,
    clauses: Option<&Clauses>,
    src: &Source<'_>,
    view: &SessionView,
) -> Result<Scatter, Fault> {
    check(analysis, false)?;
    if query.locks && query.is_limited() {
        return Err(Fault::new(
            Code::LIMIT_NOT_KNOWN,
            "LIMIT with a locking clause would lock more rows over several nodes",
        )
        .hint("Give the sharding key in WHERE, or lock the rows by their keys."));
    }
    let clauses = clauses.ok_or_else(|| {
        Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            "the query's outermost SELECT is in parentheses",
        )
        .hint("Write it without the outer parentheses.")
    })?;
    if query.odd_limit || clauses.order.len() != query.order.len() {
        return Err(Fault::new(
            Code::LIMIT_NOT_KNOWN,
            "this form of LIMIT or FETCH can't be merged over several nodes",
        )
        .hint("Write LIMIT n OFFSET m."));
    }
    for e in query.limit.iter().chain(&query.offset) {
        if !is_constant(e) {
            return Err(Fault::new(
                Code::LIMIT_NOT_KNOWN,
                "LIMIT and OFFSET over several nodes must be numbers or parameters",
            ));
        }
    }
    let mut out = Scatter {
        limit: query.limit.clone(),
        offset: query.offset.clone(),
        push_limit: true,
        limit_at: clauses.end,
        remove: clauses
            .limit
            .iter()
            .chain(&clauses.offset)
            .chain(&clauses.fetch)
            .copied()
            .collect(),
        ..Scatter::default()
    };
    match &query.body {
        Body::Select(s) => {
            if clauses.set_operation
                || s.items.len() != clauses.items.len()
                || s.group.len() != clauses.group.len()
            {
                return Err(Fault::new(
                    Code::UNSUPPORTED_STATEMENT,
                    "the SELECT's clauses could not be located",
                ));
            }
            Merging {
                query,
                select: s,
                analysis,
                clauses,
                src,
                view,
                out,
                hidden: Vec::new(),
            }
            .run()
        }
        Body::SetOp { left, .. } => {
            out.merge.order = set_order(query, left, clauses, src)?;
            out.pinned = clauses.order.clone();
            Ok(out)
        }
        Body::Query(_) | Body::Values(_) | Body::Write(_) => Err(Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            "this form of query can't be run over several nodes",
        )),
    }
}

/// ORDER BY of a UNION ALL: output columns by number or by the first arm's names.
fn set_order(query: &Query, left: &Body, clauses: &Clauses, src: &Source<'_>) -> Result<Vec<SortKey>, Fault> {
    let mut first = left;
    while let Body::SetOp { left, .. } = first {
        first = left;
    }
    let Body::Select(select) = first else {
        return Err(order_fault("ORDER BY of this set operation"));
    };
    query
        .order
        .iter()
        .zip(&clauses.order)
        .map(|(item, span)| {
            let at = match &item.expr {
                Expr::Slot(_) => ordinal(src.text(*span))?,
                Expr::Column(Name { parts, .. }) if parts.len() == 1 => {
                    position_of(select, &parts[0])?.ok_or_else(|| order_fault(src.text(*span)))?
                }
                _ => return Err(order_fault(src.text(*span))),
            };
            Ok(SortKey {
                at: ColumnAt::Visible(at),
                descending: item.descending,
                nulls_first: item.nulls_first,
                bytes_order: false,
                what: src.text(*span).into(),
            })
        })
        .collect()
}

fn order_fault(what: &str) -> Fault {
    Fault::new(
        Code::ORDER_NOT_EXACT,
        format!("ORDER BY {what} can't be merged exactly over several nodes"),
    )
    .hint("Order by a number, date, timestamp or uuid column, or by text COLLATE \"C\".")
}

fn group_fault(what: &str) -> Fault {
    Fault::new(
        Code::GROUP_NOT_EXACT,
        format!("{what} can't be grouped exactly over several nodes"),
    )
    .hint("Group by plain columns, or include the sharding key.")
}

fn ordinal(text: &str) -> Result<usize, Fault> {
    text.trim()
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_sub(1))
        .ok_or_else(|| order_fault(text))
}

/// The position of an output column by name, if no wildcard stands before it and the name is unique.
fn position_of(select: &Select, name: &str) -> Result<Option<usize>, Fault> {
    let mut uncertain = false;
    for (i, item) in select.items.iter().enumerate() {
        match item {
            // Its columns may have the name too.
            Item::Wildcard | Item::QualifiedWildcard(_) => break,
            Item::Expr {
                name: Some(label), ..
            } if **label == *name => return Ok(Some(i)),
            Item::Expr { name: Some(_), .. } => {}
            // It may or may not be the one that is meant.
            Item::Expr { name: None, .. } => uncertain = true,
        }
    }
    if uncertain {
        return Err(order_fault(name).hint("Give each column of the select list a name with AS."));
    }
    Ok(None)
}

struct Merging<'a> {
    query: &'a Query,
    select: &'a Select,
    analysis: &'a Analysis,
    clauses: &'a Clauses,
    src: &'a Source<'a>,
    view: &'a SessionView,
    out: Scatter,
    hidden: Vec<String>,
}

impl Merging<'_> {
    fn scopes(&self) -> [Scope; 1] {
        [self.analysis.top.clone()]
    }

    fn column(&self, expr: &Expr) -> Option<Column> {
        match expr {
            Expr::Column(name) => self.analysis.facts.resolve(name, &self.scopes()),
            _ => None,
        }
    }

    fn refs(&self) -> Vec<usize> {
        (0..self.analysis.facts.refs.len())
            .filter(|&r| !self.analysis.facts.refs[r].in_expression)
            .collect()
    }

    fn hide(&mut self, text: String) -> usize {
        if let Some(i) = self.hidden.iter().position(|h| *h == text) {
            return i;
        }
        self.hidden.push(text);
        self.hidden.len() - 1
    }

    fn run(mut self) -> Result<Scatter, Fault> {
        let refs = self.refs();
        let scopes = self.scopes();
        let items = self.select.items.iter().filter_map(|i| match i {
            Item::Expr { expr, .. } => Some(expr),
            Item::Wildcard | Item::QualifiedWildcard(_) => None,
        });
        for expr in items.chain(self.query.order.iter().map(|o| &o.expr)) {
            if has_window(expr) && !analyze::windows_are_local(&self.analysis.facts, expr, &refs, &scopes) {
                return Err(analyze::window_fault());
            }
        }
        self.out.pinned.extend(self.clauses.order.iter().copied());
        // Expressions with constants are compared with select items by their text: pin those too.
        let constant = |s: &Span| {
            self.src.within(*s).any(|t| {
                matches!(
                    t.kind,
                    lex::Kind::String | lex::Kind::Integer | lex::Kind::Decimal
                )
            })
        };
        if self.clauses.order.iter().any(constant) {
            self.out.pinned.extend(self.clauses.items.iter().copied());
        }
        let group: Vec<Column> = self.select.group.iter().filter_map(|e| self.column(e)).collect();
        let local_groups = !self.select.odd_group && holds_key(&self.analysis.facts, &group, &refs);
        if is_aggregated(self.select, &self.query.order, self.view) && !local_groups {
            self.aggregate()?;
        } else {
            self.distinct(&refs)?;
            self.order()?;
        }
        if !self.hidden.is_empty() {
            let Some(last) = self.clauses.items.last() else {
                return Err(Fault::new(
                    Code::UNSUPPORTED_STATEMENT,
                    "a SELECT without columns can't be merged",
                ));
            };
            // Names of their own, so that no ORDER BY name can mean them.
            let list: Vec<String> = self
                .hidden
                .iter()
                .enumerate()
                .map(|(i, h)| format!(", {h} AS margay_hidden_{i}"))
                .collect();
            self.out.hidden = Some((last.end, list.concat()));
            self.out.merge.hidden = self.hidden.len();
        }
        Ok(self.out)
    }
}

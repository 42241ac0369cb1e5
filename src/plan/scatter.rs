//! May a statement run on several nodes, and how do the parts' rows become the answer?
//!
//! It may if every row of the answer can be computed on one node alone (each sharded table in it is
//! tied to one *anchor* table by the sharding key, everything else is complete on every node), and
//! if what spans rows (ORDER BY, LIMIT, aggregates, DISTINCT) can be merged exactly.
//!
//! Example, orders and items sharded alike by user_id: `orders o JOIN items i USING (user_id)` has
//! the anchor o, and i's rows are reached over the edge o.user_id → i.user_id. `SELECT count(*)`
//! over that is a sum of counts; `SELECT max(x) OVER ()` is refused.

use crate::model::catalog::Collation;
use crate::model::{Code, Fault};

use super::analyze::{self, Analysis, has_aggregate, has_window, holds_key, is_aggregate_call, is_aggregated};
use super::clauses::Clauses;
use super::functions;
use super::lex::{self, Token};
use super::query::{Body, Distinct, Expr, Item, Name, Query, Select, Span};
use super::scope::{Column, Home, Scope};
use super::types::{Aggregation, ColumnAt, Combine, GroupKey, RowMerge, SessionView, SortKey};
use super::value::is_constant;

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

/// The text of a statement with its tokens.
pub struct Source<'a> {
    pub sql: &'a str,
    pub tokens: &'a [Token],
}

impl Source<'_> {
    fn text(&self, span: Span) -> &str {
        self.sql.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    fn within(&self, span: Span) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(move |t| t.start >= span.start && t.end <= span.end)
    }

    /// The text with blanks, comments and case of words evened out, for comparing expressions.
    fn even(&self, span: Span) -> String {
        let words: Vec<String> = self
            .within(span)
            .map(|t| match t.kind {
                lex::Kind::Word => t.text(self.sql).to_ascii_lowercase(),
                _ => t.text(self.sql).to_string(),
            })
            .collect();
        words.join(" ")
    }

    /// From a function's name to the end of its call, FILTER included.
    fn call_end(&self, name: Span) -> Option<u32> {
        let mut i = self.tokens.iter().position(|t| t.start >= name.end)?;
        i = self.past_parens(i)?;
        if self.tokens.get(i).is_some_and(|t| t.is_word(self.sql, "filter")) {
            i = self.past_parens(i + 1)?;
        }
        Some(self.tokens.get(i - 1)?.end)
    }

    fn past_parens(&self, mut i: usize) -> Option<usize> {
        if !self.tokens.get(i)?.is_punct(self.sql, '(') {
            return None;
        }
        let mut depth = 0;
        loop {
            let t = self.tokens.get(i)?;
            if t.is_punct(self.sql, '(') {
                depth += 1;
            } else if t.is_punct(self.sql, ')') {
                depth -= 1;
            }
            i += 1;
            if depth == 0 {
                return Some(i);
            }
        }
    }
}

/// Checks that every row can be computed on one node, for a query or (with `target`) a write whose
/// first table reference is the target.
pub fn check(analysis: &Analysis, view: &SessionView, target: bool) -> Result<(), Fault> {
    if let Some(fault) = &analysis.obstacle {
        return Err(fault.clone());
    }
    if analysis.too_large {
        return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, "the statement references too many tables"));
    }
    if analysis.system_column {
        return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, "system columns such as ctid mean nothing across several servers"));
    }
    for call in &analysis.calls {
        let name = call.name.last();
        if functions::differs_by_node(name) {
            return Err(Fault::new(Code::FUNCTION_ACROSS_NODES, format!("{name}() answers differently on each server")));
        }
        if functions::transaction_time(name) == Some("timetz") || name == "localtime" {
            return Err(Fault::new(Code::FUNCTION_ACROSS_NODES, format!("{name} over several nodes isn't supported"))
                .hint("Use now() or pass the time as a parameter."));
        }
    }
    check_homes(analysis)?;
    let arms: Vec<Vec<usize>> = if target || analysis.arms.is_empty() {
        vec![(0..analysis.facts.refs.len()).collect()]
    } else {
        analysis.arms.iter().map(|r| r.clone().collect()).collect()
    };
    for arm in arms {
        check_arm(analysis, &arm, target, view)?;
    }
    Ok(())
}

fn check_homes(analysis: &Analysis) -> Result<(), Fault> {
    let sharded = analysis.facts.refs.iter().find_map(|r| match &r.home {
        Home::Sharded(s) => Some((r, s)),
        Home::Node(_) | Home::Everywhere(_) | Home::System => None,
    });
    for table in &analysis.facts.refs {
        let fault = match (&table.home, sharded) {
            (Home::Sharded(_), _) => continue,
            (Home::Everywhere(nodes), Some((_, s))) if s.nodes.iter().all(|n| nodes.contains(n)) => continue,
            (_, Some((first, _))) => format!("{} and {} are not on the same nodes", first.name, table.name),
            (Home::Node(_) | Home::Everywhere(_) | Home::System, None) => "the tables are on different nodes".to_string(),
        };
        return Err(Fault::new(Code::CROSS_NODE_JOIN, fault)
            .hint("Query each domain on its own and join in the application, or make the smaller table `broadcast`."));
    }
    Ok(())
}

fn check_arm(analysis: &Analysis, refs: &[usize], target: bool, _view: &SessionView) -> Result<(), Fault> {
    let facts = &analysis.facts;
    let key = |r: usize, i: usize| -> Option<Column> {
        let Home::Sharded(s) = &facts.refs[r].home else { return None };
        Some(Column { entity: facts.refs[r].entity, name: s.key.get(i)?.column.clone() })
    };
    let spread: Vec<usize> = refs.iter().copied().filter(|&r| matches!(facts.refs[r].home, Home::Sharded(_))).collect();
    let tied = |anchor: usize, r: usize| -> bool {
        let (Home::Sharded(a), Home::Sharded(b)) = (&facts.refs[anchor].home, &facts.refs[r].home) else { return false };
        anchor == r
            || (a.group == b.group
                && a.key.len() == b.key.len()
                && (0..a.key.len())
                    .all(|i| matches!((key(anchor, i), key(r, i)), (Some(from), Some(to)) if facts.reaches(&from, &to))))
    };
    let anchors: Vec<usize> = if target { vec![0] } else { spread.clone() };
    let found = anchors
        .iter()
        .filter(|&&a| !facts.refs[a].in_expression || target)
        .any(|&a| spread.iter().all(|&r| tied(a, r)));
    if found || spread.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = spread.iter().map(|&r| facts.refs[r].name.to_string()).collect();
    let key_names: Vec<&str> = match &facts.refs[spread[0]].home {
        Home::Sharded(s) => s.key.iter().map(|k| &*k.column).collect(),
        Home::Node(_) | Home::Everywhere(_) | Home::System => Vec::new(),
    };
    Err(Fault::new(Code::NOT_COLOCATED, format!("{} aren't joined by their sharding keys", names.join(", "))).hint(format!(
        "Join them by equality of ({}), with tables sharded alike (`like:`), or give the key's value in WHERE.",
        key_names.join(", ")
    )))
}

/// Plans the merge of a query's rows.
pub fn plan(query: &Query, analysis: &Analysis, clauses: Option<&Clauses>, src: &Source<'_>, view: &SessionView) -> Result<Scatter, Fault> {
    check(analysis, view, false)?;
    if query.locks && query.is_limited() {
        return Err(Fault::new(Code::LIMIT_NOT_KNOWN, "LIMIT with a locking clause would lock more rows over several nodes")
            .hint("Give the sharding key in WHERE, or lock the rows by their keys."));
    }
    let clauses = clauses.ok_or_else(|| Fault::new(Code::UNSUPPORTED_STATEMENT, "the query's outermost SELECT is in parentheses").hint("Write it without the outer parentheses."))?;
    if query.odd_limit || clauses.order.len() != query.order.len() {
        return Err(Fault::new(Code::LIMIT_NOT_KNOWN, "this form of LIMIT or FETCH can't be merged over several nodes").hint("Write LIMIT n OFFSET m."));
    }
    for e in query.limit.iter().chain(&query.offset) {
        if !is_constant(e) {
            return Err(Fault::new(Code::LIMIT_NOT_KNOWN, "LIMIT and OFFSET over several nodes must be numbers or parameters"));
        }
    }
    let mut out = Scatter {
        limit: query.limit.clone(),
        offset: query.offset.clone(),
        push_limit: true,
        limit_at: clauses.end,
        remove: clauses.limit.iter().chain(&clauses.offset).chain(&clauses.fetch).copied().collect(),
        ..Scatter::default()
    };
    match &query.body {
        Body::Select(s) => {
            if clauses.set_operation || s.items.len() != clauses.items.len() || s.group.len() != clauses.group.len() {
                return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, "the SELECT's clauses could not be located"));
            }
            Merging { query, select: s, analysis, clauses, src, view, out, hidden: Vec::new() }.run()
        }
        Body::SetOp { left, .. } => {
            out.merge.order = set_order(query, left, clauses, src)?;
            out.pinned = clauses.order.clone();
            Ok(out)
        }
        Body::Query(_) | Body::Values(_) | Body::Write(_) => {
            Err(Fault::new(Code::UNSUPPORTED_STATEMENT, "this form of query can't be run over several nodes"))
        }
    }
}

/// ORDER BY of a UNION ALL: output columns by number or by the first arm's names.
fn set_order(query: &Query, left: &Body, clauses: &Clauses, src: &Source<'_>) -> Result<Vec<SortKey>, Fault> {
    let mut first = left;
    while let Body::SetOp { left, .. } = first {
        first = left;
    }
    let Body::Select(select) = first else { return Err(order_fault("ORDER BY of this set operation")) };
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
    Fault::new(Code::ORDER_NOT_EXACT, format!("ORDER BY {what} can't be merged exactly over several nodes"))
        .hint("Order by a number, date, timestamp or uuid column, or by text COLLATE \"C\".")
}

fn group_fault(what: &str) -> Fault {
    Fault::new(Code::GROUP_NOT_EXACT, format!("{what} can't be grouped exactly over several nodes"))
        .hint("Group by plain columns, or include the sharding key.")
}

fn ordinal(text: &str) -> Result<usize, Fault> {
    text.trim().parse::<usize>().ok().and_then(|n| n.checked_sub(1)).ok_or_else(|| order_fault(text))
}

/// The position of an output column by name, if no wildcard stands before it and the name is unique.
fn position_of(select: &Select, name: &str) -> Result<Option<usize>, Fault> {
    let mut uncertain = false;
    for (i, item) in select.items.iter().enumerate() {
        match item {
            // Its columns may have the name too.
            Item::Wildcard | Item::QualifiedWildcard(_) => break,
            Item::Expr { name: Some(label), .. } if **label == *name => return Ok(Some(i)),
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
        (0..self.analysis.facts.refs.len()).filter(|&r| !self.analysis.facts.refs[r].in_expression).collect()
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
        let constant = |s: &Span| self.src.within(*s).any(|t| matches!(t.kind, lex::Kind::String | lex::Kind::Integer | lex::Kind::Decimal));
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
                return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, "a SELECT without columns can't be merged"));
            };
            // Names of their own, so that no ORDER BY name can mean them.
            let list: Vec<String> =
                self.hidden.iter().enumerate().map(|(i, h)| format!(", {h} AS margay_hidden_{i}")).collect();
            self.out.hidden = Some((last.end, list.concat()));
            self.out.merge.hidden = self.hidden.len();
        }
        Ok(self.out)
    }

    /// DISTINCT is each node's own if the key is selected; else rows are compared here.
    fn distinct(&mut self, refs: &[usize]) -> Result<(), Fault> {
        let listed: Vec<Column> = self
            .select
            .items
            .iter()
            .filter_map(|i| match i {
                Item::Expr { expr, .. } => self.column(expr),
                Item::Wildcard | Item::QualifiedWildcard(_) => None,
            })
            .collect();
        let on: Vec<Column> = match &self.select.distinct {
            Distinct::No => return Ok(()),
            Distinct::On(list) => {
                let mut columns = Vec::new();
                for e in list {
                    columns.extend(self.output_or_input(e)?);
                }
                columns
            }
            Distinct::All if self.wildcard_holds_key(refs) => return Ok(()),
            Distinct::All => listed,
        };
        if holds_key(&self.analysis.facts, &on, refs) {
            return Ok(());
        }
        if matches!(self.select.distinct, Distinct::On(_)) {
            return Err(group_fault("DISTINCT ON without the sharding key"));
        }
        // Grouping by all columns says the same, and carries each column's proof of equality.
        let mut group = Vec::new();
        for (i, (item, span)) in self.select.items.iter().zip(&self.clauses.items).enumerate() {
            let Item::Expr { expr, .. } = item else { return Err(group_fault("DISTINCT *")) };
            let bytes_equal = self.equal_by_bytes(expr, self.bare_item(i));
            group.push(GroupKey { at: ColumnAt::Visible(i), bytes_equal, what: self.src.text(*span).into() });
        }
        self.out.merge.aggregate = Some(Aggregation { group, columns: Vec::new() });
        Ok(())
    }

    /// DISTINCT ON looks names up as ORDER BY does: output columns first.
    fn output_or_input(&self, expr: &Expr) -> Result<Option<Column>, Fault> {
        if let Expr::Column(Name { parts, .. }) = expr
            && let [name] = parts.as_slice()
        {
            if let Some(i) = position_of(self.select, name)? {
                let Item::Expr { expr, .. } = &self.select.items[i] else { return Ok(None) };
                return Ok(self.column(expr));
            }
            self.no_name_behind_wildcard(name)?;
        }
        Ok(self.column(expr))
    }

    /// Does a `*` give every key column of a sharded table that stands in FROM itself?
    fn wildcard_holds_key(&self, refs: &[usize]) -> bool {
        let facts = &self.analysis.facts;
        let whole = |label: Option<&str>| {
            refs.iter().any(|&r| {
                let table = &facts.refs[r];
                matches!(table.home, Home::Sharded(_))
                    && self.analysis.top.entities.contains(&table.entity)
                    && !facts.is_nullable(table.entity)
                    && label.is_none_or(|l| facts.entities[table.entity].label.as_deref() == Some(l))
            })
        };
        self.select.items.iter().any(|i| match i {
            Item::Wildcard => whole(None),
            Item::QualifiedWildcard(name) => whole(Some(name.last())),
            Item::Expr { .. } => false,
        })
    }

    /// May text of this expression be grouped by its bytes? (Other types are checked when rows come.)
    fn equal_by_bytes(&self, expr: &Expr, span: Span) -> bool {
        if self.src.within(span).any(|t| t.is_word(self.src.sql, "collate")) {
            return false;
        }
        let mut exact = true;
        let scopes = self.scopes();
        expr.walk(
            &mut |e| {
                if let Expr::Column(name) = e {
                    let info = self.analysis.facts.resolve(name, &scopes);
                    exact &= info
                        .and_then(|c| self.analysis.facts.column_info(&c).map(|i| i.collation != Collation::Nondeterministic))
                        .unwrap_or(false);
                }
            },
            &mut |_| {},
        );
        exact
    }

    /// Is text of this expression ordered by its bytes? An error where the catalog says that it isn't.
    fn ordered_by_bytes(&self, expr: &Expr, span: Span) -> Result<bool, Fault> {
        let text = self.src.even(span);
        if text.ends_with("collate \"C\"") || text.ends_with("collate \"POSIX\"") {
            return Ok(true);
        }
        match self.column(expr).and_then(|c| self.analysis.facts.column_info(&c).map(|i| i.collation)) {
            Some(Collation::Bytes) => Ok(true),
            Some(Collation::Deterministic | Collation::Nondeterministic) => Err(order_fault(self.src.text(span))),
            Some(Collation::None) | None => Ok(false),
        }
    }

    fn order(&mut self) -> Result<(), Fault> {
        let distinct = !matches!(self.select.distinct, Distinct::No);
        for (item, span) in self.query.order.iter().zip(&self.clauses.order) {
            let (at, expr, text_span) = match self.visible(&item.expr, *span)? {
                Some(i) => {
                    let (expr, span) = match self.select.items.get(i) {
                        Some(Item::Expr { expr, .. }) if !self.has_wildcard_before(i) => (Some(expr), self.bare_item(i)),
                        _ => (None, *span),
                    };
                    (ColumnAt::Visible(i), expr, span)
                }
                None if distinct => return Err(order_fault(self.src.text(*span))),
                None => {
                    let text = self.src.text(*span).to_string();
                    (ColumnAt::Hidden(self.hide(text)), Some(&item.expr), *span)
                }
            };
            let bytes_order = match expr {
                Some(expr) => self.ordered_by_bytes(expr, text_span)?,
                None => false,
            };
            self.out.merge.order.push(SortKey {
                at,
                descending: item.descending,
                nulls_first: item.nulls_first,
                bytes_order,
                what: self.src.text(*span).into(),
            });
        }
        Ok(())
    }

    fn has_wildcard_before(&self, i: usize) -> bool {
        self.select.items.iter().take(i + 1).any(|i| matches!(i, Item::Wildcard | Item::QualifiedWildcard(_)))
    }

    /// The output column that an ORDER BY expression means, as PostgreSQL looks it up: a number, an
    /// output name, an equal expression.
    fn visible(&self, expr: &Expr, span: Span) -> Result<Option<usize>, Fault> {
        match expr {
            Expr::Slot(_) => return ordinal(self.src.text(span)).map(Some),
            Expr::Column(Name { parts, .. }) if parts.len() == 1 => {
                if let Some(i) = position_of(self.select, &parts[0])? {
                    return Ok(Some(i));
                }
                self.no_name_behind_wildcard(&parts[0])?;
            }
            _ => {}
        }
        Ok(self.same_item(span))
    }

    /// A bare name that isn't found before a wildcard: it must be an input column then. That is certain
    /// with one relation, whose `*` gives the same column; and no item behind may bear the name.
    fn no_name_behind_wildcard(&self, name: &str) -> Result<(), Fault> {
        let items = &self.select.items;
        let wild = |i: &Item| matches!(i, Item::Wildcard | Item::QualifiedWildcard(_));
        if !items.iter().any(wild) {
            return Ok(());
        }
        let named = |i: &Item| matches!(i, Item::Expr { name: label, .. } if label.as_deref().is_none_or(|l| l == name));
        if self.analysis.top.entities.len() > 1 || items.iter().any(named) {
            return Err(order_fault(name).hint("Qualify the column by its table, or list the columns instead of *."));
        }
        Ok(())
    }

    fn same_item(&self, span: Span) -> Option<usize> {
        let wanted = self.src.even(span);
        self.select
            .items
            .iter()
            .enumerate()
            .take_while(|(_, item)| matches!(item, Item::Expr { .. }))
            .find(|(i, _)| self.src.even(self.bare_item(*i)) == wanted)
            .map(|(i, _)| i)
    }

    /// A select item without its alias.
    fn bare_item(&self, i: usize) -> Span {
        let span = self.clauses.items[i];
        if !matches!(self.select.items[i], Item::Expr { alias: Some(_), .. }) {
            return span;
        }
        let tokens: Vec<&Token> = self.src.within(span).collect();
        // The alias is the last token, with or without AS before it.
        let keep = match tokens.len().checked_sub(2) {
            Some(i) if tokens[i].is_word(self.src.sql, "as") => i,
            _ => tokens.len().saturating_sub(1),
        };
        match keep.checked_sub(1) {
            Some(last) => Span { start: span.start, end: tokens[last].end },
            None => span,
        }
    }

    fn aggregate(&mut self) -> Result<(), Fault> {
        self.out.push_limit = false;
        self.out.pinned.extend(self.clauses.items.iter().chain(&self.clauses.group).copied());
        if self.select.having.is_some() {
            return Err(Fault::new(Code::HAVING_ACROSS_SHARDS, "HAVING over groups that span shards isn't supported")
                .hint("Group by the sharding key too, or filter the groups in the application."));
        }
        if self.select.odd_group {
            return Err(group_fault("GROUPING SETS, ROLLUP or CUBE"));
        }
        if !matches!(self.select.distinct, Distinct::No) {
            return Err(group_fault("DISTINCT together with aggregates"));
        }
        let mut aggregation = Aggregation { group: Vec::new(), columns: Vec::new() };
        let mut keys: Vec<ColumnAt> = Vec::new();
        for (expr, span) in self.select.group.iter().zip(&self.clauses.group) {
            let at = match self.group_item(expr, *span)? {
                Some(i) => ColumnAt::Visible(i),
                None => {
                    let text = self.src.text(*span).to_string();
                    ColumnAt::Hidden(self.hide(text))
                }
            };
            let (e, s) = match at {
                ColumnAt::Visible(i) => match &self.select.items[i] {
                    Item::Expr { expr, .. } => (expr, self.bare_item(i)),
                    Item::Wildcard | Item::QualifiedWildcard(_) => return Err(group_fault("*")),
                },
                ColumnAt::Hidden(_) => (expr, *span),
            };
            let bytes_equal = self.equal_by_bytes(e, s);
            aggregation.group.push(GroupKey { at, bytes_equal, what: self.src.text(*span).into() });
            keys.push(at);
        }
        for (i, (item, span)) in self.select.items.iter().zip(&self.clauses.items).enumerate() {
            if keys.contains(&ColumnAt::Visible(i)) {
                continue;
            }
            let Item::Expr { expr, .. } = item else { return Err(group_fault("*")) };
            let combine = self.combine(expr, *span)?;
            aggregation.columns.push((ColumnAt::Visible(i), combine));
        }
        self.aggregate_order(&mut aggregation)?;
        self.out.merge.aggregate = Some(aggregation);
        Ok(())
    }

    /// The output column that a GROUP BY expression is: PostgreSQL prefers an input column of the
    /// name to an output column.
    fn group_item(&self, expr: &Expr, span: Span) -> Result<Option<usize>, Fault> {
        match expr {
            Expr::Slot(_) => return ordinal(self.src.text(span)).map(Some),
            Expr::Column(name) => {
                let column = self.column(expr);
                if let Some(column) = &column {
                    let same = |item: &Item| matches!(item, Item::Expr { expr, .. } if self.column(expr).as_ref() == Some(column));
                    return Ok(self.select.items.iter().position(same));
                }
                if name.parts.len() == 1 && self.analysis.facts.knows_columns(&self.analysis.top) {
                    return position_of(self.select, name.last());
                }
            }
            _ => {}
        }
        Ok(self.same_item(span))
    }

    fn combine(&mut self, expr: &Expr, span: Span) -> Result<Combine, Fault> {
        if is_constant(expr) {
            return Ok(Combine::First);
        }
        let fault = |what: &str| {
            Fault::new(Code::AGGREGATE_ACROSS_SHARDS, format!("{what} can't be combined over several nodes")).hint(
                "Select count, sum, min, max, avg, bool_and or bool_or by themselves, group by everything else, \
                 and compute with their results in the application.",
            )
        };
        let text = self.src.text(span).to_string();
        let Expr::Call(call) = expr else { return Err(fault(&text)) };
        if !is_aggregate_call(call, self.view) || call.odd || call.over.is_some() || call.args.iter().any(|a| has_aggregate(a, self.view)) {
            return Err(fault(&text));
        }
        let name = call.name.last();
        if call.distinct && !matches!(name, "min" | "max" | "bool_and" | "bool_or" | "every") {
            let refs = self.refs();
            let columns: Vec<Column> = call.args.iter().filter_map(|a| self.column(a)).collect();
            if name != "count" || !holds_key(&self.analysis.facts, &columns, &refs) {
                return Err(fault(&text));
            }
        }
        Ok(match name {
            "count" => Combine::Count,
            "sum" => Combine::Sum,
            "min" => Combine::Min,
            "max" => Combine::Max,
            "bool_and" | "every" => Combine::BoolAnd,
            "bool_or" => Combine::BoolOr,
            "avg" => {
                let end = self.src.call_end(call.name.span).ok_or_else(|| fault(&text))?;
                let arguments = self.src.text(Span { start: call.name.span.end, end }).to_string();
                Combine::Avg { sum: self.hide(format!("sum{arguments}")), count: self.hide(format!("count{arguments}")) }
            }
            _ => return Err(fault(&text)),
        })
    }

    fn aggregate_order(&mut self, aggregation: &mut Aggregation) -> Result<(), Fault> {
        for (item, span) in self.query.order.iter().zip(&self.clauses.order) {
            let (at, expr) = match self.visible(&item.expr, *span)? {
                Some(i) => {
                    let expr = match self.select.items.get(i) {
                        Some(Item::Expr { expr, .. }) => expr,
                        _ => return Err(order_fault(self.src.text(*span))),
                    };
                    (ColumnAt::Visible(i), expr)
                }
                None => {
                    let at = match self.group_position(*span, aggregation) {
                        Some(at) => at,
                        None => {
                            let combine = self.combine(&item.expr, *span)?;
                            let at = ColumnAt::Hidden(self.hide(self.src.text(*span).to_string()));
                            if !aggregation.columns.iter().any(|(a, _)| *a == at) {
                                aggregation.columns.push((at, combine));
                            }
                            at
                        }
                    };
                    (at, &item.expr)
                }
            };
            let bytes_order = self.ordered_by_bytes(expr, *span)?;
            self.out.merge.order.push(SortKey {
                at,
                descending: item.descending,
                nulls_first: item.nulls_first,
                bytes_order,
                what: self.src.text(*span).into(),
            });
        }
        Ok(())
    }

    fn group_position(&self, span: Span, aggregation: &Aggregation) -> Option<ColumnAt> {
        let wanted = self.src.even(span);
        let i = self.clauses.group.iter().position(|g| self.src.even(*g) == wanted)?;
        Some(aggregation.group[i].at)
    }
}

//! Aggregates over groups that span nodes: each node's partial ones, combined.

use crate::model::{Code, Fault};

use super::super::analyze::{has_aggregate, holds_key, is_aggregate_call};
use super::super::query::{Distinct, Expr, Item, Span};
use super::super::scope::Column;
use super::super::types::{Aggregation, ColumnAt, Combine, GroupKey, SortKey};
use super::super::value::is_constant;
use super::{Merging, group_fault, order_fault, ordinal, position_of};

impl Merging<'_> {
    pub(super) fn aggregate(&mut self) -> Result<(), Fault> {
        self.out.push_limit = false;
        self.out
            .pinned
            .extend(self.clauses.items.iter().chain(&self.clauses.group).copied());
        if self.select.having.is_some() {
            return Err(Fault::new(
                Code::HAVING_ACROSS_SHARDS,
                "HAVING over groups that span shards isn't supported",
            )
            .hint("Group by the sharding key too, or filter the groups in the application."));
        }
        if self.select.odd_group {
            return Err(group_fault("GROUPING SETS, ROLLUP or CUBE"));
        }
        if !matches!(self.select.distinct, Distinct::No) {
            return Err(group_fault("DISTINCT together with aggregates"));
        }
        let mut aggregation = Aggregation {
            group: Vec::new(),
            columns: Vec::new(),
        };
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
            aggregation.group.push(GroupKey {
                at,
                bytes_equal,
                what: self.src.text(*span).into(),
            });
            keys.push(at);
        }
        for (i, (item, span)) in self.select.items.iter().zip(&self.clauses.items).enumerate() {
            if keys.contains(&ColumnAt::Visible(i)) {
                continue;
            }
            let Item::Expr { expr, .. } = item else {
                return Err(group_fault("*"));
            };
            let combine = self.combine(expr, *span)?;
            aggregation.columns.push((ColumnAt::Visible(i), combine));
        }
        self.aggregate_order(&mut aggregation)?;
        self.out.merge.aggregate = Some(aggregation);
        Ok(())
    }

    /// The output column that a GROUP BY expression is: PostgreSQL prefers an input column of the
    /// name to an output column.
    pub(super) fn group_item(&self, expr: &Expr, span: Span) -> Result<Option<usize>, Fault> {
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

    pub(super) fn combine(&mut self, expr: &Expr, span: Span) -> Result<Combine, Fault> {
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
        let Expr::Call(call) = expr else {
            return Err(fault(&text));
        };
        if !is_aggregate_call(call, self.view)
            || call.odd
            || call.over.is_some()
            || call.args.iter().any(|a| has_aggregate(a, self.view))
        {
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
                let arguments = self
                    .src
                    .text(Span {
                        start: call.name.span.end,
                        end,
                    })
                    .to_string();
                Combine::Avg {
                    sum: self.hide(format!("sum{arguments}")),
                    count: self.hide(format!("count{arguments}")),
                }
            }
            _ => return Err(fault(&text)),
        })
    }

    pub(super) fn aggregate_order(&mut self, aggregation: &mut Aggregation) -> Result<(), Fault> {
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
                    let at = match self.group_position(&item.expr, *span, aggregation) {
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

    /// By the same words, or by another name of the same column (`kind`, `o.kind`).
    pub(super) fn group_position(
        &self,
        expr: &Expr,
        span: Span,
        aggregation: &Aggregation,
    ) -> Option<ColumnAt> {
        let wanted = self.src.even(span);
        let column = self.column(expr);
        let mut keys = self.clauses.group.iter().zip(&self.select.group);
        let i = keys.position(|(at, key)| {
            self.src.even(*at) == wanted || column.is_some() && self.column(key) == column
        })?;
        aggregation.group.get(i).map(|key| key.at)
    }
}

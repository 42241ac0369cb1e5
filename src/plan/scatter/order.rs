//! ORDER BY → the columns that the merge sorts by: selected ones, or hidden ones appended for it.

use crate::model::Fault;
use crate::model::catalog::Collation;

use super::super::lex::Token;
use super::super::query::{Distinct, Expr, Item, Name, Span};
use super::super::types::{ColumnAt, SortKey};
use super::{Merging, order_fault, ordinal, position_of};

impl Merging<'_> {
    /// Is text of this expression ordered by its bytes? An error where the catalog says that it isn't.
    pub(super) fn ordered_by_bytes(&self, expr: &Expr, span: Span) -> Result<bool, Fault> {
        let text = self.src.even(span);
        if text.ends_with("collate \"C\"") || text.ends_with("collate \"POSIX\"") {
            return Ok(true);
        }
        match self
            .column(expr)
            .and_then(|c| self.analysis.facts.column_info(&c).map(|i| i.collation))
        {
            Some(Collation::Bytes) => Ok(true),
            Some(Collation::Deterministic | Collation::Nondeterministic) => {
                Err(order_fault(self.src.text(span)))
            }
            Some(Collation::None) | None => Ok(false),
        }
    }

    pub(super) fn order(&mut self) -> Result<(), Fault> {
        let distinct = !matches!(self.select.distinct, Distinct::No);
        for (item, span) in self.query.order.iter().zip(&self.clauses.order) {
            let (at, expr, text_span) = match self.visible(&item.expr, *span)? {
                Some(i) => {
                    let (expr, span) = match self.select.items.get(i) {
                        Some(Item::Expr { expr, .. }) if !self.has_wildcard_before(i) => {
                            (Some(expr), self.bare_item(i))
                        }
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

    pub(super) fn has_wildcard_before(&self, i: usize) -> bool {
        self.select
            .items
            .iter()
            .take(i + 1)
            .any(|i| matches!(i, Item::Wildcard | Item::QualifiedWildcard(_)))
    }

    /// The output column that an ORDER BY expression means, as PostgreSQL looks it up: a number, an
    /// output name, an equal expression.
    pub(super) fn visible(&self, expr: &Expr, span: Span) -> Result<Option<usize>, Fault> {
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
    pub(super) fn no_name_behind_wildcard(&self, name: &str) -> Result<(), Fault> {
        let items = &self.select.items;
        let wild = |i: &Item| matches!(i, Item::Wildcard | Item::QualifiedWildcard(_));
        if !items.iter().any(wild) {
            return Ok(());
        }
        let named = |i: &Item| matches!(i, Item::Expr { name: label, .. } if label.as_deref().is_none_or(|l| l == name));
        if self.analysis.top.entities.len() > 1 || items.iter().any(named) {
            return Err(
                order_fault(name).hint("Qualify the column by its table, or list the columns instead of *.")
            );
        }
        Ok(())
    }

    pub(super) fn same_item(&self, span: Span) -> Option<usize> {
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
    pub(super) fn bare_item(&self, i: usize) -> Span {
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
            Some(last) => Span {
                start: span.start,
                end: tokens[last].end,
            },
            None => span,
        }
    }
}

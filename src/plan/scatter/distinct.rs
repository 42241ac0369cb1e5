//! DISTINCT over several nodes.

use crate::model::Fault;
use crate::model::catalog::Collation;

use super::super::analyze::holds_key;
use super::super::query::{Distinct, Expr, Item, Name, Span};
use super::super::scope::{Column, Home};
use super::super::types::{Aggregation, ColumnAt, GroupKey};
use super::{Merging, group_fault, position_of};

impl Merging<'_> {
    /// DISTINCT is each node's own if the key is selected; else rows are compared here.
    pub(super) fn distinct(&mut self, refs: &[usize]) -> Result<(), Fault> {
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
            let Item::Expr { expr, .. } = item else {
                return Err(group_fault("DISTINCT *"));
            };
            let bytes_equal = self.equal_by_bytes(expr, self.bare_item(i));
            group.push(GroupKey {
                at: ColumnAt::Visible(i),
                bytes_equal,
                what: self.src.text(*span).into(),
            });
        }
        self.out.merge.aggregate = Some(Aggregation {
            group,
            columns: Vec::new(),
        });
        Ok(())
    }

    /// DISTINCT ON looks names up as ORDER BY does: output columns first.
    pub(super) fn output_or_input(&self, expr: &Expr) -> Result<Option<Column>, Fault> {
        if let Expr::Column(Name { parts, .. }) = expr
            && let [name] = parts.as_slice()
        {
            if let Some(i) = position_of(self.select, name)? {
                let Item::Expr { expr, .. } = &self.select.items[i] else {
                    return Ok(None);
                };
                return Ok(self.column(expr));
            }
            self.no_name_behind_wildcard(name)?;
        }
        Ok(self.column(expr))
    }

    /// Does a `*` give every key column of a sharded table that stands in FROM itself?
    pub(super) fn wildcard_holds_key(&self, refs: &[usize]) -> bool {
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
    pub(super) fn equal_by_bytes(&self, expr: &Expr, span: Span) -> bool {
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
                        .and_then(|c| {
                            self.analysis
                                .facts
                                .column_info(&c)
                                .map(|i| i.collation != Collation::Nondeterministic)
                        })
                        .unwrap_or(false);
                }
            },
            &mut |_| {},
        );
        exact
    }
}

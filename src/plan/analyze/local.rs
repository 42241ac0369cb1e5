//! What can be computed on each node alone: groups, DISTINCT and windows that keep to a sharding key. The safe
//! direction is to say no.

use crate::model::{Code, Fault};

use super::super::functions;
use super::super::query::{Call, Distinct, Expr, Item, OrderItem, Select};
use super::super::scope::{Column, Facts, Home, Scope};
use super::super::types::SessionView;
use super::{Walk, subquery, window};

impl<'a> Walk<'a> {
    /// An aggregate in a subquery whose arguments are all columns of an outer query is an aggregate of
    /// that outer query (SQL:1999, 6.16): then the outer query isn't what it looks like.
    pub(super) fn check_outer_aggregates(&mut self, s: &'a Select, scope: &Scope, scopes: &[Scope]) {
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
                Fault::new(
                    Code::AGGREGATE_ACROSS_SHARDS,
                    "an aggregate in a subquery may be one of the outer query",
                )
                .hint("Qualify its columns by the subquery's own tables."),
            );
        }
    }

    /// A subquery in FROM is computed per node: its groups, distinct rows and windows must not
    /// reach over shards.
    pub(super) fn check_local(
        &mut self,
        s: &'a Select,
        refs: &[usize],
        group: &[Column],
        aggregated: bool,
        scopes: &[Scope],
    ) {
        if s.odd_group || aggregated && !self.holds_key(group, refs) {
            self.obstacle(subquery(
                "aggregation in a subquery that doesn't group by the sharding key",
            ));
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
                self.obstacle(subquery(
                    "DISTINCT in a subquery that doesn't select the sharding key",
                ));
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
    pub(super) fn windows_are_local(&self, expr: &'a Expr, refs: &[usize], scopes: &[Scope]) -> bool {
        windows_are_local(&self.out.facts, expr, refs, scopes)
    }

    pub(super) fn holds_key(&self, columns: &[Column], refs: &[usize]) -> bool {
        holds_key(&self.out.facts, columns, refs)
    }
}

pub fn has_window(e: &Expr) -> bool {
    let mut found = false;
    e.walk(
        &mut |e| found |= matches!(e, Expr::Call(c) if c.over.is_some()),
        &mut |_| {},
    );
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
        let Home::Sharded(sharding) = &table.home else {
            return false;
        };
        !facts.is_nullable(table.entity)
            && sharding.key.iter().all(|k| {
                let key = Column {
                    entity: table.entity,
                    name: k.column.clone(),
                };
                columns
                    .iter()
                    .any(|c| *c == key || (facts.reaches(c, &key) && facts.reaches(&key, c)))
            })
    })
}

pub fn is_aggregate_call(call: &Call, view: &SessionView) -> bool {
    call.over.is_none() && (functions::is_aggregate(call.name.last(), &view.database.catalog) || call.star)
}

pub fn has_aggregate(e: &Expr, view: &SessionView) -> bool {
    let mut found = false;
    e.walk(
        &mut |e| found |= matches!(e, Expr::Call(c) if is_aggregate_call(c, view)),
        &mut |_| {},
    );
    found
}

pub fn is_aggregated(s: &Select, order: &[OrderItem], view: &SessionView) -> bool {
    !s.group.is_empty()
        || s.odd_group
        || s.having.is_some()
        || order.iter().any(|o| has_aggregate(&o.expr, view))
        || s.items
            .iter()
            .any(|i| matches!(i, Item::Expr { expr, .. } if has_aggregate(expr, view)))
}

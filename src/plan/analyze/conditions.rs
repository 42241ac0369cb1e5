//! Conditions → facts and edges, and what else expressions hold: calls, subqueries, system columns.
//! Only conjuncts become facts; a missing fact only widens the route.

use super::super::fixed;
use super::super::query::{Call, Compare, Expr, Name};
use super::super::scope::{Column, Cond, Scope};
use super::super::value::is_constant;
use super::{CallSite, Valid, Walk};

impl<'a> Walk<'a> {
    /// A condition that rows must satisfy: its conjuncts become facts, valid for some entities.
    pub(super) fn condition(&mut self, expr: &'a Expr, scopes: &[Scope], valid: &Valid) {
        for conjunct in expr.conjuncts() {
            if let Expr::InQuery {
                query,
                negated: false,
                ..
            } = conjunct
            {
                self.conjunct_in.push(std::ptr::from_ref(query.as_ref()));
            }
            self.fact(conjunct, scopes, valid);
        }
        self.expr(expr, scopes);
    }

    pub(super) fn valid_column(&self, expr: &Expr, scopes: &[Scope], valid: &Valid) -> Option<Column> {
        self.column_of(expr, scopes).filter(|c| valid.contains(&c.entity))
    }

    pub(super) fn fact(&mut self, e: &'a Expr, scopes: &[Scope], valid: &Valid) {
        match e {
            Expr::Compare {
                op: Compare::Eq,
                left,
                right,
            } => {
                if let (Expr::Row(a), Expr::Row(b)) = (left.as_ref(), right.as_ref()) {
                    if a.len() == b.len() {
                        a.iter()
                            .zip(b)
                            .for_each(|(a, b)| self.equality(a, b, scopes, valid));
                    }
                } else {
                    self.equality(left, right, scopes, valid);
                }
            }
            Expr::Compare { op, left, right } if *op != Compare::Ne => {
                if let Some(c) = self
                    .valid_column(left, scopes, valid)
                    .filter(|_| is_constant(right))
                {
                    self.out.facts.add_cond(
                        c,
                        Cond::Bound {
                            op: *op,
                            value: (**right).clone(),
                        },
                    );
                } else if let Some(c) = self
                    .valid_column(right, scopes, valid)
                    .filter(|_| is_constant(left))
                {
                    self.out.facts.add_cond(
                        c,
                        Cond::Bound {
                            op: op.mirrored(),
                            value: (**left).clone(),
                        },
                    );
                }
            }
            Expr::Between {
                expr,
                low,
                high,
                negated: false,
            } if is_constant(low) && is_constant(high) => {
                if let Some(c) = self.valid_column(expr, scopes, valid) {
                    self.out.facts.add_cond(
                        c.clone(),
                        Cond::Bound {
                            op: Compare::Ge,
                            value: (**low).clone(),
                        },
                    );
                    self.out.facts.add_cond(
                        c,
                        Cond::Bound {
                            op: Compare::Le,
                            value: (**high).clone(),
                        },
                    );
                }
            }
            Expr::In { .. } | Expr::Or(_) => {
                if let Some((c, list)) = self.one_of(e, scopes).filter(|(c, _)| valid.contains(&c.entity)) {
                    self.out.facts.add_cond(c, Cond::OneOf(list));
                }
            }
            Expr::Any {
                op: Compare::Eq,
                expr,
                array,
            } => {
                if let Some(c) = self
                    .valid_column(expr, scopes, valid)
                    .filter(|_| is_constant(array))
                {
                    self.out.facts.add_cond(c, Cond::AnyOf((**array).clone()));
                }
            }
            _ => {}
        }
    }

    pub(super) fn equality(&mut self, a: &Expr, b: &Expr, scopes: &[Scope], valid: &Valid) {
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
    pub(super) fn one_of(&self, e: &Expr, scopes: &[Scope]) -> Option<(Column, Vec<Expr>)> {
        match e {
            Expr::Compare {
                op: Compare::Eq,
                left,
                right,
            } => {
                if is_constant(right) {
                    Some((self.column_of(left, scopes)?, vec![(**right).clone()]))
                } else if is_constant(left) {
                    Some((self.column_of(right, scopes)?, vec![(**left).clone()]))
                } else {
                    None
                }
            }
            Expr::In {
                expr,
                list,
                negated: false,
            } if list.iter().all(is_constant) => Some((self.column_of(expr, scopes)?, list.clone())),
            Expr::Or(terms) => {
                let branches: Vec<Vec<(Column, Vec<Expr>)>> = terms
                    .iter()
                    .map(|t| {
                        t.conjuncts()
                            .into_iter()
                            .filter_map(|c| self.one_of(c, scopes))
                            .collect()
                    })
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
    pub(super) fn expr(&mut self, e: &'a Expr, scopes: &[Scope]) {
        let mut queries = Vec::new();
        let mut calls: Vec<&'a Call> = Vec::new();
        let mut casts: Vec<Box<str>> = Vec::new();
        let (mut system, mut qualified) = (false, false);
        let mut in_queries = Vec::new();
        // CURRENT_ROLE is read as a column; whether it is quoted is for `fixed` to see.
        let mut words: Vec<&'a Name> = Vec::new();
        e.walk(
            &mut |e| match e {
                Expr::Call(c) => calls.push(c),
                Expr::Column(n) if n.parts.len() == 1 && fixed::named(n.last()) => words.push(n),
                Expr::Cast { ty, .. } => casts.push(ty.clone()),
                Expr::Column(n) => {
                    system |= is_system_column(n.last());
                    qualified |= n.parts.len() > 2;
                }
                Expr::InQuery { expr, query, .. } => {
                    in_queries.push((expr.as_ref(), std::ptr::from_ref(query.as_ref())))
                }
                _ => {}
            },
            &mut |q| queries.push(q),
        );
        self.out.system_column |= system;
        self.out.qualified_columns |= qualified;
        self.out.may_differ |= calls.iter().any(|c| c.over.is_some());
        self.out.casts.extend(casts);
        for c in calls {
            let of_column = match c.args.as_slice() {
                [arg] => self
                    .column_of(arg, scopes)
                    .and_then(|c| Some(self.out.facts.column_info(&c)?.type_name.clone())),
                _ => None,
            };
            self.out.calls.push(CallSite {
                name: c.name.clone(),
                as_relation: std::mem::take(&mut self.as_relation),
                of_column,
                names_output: self.in_item,
            });
        }
        for name in words {
            self.out.calls.push(CallSite {
                name: name.clone(),
                as_relation: false,
                of_column: None,
                names_output: self.in_item,
            });
        }
        for q in queries {
            self.in_expression += 1;
            let output = self.query(q, scopes, false);
            self.in_expression -= 1;
            // `o.k IN (SELECT i.k …)` as a conjunct: of the inner rows only those with the outer key matter.
            // (Elsewhere a NULL among the others would tell false from unknown.)
            let conjunct = self.conjunct_in.contains(&std::ptr::from_ref(q));
            let outer = in_queries
                .iter()
                .find(|(_, p)| std::ptr::eq(*p, q))
                .and_then(|(e, _)| self.column_of(e, scopes));
            if let (true, Some(outer), Some(columns)) = (conjunct, outer, &output.columns)
                && let [(_, Some(inner))] = columns.as_slice()
                && output.transparent.contains(inner)
            {
                self.out.facts.add_edge(&outer, inner);
            }
        }
    }
}

fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}

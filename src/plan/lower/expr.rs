//! Expressions: the forms that routing reads, everything else as `Opaque` with its children.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr as Tree, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, Query as QueryTree, UnaryOperator, Value,
    ValueWithSpan, Visit, Visitor, WindowType,
};

use super::{Lower, Unreadable};
use crate::plan::query::{Call, Compare, Expr, Name, Span, Window};

type Result<T> = std::result::Result<T, Unreadable>;

/// Identifiers as the server folds them.
pub(super) fn fold(ident: &Ident) -> Box<str> {
    if ident.quote_style.is_some() {
        ident.value.as_str().into()
    } else {
        ident.value.to_ascii_lowercase().into()
    }
}

pub(super) fn folded_parts(name: &ObjectName) -> Option<Vec<Box<str>>> {
    name.0
        .iter()
        .map(|p| match p {
            ObjectNamePart::Identifier(i) => Some(fold(i)),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}

impl Lower<'_> {
    pub(super) fn idents(&self, idents: &[Ident]) -> Name {
        let span = match (idents.first(), idents.last()) {
            (Some(a), Some(b)) => Span {
                start: self.offset(a.span.start),
                end: self.offset(b.span.end),
            },
            _ => Span::default(),
        };
        Name {
            parts: idents.iter().map(fold).collect(),
            span,
        }
    }

    pub(super) fn name(&self, name: &ObjectName) -> Result<Name> {
        let idents: Option<Vec<Ident>> = name
            .0
            .iter()
            .map(|p| match p {
                ObjectNamePart::Identifier(i) => Some(i.clone()),
                ObjectNamePart::Function(_) => None,
            })
            .collect();
        Ok(self.idents(&idents.ok_or_else(|| Unreadable("a name made by a function".into()))?))
    }

    pub(super) fn exprs(&self, list: &[Tree]) -> Result<Vec<Expr>> {
        list.iter().map(|e| self.expr(e)).collect()
    }

    fn boxed(&self, tree: &Tree) -> Result<Box<Expr>> {
        Ok(Box::new(self.expr(tree)?))
    }

    pub(super) fn expr(&self, tree: &Tree) -> Result<Expr> {
        Ok(match tree {
            Tree::Identifier(i) => Expr::Column(self.idents(std::slice::from_ref(i))),
            Tree::CompoundIdentifier(list) => Expr::Column(self.idents(list)),
            Tree::Nested(inner) => self.expr(inner)?,
            Tree::Value(v) => self.value(v)?,
            Tree::TypedString(t) => {
                let value = self.value(&t.value)?;
                Expr::Cast {
                    expr: Box::new(value),
                    ty: t.data_type.to_string().to_ascii_lowercase().into(),
                }
            }
            Tree::Cast {
                expr,
                data_type,
                format: None,
                ..
            } => Expr::Cast {
                expr: self.boxed(expr)?,
                ty: data_type.to_string().to_ascii_lowercase().into(),
            },
            Tree::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Expr::Not(self.boxed(expr)?),
            Tree::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => Expr::Negate(self.boxed(expr)?),
            Tree::BinaryOp { left, op, right } => self.binary(left, op, right)?,
            Tree::Between {
                expr,
                negated,
                low,
                high,
            } => Expr::Between {
                expr: self.boxed(expr)?,
                low: self.boxed(low)?,
                high: self.boxed(high)?,
                negated: *negated,
            },
            Tree::InList { expr, list, negated } => {
                let mut items = self.exprs(list)?;
                // One slot holds the whole list.
                items.dedup_by(|a, b| matches!((a, b), (Expr::Slot(x), Expr::Slot(y)) if x == y));
                Expr::In {
                    expr: self.boxed(expr)?,
                    list: items,
                    negated: *negated,
                }
            }
            Tree::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => match (compare(compare_op), right.as_ref()) {
                (_, Tree::Subquery(_)) | (None, _) => self.opaque(tree)?,
                (Some(op), _) => Expr::Any {
                    op,
                    expr: self.boxed(left)?,
                    array: self.boxed(right)?,
                },
            },
            Tree::InSubquery {
                expr,
                subquery,
                negated,
            } => Expr::InQuery {
                expr: self.boxed(expr)?,
                query: Box::new(self.query(subquery)?),
                negated: *negated,
            },
            Tree::Exists { subquery, negated } => {
                let exists = Expr::Exists(Box::new(self.query(subquery)?));
                if *negated {
                    Expr::Not(Box::new(exists))
                } else {
                    exists
                }
            }
            Tree::Subquery(q) => Expr::Scalar(Box::new(self.query(q)?)),
            Tree::Tuple(list) => Expr::Row(self.exprs(list)?),
            Tree::Function(f) => self.call(f)?,
            // As `opaque` would find it, which looks through everything below.
            Tree::IsNull(e)
            | Tree::IsNotNull(e)
            | Tree::IsTrue(e)
            | Tree::IsNotTrue(e)
            | Tree::IsFalse(e)
            | Tree::IsNotFalse(e)
            | Tree::IsUnknown(e)
            | Tree::IsNotUnknown(e)
            | Tree::UnaryOp { expr: e, .. }
            | Tree::Collate { expr: e, .. } => Expr::Opaque(vec![self.expr(e)?]),
            Tree::AtTimeZone {
                timestamp: a,
                time_zone: b,
            }
            | Tree::Like {
                expr: a, pattern: b, ..
            }
            | Tree::ILike {
                expr: a, pattern: b, ..
            } => Expr::Opaque(vec![self.expr(a)?, self.expr(b)?]),
            _ => self.opaque(tree)?,
        })
    }

    fn binary(&self, left: &Tree, op: &BinaryOperator, right: &Tree) -> Result<Expr> {
        match op {
            BinaryOperator::And | BinaryOperator::Or => {
                // Left-deep chains are walked, not recursed into: an ORM's OR of 1000 terms is one level here.
                let mut terms = vec![right];
                let mut rest = left;
                while let Tree::BinaryOp {
                    left,
                    op: inner,
                    right,
                } = rest
                {
                    if inner != op {
                        break;
                    }
                    terms.push(right);
                    rest = left;
                }
                terms.push(rest);
                let list = terms
                    .into_iter()
                    .rev()
                    .map(|t| self.expr(t))
                    .collect::<Result<Vec<_>>>()?;
                Ok(if *op == BinaryOperator::And {
                    Expr::And(list)
                } else {
                    Expr::Or(list)
                })
            }
            _ => match compare(op) {
                Some(op) => Ok(Expr::Compare {
                    op,
                    left: self.boxed(left)?,
                    right: self.boxed(right)?,
                }),
                // A chain is one level here too.
                None => {
                    let mut terms = vec![right];
                    let mut rest = left;
                    while let Tree::BinaryOp { left, op, right } = rest {
                        if compare(op).is_some() || matches!(op, BinaryOperator::And | BinaryOperator::Or) {
                            break;
                        }
                        terms.push(right);
                        rest = left;
                    }
                    terms.push(rest);
                    let list = terms.into_iter().rev().map(|t| self.expr(t));
                    Ok(Expr::Opaque(list.collect::<Result<_>>()?))
                }
            },
        }
    }

    fn value(&self, v: &ValueWithSpan) -> Result<Expr> {
        Ok(match &v.value {
            Value::Null => Expr::Null,
            Value::Boolean(b) => Expr::Bool(*b),
            Value::Placeholder(p) => match p.strip_prefix('$').and_then(|n| n.parse().ok()) {
                Some(n) if n > 0 => Expr::Param(n),
                _ => return Err(Unreadable(format!("placeholder {p}"))),
            },
            _ => match self.shape.slot_at(self.offset(v.span.start)) {
                Some(slot) => Expr::Slot(slot),
                None => Expr::Opaque(Vec::new()),
            },
        })
    }

    fn call(&self, f: &Function) -> Result<Expr> {
        let mut call = Call {
            name: self.name(&f.name)?,
            args: Vec::new(),
            star: false,
            distinct: false,
            odd: !f.within_group.is_empty()
                || f.null_treatment.is_some()
                || !matches!(f.parameters, FunctionArguments::None),
            filter: f.filter.as_ref().map(|e| self.expr(e)).transpose()?,
            over: None,
        };
        for order in &f.within_group {
            call.args.push(self.expr(&order.expr)?);
        }
        match &f.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(q) => call.args.push(Expr::Scalar(Box::new(self.query(q)?))),
            FunctionArguments::List(list) => {
                call.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                call.odd |= !list.clauses.is_empty();
                for clause in &list.clauses {
                    if let sqlparser::ast::FunctionArgumentClause::OrderBy(items) = clause {
                        for item in items {
                            call.args.push(self.expr(&item.expr)?);
                        }
                    }
                }
                for arg in &list.args {
                    let value = match arg {
                        FunctionArg::Unnamed(value) => value,
                        FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } => {
                            call.odd = true;
                            arg
                        }
                    };
                    match value {
                        FunctionArgExpr::Expr(e) => call.args.push(self.expr(e)?),
                        FunctionArgExpr::Wildcard => call.star = true,
                        _ => call.odd = true,
                    }
                }
            }
        }
        call.over = match &f.over {
            None => None,
            Some(WindowType::NamedWindow(_)) => Some(Window {
                named: true,
                partition: Vec::new(),
                order: Vec::new(),
            }),
            Some(WindowType::WindowSpec(spec)) => Some(Window {
                named: spec.window_name.is_some(),
                partition: self.exprs(&spec.partition_by)?,
                order: spec
                    .order_by
                    .iter()
                    .map(|o| self.expr(&o.expr))
                    .collect::<Result<_>>()?,
            }),
        };
        Ok(Expr::Call(Box::new(call)))
    }

    /// Everything else: the expressions and queries directly below it.
    pub(super) fn opaque(&self, tree: &Tree) -> Result<Expr> {
        let mut children = Children {
            lower: self,
            depth: 0,
            queries: 0,
            out: Vec::new(),
            error: None,
        };
        let _ = tree.visit(&mut children);
        match children.error {
            Some(e) => Err(e),
            None => Ok(Expr::Opaque(children.out)),
        }
    }
}

/// Collects what stands one level below the visited expression.
struct Children<'a, 'b> {
    lower: &'a Lower<'b>,
    /// Expressions entered; 1 is the visited one itself.
    depth: usize,
    queries: usize,
    out: Vec<Expr>,
    error: Option<Unreadable>,
}

impl Children<'_, '_> {
    fn keep(&mut self, result: Result<Expr>) {
        match result {
            Ok(e) => self.out.push(e),
            Err(e) => self.error = Some(e),
        }
    }
}

impl Visitor for Children<'_, '_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Tree) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth == 2 && self.queries == 0 {
            let lowered = self.lower.expr(expr);
            self.keep(lowered);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Tree) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &QueryTree) -> ControlFlow<()> {
        self.queries += 1;
        if self.depth == 1 && self.queries == 1 {
            let lowered = self.lower.query(query).map(|q| Expr::Scalar(Box::new(q)));
            self.keep(lowered);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &QueryTree) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }
}

fn compare(op: &BinaryOperator) -> Option<Compare> {
    Some(match op {
        BinaryOperator::Eq => Compare::Eq,
        BinaryOperator::NotEq => Compare::Ne,
        BinaryOperator::Lt => Compare::Lt,
        BinaryOperator::LtEq => Compare::Le,
        BinaryOperator::Gt => Compare::Gt,
        BinaryOperator::GtEq => Compare::Ge,
        _ => return None,
    })
}

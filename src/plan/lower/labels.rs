//! The name that the server gives a select item without an alias (`FigureColname` in PostgreSQL's
//! `parse_target.c`). ORDER BY and outer queries find columns by it, so a guess would be a wrong column: what
//! isn't certain has no label.

use sqlparser::ast::{DataType, Expr as Tree, SelectItem, SetExpr};

use super::expr::{fold, folded_parts};

/// None: not known for sure.
pub(super) fn label(tree: &Tree) -> Option<Box<str>> {
    figure(tree).map(|(name, _)| name)
}

/// The name and whether it is the expression's own (a type's name gives way to that of an outer cast).
fn figure(tree: &Tree) -> Option<(Box<str>, bool)> {
    let unnamed = || Some(("?column?".into(), false));
    match tree {
        Tree::Identifier(i) => Some((fold(i), true)),
        Tree::CompoundIdentifier(list) => Some((list.last().map(fold)?, true)),
        Tree::Nested(inner) => figure(inner),
        Tree::Function(f) => Some((folded_parts(&f.name)?.last().cloned()?, true)),
        Tree::Cast {
            expr,
            data_type,
            format: None,
            ..
        } => match figure(expr)? {
            (name, true) => Some((name, true)),
            (_, false) => Some((type_name(data_type)?.into(), false)),
        },
        Tree::TypedString(t) => Some((type_name(&t.data_type)?.into(), false)),
        Tree::Exists { negated: false, .. } => Some(("exists".into(), true)),
        Tree::Extract { .. } => Some(("extract".into(), true)),
        Tree::Value(v) => match v.value {
            // A cast of a string before PostgreSQL 15.
            sqlparser::ast::Value::Boolean(_) => None,
            _ => unnamed(),
        },
        Tree::BinaryOp { .. }
        | Tree::UnaryOp { .. }
        | Tree::IsNull(_)
        | Tree::IsNotNull(_)
        | Tree::Between { .. }
        | Tree::InList { .. }
        | Tree::InSubquery { .. }
        | Tree::Exists { .. }
        | Tree::Like { .. } => unnamed(),
        Tree::Subquery(q) => match q.body.as_ref() {
            SetExpr::Select(s) => match s.projection.first()? {
                SelectItem::UnnamedExpr(e) => Some((label(e)?, true)),
                SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), true)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The names of the few types that are certain; a cast of a constant is named by its type.
fn type_name(ty: &DataType) -> Option<&'static str> {
    Some(match ty {
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4",
        DataType::BigInt(_) | DataType::Int8(_) => "int8",
        DataType::SmallInt(_) | DataType::Int2(_) => "int2",
        DataType::Text => "text",
        DataType::Varchar(_) => "varchar",
        DataType::Date => "date",
        DataType::Uuid => "uuid",
        DataType::Numeric(_) => "numeric",
        _ => return None,
    })
}

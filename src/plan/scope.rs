//! Names in their scopes, and what the conditions say about columns.
//!
//! Every relation a statement reads becomes an *entity*: a table or a subquery in FROM. Conditions
//! become *facts*:
//!
//! - a constant condition on a column of entity e: "rows of e that don't satisfy it can be left
//!   out without changing the result";
//! - an *edge* from column x to column y: "rows of y's entity whose y equals no needed x can be
//!   left out".
//!
//! An edge has a direction because joins do: `a LEFT JOIN b ON a.k = b.k` says which b are needed
//! for an a, but leaves out no a. Example: with `WHERE a.k = 5`, following the edge a.k → b.k gives
//! b.k = 5 too. The safe direction is always a missing fact: it only widens the route.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::catalog::{ColumnInfo, TableInfo};
use crate::model::{NodeId, TableName};
use crate::topology::{Sharding, Table as RuleTable};

use super::query::{Compare, Expr, Name, Span};

pub type EntityId = usize;

/// Where a table's rows are.
#[derive(Clone, Debug)]
pub enum Home {
    Node(NodeId),
    /// Complete on each of these.
    Everywhere(Vec<NodeId>),
    Sharded(Arc<Sharding>),
    /// System catalogs: on every server, each with its own content.
    System,
}

/// A table reference, in the order in which they were met.
#[derive(Clone, Debug)]
pub struct TableRef {
    pub entity: EntityId,
    pub name: TableName,
    pub home: Home,
    pub rule: Option<Arc<RuleTable>>,
    pub info: Option<Arc<TableInfo>>,
    /// Of the name in the original text.
    pub span: Span,
    pub has_alias: bool,
    /// Within a subquery of an expression, not in FROM.
    pub in_expression: bool,
}

/// A column of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    pub entity: EntityId,
    pub name: Box<str>,
}

/// A constant condition on a column. The expressions are literals, parameters, casts of them.
#[derive(Clone, Debug)]
pub enum Cond {
    OneOf(Vec<Expr>),
    /// `= ANY (constant array)`.
    AnyOf(Expr),
    Bound {
        op: Compare,
        value: Expr,
    },
}

/// What the columns of an entity are.
#[derive(Clone, Debug)]
pub enum Shape {
    Table {
        info: Option<Arc<TableInfo>>,
        keys: Vec<Box<str>>,
    },
    /// Output columns of a subquery: name → the inner column it passes on unchanged.
    Derived {
        columns: Option<Vec<(Box<str>, Option<Column>)>>,
    },
    /// Columns nobody knows.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Entity {
    /// What qualifies its columns.
    pub label: Option<Box<str>>,
    pub shape: Shape,
}

/// Everything known of a statement's relations.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub entities: Vec<Entity>,
    pub refs: Vec<TableRef>,
    pub conds: HashMap<Column, Vec<Cond>>,
    /// from → to.
    pub edges: HashMap<Column, Vec<Column>>,
    /// Entities that an outer join may fill with NULLs: their columns, even key columns, hold NULL in
    /// rows of any node.
    pub nullable: Vec<std::ops::Range<EntityId>>,
}

/// Does an entity have a column?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Yes,
    No,
    Perhaps,
}

/// One level of name resolution.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub entities: Vec<EntityId>,
    /// Columns merged by USING: name → the column that gives the value.
    pub merged: HashMap<Box<str>, Option<Column>>,
}

impl Facts {
    pub fn add_entity(&mut self, label: Option<Box<str>>, shape: Shape) -> EntityId {
        self.entities.push(Entity { label, shape });
        self.entities.len() - 1
    }

    pub fn is_nullable(&self, entity: EntityId) -> bool {
        self.nullable.iter().any(|r| r.contains(&entity))
    }

    fn has(&self, entity: EntityId, column: &str) -> Has {
        match &self.entities[entity].shape {
            Shape::Table { info: Some(info), .. } => {
                if info.column(column).is_some() {
                    Has::Yes
                } else {
                    Has::No
                }
            }
            Shape::Table { info: None, keys } => {
                if keys.iter().any(|k| &**k == column) {
                    Has::Yes
                } else {
                    Has::Perhaps
                }
            }
            Shape::Derived {
                columns: Some(columns),
            } => {
                if columns.iter().any(|(n, _)| &**n == column) {
                    Has::Yes
                } else {
                    Has::No
                }
            }
            Shape::Derived { columns: None } | Shape::Unknown => Has::Perhaps,
        }
    }

    /// Are the columns of every relation of the scope known?
    pub fn knows_columns(&self, scope: &Scope) -> bool {
        scope.entities.iter().all(|&e| match &self.entities[e].shape {
            Shape::Table { info, .. } => info.is_some(),
            Shape::Derived { columns } => columns.is_some(),
            Shape::Unknown => false,
        })
    }

    /// The column that a name means. None: not known for sure.
    pub fn resolve(&self, name: &Name, scopes: &[Scope]) -> Option<Column> {
        match name.parts.as_slice() {
            [column] => self.resolve_bare(column, scopes),
            [.., qualifier, column] => {
                for scope in scopes.iter().rev() {
                    let hit = scope
                        .entities
                        .iter()
                        .find(|&&e| self.entities[e].label.as_deref() == Some(qualifier));
                    if let Some(&entity) = hit {
                        return (self.has(entity, column) != Has::No).then(|| Column {
                            entity,
                            name: column.clone(),
                        });
                    }
                }
                None
            }
            [] => None,
        }
    }

    fn resolve_bare(&self, column: &str, scopes: &[Scope]) -> Option<Column> {
        for (depth, scope) in scopes.iter().enumerate().rev() {
            if let Some(merged) = scope.merged.get(column) {
                return merged.clone();
            }
            let mut found = None;
            let mut perhaps = false;
            for &entity in &scope.entities {
                match self.has(entity, column) {
                    Has::Yes if found.is_some() => return None,
                    Has::Yes => found = Some(entity),
                    Has::Perhaps => perhaps = true,
                    Has::No => {}
                }
            }
            match (found, perhaps) {
                (Some(entity), false) => {
                    return Some(Column {
                        entity,
                        name: column.into(),
                    });
                }
                // With one relation and no outer scope there is nothing else it could be.
                (_, true) if scope.entities.len() == 1 && (depth == 0 || found.is_some()) => {
                    return Some(Column {
                        entity: scope.entities[0],
                        name: column.into(),
                    });
                }
                (Some(_), true) | (None, true) => return None,
                (None, false) => {}
            }
        }
        None
    }

    /// The catalog's entry for a column of a table.
    pub fn column_info(&self, column: &Column) -> Option<&ColumnInfo> {
        match &self.entities.get(column.entity)?.shape {
            Shape::Table { info, .. } => info.as_ref()?.column(&column.name),
            Shape::Derived { columns } => {
                let (_, inner) = columns.as_ref()?.iter().find(|(n, _)| *n == column.name)?;
                self.column_info(inner.as_ref()?)
            }
            Shape::Unknown => None,
        }
    }

    pub fn add_cond(&mut self, column: Column, cond: Cond) {
        self.conds.entry(column).or_default().push(cond);
    }

    /// Adds an edge if equality of the two columns means equality of values of one type.
    pub fn add_edge(&mut self, from: &Column, to: &Column) {
        if from != to && self.same_type(from, to) {
            self.edges.entry(from.clone()).or_default().push(to.clone());
        }
    }

    fn is_key(&self, column: &Column) -> bool {
        matches!(&self.entities[column.entity].shape, Shape::Table { keys, .. } if keys.contains(&column.name))
    }

    /// A text constant means different values to different types, so facts only travel between
    /// columns of one type. Where no catalog tells, keys of the rules are trusted to match.
    fn same_type(&self, a: &Column, b: &Column) -> bool {
        match (self.column_info(a), self.column_info(b)) {
            (Some(a), Some(b)) => match (a.key_type(), b.key_type()) {
                (Some(x), Some(y)) => x == y || (x.is_integer() && y.is_integer()),
                _ => false,
            },
            (None, None) => {
                let base = |c: &Column| self.base(c).is_some_and(|c| self.is_key(&c));
                base(a) && base(b)
            }
            _ => false,
        }
    }

    /// The table column that an output column of subqueries passes on.
    pub fn base(&self, column: &Column) -> Option<Column> {
        match &self.entities.get(column.entity)?.shape {
            Shape::Table { .. } => Some(column.clone()),
            Shape::Derived { columns } => {
                let (_, inner) = columns.as_ref()?.iter().find(|(n, _)| *n == column.name)?;
                self.base(inner.as_ref()?)
            }
            Shape::Unknown => None,
        }
    }

    /// Every column from which a column can be reached by edges, itself included: a condition on
    /// any of them is one on it.
    pub fn sources_of(&self, column: &Column) -> Vec<Column> {
        let mut found = vec![column.clone()];
        let mut at = 0;
        while at < found.len() {
            let target = found[at].clone();
            for (from, list) in &self.edges {
                if list.contains(&target) && !found.contains(from) {
                    found.push(from.clone());
                }
            }
            at += 1;
        }
        found
    }

    /// Is `to` reachable from `from`?
    pub fn reaches(&self, from: &Column, to: &Column) -> bool {
        self.sources_of(to).contains(from)
    }
}

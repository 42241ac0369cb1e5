//! FROM: tables, subqueries, WITH entries and joins enter the scope as entities.

use crate::model::{Code, Fault};
use crate::topology::Layout;

use super::super::query::{CteBody, Expr, Item, JoinKind, Name, Source, Span, Table};
use super::super::scope::{Column, EntityId, Home, Scope, Shape, TableRef};
use super::locate::locate;
use super::{Dist, Output, Valid, Walk, subquery};

/// Bounds the work on statements that reference one CTE within another again and again.
const MAX_REFS: usize = 512;

impl<'a> Walk<'a> {
    pub(super) fn columns(
        &self,
        items: &[Item],
        scope: &Scope,
        scopes: &[Scope],
    ) -> Option<Vec<(Box<str>, Option<Column>)>> {
        let mut out = Vec::new();
        for item in items {
            match item {
                Item::Expr { expr, name, .. } => {
                    let column = self.column_of(expr, scopes);
                    out.push((name.clone()?, column));
                }
                Item::Wildcard => {
                    if !scope.merged.is_empty() {
                        return None;
                    }
                    for &e in &scope.entities {
                        self.expand(e, &mut out)?;
                    }
                }
                Item::QualifiedWildcard(name) => {
                    let entity = scope
                        .entities
                        .iter()
                        .find(|&&e| self.out.facts.entities[e].label.as_deref() == Some(name.last()))?;
                    self.expand(*entity, &mut out)?;
                }
            }
        }
        Some(out)
    }

    pub(super) fn expand(&self, entity: EntityId, out: &mut Vec<(Box<str>, Option<Column>)>) -> Option<()> {
        let column = |name: &str| {
            (
                name.into(),
                Some(Column {
                    entity,
                    name: name.into(),
                }),
            )
        };
        match &self.out.facts.entities[entity].shape {
            Shape::Table { info: Some(info), .. } => out.extend(info.columns.iter().map(|c| column(&c.name))),
            Shape::Derived {
                columns: Some(columns),
            } => out.extend(columns.iter().map(|(n, _)| column(n))),
            Shape::Table { info: None, .. } | Shape::Derived { columns: None } | Shape::Unknown => {
                return None;
            }
        }
        Some(())
    }

    /// Enters a source into the scope. ON conditions are kept for when the scope is whole.
    pub(super) fn source(
        &mut self,
        source: &'a Source,
        scope: &mut Scope,
        outer: &[Scope],
        pending: &mut Vec<(&'a Expr, Valid)>,
    ) -> Dist {
        match source {
            Source::Table(t) => self.table(t, scope),
            Source::Derived {
                query,
                alias,
                columns,
                lateral,
            } => {
                let mut scopes = outer.to_vec();
                if *lateral {
                    scopes.push(scope.clone());
                }
                let output = self.query(query, &scopes, false);
                self.derived(output, alias.clone(), columns, scope)
            }
            Source::Function {
                args,
                alias,
                relation,
            } => {
                // A function in FROM sees the sources before it.
                let mut scopes = outer.to_vec();
                scopes.push(scope.clone());
                self.as_relation = *relation;
                args.iter().for_each(|e| self.expr(e, &scopes));
                self.as_relation = false;
                let entity = self.out.facts.add_entity(alias.clone(), Shape::Unknown);
                scope.entities.push(entity);
                Dist::Same
            }
            Source::Join {
                kind,
                left,
                right,
                on,
                using,
                natural,
            } => {
                let mark = scope.entities.len();
                let first = self.out.facts.entities.len();
                let l = self.source(left, scope, outer, pending);
                let middle = scope.entities.len();
                let second = self.out.facts.entities.len();
                let r = self.source(right, scope, outer, pending);
                let end = self.out.facts.entities.len();
                match kind {
                    JoinKind::Inner => {}
                    JoinKind::Left => self.out.facts.nullable.push(second..end),
                    JoinKind::Right => self.out.facts.nullable.push(first..second),
                    JoinKind::Full => self.out.facts.nullable.push(first..end),
                }
                let (a, b) = (
                    scope.entities[mark..middle].to_vec(),
                    scope.entities[middle..].to_vec(),
                );
                let valid: Valid = match kind {
                    JoinKind::Inner => a.iter().chain(&b).copied().collect(),
                    JoinKind::Left => b.clone(),
                    JoinKind::Right => a.clone(),
                    JoinKind::Full => Vec::new(),
                };
                if let Some(on) = on {
                    pending.push((on, valid.clone()));
                }
                for column in using {
                    self.using(column, &a, &b, *kind, &valid, scope);
                }
                if *natural {
                    // Which columns it joins by is for the server to know; bare names stay unresolved.
                    for e in a.iter().chain(&b) {
                        self.hide_bare_names(*e, scope);
                    }
                }
                self.join_dist(*kind, l, r)
            }
        }
    }

    pub(super) fn hide_bare_names(&self, entity: EntityId, scope: &mut Scope) {
        if let Shape::Table { info, keys } = &self.out.facts.entities[entity].shape {
            let names = info
                .iter()
                .flat_map(|i| i.columns.iter().map(|c| c.name.clone()))
                .chain(keys.iter().cloned());
            for name in names {
                scope.merged.insert(name, None);
            }
        }
    }

    pub(super) fn using(
        &mut self,
        column: &str,
        a: &[EntityId],
        b: &[EntityId],
        kind: JoinKind,
        valid: &Valid,
        scope: &mut Scope,
    ) {
        let name = Name {
            parts: vec![column.into()],
            span: Span::default(),
        };
        let side = |entities: &[EntityId]| {
            let scopes = [Scope {
                entities: entities.to_vec(),
                merged: scope.merged.clone(),
            }];
            self.out.facts.resolve(&name, &scopes)
        };
        let (left, right) = (side(a), side(b));
        if let (Some(l), Some(r)) = (&left, &right) {
            if valid.contains(&r.entity) {
                self.out.facts.add_edge(l, r);
            }
            if valid.contains(&l.entity) {
                self.out.facts.add_edge(r, l);
            }
        }
        let merged = match kind {
            JoinKind::Inner | JoinKind::Left => left,
            JoinKind::Right => right,
            JoinKind::Full => None,
        };
        scope.merged.insert(column.into(), merged);
    }

    pub(super) fn join_dist(&mut self, kind: JoinKind, left: Dist, right: Dist) -> Dist {
        let (preserved, other) = match kind {
            JoinKind::Inner => (Dist::Spread, Dist::Same),
            JoinKind::Left => (left, right),
            JoinKind::Right => (right, left),
            JoinKind::Full => {
                if left == Dist::Spread || right == Dist::Spread {
                    self.obstacle(Fault::new(
                        Code::NOT_COLOCATED,
                        "FULL JOIN with a sharded table needs all its shards on one node",
                    ));
                }
                (Dist::Spread, Dist::Same)
            }
        };
        if preserved == Dist::Same && other == Dist::Spread {
            self.obstacle(
                Fault::new(
                    Code::NOT_COLOCATED,
                    "an outer join that keeps all rows of a table that is on every node would return them once per node",
                )
                .hint("Put the sharded table on the preserved side, or use an inner join."),
            );
        }
        if left == Dist::Spread || right == Dist::Spread {
            Dist::Spread
        } else {
            Dist::Same
        }
    }

    pub(super) fn derived(
        &mut self,
        output: Output,
        label: Option<Box<str>>,
        renamed: &[Box<str>],
        scope: &mut Scope,
    ) -> Dist {
        let mut columns = output.columns;
        if let Some(columns) = &mut columns {
            for (column, name) in columns.iter_mut().zip(renamed) {
                column.0 = name.clone();
            }
            // Two columns of one name can't be told apart.
            let names: Vec<Box<str>> = columns.iter().map(|(n, _)| n.clone()).collect();
            for column in columns.iter_mut() {
                if names.iter().filter(|n| **n == column.0).count() > 1 {
                    column.1 = None;
                }
            }
        }
        let entity = self.out.facts.add_entity(
            label,
            Shape::Derived {
                columns: columns.clone(),
            },
        );
        for (name, inner) in columns.into_iter().flatten() {
            let Some(inner) = inner else { continue };
            let column = Column { entity, name };
            self.out.facts.add_edge(&inner, &column);
            if output.transparent.contains(&inner) {
                self.out.facts.add_edge(&column, &inner);
            }
        }
        scope.entities.push(entity);
        output.dist
    }

    pub(super) fn table(&mut self, t: &'a Table, scope: &mut Scope) -> Dist {
        if let [name] = t.name.parts.as_slice()
            && let Some(at) = self.ctes.iter().rposition(|c| c.cte.name == *name)
        {
            return self.cte(at, t, scope);
        }
        self.base_table(t, scope)
    }

    pub(super) fn cte(&mut self, at: usize, t: &'a Table, scope: &mut Scope) -> Dist {
        let in_sight = self.ctes[at];
        let pointer = std::ptr::from_ref(in_sight.cte);
        self.referenced.push(pointer);
        let label = t.alias.clone().or_else(|| Some(in_sight.cte.name.clone()));
        let query = match in_sight.cte.body.as_ref() {
            CteBody::Query(q) if !self.open.contains(&pointer) => q,
            CteBody::Query(_) | CteBody::Write(_) => {
                if self.open.contains(&pointer) {
                    self.obstacle(subquery("WITH RECURSIVE"));
                }
                let entity = self.out.facts.add_entity(label, Shape::Unknown);
                scope.entities.push(entity);
                return Dist::Same;
            }
        };
        if self.out.facts.refs.len() > MAX_REFS {
            self.out.too_large = true;
            return Dist::Same;
        }
        self.open.push(pointer);
        let output = self.within(in_sight.cte, |walk| walk.query(query, &[], false));
        self.open.pop();
        self.derived(output, label, &in_sight.cte.columns, scope)
    }

    pub(super) fn base_table(&mut self, t: &'a Table, scope: &mut Scope) -> Dist {
        let located = locate(&t.name, self.view);
        let keys = match &located.home {
            Home::Sharded(s) => s.key.iter().map(|k| k.column.clone()).collect(),
            Home::Node(_) | Home::Everywhere(_) | Home::System => Vec::new(),
        };
        let label = t.alias.clone().or_else(|| Some(located.name.table.clone()));
        if t.only && matches!(&located.home, Home::Sharded(s) if s.layout == Layout::Partitioned) {
            self.out.only_of_partitioned.push(t.name.span);
        }
        let shape = if t.renames {
            Shape::Unknown
        } else {
            Shape::Table {
                info: located.info.clone(),
                keys,
            }
        };
        let entity = self.out.facts.add_entity(label, shape);
        let dist = match &located.home {
            Home::Sharded(_) => Dist::Spread,
            Home::Node(_) | Home::Everywhere(_) | Home::System => Dist::Same,
        };
        if t.odd && dist == Dist::Spread {
            self.obstacle(subquery("TABLESAMPLE of a sharded table"));
        }
        self.out.facts.refs.push(TableRef {
            entity,
            name: located.name,
            home: located.home,
            rule: located.rule,
            info: located.info,
            span: t.name.span,
            has_alias: t.alias.is_some(),
            in_expression: self.in_expression > 0,
        });
        scope.entities.push(entity);
        dist
    }
}

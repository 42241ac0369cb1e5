//! Queries, sources and writes.

use sqlparser::ast::{
    self, AssignmentTarget, ConflictTarget, Delete, FromTable, GroupByExpr, JoinConstraint, JoinOperator,
    LimitClause, OnConflictAction, OnInsert, OrderByKind, OrderBySort, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    TableObject, TableWithJoins, Update, UpdateTableFromKind,
};

use super::expr::{fold, folded_parts};
use super::plain::EXPANDED;
use super::{Lower, Unreadable};
use crate::plan::query::{
    Assignment, Body, Conflict, Cte, CteBody, Distinct, Expr, Insert, InsertSource, Item, JoinKind, Name,
    OneNode, OrderItem, Query, Root, Select, SetOp, Source, Span, Table, Write,
};

type Result<T> = std::result::Result<T, Unreadable>;

pub(super) fn unreadable<T>(what: &str) -> Result<T> {
    Err(Unreadable(what.into()))
}

/// A value that a write reads, but doesn't set.
fn read_only(value: Expr) -> Assignment {
    Assignment {
        columns: Vec::new(),
        value,
    }
}

impl Lower<'_> {
    pub(super) fn query(&self, q: &ast::Query) -> Result<Query> {
        let (ctes, recursive) = self.with(q.with.as_ref())?;
        let mut out = Query {
            ctes,
            recursive,
            body: self.body(&q.body)?,
            has_order: q.order_by.is_some(),
            limit: None,
            offset: None,
            odd_limit: false,
            locks: !q.locks.is_empty() || self.notes.locks,
            order: Vec::new(),
        };
        if let Some(order) = &q.order_by {
            let OrderByKind::Expressions(list) = &order.kind else {
                return unreadable("ORDER BY ALL");
            };
            for item in list {
                let descending = match &item.options.sort {
                    None | Some(OrderBySort::Asc) => false,
                    Some(OrderBySort::Desc) => true,
                    Some(OrderBySort::Using(_)) => {
                        // Which order that is only the server knows.
                        out.odd_limit = true;
                        false
                    }
                };
                out.order.push(OrderItem {
                    expr: self.expr(&item.expr)?,
                    descending,
                    // PostgreSQL: nulls are larger than anything.
                    nulls_first: item.options.nulls_first.unwrap_or(descending),
                });
            }
        }
        match &q.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) => {
                out.limit = limit.as_ref().map(|e| self.expr(e)).transpose()?;
                out.offset = offset.as_ref().map(|o| self.expr(&o.value)).transpose()?;
                out.odd_limit |= !limit_by.is_empty();
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => return unreadable("LIMIT a, b"),
        }
        if let Some(fetch) = &q.fetch {
            out.odd_limit |= fetch.with_ties || fetch.percent || out.limit.is_some();
            match &fetch.quantity {
                Some(quantity) => out.limit = Some(self.expr(quantity)?),
                // FETCH FIRST ROW ONLY is one row.
                None => out.odd_limit = true,
            }
        }
        if q.for_clause.is_some()
            || !q.pipe_operators.is_empty()
            || q.settings.is_some()
            || q.format_clause.is_some()
        {
            return unreadable("a clause of another dialect");
        }
        Ok(out)
    }

    fn with(&self, with: Option<&ast::With>) -> Result<(Vec<Cte>, bool)> {
        let Some(with) = with else {
            return Ok((Vec::new(), false));
        };
        let ctes = with
            .cte_tables
            .iter()
            .map(|cte| {
                let query = self.query(&cte.query)?;
                let body = match query.body {
                    Body::Write(root) => CteBody::Write(*root),
                    _ => CteBody::Query(query),
                };
                Ok(Cte {
                    name: fold(&cte.alias.name),
                    columns: cte.alias.columns.iter().map(|c| fold(&c.name)).collect(),
                    body: Box::new(body),
                })
            })
            .collect::<Result<_>>()?;
        Ok((ctes, with.recursive))
    }

    fn body(&self, body: &SetExpr) -> Result<Body> {
        Ok(match body {
            SetExpr::Select(s) => Body::Select(Box::new(self.select(s)?)),
            SetExpr::Query(q) => Body::Query(Box::new(self.query(q)?)),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => Body::SetOp {
                op: match op {
                    SetOperator::Union => SetOp::Union,
                    SetOperator::Intersect => SetOp::Intersect,
                    SetOperator::Except | SetOperator::Minus => SetOp::Except,
                },
                all: match set_quantifier {
                    SetQuantifier::All => true,
                    SetQuantifier::None | SetQuantifier::Distinct => false,
                    _ => return unreadable("UNION BY NAME"),
                },
                left: Box::new(self.body(left)?),
                right: Box::new(self.body(right)?),
            },
            SetExpr::Values(v) => Body::Values(
                v.rows
                    .iter()
                    .map(|row| self.exprs(&row.content))
                    .collect::<Result<_>>()?,
            ),
            SetExpr::Insert(s) | SetExpr::Update(s) | SetExpr::Delete(s) => {
                Body::Write(Box::new(self.root(s)?))
            }
            SetExpr::Merge(s) => Body::Write(Box::new(self.root(s)?)),
            SetExpr::Table(_) => return unreadable("TABLE"),
        })
    }

    fn select(&self, s: &ast::Select) -> Result<Select> {
        let (group, odd_group) = match &s.group_by {
            GroupByExpr::All(_) => (Vec::new(), true),
            GroupByExpr::Expressions(list, modifiers) => {
                let odd = list.iter().any(|e| {
                    matches!(
                        e,
                        ast::Expr::GroupingSets(_)
                            | ast::Expr::Cube(_)
                            | ast::Expr::Rollup(_)
                            | ast::Expr::Tuple(_)
                    )
                });
                (
                    self.exprs(list)?,
                    odd || !modifiers.is_empty() || self.notes.odd_group,
                )
            }
        };
        if !s.lateral_views.is_empty()
            || s.prewhere.is_some()
            || s.qualify.is_some()
            || !s.connect_by.is_empty()
            || s.top.is_some()
        {
            return unreadable("a clause of another dialect");
        }
        Ok(Select {
            distinct: match &s.distinct {
                None | Some(ast::Distinct::All) => Distinct::No,
                Some(ast::Distinct::Distinct) => Distinct::All,
                Some(ast::Distinct::On(list)) => Distinct::On(self.exprs(list)?),
            },
            items: self.items(&s.projection)?,
            expanded: self.expanded(&s.projection)?,
            from: self.sources(&s.from)?,
            filter: s.selection.as_ref().map(|e| self.expr(e)).transpose()?,
            group,
            odd_group,
            having: s.having.as_ref().map(|e| self.expr(e)).transpose()?,
            into: s.into.is_some(),
            windows: !s.named_window.is_empty(),
        })
    }

    fn items(&self, items: &[SelectItem]) -> Result<Vec<Item>> {
        items
            .iter()
            .map(|item| {
                Ok(match item {
                    SelectItem::UnnamedExpr(e) => Item::Expr {
                        expr: self.expr(e)?,
                        alias: None,
                        name: super::labels::label(e),
                    },
                    // `(…).*`. Nobody knows its columns: a wildcard of no relation.
                    SelectItem::ExprWithAlias { alias, .. } if alias.value == EXPANDED => {
                        Item::QualifiedWildcard(Name {
                            parts: vec!["".into()],
                            span: Span::default(),
                        })
                    }
                    SelectItem::ExprWithAlias { expr, alias } => Item::Expr {
                        expr: self.expr(expr)?,
                        alias: Some(fold(alias)),
                        name: Some(fold(alias)),
                    },
                    SelectItem::Wildcard(_) => Item::Wildcard,
                    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(n), _) => {
                        Item::QualifiedWildcard(self.name(n)?)
                    }
                    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _)
                    | SelectItem::ExprWithAliases { .. } => {
                        return unreadable("a select item of another dialect");
                    }
                })
            })
            .collect()
    }

    /// The expressions behind `(…).*`.
    fn expanded(&self, items: &[SelectItem]) -> Result<Vec<Expr>> {
        items
            .iter()
            .filter_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if alias.value == EXPANDED => Some(self.expr(expr)),
                _ => None,
            })
            .collect()
    }

    fn sources(&self, list: &[TableWithJoins]) -> Result<Vec<Source>> {
        list.iter().map(|t| self.joined(t)).collect()
    }

    fn joined(&self, t: &TableWithJoins) -> Result<Source> {
        let mut left = self.factor(&t.relation)?;
        for join in &t.joins {
            let (kind, constraint) = match &join.join_operator {
                JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::CrossJoin(c) => {
                    (JoinKind::Inner, c)
                }
                JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (JoinKind::Left, c),
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (JoinKind::Right, c),
                JoinOperator::FullOuter(c) => (JoinKind::Full, c),
                _ => return unreadable("a join of another dialect"),
            };
            let (mut on, mut using, mut natural) = (None, Vec::new(), false);
            match constraint {
                JoinConstraint::On(e) => on = Some(self.expr(e)?),
                JoinConstraint::Using(names) => {
                    for name in names {
                        let parts = folded_parts(name).unwrap_or_default();
                        let [column] = parts.as_slice() else {
                            return unreadable("USING");
                        };
                        using.push(column.clone());
                    }
                }
                JoinConstraint::Natural => natural = true,
                JoinConstraint::None => {}
            }
            left = Source::Join {
                kind,
                left: Box::new(left),
                right: Box::new(self.factor(&join.relation)?),
                on,
                using,
                natural,
            };
        }
        Ok(left)
    }

    pub(super) fn factor(&self, f: &TableFactor) -> Result<Source> {
        Ok(match f {
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                ..
            } => {
                let args = self.arguments(&args.args)?;
                return self.table_function(name, args, alias.as_ref(), true);
            }
            TableFactor::Table {
                name,
                alias,
                version,
                with_ordinality,
                partitions,
                sample,
                json_path,
                ..
            } => {
                if version.is_some() || *with_ordinality || !partitions.is_empty() || json_path.is_some() {
                    return unreadable("a table of another dialect");
                }
                let name = self.name(name)?;
                Source::Table(Table {
                    only: self.notes.only.contains(&name.span.start),
                    name,
                    alias: alias.as_ref().map(|a| fold(&a.name)),
                    renames: alias.as_ref().is_some_and(|a| !a.columns.is_empty()),
                    odd: sample.is_some(),
                })
            }
            TableFactor::Derived {
                subquery,
                alias,
                sample: None,
                lateral,
            } => Source::Derived {
                lateral: *lateral,
                query: Box::new(self.query(subquery)?),
                alias: alias.as_ref().map(|a| fold(&a.name)),
                columns: alias
                    .iter()
                    .flat_map(|a| a.columns.iter().map(|c| fold(&c.name)))
                    .collect(),
            },
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.joined(table_with_joins)?,
            TableFactor::NestedJoin {
                table_with_joins,
                alias: Some(alias),
            } => self.named_join(table_with_joins, alias)?,
            TableFactor::UNNEST {
                array_exprs, alias, ..
            } => Source::Function {
                args: self.exprs(array_exprs)?,
                alias: alias.as_ref().map(|a| fold(&a.name)),
                relation: false,
            },
            TableFactor::Function {
                name, args, alias, ..
            } => {
                let args = self.arguments(args)?;
                return self.table_function(name, args, alias.as_ref(), false);
            }
            _ => return unreadable("a source of another dialect"),
        })
    }

    fn arguments(&self, args: &[ast::FunctionArg]) -> Result<Vec<Expr>> {
        let mut out = Vec::new();
        for arg in args {
            let (ast::FunctionArg::Unnamed(value)
            | ast::FunctionArg::Named { arg: value, .. }
            | ast::FunctionArg::ExprNamed { arg: value, .. }) = arg;
            if let ast::FunctionArgExpr::Expr(e) = value {
                out.push(self.expr(e)?);
            }
        }
        Ok(out)
    }

    /// `(a JOIN b …) AS x`: the names of a and b can't be seen from outside, as if it were a subquery.
    fn named_join(&self, t: &TableWithJoins, alias: &TableAlias) -> Result<Source> {
        let select = Select {
            distinct: Distinct::No,
            items: vec![Item::Wildcard],
            expanded: Vec::new(),
            from: vec![self.joined(t)?],
            filter: None,
            group: Vec::new(),
            odd_group: false,
            having: None,
            into: false,
            windows: false,
        };
        Ok(Source::Derived {
            query: Box::new(Query {
                ctes: Vec::new(),
                recursive: false,
                body: Body::Select(Box::new(select)),
                has_order: false,
                limit: None,
                offset: None,
                odd_limit: false,
                locks: false,
                order: Vec::new(),
            }),
            alias: Some(fold(&alias.name)),
            columns: alias.columns.iter().map(|c| fold(&c.name)).collect(),
            lateral: false,
        })
    }

    /// `relation`: the parser's visitor counts its name as a table's.
    fn table_function(
        &self,
        name: &ast::ObjectName,
        args: Vec<Expr>,
        alias: Option<&TableAlias>,
        relation: bool,
    ) -> Result<Source> {
        let name = self.name(name)?;
        let call = crate::plan::query::Call {
            name,
            args,
            star: false,
            distinct: false,
            odd: false,
            filter: None,
            over: None,
        };
        Ok(Source::Function {
            args: vec![Expr::Call(Box::new(call))],
            alias: alias.map(|a| fold(&a.name)),
            relation,
        })
    }

    fn target(&self, t: &TableWithJoins) -> Result<Table> {
        match self.joined(t)? {
            Source::Table(table) => Ok(table),
            _ => unreadable("a join as the target of a write"),
        }
    }

    pub(super) fn insert(&self, i: &ast::Insert) -> Result<Root> {
        let TableObject::TableName(name) = &i.table else {
            return unreadable("INSERT INTO FUNCTION");
        };
        if self.notes.overridden {
            return unreadable("OVERRIDING USER VALUE: the values given are not those that are stored");
        }
        if i.or.is_some()
            || i.ignore
            || i.overwrite
            || i.replace_into
            || i.partitioned.is_some()
            || !i.assignments.is_empty()
        {
            return unreadable("INSERT of another dialect");
        }
        let (mut ctes, mut recursive) = (Vec::new(), false);
        let source = match &i.source {
            None => InsertSource::DefaultValues,
            Some(q) => {
                let mut query = self.query(q)?;
                let plain = !query.has_order && !query.is_limited() && query.ctes.is_empty();
                match query.body {
                    Body::Values(rows) if plain => InsertSource::Values(rows),
                    _ => {
                        ctes = std::mem::take(&mut query.ctes);
                        recursive = query.recursive;
                        InsertSource::Query(query)
                    }
                }
            }
        };
        let conflict = match &i.on {
            None => None,
            Some(OnInsert::OnConflict(c)) => Some(self.conflict(c)?),
            Some(_) => return unreadable("ON DUPLICATE KEY UPDATE"),
        };
        if !self
            .expanded(i.returning.as_deref().unwrap_or_default())?
            .is_empty()
        {
            return unreadable("INSERT … RETURNING (…).*");
        }
        Ok(Root::Insert(Box::new(Insert {
            ctes,
            recursive,
            table: Table {
                name: self.name(name)?,
                alias: i.table_alias.as_ref().map(|a| fold(&a.alias)),
                renames: false,
                odd: false,
                only: false,
            },
            columns: i.columns.iter().map(|c| self.name(c)).collect::<Result<_>>()?,
            source,
            conflict,
            returning: self.items(i.returning.as_deref().unwrap_or_default())?,
        })))
    }

    fn conflict(&self, c: &ast::OnConflict) -> Result<Conflict> {
        let mut out = Conflict {
            columns: Vec::new(),
            by_constraint: false,
            set: Vec::new(),
            filter: None,
        };
        match &c.conflict_target {
            None => {}
            Some(ConflictTarget::Columns(columns)) => out.columns = columns.iter().map(fold).collect(),
            Some(ConflictTarget::OnConstraint(_)) => out.by_constraint = true,
        }
        if let OnConflictAction::DoUpdate(update) = &c.action {
            out.set = self.assignments(&update.assignments)?;
            out.filter = update.selection.as_ref().map(|e| self.expr(e)).transpose()?;
        }
        Ok(out)
    }

    pub(super) fn assignments(&self, list: &[ast::Assignment]) -> Result<Vec<Assignment>> {
        list.iter()
            .map(|a| {
                let names: Vec<_> = match &a.target {
                    AssignmentTarget::ColumnName(n) => vec![n],
                    AssignmentTarget::Tuple(list) => list.iter().collect(),
                };
                let columns = names
                    .into_iter()
                    .map(|n| {
                        folded_parts(n)
                            .and_then(|p| p.into_iter().next())
                            .ok_or_else(|| Unreadable("SET".into()))
                    })
                    .collect::<Result<_>>()?;
                Ok(Assignment {
                    columns,
                    value: self.expr(&a.value)?,
                })
            })
            .collect()
    }

    pub(super) fn update(&self, u: &Update) -> Result<Root> {
        if u.or.is_some() || !u.order_by.is_empty() || u.limit.is_some() {
            return unreadable("UPDATE of another dialect");
        }
        let from = match &u.from {
            None => Vec::new(),
            Some(UpdateTableFromKind::AfterSet(list)) => self.sources(list)?,
            Some(UpdateTableFromKind::BeforeSet(_)) => return unreadable("UPDATE of another dialect"),
        };
        let returning = u.returning.as_deref().unwrap_or_default();
        let mut set = self.assignments(&u.assignments)?;
        set.extend(self.expanded(returning)?.into_iter().map(read_only));
        Ok(Root::Update(Box::new(Write {
            ctes: Vec::new(),
            recursive: false,
            table: self.target(&u.table)?,
            from,
            set,
            filter: u.selection.as_ref().map(|e| self.expr(e)).transpose()?,
            returning: self.items(returning)?,
            one_node: self.notes.current_of.then_some(OneNode::CurrentOf),
        })))
    }

    pub(super) fn delete(&self, d: &Delete) -> Result<Root> {
        let FromTable::WithFromKeyword(from) = &d.from else {
            return unreadable("DELETE without FROM");
        };
        let ([table], true) = (
            from.as_slice(),
            d.tables.is_empty() && d.order_by.is_empty() && d.limit.is_none(),
        ) else {
            return unreadable("DELETE of another dialect");
        };
        let returning = d.returning.as_deref().unwrap_or_default();
        Ok(Root::Delete(Box::new(Write {
            ctes: Vec::new(),
            recursive: false,
            table: self.target(table)?,
            from: self.sources(d.using.as_deref().unwrap_or_default())?,
            set: self.expanded(returning)?.into_iter().map(read_only).collect(),
            filter: d.selection.as_ref().map(|e| self.expr(e)).transpose()?,
            returning: self.items(returning)?,
            one_node: self.notes.current_of.then_some(OneNode::CurrentOf),
        })))
    }
}

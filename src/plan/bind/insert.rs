//! The rows of an INSERT, each to the node of its key.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Code, Fault, KeyType, NodeId, ShardId, Value};
use crate::topology::placement::Scheme;
use crate::topology::{Layout, Sharding};

use super::super::compile::InsertRoute;
use super::super::fixed::TimeType;
use super::super::indexes::constraint_on;
use super::super::insert::{Fill, Filled, KeySource};
use super::super::query::Span;
use super::super::scope::Home;
use super::super::splice::Splice;
use super::super::types::{Merge, Text};
use super::super::value::{Key, assigned};
use super::shards::name_splice;
use super::{Binder, Bound, part};

impl Binder<'_, '_> {
    /// `'now'` and its kin mean another instant on each node once they are read as a time.
    pub(super) fn refuse_moving_texts(&self) -> Result<(), Fault> {
        const MOVING: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];
        let moving = |text: &str| MOVING.contains(&text.trim().to_ascii_lowercase().as_str());
        let literal = self
            .literals
            .iter()
            .any(|(_, text)| moving(text.trim_matches('\'')));
        let given = self
            .params
            .values
            .iter()
            .flatten()
            .any(|v| std::str::from_utf8(v).is_ok_and(moving));
        if literal || given {
            return Err(Fault::new(
                Code::BROADCAST_DIVERGES,
                "'now' and its kin could mean another instant on each node's copy of the row",
            )
            .hint("Write now(), or pass the time itself."));
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, insert: &InsertRoute) -> Bound {
        if matches!(&insert.table.table.home, Home::Everywhere(nodes) if nodes.len() > 1) {
            self.refuse_moving_texts()?;
        }
        let mut next_ids: Vec<Vec<i64>> = Vec::new();
        // Ids first: rows are routed by them where they are the key.
        for row in &insert.rows.rows {
            let wanted = insert
                .rows
                .added
                .iter()
                .filter(|(_, f)| f.fill == Fill::NextId)
                .count()
                + row
                    .replaced
                    .iter()
                    .filter(|r| r.filled.fill == Fill::NextId)
                    .count();
            let ids = (0..wanted)
                .map(|_| (self.moment.next_id)())
                .collect::<Result<Vec<_>, _>>()?;
            next_ids.push(ids);
        }
        if next_ids.iter().any(|ids| !ids.is_empty()) {
            self.once.set(true);
        }
        let groups = self.insert_groups(insert, &next_ids)?;
        // Rows that may go to several nodes get one now().
        let across = match &insert.table.table.home {
            Home::Everywhere(nodes) => nodes.len() > 1,
            Home::Sharded(s) => s.nodes.len() > 1 && insert.rows.rows.len() > 1,
            Home::Node(_) | Home::System => false,
        };
        let fills = self.fills(insert);
        let fixed = self.insert_fixed(&fills, across)?;
        let changes =
            !fills.added.is_empty() || fills.replaced.iter().any(|r| !r.is_empty()) || !fixed.is_empty();
        let everywhere = matches!(insert.table.table.home, Home::Everywhere(_));
        let mut parts = Vec::new();
        for ((node, shard), rows) in &groups {
            let separate = insert
                .table
                .pruning
                .as_ref()
                .is_some_and(|p| p.sharding.layout == Layout::Separate);
            let whole = rows.len() == insert.rows.rows.len();
            let mut part = part(*node, Text::Original);
            part.shards = shard.iter().copied().collect();
            if let Some(p) = &insert.table.pruning
                && !separate
            {
                part.shards = self
                    .row_shards(insert, rows, &next_ids, &p.sharding)?
                    .into_iter()
                    .collect();
            }
            if !whole || changes || separate {
                let mut splices = fixed.clone();
                self.row_splices(insert, &fills, rows, &next_ids, &mut splices)?;
                if let (true, Some(shard)) = (separate, shard) {
                    splices.extend(name_splice(&insert.table, *shard));
                    splices.extend(self.constraint_splice(insert, *shard));
                }
                part.text = self.spliced(splices);
                part.needs_param_types = !whole && self.compiled.has_params;
            }
            parts.push(part);
        }
        let merge = if everywhere { Merge::Same } else { Merge::Sum };
        let mut plan = self.plan(parts, merge);
        if let Home::Sharded(sharding) = &insert.table.table.home
            && let Scheme::Time(time) = &sharding.scheme
            && time.create_outside
        {
            let name = &insert.table.table.name;
            plan.periods = plan
                .parts
                .iter()
                .flat_map(|p| &p.shards)
                .map(|s| (name.clone(), *s))
                .collect();
        }
        Ok(plan)
    }

    /// A constraint's name is that of an index, which each shard has for itself.
    fn constraint_splice(&self, insert: &InsertRoute, shard: ShardId) -> Option<Splice> {
        let (at, name) = insert.constraint.as_ref()?;
        let rule = insert.table.table.rule.as_ref()?;
        let name = constraint_on(&self.view.database.catalog, name, rule, shard)?;
        Some(Splice::replace(*at, format!("\"{}\"", name.replace('"', "\"\""))))
    }

    /// Which rows go where. With separate tables the shard is part of where.
    #[allow(clippy::type_complexity)]
    pub(super) fn insert_groups(
        &self,
        insert: &InsertRoute,
        ids: &[Vec<i64>],
    ) -> Result<BTreeMap<(NodeId, Option<ShardId>), Vec<usize>>, Fault> {
        let all: Vec<usize> = (0..insert.rows.rows.len()).collect();
        let mut groups: BTreeMap<(NodeId, Option<ShardId>), Vec<usize>> = BTreeMap::new();
        match &insert.table.table.home {
            Home::Node(n) => {
                groups.insert((*n, None), all);
            }
            Home::System => {
                groups.insert((self.view.database.anywhere, None), all);
            }
            Home::Everywhere(nodes) => {
                for n in nodes {
                    groups.insert((*n, None), all.clone());
                }
            }
            Home::Sharded(sharding) => {
                for row in all {
                    let shard = self.row_shard(insert, row, ids, sharding)?;
                    let by_table = (sharding.layout == Layout::Separate).then_some(shard);
                    groups
                        .entry((sharding.node_of(shard), by_table))
                        .or_default()
                        .push(row);
                }
            }
        }
        Ok(groups)
    }

    pub(super) fn row_shards(
        &self,
        insert: &InsertRoute,
        rows: &[usize],
        ids: &[Vec<i64>],
        sharding: &Sharding,
    ) -> Result<BTreeSet<ShardId>, Fault> {
        rows.iter()
            .map(|r| self.row_shard(insert, *r, ids, sharding))
            .collect()
    }

    /// The shard of a row; what is wrong with its key says which row it is.
    pub(super) fn row_shard(
        &self,
        insert: &InsertRoute,
        row: usize,
        ids: &[Vec<i64>],
        sharding: &Sharding,
    ) -> Result<ShardId, Fault> {
        let several = insert.rows.rows.len() > 1;
        self.shard_of_row(insert, row, ids, sharding).map_err(|fault| {
            if several && fault.detail.is_none() {
                fault.detail(format!("It is row {} of VALUES.", row + 1))
            } else {
                fault
            }
        })
    }

    fn shard_of_row(
        &self,
        insert: &InsertRoute,
        row: usize,
        ids: &[Vec<i64>],
        sharding: &Sharding,
    ) -> Result<ShardId, Fault> {
        let table = &insert.table.table.name;
        let types = &insert.rows.key_types;
        let mut key = Vec::new();
        let sources = insert.rows.rows[row].keys.iter().zip(types);
        for (((source, ty), column), modifier) in sources.zip(&sharding.key).zip(&insert.rows.modifiers) {
            let value = match source {
                KeySource::Cell(expr) => self.constants().key(expr, *ty),
                KeySource::Now => Key::Known(self.now_value(*ty)?),
                KeySource::NextId(n) => ids[row]
                    .get(*n)
                    .map_or(Key::Unknown, |id| Key::Known(Value::Int(*id))),
            };
            match value {
                Key::Known(v) => key.push(assigned(v, *ty, *modifier).ok_or_else(|| {
                    Fault::new(
                        Code::KEY_MISSING,
                        format!(
                            "how the column's length or precision changes a value of the sharding key {table}.{} isn't known",
                            column.column
                        ),
                    )
                    .hint("Write the value as the column stores it, without blanks at its end and fractions of seconds.")
                })?),
                Key::Null => {
                    return Err(Fault::new(
                        Code::KEY_MISSING,
                        format!("the sharding key {table}.{} must not be NULL", column.column),
                    )
                    .sqlstate("23502"));
                }
                Key::Nothing | Key::Unknown => {
                    return Err(Fault::new(
                        Code::KEY_MISSING,
                        format!("the value of the sharding key {table}.{} can't be read as {}", column.column, ty.sql()),
                    )
                    .hint("Write it in the type's standard form, or pass it as a parameter of the column's type."));
                }
            }
        }
        let shard = sharding.scheme.shard_of(&key, types).ok_or_else(|| {
            let shown: Vec<String> = key.iter().map(ToString::to_string).collect();
            Fault::new(
                Code::KEY_OUTSIDE,
                format!("no shard of {table} holds the key {}", shown.join(", ")),
            )
            .hint("Add the value to the table's rules.")
        })?;
        if let Scheme::Time(time) = &sharding.scheme
            && !time.create_outside
            && !time.wanted(self.moment.statement_us).contains(&shard.0)
        {
            return Err(Fault::new(
                Code::KEY_OUTSIDE,
                format!("the key's period is outside those of {table}"),
            )
            .hint(
                "The rules say where the table begins (from) and how far it reaches (ahead); `outside: create` \
                 creates others on demand.",
            ));
        }
        Ok(shard)
    }

    /// The fills that this execution needs.
    fn fills<'i>(&self, insert: &'i InsertRoute) -> Fills<'i> {
        let needed =
            |f: &Filled| f.always || matches!(&f.fill, Fill::Default(text) if self.needs_text(text, false));
        Fills {
            added: insert
                .rows
                .added
                .iter()
                .filter(|(_, f)| needed(f))
                .map(|(c, f)| (&**c, &f.fill))
                .collect(),
            replaced: insert
                .rows
                .rows
                .iter()
                .zip(&insert.replaced)
                .map(|(row, spans)| {
                    let pairs = row.replaced.iter().zip(spans);
                    pairs
                        .filter(|(r, _)| needed(&r.filled))
                        .map(|(r, at)| (*at, &r.filled.fill))
                        .collect()
                })
                .collect(),
        }
    }

    /// The words outside of what is replaced anyway.
    fn insert_fixed(&self, fills: &Fills<'_>, across: bool) -> Result<Vec<Splice>, Fault> {
        let taken: Vec<Span> = fills.replaced.iter().flatten().map(|(at, _)| *at).collect();
        let mut splices = self.fixed_splices(across)?;
        splices.retain(|n| {
            let within = |t: &Span| t.start <= n.at.start && n.at.end <= t.end;
            !taken.iter().any(within)
        });
        Ok(splices)
    }

    fn row_splices(
        &self,
        insert: &InsertRoute,
        fills: &Fills<'_>,
        rows: &[usize],
        ids: &[Vec<i64>],
        splices: &mut Vec<Splice>,
    ) -> Result<(), Fault> {
        let added = &fills.added;
        if !added.is_empty() {
            let names: Vec<String> = added
                .iter()
                .map(|(c, _)| format!(", \"{}\"", c.replace('"', "\"\"")))
                .collect();
            let text = format!(
                "{}{}{}",
                insert.rows.list_prefix,
                names.concat(),
                insert.rows.list_suffix
            );
            splices.push(Splice::insert(insert.list_at, text));
        }
        let kept: BTreeSet<usize> = rows.iter().copied().collect();
        let mut first = true;
        let mut previous_end = None;
        for (i, span) in insert.spans.iter().enumerate() {
            // From the end of the row before, so that the comma goes with its row.
            let from = previous_end.unwrap_or(span.start);
            previous_end = Some(span.end);
            if !kept.contains(&i) {
                splices.push(Splice::replace(
                    Span {
                        start: from,
                        end: span.end,
                    },
                    "",
                ));
                continue;
            }
            if first && from != span.start {
                splices.push(Splice::replace(
                    Span {
                        start: from,
                        end: span.start,
                    },
                    " ",
                ));
            }
            first = false;
            let mut next = ids[i].iter();
            let mut text_of = |fill: &Fill| match fill {
                Fill::NextId => Ok(next
                    .next()
                    .map_or_else(|| "DEFAULT".to_string(), ToString::to_string)),
                Fill::Now(ty) => self.time_text(time_type(*ty), None, self.moment.now_us),
                Fill::Default(text) => self.default_text(text),
            };
            for (at, fill) in &fills.replaced[i] {
                splices.push(Splice::replace(*at, text_of(fill)?));
            }
            let values: Vec<String> = added
                .iter()
                .map(|(_, fill)| Ok(format!(", {}", text_of(fill)?)))
                .collect::<Result<_, Fault>>()?;
            if !values.is_empty() {
                splices.push(Splice::insert(span.end - 1, values.concat()));
            }
        }
        Ok(())
    }
}

/// The fills that one execution needs: columns added, and per row the cells replaced.
struct Fills<'i> {
    added: Vec<(&'i str, &'i Fill)>,
    replaced: Vec<Vec<(Span, &'i Fill)>>,
}

fn time_type(ty: KeyType) -> TimeType {
    match ty {
        KeyType::Date => TimeType::Date,
        KeyType::Timestamp => TimeType::Timestamp,
        _ => TimeType::Timestamptz,
    }
}

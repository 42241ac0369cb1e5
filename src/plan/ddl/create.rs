//! CREATE TABLE: the partitioning of the rules is added to it, and the shards are made with it.

use crate::model::{Code, Fault, KeyType, NodeId};
use crate::topology::placement::{partition_by, physical_name, shard_bounds};
use crate::topology::{Layout, Sharding, Table};

use super::super::analyze::locate;
use super::super::compile::{Compiled, Compiler, Route};
use super::super::query::Name;
use super::super::reader::Reader;
use super::super::scope::Home;
use super::super::splice::Splice;
use super::{declared_type, shards_at_start, unsupported};

impl Compiler<'_> {
    pub(super) fn create_table(&self, mut r: Reader<'_>, now_us: i64) -> Result<Compiled, Fault> {
        let if_not_exists = r.take_all(&["if", "not", "exists"]);
        let Some(name) = r.name() else {
            return Ok(self.finish(Route::Fixed(self.view.database.anywhere)));
        };
        self.refuse_shards_named()?;
        self.refuse_own_partitions(&r)?;
        let located = locate(&name, self.view);
        if let Home::Sharded(sharding) = &located.home {
            self.refuse_local_unique(&located.name, sharding, self.declared_unique().as_deref())?;
        }
        self.guard_foreign_keys(&located)?;
        let temporary = self
            .tokens
            .iter()
            .take_while(|t| t.start < name.span.start)
            .any(|t| t.is_word(self.sql, "temp") || t.is_word(self.sql, "temporary"));
        let several = self.view.database.nodes().len() > 1;
        if temporary && several {
            return Err(Fault::new(
                Code::SESSION_STATE,
                "temporary tables can't be kept over several nodes",
            )
            .hint("Use an ordinary table, or a WITH query."));
        }
        let mut probe = r.clone();
        probe.parens();
        let as_query = (probe.at..self.tokens.len()).any(|i| self.tokens[i].is_word(self.sql, "as"));
        let route = match &located.home {
            Home::Node(n) if as_query => {
                let homes = self.homes_by_names();
                let here = |h: &Home| match h {
                    Home::Node(m) => m == n,
                    Home::Everywhere(list) => list.contains(n),
                    Home::Sharded(_) => false,
                    Home::System => true,
                };
                if !homes.iter().all(|(_, h)| here(h)) {
                    return Err(unsupported("CREATE TABLE AS over tables of other nodes"));
                }
                Route::Fixed(*n)
            }
            Home::Node(n) => Route::Same {
                nodes: self.with_shell(vec![*n]),
            },
            Home::System => Route::Fixed(self.view.database.anywhere),
            Home::Everywhere(_) | Home::Sharded(_) if as_query && several => {
                return Err(unsupported("CREATE TABLE AS of a table that is on several nodes")
                    .hint("Create the table first, then insert its rows."));
            }
            Home::Everywhere(nodes) => Route::Same {
                nodes: self.with_shell(nodes.clone()),
            },
            Home::Sharded(s) if s.layout == Layout::PerNode => Route::Same {
                nodes: self.with_shell(s.nodes.clone()),
            },
            Home::Sharded(s) => {
                let Some(rule) = located.rule.as_deref() else {
                    return Err(Fault::internal("a sharded table without rules"));
                };
                let mut body = r.clone();
                if !body.parens() {
                    return Err(unsupported(
                        "CREATE TABLE of a sharded table without a column list",
                    ));
                }
                Route::Parts(self.create_parts(&name, rule, s, &r, if_not_exists, now_us)?)
            }
        };
        let mut compiled = self.finish(route);
        compiled.changes_catalog = true;
        compiled.pins = temporary;
        Ok(compiled)
    }

    /// `PARTITION OF` and `INHERITS` of a table of the rules: what it is made of is theirs to say.
    fn refuse_own_partitions(&self, behind_name: &Reader<'_>) -> Result<(), Fault> {
        let mut r = behind_name.clone();
        let mut parents = Vec::new();
        if r.take_all(&["partition", "of"]) {
            parents.extend(r.name());
        }
        while !r.done() {
            if !r.parens() && !r.take("inherits") {
                r.at += 1;
                continue;
            }
            let mut list = r.clone();
            let inherits = list.at > 0 && self.tokens[list.at - 1].is_word(self.sql, "inherits");
            if inherits && list.take_punct('(') {
                parents.extend(list.name());
                while list.take_punct(',') {
                    parents.extend(list.name());
                }
            }
        }
        let split = |name: &Name| {
            let located = locate(name, self.view);
            matches!(located.home, Home::Sharded(_) | Home::Everywhere(_)).then_some(located.name)
        };
        match parents.iter().find_map(split) {
            None => Ok(()),
            Some(parent) => Err(
                unsupported(&format!("making a part of {parent}, which the rules spread,"))
                    .hint("The rules say which parts it has; Margay makes them."),
            ),
        }
    }

    pub(super) fn create_parts(
        &self,
        name: &Name,
        rule: &Table,
        sharding: &Sharding,
        columns: &Reader<'_>,
        if_not_exists: bool,
        now_us: i64,
    ) -> Result<Vec<(NodeId, String)>, Fault> {
        let shards = shards_at_start(sharding, now_us);
        let mut parts: Vec<(NodeId, String)> = self.shell_part().into_iter().collect();
        if sharding.layout == Layout::Separate {
            for shard in shards {
                let mut splices = vec![self.rename(name, rule, shard)];
                splices.extend(self.constraint_names(rule, shard));
                parts.push((sharding.node_of(shard), self.splice(splices)));
            }
            return Ok(parts);
        }
        let types = self.key_types(rule, sharding, columns)?;
        let clause = partition_by(sharding, &types).ok_or_else(|| {
            Fault::new(
                Code::RULES,
                format!("{} can't be partitioned by its rules", rule.name),
            )
        })?;
        let mut end = columns.clone();
        end.parens();
        let close = self.tokens[end.at - 1].end;
        if (end.at..self.tokens.len()).any(|i| self.tokens[i].is_word(self.sql, "partition")) {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                format!("{} is partitioned by Margay's rules", rule.name),
            )
            .hint("Leave PARTITION BY out; the rules say how the table is split."));
        }
        let parent = self.splice(vec![Splice::insert(
            self.shape.position(close - 1) + 1,
            format!(" {clause}"),
        )]);
        let exists = if if_not_exists { "IF NOT EXISTS " } else { "" };
        for &node in &sharding.nodes {
            parts.push((node, parent.clone()));
            for shard in shards.iter().filter(|s| sharding.node_of(**s) == node) {
                let Some(bounds) = shard_bounds(sharding, *shard, &types) else {
                    continue;
                };
                parts.push((
                    node,
                    format!(
                        "CREATE TABLE {exists}\"{}\".\"{}\" PARTITION OF \"{}\".\"{}\" {bounds}",
                        rule.name.schema,
                        physical_name(rule, *shard),
                        rule.name.schema,
                        rule.name.table
                    ),
                ));
            }
        }
        Ok(parts)
    }

    /// The key columns' types, as the statement itself declares them.
    pub(super) fn key_types(
        &self,
        rule: &Table,
        sharding: &Sharding,
        columns: &Reader<'_>,
    ) -> Result<Vec<KeyType>, Fault> {
        sharding
            .key
            .iter()
            .map(|key| {
                let ty = declared_type(self.sql, columns.clone(), &key.column).or(key.ty);
                ty.ok_or_else(|| {
                    Fault::new(
                        Code::KEY_TYPE_UNKNOWN,
                        format!("{} has no column {} of a type that can be a sharding key", rule.name, key.column),
                    )
                    .hint("Its rules name that column as the key: declare it as an integer, text, uuid, date or timestamp.")
                })
            })
            .collect()
    }
}

//! Tables whose shards are tables of their own: one statement per shard, names put in.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Code, Fault, NodeId, ShardId};
use crate::topology::Layout;
use crate::topology::placement::physical_name;

use super::super::compile::{NamedTable, Tables};
use super::super::prune::{Pruning, Shards};
use super::super::scope::Home;
use super::super::splice::Splice;
use super::super::types::{Merge, Part, Plan};
use super::{Binder, Bound, cross_node, part};

impl Binder<'_, '_> {
    /// Statements that name physical tables: one per shard.
    pub(super) fn by_shard(&mut self, tables: &Tables, shards: &[Option<Shards>]) -> Bound {
        let mut lists: Vec<Option<Vec<ShardId>>> = Vec::new();
        for (table, set) in tables.tables.iter().zip(shards) {
            lists.push(match (&table.pruning, set) {
                (Some(p), Some(set)) => Some(set.listed(&p.sharding).ok_or_else(|| {
                    Fault::new(
                        Code::UNSUPPORTED_STATEMENT,
                        format!("the shards of {} can't be listed", table.table.name),
                    )
                })?),
                _ => None,
            });
        }
        if let Some(plan) = self.one_shard_each(tables, &lists)? {
            return Ok(plan);
        }
        let scatter = tables.scatter.as_ref().map_err(Clone::clone)?;
        let union: BTreeSet<ShardId> = lists.iter().flatten().flatten().copied().collect();
        let (merge, common) = self.merge(scatter)?;
        let Some(first) = tables.tables.iter().find_map(|t| t.pruning.as_ref()) else {
            return Err(cross_node());
        };
        // Shard numbers of different placements don't go together, and a table that keeps its name would be
        // read once for each shard of the others.
        let alike = |p: &Pruning| {
            p.sharding.group == first.sharding.group && p.sharding.layout == first.sharding.layout
        };
        if union.is_empty() || !tables.tables.iter().filter_map(|t| t.pruning.as_ref()).all(alike) {
            return Err(cross_node());
        }
        let needs_param_types = self.drops_params(scatter, &common);
        let mut parts = Vec::new();
        for shard in union {
            let node = first.sharding.node_of(shard);
            self.check_complete(tables, node)?;
            let mut splices = common.clone();
            splices.extend(
                tables
                    .tables
                    .iter()
                    .filter(|t| t.pruning.is_some())
                    .flat_map(|t| name_splice(t, shard)),
            );
            parts.push(Part {
                shards: vec![shard],
                needs_param_types,
                ..part(node, self.spliced(splices))
            });
        }
        Ok(self.plan(parts, if tables.write { Merge::Sum } else { merge }))
    }

    /// One shard of each table at most, all of them on one node.
    pub(super) fn one_shard_each(
        &self,
        tables: &Tables,
        lists: &[Option<Vec<ShardId>>],
    ) -> Result<Option<Plan>, Fault> {
        if lists.iter().flatten().any(|l| l.len() > 1) {
            return Ok(None);
        }
        let wanted = |at: usize| lists[at].as_ref().and_then(|l| l.first().copied());
        let mut nodes = BTreeSet::new();
        // A WITH that is referenced twice is one place in the text, where one name only can be put.
        let mut shards: BTreeMap<u32, ShardId> = BTreeMap::new();
        for (at, table) in tables.tables.iter().enumerate() {
            match (&table.pruning, wanted(at), &table.table.home) {
                (Some(p), Some(shard), _) => {
                    nodes.insert(p.sharding.node_of(shard));
                    if *shards.entry(table.at.start).or_insert(shard) != shard {
                        return Ok(None);
                    }
                }
                (None, _, Home::Node(node)) => drop(nodes.insert(*node)),
                _ => {}
            }
        }
        let first = tables.tables.iter().find_map(|t| t.pruning.as_ref());
        let node = match (nodes.len(), nodes.first(), first) {
            (1, Some(node), _) => *node,
            (0, _, Some(p)) => p.sharding.node_of(ShardId(0)),
            _ => return Ok(None),
        };
        self.check_complete(tables, node)?;
        let mut splices = self.fixed_splices(false)?;
        let mut touched = Vec::new();
        for table in &tables.tables {
            let Some(p) = &table.pruning else { continue };
            // No row of it is needed: any of its shards on the node will do.
            let any = || {
                (0..p.sharding.place.len() as i32)
                    .map(ShardId)
                    .find(|s| p.sharding.node_of(*s) == node)
            };
            let Some(shard) = shards.get(&table.at.start).copied().or_else(any) else {
                return Err(cross_node());
            };
            touched.push(shard);
            splices.extend(name_splice(table, shard));
        }
        touched.dedup();
        let part = Part {
            shards: touched,
            ..part(node, self.spliced(splices))
        };
        Ok(Some(self.plan(vec![part], Merge::Relay)))
    }

    pub(super) fn check_complete(&self, tables: &Tables, node: NodeId) -> Result<(), Fault> {
        let missing = tables.tables.iter().any(|t| match &t.table.home {
            Home::Everywhere(list) => !list.contains(&node),
            Home::Node(n) => *n != node,
            Home::Sharded(_) | Home::System => false,
        });
        if missing { Err(cross_node()) } else { Ok(()) }
    }
}

pub(super) fn name_splice(table: &NamedTable, shard: ShardId) -> Option<Splice> {
    let rule = table.table.rule.as_ref()?;
    let pruning = table.pruning.as_ref()?;
    if pruning.sharding.layout == Layout::PerNode {
        return None;
    }
    let quote = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
    let mut text = format!(
        "{}.{}",
        quote(&table.table.name.schema),
        quote(&physical_name(rule, shard))
    );
    if !table.table.has_alias {
        // The statement may qualify columns by the table's name.
        text.push_str(&format!(" AS {}", quote(&table.written)));
    }
    Some(Splice::replace(table.at, text))
}

//! Shard → node.

use crate::model::NodeId;

use super::super::file::{Place, Shards};
use super::super::problem::suggest;
use super::{Check, join};

/// The nodes a table may use, as its domain lists them.
pub(super) struct DomainNodes<'d> {
    pub domain: &'d str,
    pub names: &'d [String],
    pub ids: &'d [NodeId],
}

impl Check<'_> {
    /// A node's name at `path` that must be one of the domain's.
    pub(super) fn domain_node(
        &mut self,
        name: &str,
        nodes: &DomainNodes<'_>,
        path: &[&str],
    ) -> Option<NodeId> {
        let known = nodes
            .names
            .iter()
            .position(|n| n == name)
            .and_then(|i| nodes.ids.get(i))
            .copied();
        if known.is_none() {
            let fix = suggest(name, nodes.names.iter().map(String::as_str));
            let message = format!("`{name}` is no node of the domain `{}`", nodes.domain);
            self.wrong(path, message, fix);
        }
        known
    }

    /// The node of each shard: as `place` says, else the domain's nodes in turn.
    pub(super) fn place(
        &mut self,
        place: Option<&Place>,
        count: u32,
        nodes: &DomainNodes<'_>,
        path: &[&str],
    ) -> Vec<NodeId> {
        let in_turn: Vec<NodeId> = nodes.ids.iter().copied().cycle().take(count as usize).collect();
        let path = join(path, &["place"]);
        let placed = match place {
            None => return in_turn,
            Some(Place::List(names)) => {
                if names.len() != count as usize {
                    let message = format!("`place` names {} nodes for {count} shards", names.len());
                    self.wrong(
                        &path,
                        message,
                        format!("name {count} nodes, that of shard 0 first"),
                    );
                }
                let mut placed = Vec::with_capacity(names.len());
                for (i, name) in names.iter().enumerate() {
                    placed.push(self.domain_node(name, nodes, &join(&path, &[&i.to_string()])));
                }
                placed
            }
            Some(Place::Map(map)) => {
                let mut placed = vec![None; count as usize];
                for (name, shards) in map.iter() {
                    let path = join(&path, &[name]);
                    let node = self.domain_node(name, nodes, &path).unwrap_or(NodeId(0));
                    for (i, shards) in shards.iter().enumerate() {
                        let index = i.to_string();
                        let path = join(&path, &[&index]);
                        self.shards(
                            shards,
                            count,
                            &path,
                            |slot, shard, check, path| {
                                if let Some(other) = slot {
                                    let other: &NodeId = other;
                                    let other =
                                        check.node_names.get(other.index()).cloned().unwrap_or_default();
                                    let message = format!(
                                        "shard {shard} is placed twice: on `{other}` and on `{name}`"
                                    );
                                    check.wrong(path, message, "place each shard once");
                                }
                                *slot = Some(node);
                            },
                            &mut placed,
                        );
                    }
                }
                let missing: Vec<String> = placed
                    .iter()
                    .enumerate()
                    .filter(|(_, p)| p.is_none())
                    .map(|(i, _)| i.to_string())
                    .collect();
                if !missing.is_empty() {
                    let some = missing.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
                    let more = if missing.len() > 10 { ", …" } else { "" };
                    self.wrong(
                        &path,
                        format!("no node for shard {some}{more}"),
                        format!("place each shard from 0 to {}", count - 1),
                    );
                }
                placed
            }
        };
        // Holes were reported; what fills them is thrown away.
        let mut placed: Vec<NodeId> = placed.into_iter().map(|p| p.unwrap_or(NodeId(0))).collect();
        placed.resize(count as usize, NodeId(0));
        placed
    }

    /// Calls `put` for each shard that `3` or `0-7` names.
    fn shards(
        &mut self,
        shards: &Shards,
        count: u32,
        path: &[&str],
        mut put: impl FnMut(&mut Option<NodeId>, u32, &mut Self, &[&str]),
        placed: &mut [Option<NodeId>],
    ) {
        let ends = match shards {
            Shards::One(shard) => Some((*shard, *shard)),
            Shards::Several(text) => match text.split_once('-') {
                Some((first, last)) => first.trim().parse().ok().zip(last.trim().parse().ok()),
                None => text.trim().parse().ok().map(|shard| (shard, shard)),
            },
        };
        match ends {
            Some((first, last)) if first <= last && last < count => {
                for shard in first..=last {
                    if let Some(slot) = placed.get_mut(shard as usize) {
                        put(slot, shard, self, path);
                    }
                }
            }
            Some(_) | None => {
                let text = match shards {
                    Shards::One(shard) => shard.to_string(),
                    Shards::Several(text) => text.clone(),
                };
                let fix = format!(
                    "write a number from 0 to {}, or a range as `0-{}`",
                    count - 1,
                    count - 1
                );
                self.wrong(path, format!("`{text}` names no shard: there are {count}"), fix);
            }
        }
    }
}

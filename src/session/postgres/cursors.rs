//! Cursors declared in SQL: which node each of a transaction's is on.

use super::session::Session;
use crate::model::NodeId;
use crate::pipeline::Task;
use crate::plan::{CursorUse, Merge, Part, Plan, Role};

impl Session {
    fn cursor_node(&self, name: &str) -> Option<NodeId> {
        let cursors = &self.hold.txn.block()?.cursors;
        cursors
            .iter()
            .find(|(own, _)| **own == *name)
            .map(|(_, node)| *node)
    }

    /// A cursor that was declared in SQL is a portal too: where messages about it go.
    pub fn cursor_task(&self, name: &[u8]) -> Option<Task> {
        let node = self.cursor_node(std::str::from_utf8(name).ok()?)?;
        Some(Task {
            node,
            role: Role::Primary,
            writes: false,
            pins: false,
        })
    }

    /// Sends FETCH, MOVE and CLOSE to where their cursor is. One that isn't known stays where it is: that
    /// server says that there is none.
    pub fn place_cursor(&self, plan: &mut Plan) {
        let [part] = plan.parts.as_slice() else { return };
        match &plan.cursor {
            Some(CursorUse::Uses(name)) => {
                let node = self.cursor_node(name).unwrap_or(part.node);
                plan.parts[0].node = node;
            }
            Some(CursorUse::All) => {
                let mut nodes: Vec<NodeId> = self.hold.txn.block().map_or(Vec::new(), |block| {
                    block.cursors.iter().map(|(_, node)| *node).collect()
                });
                nodes.sort_unstable();
                nodes.dedup();
                if !nodes.is_empty() {
                    let part = part.clone();
                    plan.parts = nodes
                        .into_iter()
                        .map(|node| Part { node, ..part.clone() })
                        .collect();
                }
                if plan.parts.len() > 1 {
                    plan.merge = Merge::Same;
                }
            }
            Some(CursorUse::Declares(_)) | None => {}
        }
    }

    /// After a statement was carried out.
    pub fn note_cursor(&mut self, plan: &Plan) {
        let (Some(CursorUse::Declares(name)), [part]) = (&plan.cursor, plan.parts.as_slice()) else {
            return;
        };
        if let Some(block) = self.hold.txn.block_mut() {
            block.cursors.retain(|(own, _)| own != name);
            block.cursors.push((name.clone(), part.node));
        }
    }
}

//! Cursors declared in SQL: which node each of a transaction's is on.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::session::Session;
use super::session::{PipelineClient as Client, client};
use crate::model::{Code, Fault, NodeId};
use crate::pipeline::{self, Failure, Rows, Task};
use crate::plan::{CursorStep, CursorUse, Merge, Part, Plan, Role};
use crate::wire::postgres::backend;
use crate::wire::postgres::frontend::Bind;

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
            // It is on several nodes: nothing is sent as it is.
            Some(CursorUse::Uses { name, .. }) if self.extended.fetching.contains_key(name.as_bytes()) => {
                plan.parts.clear();
            }
            Some(CursorUse::Uses { name, .. }) => {
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
            Some(CursorUse::Declares { .. }) | None => {}
        }
    }

    /// After a statement was carried out.
    pub fn note_cursor(&mut self, plan: &Plan) {
        let closed: Option<&str> = match &plan.cursor {
            Some(CursorUse::Uses {
                name,
                what: CursorStep::Close,
            }) => Some(name),
            Some(CursorUse::All) => None,
            Some(CursorUse::Uses { .. } | CursorUse::Declares { .. }) | None => Some(""),
        };
        if let Some(block) = self.hold.txn.block_mut() {
            block
                .cursors
                .retain(|(own, _)| closed.is_some_and(|name| **own != *name));
        }
        let (Some(CursorUse::Declares { name, .. }), [part]) = (&plan.cursor, plan.parts.as_slice()) else {
            return;
        };
        if let Some(block) = self.hold.txn.block_mut() {
            block.cursors.retain(|(own, _)| own != name);
            block.cursors.push((name.clone(), part.node));
        }
    }

    /// The statement is about a cursor over several nodes, or makes one.
    pub fn is_spread_cursor(&self, plan: &Plan) -> bool {
        match &plan.cursor {
            Some(CursorUse::Declares { .. }) => pipeline::task(plan).is_none(),
            Some(CursorUse::Uses { .. }) => plan.parts.is_empty(),
            Some(CursorUse::All) | None => false,
        }
    }

    /// DECLARE, FETCH, MOVE and CLOSE of a cursor over several nodes. `describe`: the client wants to hear
    /// the columns. `bind`: the client's, with the parameters' types.
    pub async fn spread_cursor(
        &mut self,
        plan: &Arc<Plan>,
        text: &str,
        bind: (&[u32], Option<&Bind<'_>>),
        describe: bool,
        owes_bind: bool,
    ) -> Result<u64, Failure> {
        if let Some(CursorUse::Declares { name, at }) = &plan.cursor {
            self.declare_spread(name, plan, (text, *at), bind).await?;
            if owes_bind {
                backend::bind_complete(self.out.buf());
            }
            if describe && bind.1.is_some() {
                backend::no_data(self.out.buf());
            }
            backend::command_complete(self.out.buf(), b"DECLARE CURSOR");
            return Ok(0);
        }
        if owes_bind {
            backend::bind_complete(self.out.buf());
        }
        let rowless = match &plan.cursor {
            Some(CursorUse::Uses { what, .. }) => !matches!(what, CursorStep::Forward { moves: false, .. }),
            Some(CursorUse::Declares { .. } | CursorUse::All) | None => false,
        };
        if describe && rowless && bind.1.is_some() {
            backend::no_data(self.out.buf());
        }
        let (name, what) = match &plan.cursor {
            Some(CursorUse::Uses { name, what }) => (name, *what),
            Some(CursorUse::Declares { .. } | CursorUse::All) | None => {
                return Err(Fault::internal("no cursor").into());
            }
        };
        let no_cursor = || {
            let message = format!("cursor \"{name}\" does not exist");
            Failure::Margay(Fault::new(Code::NO_PORTAL, message))
        };
        let mut cursor = self
            .extended
            .fetching
            .remove(name.as_bytes())
            .ok_or_else(no_cursor)?;
        let (rows, moves) = match what {
            CursorStep::Close => {
                cursor.close(&mut self.hold, client!(self)).await?;
                backend::command_complete(self.out.buf(), b"CLOSE CURSOR");
                return Ok(0);
            }
            CursorStep::Forward { rows, moves } => (rows, moves),
            CursorStep::Elsewhere => {
                let fault = Fault::new(
                    Code::SESSION_STATE,
                    "a cursor over several nodes can only be read forward",
                );
                return Err(fault.hint("Use FETCH FORWARD, NEXT or ALL.").into());
            }
        };
        if bind.1.is_some_and(|b| b.result_formats.iter().any(|f| f != 0)) {
            let fault = Fault::new(
                Code::SESSION_STATE,
                "FETCH from a cursor over several nodes gives text only",
            );
            return Err(fault.hint("Ask for text results.").into());
        }
        if describe && !moves {
            let description = cursor.description();
            put_message(self.out.buf(), b'T', &description);
        }
        let kind = if moves { Rows::Dropped } else { Rows::Told };
        let portion = cursor.fetch(&mut self.hold, rows, kind, client!(self)).await?;
        self.extended.fetching.insert(name.as_bytes(), cursor);
        let word = if moves { "MOVE" } else { "FETCH" };
        backend::command_complete(self.out.buf(), format!("{word} {}", portion.rows).as_bytes());
        Ok(portion.rows)
    }

    async fn declare_spread(
        &mut self,
        name: &str,
        plan: &Arc<Plan>,
        (text, at): (&str, usize),
        (types, bind): (&[u32], Option<&Bind<'_>>),
    ) -> Result<(), Failure> {
        if self.hold.txn.block().is_none_or(|block| block.implicit) {
            let fault = Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                "DECLARE CURSOR can only be used in transaction blocks",
            );
            return Err(fault.sqlstate("25P01").into());
        }
        let taken = self.extended.fetching.contains_key(name.as_bytes())
            || self.extended.portals.contains_key(name.as_bytes())
            || self.cursor_node(name).is_some();
        if taken {
            let fault = Fault::new(
                Code::DUPLICATE_STATEMENT,
                format!("cursor \"{name}\" already exists"),
            );
            return Err(fault.sqlstate("42P03").into());
        }
        let Merge::Rows(rule) = &plan.merge else {
            return Err(Fault::internal("a cursor without rows").into());
        };
        let hold = &mut self.hold;
        let cursor = pipeline::open(hold, plan, rule, (text, at), (types, bind), client!(self)).await?;
        self.extended.fetching.insert(name.as_bytes(), cursor);
        Ok(())
    }

    /// A portal over several nodes, read in portions.
    pub async fn execute_portion(
        &mut self,
        name: &[u8],
        plan: &Arc<Plan>,
        text: &str,
        (types, bind): (&[u32], &Bind<'_>),
        (describe, most): (bool, u32),
        owes_bind: bool,
    ) -> Result<u64, Failure> {
        let Merge::Rows(rule) = &plan.merge else {
            return Err(Fault::internal("a portal without rows").into());
        };
        self.hold.begin_implicit();
        let mut portal = match self.extended.fetching.remove(name) {
            Some(portal) => portal,
            None => {
                let hold = &mut self.hold;
                pipeline::open(hold, plan, rule, (text, 0), (types, Some(bind)), client!(self)).await?
            }
        };
        if owes_bind {
            backend::bind_complete(self.out.buf());
        }
        if describe {
            let description = portal.description();
            put_message(self.out.buf(), b'T', &description);
        }
        let most = if most == 0 { u64::MAX } else { u64::from(most) };
        let portion = portal
            .fetch(&mut self.hold, most, Rows::Told, client!(self))
            .await?;
        self.extended.fetching.insert(name, portal);
        if portion.at_end {
            backend::command_complete(self.out.buf(), format!("SELECT {}", portion.rows).as_bytes());
        } else {
            backend::portal_suspended(self.out.buf());
        }
        Ok(portion.rows)
    }

    /// CLOSE ALL: those over several nodes first.
    pub async fn close_spread_cursors(&mut self) -> Result<(), Failure> {
        for cursor in std::mem::take(&mut self.extended.fetching).into_values() {
            cursor.close(&mut self.hold, client!(self)).await?;
        }
        Ok(())
    }
}

pub(super) fn put_message(out: &mut BytesMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    // It came in a message of a server's.
    out.put_u32(body.len() as u32 + 4);
    out.put_slice(body);
}

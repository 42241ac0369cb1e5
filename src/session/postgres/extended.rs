//! The extended protocol: messages are collected up to Sync or Flush, told apart into groups
//! by the server they go to, and run in order.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::command::ends_failed_transaction;
use super::group::{Group, Item, Renamed, Under};
use super::session::Session;
use super::session::{PipelineClient as Client, client};
use super::simple::statement_text;
use super::statements::Prepared;
use crate::model::{Code, Fault};
use crate::pipeline::{self, Failure, Tier, Txn};
use crate::plan::Command;
use crate::wire::postgres::frame::Frame;
use crate::wire::postgres::frontend::{self, Message, Target};

const PARSE_COMPLETE: Bytes = Bytes::from_static(b"1\0\0\0\x04");
const CLOSE_COMPLETE: Bytes = Bytes::from_static(b"3\0\0\0\x04");

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Sync,
    /// More of the same implicit transaction may follow.
    Flush,
}

impl Session {
    pub async fn flush_batch(&mut self) {
        if !self.extended.batch.is_empty() {
            self.run_batch(End::Flush).await;
        }
        self.out.flush().await;
    }

    pub async fn sync(&mut self) {
        let copied = self.run_batch(End::Sync).await;
        if copied {
            // PostgreSQL reads this Sync while it waits for COPY data, and ignores it there; the client sends
            // another one behind the data.
            self.out.flush().await;
            return;
        }
        if !self.extended.skipping
            && self.hold.txn.block().is_some()
            && let Err(failure) = Box::pin(self.end_implicit()).await
        {
            Box::pin(self.failed(failure)).await;
        }
        self.extended.skipping = false;
        if matches!(self.hold.txn, Txn::Idle) {
            self.extended.end_portals();
        }
        self.ready().await;
    }

    /// Runs what was collected; true: COPY data went to a server.
    async fn run_batch(&mut self, end: End) -> bool {
        let batch = std::mem::take(&mut self.extended.batch);
        self.extended.bytes = 0;
        if batch.is_empty() {
            return false;
        }
        self.begin_message();
        if let Some(feed) = &mut self.feed {
            feed.used = false;
        }
        if let Err(failure) = self.messages(&batch, end).await {
            self.extended.skipping = true;
            Box::pin(self.failed(failure)).await;
        }
        // The batch's own memory is used again.
        let mut batch = batch;
        batch.clear();
        self.extended.batch = batch;
        self.feed.as_ref().is_some_and(|feed| feed.used)
    }

    async fn messages(&mut self, batch: &[Frame], end: End) -> Result<(), Failure> {
        let mut group = Group::default();
        for at in 0..batch.len() {
            // Whether messages follow that belong to the same transaction: if one fails, so does what ran before.
            let may_fail = |f: &Frame| matches!(f.tag, b'E' | b'P' | b'B' | b'D');
            let more = end == End::Flush || batch[at + 1..].iter().any(may_fail);
            let placed = self.place(batch, at, &mut group, more).await;
            if let Err(failure) = placed {
                // What came before it is carried out, as PostgreSQL does.
                Box::pin(self.run_group(&mut group, true)).await?;
                return Err(failure);
            }
        }
        self.run_group(&mut group, end == End::Flush).await
    }

    /// Puts one message into the group, running the group first where the message can't join it.
    async fn place(
        &mut self,
        batch: &[Frame],
        at: usize,
        group: &mut Group,
        more: bool,
    ) -> Result<(), Failure> {
        let frame = &batch[at];
        match frontend::decode(frame.tag, frame.body()).map_err(Fault::from)? {
            Message::Parse(parse) => {
                let types: Box<[u32]> = parse.types.iter().collect();
                let before = self.extended.statements.get(parse.name).cloned();
                let statement = self.parse(parse.name, parse.query, types).await?;
                group.renames(parse.name, before);
                let rest = &batch[at + 1..];
                let item = match &statement.statement.command {
                    Command::Query(_) => {
                        if group.task.is_none() && group.fallback.is_none() && !is_bound_in(rest, parse.name)
                        {
                            group.fallback = Some(self.describe_node(&statement)?);
                        }
                        Item::Parse {
                            statement,
                            frame: frame.clone(),
                        }
                    }
                    _ => Item::Local(PARSE_COMPLETE),
                };
                group.items.push(item);
                Ok(())
            }
            Message::Describe {
                target: Target::Statement,
                name,
            } => {
                let statement = self.current_statement(name)?;
                Box::pin(self.describe_statement(statement, group, more)).await
            }
            Message::Describe {
                target: Target::Portal,
                name,
            } => {
                self.describe_portal(name, frame, &batch[at + 1..], group, more)
                    .await
            }
            Message::Bind(bind) => self.bind_portal(&bind, frame, &batch[at + 1..], group).await,
            Message::Execute { portal, max_rows } => self.execute(portal, max_rows, frame, group, more).await,
            Message::Close {
                target: Target::Statement,
                name,
            } => {
                let before = self.extended.statements.remove(name);
                group.renames(name, before);
                group.items.push(Item::Local(CLOSE_COMPLETE));
                Ok(())
            }
            Message::Close {
                target: Target::Portal,
                name,
            } => {
                if let Some(portal) = self.extended.fetching.remove(name) {
                    self.extended.portals.remove(name);
                    Box::pin(self.run_group(group, more)).await?;
                    if !matches!(self.hold.txn, Txn::Failed(_)) {
                        Box::pin(portal.close(&mut self.hold, client!(self))).await?;
                    }
                    group.items.push(Item::Local(CLOSE_COMPLETE));
                    return Ok(());
                }
                let task = match self.extended.portals.remove(name) {
                    Some(portal) if portal.on_server => portal.plan.as_deref().and_then(pipeline::task),
                    Some(_) => None,
                    None => self.cursor_task(name),
                };
                match task {
                    Some(task) => {
                        self.make_room(task, group).await?;
                        group.items.push(Item::ClosePortal { frame: frame.clone() });
                    }
                    None => group.items.push(Item::Local(CLOSE_COMPLETE)),
                }
                Ok(())
            }
            _ => Err(Fault::new(Code::PROTOCOL, "a message that is no part of a batch").into()),
        }
    }

    async fn parse(
        &mut self,
        name: &[u8],
        query: &[u8],
        types: Box<[u32]>,
    ) -> Result<Arc<Prepared>, Failure> {
        let view = self.view();
        let sql = &*statement_text(query, view.text)?;
        // Drivers that prepare nothing by name send the same text again and again.
        if name.is_empty()
            && let Some(same) = self.extended.statements.get(name)
            && *same.statement.text == *sql
            && same.types == types
            && same.read_under == view.fingerprint
            && !matches!(self.hold.txn, Txn::Failed(_))
        {
            return Ok(Arc::clone(same));
        }
        if name.is_empty() {
            // It is gone even if this Parse fails.
            self.extended.statements.remove(name);
        }
        if !name.is_empty() && self.extended.statements.contains_key(name) {
            let message = format!(
                "prepared statement \"{}\" already exists",
                String::from_utf8_lossy(name)
            );
            return Err(Fault::new(Code::DUPLICATE_STATEMENT, message).into());
        }
        let one = sql.trim_end().strip_suffix(';').unwrap_or(sql);
        if memchr::memchr(b';', one.as_bytes()).is_some()
            && crate::plan::split(sql, view.standard_conforming_strings).len() > 1
        {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Fault::new(Code::PROTOCOL, message).sqlstate("42601").into());
        }
        let statement = match self.read_now(sql) {
            Some(statement) => statement,
            None => Box::pin(self.read(sql)).await?,
        };
        if matches!(self.hold.txn, Txn::Failed(_)) && !ends_failed_transaction(&statement.command) {
            return Err(pipeline::aborted());
        }
        let prepared = Arc::new(Prepared::new(name, statement, types, view.fingerprint));
        self.extended.statements.insert(name, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// The statement of a name, read anew if the rules, the catalog or what the session has SET since then
    /// may give its text another meaning.
    pub fn current_statement(&mut self, name: &[u8]) -> Result<Arc<Prepared>, Failure> {
        let statement = self.extended.statement(name)?;
        let view = self.view();
        if statement.read_under == view.fingerprint {
            return Ok(statement);
        }
        let read = self.shared.planner.read(&statement.statement.text, &view)?;
        let renewed = Arc::new(Prepared {
            promised: statement.promised.clone(),
            is_kept: OnceLock::new(),
            ..Prepared::new(name, read, statement.types.clone(), view.fingerprint)
        });
        self.extended.statements.insert(name, Arc::clone(&renewed));
        Ok(renewed)
    }

    fn describe_node(&mut self, statement: &Prepared) -> Result<crate::model::NodeId, Failure> {
        let view = self.view();
        Ok(statement.statement.describe(&view)?.node)
    }

    /// The group can take a statement for `task`, or is run first.
    pub async fn make_room(&mut self, task: pipeline::Task, group: &mut Group) -> Result<(), Failure> {
        if !group.join(task) {
            // This message at least follows.
            Box::pin(self.run_group(group, true)).await?;
            group.join(task);
        }
        Ok(())
    }

    /// Sends the group and relays its answers. `more`: statements follow that belong to the same
    /// transaction.
    pub async fn run_group(&mut self, group: &mut Group, more: bool) -> Result<(), Failure> {
        let group = std::mem::take(group);
        let Some(task) = group.target() else {
            for item in &group.items {
                if let Item::Local(bytes) = item {
                    self.out.pass(bytes).await;
                }
            }
            return Ok(());
        };
        if matches!(self.hold.txn, Txn::Failed(_)) {
            return Err(pipeline::aborted());
        }
        if more && group.executes > 0 && !group.outside_txn {
            self.hold.begin_implicit();
        }
        if group.executes > 0 && self.hold.needs_snapshot() {
            Box::pin(self.hold.take_snapshot()).await?;
        }
        let begun = Instant::now();
        let settings = Arc::clone(&self.hold.settings);
        let under = Under {
            settings: &settings,
            epoch: self.hold.database.catalog.epoch,
            text: self.hold.text,
        };
        let promised = group.is_promised();
        let result = pipeline::batch(&mut self.hold, task, promised, client!(self), |seat, exchange| {
            group.queue(seat, exchange, under);
        })
        .await;
        match &result {
            Ok(exchange) => {
                group.note_rows(&exchange.columns);
                self.note_described(&group, exchange.param_types.as_deref());
                self.catalog_changed |= group.changes_catalog;
            }
            Err(unfinished) => {
                self.extended.portals.clear();
                self.take_back_names(&group, unfinished.unanswered);
            }
        }
        if matches!(self.hold.txn, Txn::Idle) {
            // Their server has forgotten them at its Sync; they may be bound once more.
            self.extended
                .portals
                .values_mut()
                .for_each(|portal| portal.on_server = false);
        }
        let result = result
            .map(|exchange| exchange.rows)
            .map_err(|unfinished| unfinished.failure);
        match &group.sql {
            Some(sql) => self.record(sql, Tier::Single, begun, &result),
            None => self.hold.answered.clear(),
        }
        result.map(drop).map_err(|failure| group.in_words(failure))
    }

    /// What a Parse or Close behind the message that failed did to the names of statements never happened.
    fn take_back_names(&mut self, group: &Group, unanswered: Option<usize>) {
        let done = unanswered.map_or(0, |count| group.items.len().saturating_sub(count));
        for Renamed { at, name, before } in group.renamed.iter().rev().filter(|r| r.at >= done) {
            match before {
                // The unnamed one is gone even if its Parse fails.
                Some(_) if *at == done && name.is_empty() => self.extended.statements.remove(name),
                Some(before) => self.extended.statements.insert(name, Arc::clone(before)),
                None => self.extended.statements.remove(name),
            };
        }
    }

    /// Parameter types that went by, for routing by parameters in binary format.
    fn note_described(&mut self, group: &Group, types: Option<&[u32]>) {
        let mut described = group.items.iter().filter_map(|item| match item {
            Item::DescribeStatement { statement } => Some(statement),
            _ => None,
        });
        if let (Some(statement), None, Some(types)) = (described.next(), described.next(), types) {
            // Types as a server found them are as good as types that the client gave.
            if let Some(own) = self.extended.statements.get_mut(&statement.name)
                && Arc::ptr_eq(own, statement)
            {
                let (name, read) = (&statement.name, statement.statement.clone());
                *own = Arc::new(Prepared {
                    holds_oids: statement.holds_oids.clone(),
                    promised: statement.promised.clone(),
                    is_kept: statement.is_kept.clone(),
                    ..Prepared::new(name, read, types.into(), statement.read_under)
                });
            }
        }
    }
}

/// A Bind of that statement follows before another Parse of the name.
fn is_bound_in(rest: &[Frame], name: &[u8]) -> bool {
    for frame in rest {
        match frontend::decode(frame.tag, frame.body()) {
            Ok(Message::Parse(parse)) if parse.name == name => return false,
            Ok(Message::Bind(bind)) if bind.statement == name => return true,
            _ => {}
        }
    }
    false
}

//! The simple protocol: one message, one or more statements.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::session::Session;
use super::session::{PipelineClient as Client, client};
use super::words;
use crate::model::{ClientText, Code, Fault};
use crate::pipeline::{self, Failure, Tier, Txn};
use crate::plan::{self, Command, Params, Plan, Planned, Statement, Text};
use crate::wire::postgres::backend;
use crate::wire::postgres::frame::Frame;

impl Session {
    pub async fn simple(&mut self, frame: Frame) {
        if !self.extended.is_idle() {
            Box::pin(self.flush_batch()).await;
            self.extended.skipping = false;
        }
        self.begin_message();
        self.extended.forget_statement(b"");
        let result = self.statements(&frame).await;
        if let Err(failure) = result {
            Box::pin(self.failed(failure)).await;
        }
        self.ready().await;
    }

    // What is rare is boxed in all that follows, so that the futures of the usual statement are small: they are
    // built, and moved, for each.

    async fn statements(&mut self, frame: &Frame) -> Result<(), Failure> {
        let view = self.view();
        let sql = &*query_text(frame, view.text)?;
        let whole = sql.trim_end().strip_suffix(';').unwrap_or(sql);
        if memchr::memchr(b';', whole.as_bytes()).is_none() {
            let statement = match self.read_now(sql) {
                Some(statement) => statement,
                None => Box::pin(self.read(sql)).await?,
            };
            return self.statement(&statement, Some(&frame.bytes)).await;
        }
        Box::pin(self.split(sql, view.standard_conforming_strings, frame)).await
    }

    async fn split(&mut self, sql: &str, standard_strings: bool, frame: &Frame) -> Result<(), Failure> {
        let texts = plan::split(sql, standard_strings);
        match texts.as_slice() {
            [] => {
                backend::empty_query_response(self.out.buf());
                Ok(())
            }
            [one] => {
                let statement = self.read(one).await?;
                self.statement(&statement, Some(&frame.bytes)).await
            }
            several => self.several(several, sql, frame).await,
        }
    }

    /// Several statements in one message are one transaction, unless they say otherwise themselves.
    async fn several(&mut self, texts: &[&str], whole: &str, frame: &Frame) -> Result<(), Failure> {
        self.extended.portals.remove(b"");
        self.extended.fetching.remove(b"");
        if let Some(plan) = self.one_server(texts)? {
            let begun = Instant::now();
            let result = pipeline::run(&mut self.hold, &plan, "", Some(&frame.bytes), client!(self)).await;
            self.catalog_changed |= plan.changes_catalog;
            self.record(whole, Tier::Single, begun, &result);
            return result.map(drop);
        }
        self.judge(texts, whole).await?;
        for text in texts {
            let statement = self.read(text).await?;
            if matches!(statement.command, Command::Query(_) | Command::Set(_)) {
                self.hold.begin_implicit();
            }
            if let Err(failure) = self.statement(&statement, None).await {
                let before = (text.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
                let before = whole.get(..before).map_or(0, |before| before.chars().count());
                return Err(words::in_message(failure, before));
            }
        }
        self.end_implicit().await
    }

    /// Nothing of a message runs if not all of it is SQL. Margay tells its own commands from others by itself.
    async fn judge(&mut self, texts: &[&str], whole: &str) -> Result<(), Failure> {
        let view = self.view();
        let mut unreadable = None;
        let mut for_servers = false;
        for text in texts {
            match self.shared.planner.read(text, &view) {
                Ok(statement) => for_servers |= matches!(statement.command, Command::Query(_)),
                Err(fault) if fault.code == Code::UNREADABLE => unreadable = unreadable.or(Some(fault)),
                Err(_) => for_servers = true,
            }
        }
        if for_servers || unreadable.is_some() {
            Box::pin(self.grammar(whole)).await?;
        }
        unreadable.map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Commits what Margay itself began for several statements.
    pub async fn end_implicit(&mut self) -> Result<(), Failure> {
        if self.hold.txn.block().is_some_and(|block| block.implicit) {
            self.extended.end_portals();
            Box::pin(self.commit()).await?;
        }
        Ok(())
    }

    /// All statements go to one server as they are: then so does the message, and that server runs it as ever.
    fn one_server(&mut self, texts: &[&str]) -> Result<Option<Plan>, Failure> {
        if matches!(self.hold.txn, Txn::Failed(_)) {
            return Ok(None);
        }
        let view = self.view();
        let mut whole: Option<Plan> = None;
        for text in texts {
            let Ok(statement) = self.shared.planner.read(text, &view) else {
                return Ok(None);
            };
            if !matches!(statement.command, Command::Query(_)) {
                return Ok(None);
            }
            let Ok(plan) = self.bind(&statement, &Params::default()) else {
                return Ok(None);
            };
            let fits = pipeline::task(&plan).is_some()
                && plan.parts.first().is_some_and(|p| p.text == Text::Original)
                && !plan.outside_txn
                && plan.sets.is_empty()
                && plan.cursor.is_none();
            if !fits {
                return Ok(None);
            }
            whole = match whole {
                None => Some(Arc::unwrap_or_clone(plan)),
                Some(mut so_far) => {
                    if so_far.parts.first().map(|p| p.node) != plan.parts.first().map(|p| p.node) {
                        return Ok(None);
                    }
                    if plan.role == plan::Role::Primary {
                        so_far.role = plan::Role::Primary;
                    }
                    so_far.writes |= plan.writes;
                    so_far.pins |= plan.pins;
                    so_far.changes_catalog |= plan.changes_catalog;
                    Some(so_far)
                }
            };
        }
        Ok(whole)
    }

    /// One statement of a simple message. `message`: the frame, if it holds nothing else.
    async fn statement(&mut self, statement: &Statement, message: Option<&[u8]>) -> Result<(), Failure> {
        // A simple statement runs in the unnamed portal, and ends the one that was there.
        self.extended.portals.remove(b"");
        if !matches!(statement.command, Command::Query(_)) {
            return Box::pin(self.command(statement, Some(&[]))).await;
        }
        if matches!(self.hold.txn, Txn::Failed(_)) {
            return Err(pipeline::aborted());
        }
        let begun = match message {
            Some(_) => self.begun,
            None => Instant::now(),
        };
        let bound = match self.bind(statement, &Params::default()) {
            Ok(plan) if plan.periods.is_empty() => Ok(plan),
            Ok(plan) => Box::pin(self.ensure_periods(&plan)).await.map(|()| plan),
            Err(fault) => Err(fault),
        };
        let plan = match bound {
            Ok(plan) => plan,
            Err(fault) => {
                let result = Err(Failure::Margay(fault));
                self.record(&statement.text, Tier::Refused, begun, &result);
                return result.map(drop);
            }
        };
        let text = Arc::clone(&statement.text);
        if self.is_spread_cursor(&plan) {
            let result = Box::pin(self.spread_cursor(&plan, &text, (&[], None), true, false)).await;
            self.record(&text, Tier::Scatter, begun, &result);
            return result
                .map(drop)
                .map_err(|failure| words::in_statement(failure, &plan.parts, &text));
        }
        if plan.cursor == Some(plan::CursorUse::All) {
            Box::pin(self.close_spread_cursors()).await?;
        }
        let own = self.begin_for_sets(&plan);
        let result = pipeline::run(&mut self.hold, &plan, &text, message, client!(self)).await;
        self.catalog_changed |= plan.changes_catalog && result.is_ok();
        self.record(&text, pipeline::tier(&plan), begun, &result);
        let rows = result.map_err(|failure| words::in_statement(failure, &plan.parts, &text))?;
        self.note_cursor(&plan);
        if !plan.sets.is_empty() {
            Box::pin(self.take_over_sets(&plan, Some(rows))).await?;
        }
        if own {
            Box::pin(self.end_implicit()).await
        } else {
            Ok(())
        }
    }

    /// Tables of periods that rows are about to be written to and that may not be there yet.
    pub async fn ensure_periods(&mut self, plan: &Plan) -> Result<(), Fault> {
        let Some(refresh) = self.shared.refresh.clone() else {
            return Ok(());
        };
        for (table, period) in &plan.periods {
            refresh
                .ensure_period(&self.hold.database.name, table, *period)
                .await?;
        }
        Ok(())
    }

    /// A statement's plan under the session as it is now.
    pub fn bind(&mut self, statement: &Statement, params: &Params<'_>) -> Planned {
        let view = self.view();
        let ids = Arc::clone(&self.shared.ids);
        let mut plan = pipeline::bind(statement, &view, params, &self.hold, &mut || {
            ids.next_id(&view.database.name)
        })?;
        if plan.cursor.is_some() {
            self.place_cursor(Arc::make_mut(&mut plan));
        }
        if self.hold.nodes().len() > 1 {
            if plan.changes_catalog {
                self.made.extend(plan::made_by(&statement.text));
            } else if !self.made.is_empty() {
                plan::refuse_made(&statement.text, &self.made)?;
            }
        }
        Ok(plan)
    }
}

/// The text of a Query message.
fn query_text(frame: &Frame, text: ClientText) -> Result<Cow<'_, str>, Fault> {
    let body = frame.body();
    match body.split_last() {
        Some((0, sql)) if memchr::memchr(0, sql).is_none() => statement_text(sql, text),
        Some(_) | None => Err(Fault::new(Code::PROTOCOL, "invalid string in message")),
    }
}

/// A statement's text, from the client's encoding. What can't be read exactly is refused.
pub(super) fn statement_text(sql: &[u8], text: ClientText) -> Result<Cow<'_, str>, Fault> {
    text.read(sql).ok_or_else(|| match text {
        ClientText::Foreign => Fault::new(
            Code::UNREADABLE,
            "characters outside ASCII can't be read in statements of this client_encoding",
        )
        .hint("SET client_encoding = 'UTF8', or give them as parameters"),
        ClientText::AsServers | ClientText::Utf8 | ClientText::Converted(_) => {
            Fault::new(Code::PROTOCOL, "invalid byte sequence for encoding \"UTF8\"")
                .sqlstate("22021")
                .hint("send statements in the encoding that client_encoding names")
        }
    })
}

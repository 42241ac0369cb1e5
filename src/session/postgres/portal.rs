//! Bind, Describe and Execute: what a portal is bound to, where it goes, and how it is answered.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::command::columns;
use super::grid;
use super::group::{Group, Item};
use super::session::Session;
use super::session::{PipelineClient as Client, client};
use super::statements::{Portal, Prepared, rebound, result_formats};
use super::words;
use crate::model::{Code, Fault};
use crate::pipeline::{self, Failure, Request, Told, Txn};
use crate::plan::{Command, CursorStep, CursorUse, Merge, Params, Text};
use crate::wire::postgres::backend;
use crate::wire::postgres::frame::Frame;
use crate::wire::postgres::frontend::{self, Bind, Message, Target};

const BIND_COMPLETE: Bytes = Bytes::from_static(b"2\0\0\0\x04");
const NO_DATA: Bytes = Bytes::from_static(b"n\0\0\0\x04");

impl Session {
    pub async fn describe_statement(
        &mut self,
        statement: Arc<Prepared>,
        group: &mut Group,
        more: bool,
    ) -> Result<(), Failure> {
        if !matches!(statement.statement.command, Command::Query(_)) {
            let mut out = BytesMut::new();
            backend::parameter_description(&mut out, &[]);
            if let Command::Execute { name, .. } = &statement.statement.command {
                self.run_group(group, more).await?;
                put_description(&mut out, self.executed_columns(name).await?.as_deref());
            } else {
                put_columns(&mut out, &statement.statement.command);
            }
            group.items.push(Item::Local(out.freeze()));
            return Ok(());
        }
        let view = self.view();
        let describe = statement.statement.describe(&view)?;
        match describe.text {
            Text::Original => {
                if group.task.is_none() && group.fallback.is_none() {
                    group.fallback = Some(describe.node);
                }
                group.items.push(Item::DescribeStatement { statement });
            }
            Text::Spliced(text) => {
                group.answer_parse_locally(&statement);
                self.run_group(group, more).await?;
                let types = statement.types.clone();
                let hold = &mut self.hold;
                let described = pipeline::describe(hold, describe.node, &text, &types, client!(self)).await?;
                let mut out = BytesMut::new();
                backend::parameter_description(&mut out, &described.types);
                put_description(&mut out, described.rows.as_deref());
                group.items.push(Item::Local(out.freeze()));
                if !statement.is_unnamed() {
                    let shape = pipeline::columns_shape(described.rows.as_deref().unwrap_or_default());
                    let _ = statement.promised.set(shape);
                }
                let _ = statement.described.set(described);
            }
        }
        Ok(())
    }

    pub async fn bind_portal(
        &mut self,
        bind: &Bind<'_>,
        frame: &Frame,
        rest: &[Frame],
        group: &mut Group,
    ) -> Result<(), Failure> {
        let statement = self.current_statement(bind.statement)?;
        let mut portal = Portal {
            statement: Arc::clone(&statement),
            bind: frame.clone(),
            plan: None,
            on_server: false,
            owes_bind: false,
            describe: false,
            is_cut_off: false,
        };
        if !bind.portal.is_empty() && self.extended.portals.contains_key(bind.portal) {
            let message = format!(
                "cursor \"{}\" already exists",
                String::from_utf8_lossy(bind.portal)
            );
            return Err(Fault::new(Code::DUPLICATE_STATEMENT, message)
                .sqlstate("42P03")
                .into());
        }
        self.extended.fetching.remove(bind.portal);
        if !matches!(statement.statement.command, Command::Query(_)) {
            if !bind.params.is_empty() {
                let message = format!(
                    "bind message supplies {} parameters, but prepared statement \"{}\" requires 0",
                    bind.params.len(),
                    String::from_utf8_lossy(bind.statement)
                );
                return Err(Fault::new(Code::PROTOCOL, message).into());
            }
            self.extended.portals.insert(bind.portal, portal);
            group.items.push(Item::Local(BIND_COMPLETE));
            return Ok(());
        }
        if matches!(self.hold.txn, Txn::Failed(_)) {
            return Err(pipeline::aborted());
        }
        if statement.promised.get().is_some() && statement.is_kept.get().is_none() {
            Box::pin(self.keep_promise(&statement)).await?;
        }
        let params = Params {
            types: statement.known_types(),
            binary: (0..bind.params.len()).map(|i| bind.is_binary(i)).collect(),
            values: bind.params.iter().collect(),
        };
        let plan = self.bind(&statement.statement, &params)?;
        if !plan.periods.is_empty() {
            Box::pin(self.ensure_periods(&plan)).await?;
        }
        if plan.parts.iter().any(|part| part.needs_param_types) {
            Box::pin(self.learn_types(&statement)).await?;
        }
        portal.plan = Some(Arc::clone(&plan));
        match pipeline::task(&plan) {
            None => {
                group.answer_parse_locally(&statement);
                // The servers see the values at Execute: if that follows, they answer for these first.
                portal.owes_bind = !bind.params.is_empty() && executed_next(rest, bind.portal);
                if !portal.owes_bind {
                    group.items.push(Item::Local(BIND_COMPLETE));
                }
            }
            Some(task) => {
                let text = plan.parts.first().and_then(|part| match &part.text {
                    Text::Original => None,
                    Text::Spliced(text) => Some(Arc::clone(text)),
                });
                if text.is_some() {
                    group.answer_parse_locally(&statement);
                }
                self.make_room(task, group).await?;
                group.items.push(Item::Bind {
                    statement,
                    frame: frame.clone(),
                    text,
                    once: plan.once,
                    pass: true,
                });
                portal.on_server = true;
            }
        }
        self.extended.portals.insert(bind.portal, portal);
        Ok(())
    }

    /// A statement that was read anew, since the catalog or the settings changed, must still return what the client
    /// was told: it reads the values by that.
    async fn keep_promise(&mut self, statement: &Prepared) -> Result<(), Failure> {
        self.learn_types(statement).await?;
        let rows = statement.described.get().and_then(|d| d.rows.as_deref());
        if statement.promised.get() != Some(&pipeline::columns_shape(rows.unwrap_or_default())) {
            let message = "cached plan must not change result type";
            return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, message).into());
        }
        let _ = statement.is_kept.set(());
        Ok(())
    }

    /// Parameter types, from any server that the statement can be asked at.
    pub async fn learn_types(&mut self, statement: &Prepared) -> Result<(), Failure> {
        if statement.described.get().is_some() {
            return Ok(());
        }
        let view = self.view();
        let describe = statement.statement.describe(&view)?;
        let text = match &describe.text {
            Text::Original => &statement.statement.text,
            Text::Spliced(text) => text,
        };
        let (hold, types) = (&mut self.hold, &statement.types);
        let described = pipeline::describe(hold, describe.node, text, types, client!(self)).await?;
        let _ = statement.described.set(described);
        Ok(())
    }

    pub async fn describe_portal(
        &mut self,
        name: &[u8],
        frame: &Frame,
        rest: &[Frame],
        group: &mut Group,
        more: bool,
    ) -> Result<(), Failure> {
        // Drivers ask for the columns of a cursor that was declared in SQL.
        if !self.extended.portals.contains_key(name)
            && let Some(cursor) = self.extended.fetching.get(name)
        {
            let mut out = BytesMut::new();
            put_description(&mut out, Some(&cursor.description()));
            group.items.push(Item::Local(out.freeze()));
            return Ok(());
        }
        if !self.extended.portals.contains_key(name)
            && let Some(task) = self.cursor_task(name)
        {
            self.make_room(task, group).await?;
            group.items.push(Item::DescribePortal {
                statement: None,
                frame: frame.clone(),
                pass: true,
            });
            return Ok(());
        }
        let portal = self.extended.portal(name)?;
        let Some(plan) = portal.plan.clone() else {
            let mut out = BytesMut::new();
            let formats = result_formats(&portal.bind);
            if let Command::Execute { name, .. } = &portal.statement.statement.command {
                let name = name.clone();
                Box::pin(self.run_group(group, more)).await?;
                match Box::pin(self.executed_columns(&name)).await? {
                    Some(body) => put_description(&mut out, Some(&with_formats(&body, &formats)?)),
                    None => out.extend_from_slice(&NO_DATA),
                }
                group.items.push(Item::Local(out.freeze()));
                return Ok(());
            }
            match columns(&portal.statement.statement.command) {
                Some(names) => {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    grid::describe_into(&mut out, &names, &formats);
                }
                None => out.extend_from_slice(&NO_DATA),
            }
            group.items.push(Item::Local(out.freeze()));
            return Ok(());
        };
        if let Some(task) = pipeline::task(&plan) {
            let again = (!portal.on_server).then(|| portal.clone());
            portal.on_server = true;
            let statement = Some(Arc::clone(&portal.statement));
            self.make_room(task, group).await?;
            group.items.extend(again.map(|portal| rebound(&portal, &plan)));
            group.items.push(Item::DescribePortal {
                statement,
                frame: frame.clone(),
                pass: true,
            });
            return Ok(());
        }
        let executes = |f: &Frame| matches!(frontend::decode(f.tag, f.body()), Ok(Message::Execute { portal, .. }) if portal == name);
        if rest.iter().any(executes) {
            portal.describe = true;
            return Ok(());
        }
        let (statement, formats) = (Arc::clone(&portal.statement), result_formats(&portal.bind));
        if let Some(CursorUse::Uses { name, what }) = &plan.cursor
            && let Some(cursor) = self.extended.fetching.get(name.as_bytes())
        {
            let mut out = BytesMut::new();
            match what {
                CursorStep::Forward { moves: false, .. } => {
                    put_description(&mut out, Some(&cursor.description()))
                }
                CursorStep::Forward { .. } | CursorStep::Elsewhere | CursorStep::Close => {
                    out.extend_from_slice(&NO_DATA);
                }
            }
            group.items.push(Item::Local(out.freeze()));
            return Ok(());
        }
        // Described alone: what the statement returns, in the formats that were asked for.
        Box::pin(self.run_group(group, more)).await?;
        Box::pin(self.learn_types(&statement)).await?;
        let mut out = BytesMut::new();
        let rows = statement.described.get().and_then(|d| d.rows.clone());
        match rows {
            Some(body) => {
                put_description(&mut out, Some(&with_formats(&body, &formats)?));
            }
            None => out.extend_from_slice(&NO_DATA),
        }
        group.items.push(Item::Local(out.freeze()));
        Ok(())
    }

    pub async fn execute(
        &mut self,
        name: &[u8],
        max_rows: u32,
        frame: &Frame,
        group: &mut Group,
        more: bool,
    ) -> Result<(), Failure> {
        let has_shell = self.hold.database.shell.is_some();
        let portal = self.extended.portal(name)?;
        let Some(plan) = portal.plan.clone() else {
            let is_done = columns(&portal.statement.statement.command).is_none()
                && std::mem::replace(&mut portal.is_cut_off, true);
            let portal = portal.clone();
            Box::pin(self.run_group(group, true)).await?;
            if is_done {
                let message = format!("portal \"{}\" cannot be run", String::from_utf8_lossy(name));
                return Err(Fault::new(Code::NO_PORTAL, message).sqlstate("55000").into());
            }
            if let Command::Set(set) = &portal.statement.statement.command
                && more
            {
                self.warn(self.hold.warning_of_set(set));
                self.hold.begin_implicit();
            }
            if let Command::Execute { name, args } = &portal.statement.statement.command {
                if matches!(self.hold.txn, Txn::Failed(_)) {
                    return Err(pipeline::aborted());
                }
                if more && matches!(self.hold.txn, Txn::Idle) {
                    self.hold.begin_implicit();
                }
                let formats = result_formats(&portal.bind);
                return Box::pin(self.execute_sql(name, args, false, &formats)).await;
            }
            return Box::pin(self.command(&portal.statement.statement, None)).await;
        };
        if let Some(task) = pipeline::task(&plan) {
            let sql = Arc::clone(&portal.statement.statement.text);
            let again = (!portal.on_server).then(|| portal.clone());
            portal.on_server = true;
            let statement = Arc::clone(&portal.statement);
            let asks = has_shell
                && statement.holds_oids.get() != Some(&false)
                && result_formats(&portal.bind).contains(&1);
            self.make_room(task, group).await?;
            group.items.extend(again.map(|portal| rebound(&portal, &plan)));
            if asks && !group.rows_are_told(name) {
                let mut describe = BytesMut::new();
                frontend::describe(&mut describe, Target::Portal, name);
                group.items.push(Item::DescribePortal {
                    statement: Some(statement),
                    frame: Frame {
                        tag: b'D',
                        bytes: describe.freeze(),
                    },
                    pass: false,
                });
            }
            group.items.push(Item::Execute { frame: frame.clone() });
            group.executes += 1;
            group.changes_catalog |= plan.changes_catalog;
            group.outside_txn |= plan.outside_txn;
            if is_copy_in(&sql) {
                group.copies = true;
                group.sql = Some(sql);
                return Box::pin(self.run_group(group, more)).await;
            }
            group.sql = Some(sql);
            if plan.cursor == Some(CursorUse::All) {
                Box::pin(self.run_group(group, true)).await?;
                return Box::pin(self.close_spread_cursors()).await;
            }
            if matches!(plan.cursor, Some(CursorUse::Declares { .. })) {
                Box::pin(self.run_group(group, more)).await?;
                self.note_cursor(&plan);
            }
            if !plan.sets.is_empty() {
                Box::pin(self.run_group(group, true)).await?;
                return Box::pin(self.take_over_sets(&plan, None)).await;
            }
            return Ok(());
        }
        if portal.is_cut_off {
            let fault = Fault::new(
                Code::SESSION_STATE,
                "rows of several nodes can't be fetched on behind the row limit of the first Execute",
            );
            return Err(fault
                .hint("Fetch all rows at once (fetch size 0), or write LIMIT and OFFSET.")
                .into());
        }
        let portal = portal.clone();
        Box::pin(self.run_group(group, true)).await?;
        if matches!(self.hold.txn, Txn::Failed(_)) {
            return Err(pipeline::aborted());
        }
        if more && matches!(self.hold.txn, Txn::Idle) && !plan.outside_txn {
            self.hold.begin_implicit();
        }
        let Ok(Message::Bind(bind)) = frontend::decode(b'B', portal.bind.body()) else {
            return Err(Fault::internal("a Bind that was read can't be read again").into());
        };
        let begun = Instant::now();
        let statement = &portal.statement;
        let spliced = plan.parts.iter().any(|part| part.needs_param_types);
        let types = if spliced {
            statement.known_types()
        } else {
            &statement.types
        };
        let request = Request::Extended {
            types,
            bind: &bind,
            describe: portal.describe,
            max_rows,
            owes_bind: portal.owes_bind,
        };
        let text = Arc::clone(&statement.statement.text);
        let owes_bind = portal.owes_bind;
        if let Some(portal) = self.extended.portals.get_mut(name) {
            portal.owes_bind = false;
        }
        let in_portions = max_rows > 0 || self.extended.fetching.contains_key(name);
        let result = if self.is_spread_cursor(&plan) {
            let bind = (types, Some(&bind));
            Box::pin(self.spread_cursor(&plan, &text, bind, portal.describe, owes_bind)).await
        } else if in_portions && matches!(plan.merge, Merge::Rows(_)) {
            let how = (portal.describe, max_rows);
            if let Some(portal) = self.extended.portals.get_mut(name) {
                // The columns are told once.
                portal.describe = false;
            }
            Box::pin(self.execute_portion(name, &plan, &text, (types, &bind), how, owes_bind)).await
        } else {
            let result = Box::pin(pipeline::run_bound(
                &mut self.hold,
                &plan,
                &text,
                request,
                client!(self),
            ))
            .await;
            self.catalog_changed |= plan.changes_catalog && result.is_ok();
            if let (Ok(Told::Suspended { .. }), Some(portal)) = (&result, self.extended.portals.get_mut(name))
            {
                portal.is_cut_off = true;
            }
            result.map(|told| told.rows())
        };
        self.record(&text, pipeline::tier(&plan), begun, &result);
        let in_words = |failure| words::in_statement(failure, &plan.parts, &text);
        result
            .map(drop)
            .map_err(in_words)
            .map_err(|failure| words::of_statement(failure, &statement.name))
    }
}

/// Nothing but a Describe of the portal stands before its Execute.
fn executed_next(rest: &[Frame], portal: &[u8]) -> bool {
    for frame in rest {
        match frontend::decode(frame.tag, frame.body()) {
            Ok(Message::Describe {
                target: Target::Portal,
                name,
            }) if name == portal => {}
            Ok(Message::Execute { portal: name, .. }) => return name == portal,
            _ => return false,
        }
    }
    false
}

fn put_columns(out: &mut BytesMut, command: &Command) {
    match columns(command) {
        Some(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            grid::describe_into(out, &names, &[]);
        }
        None => out.extend_from_slice(&NO_DATA),
    }
}

fn put_description(out: &mut BytesMut, body: Option<&[u8]>) {
    match body {
        Some(body) => {
            out.extend_from_slice(b"T");
            out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            out.extend_from_slice(body);
        }
        None => out.extend_from_slice(&NO_DATA),
    }
}

/// A RowDescription's body with other format codes: none, one for all, or one each.
fn with_formats(body: &[u8], formats: &[i16]) -> Result<Vec<u8>, Fault> {
    let description = backend::RowDescription::decode(body).map_err(|e| e.from_server())?;
    let format = |i: usize| match formats {
        [all] => *all,
        each => each.get(i).copied().unwrap_or(0),
    };
    let fields: Vec<_> = description
        .fields()
        .enumerate()
        .map(|(i, f)| backend::Field {
            format: format(i),
            ..f
        })
        .collect();
    let mut out = BytesMut::new();
    backend::row_description(&mut out, &fields);
    Ok(out[5..].to_vec())
}

/// COPY … FROM STDIN, told by its first word and its end: a mistake only costs a round trip.
fn is_copy_in(sql: &str) -> bool {
    let start = sql.trim_start().as_bytes();
    start.len() > 4
        && (start[..4].eq_ignore_ascii_case(b"copy") || start.starts_with(b"/*") || start.starts_with(b"--"))
        && sql.to_ascii_lowercase().contains("stdin")
}

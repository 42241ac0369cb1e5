//! The admin console's side of the protocol: simple queries, and as much of the extended protocol as
//! drivers need to send a command and read columns of text.

use std::collections::HashMap;

use super::inlet::Inlet;
use super::{fatal, grid};
use crate::model::admin::{Grid, SharedAdmin};
use crate::model::{Code, Fault};
use crate::pipeline::Outlet;
use crate::session::listener::Shutdown;
use crate::wire::postgres::backend::{self, TxStatus, error_response};
use crate::wire::postgres::frame::Frame;
use crate::wire::postgres::frontend::{self, Message, Target};

/// Statements and portals are the same here: a text, and once it ran its answer. A command runs when it is
/// first described or executed, since only then its columns are known.
#[derive(Default)]
struct Console {
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, (String, Vec<i16>)>,
    /// Answers of commands that were described and not yet executed.
    answers: HashMap<String, Grid>,
    skipping: bool,
}

pub(super) async fn run(mut inlet: Inlet, mut out: Outlet, admin: SharedAdmin, stop: Shutdown) {
    let mut console = Console::default();
    loop {
        let frame = tokio::select! {
            frame = inlet.frame() => frame,
            () = stop.begun() => break,
        };
        match frame {
            Ok(Some(frame)) if frame.tag == b'X' => break,
            Ok(Some(frame)) => {
                if let Err(fault) = console.message(&frame, &mut out, &admin).await {
                    error_response(out.buf(), &fault);
                    if frame.tag == b'Q' {
                        backend::ready_for_query(out.buf(), TxStatus::Idle);
                    } else {
                        console.skipping = true;
                    }
                }
            }
            Ok(None) => break,
            Err(error) => {
                fatal(&mut out, &error.into());
                break;
            }
        }
        out.flush().await;
        if out.is_gone() {
            break;
        }
    }
    out.close().await;
}

impl Console {
    async fn message(&mut self, frame: &Frame, out: &mut Outlet, admin: &SharedAdmin) -> Result<(), Fault> {
        let message = frontend::decode(frame.tag, frame.body())?;
        if self.skipping && !matches!(message, Message::Sync) {
            return Ok(());
        }
        match message {
            Message::Query(sql) => {
                for command in text(sql)?.split(';').map(str::trim).filter(|c| !c.is_empty()) {
                    let answer = admin.command(command).await?;
                    rows(out, &answer, Some(&[]));
                }
                backend::ready_for_query(out.buf(), TxStatus::Idle);
            }
            Message::Parse(parse) => {
                let sql = text(parse.query)?.trim().trim_end_matches(';').to_owned();
                self.statements.insert(parse.name.to_vec(), sql);
                backend::parse_complete(out.buf());
            }
            Message::Bind(bind) => {
                let sql = self.statement(bind.statement)?;
                self.portals
                    .insert(bind.portal.to_vec(), (sql, bind.result_formats.iter().collect()));
                backend::bind_complete(out.buf());
            }
            Message::Describe {
                target: Target::Statement,
                name,
            } => {
                let sql = self.statement(name)?;
                backend::parameter_description(out.buf(), &[]);
                self.describe(&sql, &[], out, admin).await?;
            }
            Message::Describe {
                target: Target::Portal,
                name,
            } => {
                let (sql, formats) = self.portal(name)?;
                self.describe(&sql, &formats, out, admin).await?;
            }
            Message::Execute { portal, .. } => {
                let (sql, _) = self.portal(portal)?;
                let answer = match self.answers.remove(&sql) {
                    Some(answer) => answer,
                    None => admin.command(&sql).await?,
                };
                rows(out, &answer, None);
            }
            Message::Close { target, name } => {
                match target {
                    Target::Statement => drop(self.statements.remove(name)),
                    Target::Portal => drop(self.portals.remove(name)),
                }
                backend::close_complete(out.buf());
            }
            Message::Flush => {}
            Message::Sync => {
                self.skipping = false;
                self.portals.clear();
                backend::ready_for_query(out.buf(), TxStatus::Idle);
            }
            Message::Terminate
            | Message::Auth(_)
            | Message::CopyData(_)
            | Message::CopyDone
            | Message::CopyFail(_)
            | Message::FunctionCall(_) => {
                return Err(Fault::new(
                    Code::PROTOCOL,
                    "the admin console doesn't take this message",
                ));
            }
        }
        Ok(())
    }

    async fn describe(
        &mut self,
        sql: &str,
        formats: &[i16],
        out: &mut Outlet,
        admin: &SharedAdmin,
    ) -> Result<(), Fault> {
        if !self.answers.contains_key(sql) {
            let answer = admin.command(sql).await?;
            self.answers.insert(sql.to_owned(), answer);
        }
        match self.answers.get(sql) {
            Some(answer) if !answer.columns.is_empty() => {
                let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
                grid::description(out, &columns, formats);
            }
            Some(_) | None => backend::no_data(out.buf()),
        }
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<String, Fault> {
        let missing = || Fault::new(Code::NO_STATEMENT, "prepared statement does not exist");
        self.statements.get(name).cloned().ok_or_else(missing)
    }

    fn portal(&self, name: &[u8]) -> Result<(String, Vec<i16>), Fault> {
        self.portals
            .get(name)
            .cloned()
            .ok_or_else(|| Fault::new(Code::NO_PORTAL, "portal does not exist"))
    }
}

fn rows(out: &mut Outlet, answer: &Grid, describe: Option<&[i16]>) {
    if !answer.columns.is_empty() {
        if let Some(formats) = describe {
            let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
            grid::description(out, &columns, formats);
        }
        for row in &answer.rows {
            grid::row(out, row.iter().map(Option::as_deref));
        }
    }
    backend::command_complete(out.buf(), answer.tag.as_bytes());
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes)
        .map_err(|_| Fault::new(Code::PROTOCOL, "invalid byte sequence for encoding \"UTF8\""))
}

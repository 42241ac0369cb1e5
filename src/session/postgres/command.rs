//! What Margay does itself: transactions, settings, its own SHOW and EXPLAIN ROUTE, DISCARD, DEALLOCATE.
//! The same for both protocols.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::grid;
use super::parameters::name_list;
use super::session::Session;
use super::session::{PipelineClient as Client, client};
use super::view::Hints;
use crate::model::{Code, Fault};
use crate::pipeline::{self, Ended, Failure, Txn, Warning};
use crate::plan::{self, Command, Params, ReadHint, SetCommand, Statement, TxnCommand};
use crate::session::registry::server_name;
use crate::wire::postgres::backend;

const NONE_OPEN: Warning = ("25P01", "there is no transaction in progress");
const SESSION_USER: &str = "session_authorization";
const ROUTE_COLUMNS: &[&str] = &["step", "node", "role", "shards", "sql", "note"];

/// The columns of a command that returns rows of Margay's own.
pub(super) fn columns(command: &Command) -> Option<Vec<String>> {
    match command {
        Command::ShowMargay(name) => Some(vec![format!("margay.{name}")]),
        Command::ShowSessionUser => Some(vec![SESSION_USER.to_owned()]),
        Command::ExplainRoute(_) => Some(ROUTE_COLUMNS.iter().map(|c| (*c).to_owned()).collect()),
        Command::Empty
        | Command::Query(_)
        | Command::Txn(_)
        | Command::Set(_)
        | Command::Prepare { .. }
        | Command::Execute { .. }
        | Command::Deallocate { .. }
        | Command::Discard { .. } => None,
    }
}

pub(super) fn ends_failed_transaction(command: &Command) -> bool {
    match command {
        Command::Txn(txn) => match txn {
            TxnCommand::Commit { .. } | TxnCommand::Rollback { .. } | TxnCommand::RollbackTo(_) => true,
            TxnCommand::Begin { .. }
            | TxnCommand::Savepoint(_)
            | TxnCommand::Release(_)
            | TxnCommand::SetTransaction { .. } => false,
        },
        Command::Empty => true,
        Command::Query(_)
        | Command::Set(_)
        | Command::ExplainRoute(_)
        | Command::Prepare { .. }
        | Command::Execute { .. }
        | Command::Deallocate { .. }
        | Command::Discard { .. }
        | Command::ShowSessionUser
        | Command::ShowMargay(_) => false,
    }
}

impl Session {
    /// Carries the command out and answers it. `describe`: the client wants to hear the columns, in
    /// these formats.
    pub async fn command(&mut self, statement: &Statement, describe: Option<&[i16]>) -> Result<(), Failure> {
        if matches!(self.hold.txn, Txn::Failed(_)) && !ends_failed_transaction(&statement.command) {
            return Err(pipeline::aborted());
        }
        match &statement.command {
            Command::Empty => backend::empty_query_response(self.out.buf()),
            Command::Query(_) => return Err(Fault::internal("a query was taken for a command").into()),
            Command::Txn(txn) => return self.transaction(txn).await,
            Command::Set(set) => return self.set(set).await,
            Command::ExplainRoute(sql) => return self.explain_route(sql, describe),
            Command::ShowMargay(name) => return self.show(name, describe),
            Command::ShowSessionUser => self.show_session_user(describe),
            Command::Prepare { name, types, sql, at } => {
                self.prepare_sql(name, types, sql, *at).await?;
                self.tag("PREPARE");
            }
            Command::Execute { name, args } => {
                return self.execute_sql(name, args, describe.is_some(), &[]).await;
            }
            Command::Deallocate { name } => return self.deallocate(name.as_deref(), &statement.text).await,
            Command::Discard { what } => return self.discard(what).await,
        }
        Ok(())
    }

    async fn transaction(&mut self, command: &TxnCommand) -> Result<(), Failure> {
        let tag = match command {
            TxnCommand::Begin { modes, tag, text } => {
                self.warn(self.hold.warning_of_begin());
                self.hold.begin(*modes, text).await?;
                tag
            }
            TxnCommand::Commit { chain } => {
                let again = self.chained(*chain, "COMMIT AND CHAIN")?;
                self.warn_if_none();
                self.extended.end_portals();
                let ended = self.commit().await?;
                if let Some((modes, text)) = again {
                    self.hold.begin(modes, &text).await?;
                }
                match ended {
                    Ended::Committed { .. } | Ended::Nothing => "COMMIT",
                    Ended::RolledBack => "ROLLBACK",
                }
            }
            TxnCommand::Rollback { chain } => {
                let again = self.chained(*chain, "ROLLBACK AND CHAIN")?;
                self.warn_if_none();
                self.extended.end_portals();
                self.catalog_changed = false;
                self.hold.rollback().await;
                if let Some((modes, text)) = again {
                    self.hold.begin(modes, &text).await?;
                }
                "ROLLBACK"
            }
            TxnCommand::Savepoint(name) => {
                self.hold.savepoint(name).await?;
                "SAVEPOINT"
            }
            TxnCommand::Release(name) => {
                let at = self.hold.release_savepoint(name).await?;
                for cursor in self.extended.fetching.values_mut() {
                    cursor.depth = cursor.depth.min(at);
                }
                "RELEASE"
            }
            TxnCommand::RollbackTo(name) => {
                let stays = self.hold.rollback_to(name).await?;
                self.extended.fetching.retain(|cursor| cursor.depth <= stays);
                "ROLLBACK"
            }
            TxnCommand::SetTransaction { modes, text } => {
                let warning = self.hold.set_transaction(*modes, text).await?;
                self.warn(warning);
                "SET"
            }
        };
        self.tag(tag);
        Ok(())
    }

    /// COMMIT.
    pub async fn commit(&mut self) -> Result<Ended, Failure> {
        self.hold.commit().await
    }

    /// How transactions ended since the last call, those of single statements over several nodes included.
    pub fn count_commits(&mut self) {
        let counted = std::mem::take(&mut self.hold.counted);
        if counted == Default::default() {
            return;
        }
        let counters = &self.shared.registry;
        counters.one_phase.fetch_add(counted.one_phase, Ordering::Relaxed);
        counters.two_phase.fetch_add(counted.two_phase, Ordering::Relaxed);
        counters
            .two_phase_aborts
            .fetch_add(counted.aborted, Ordering::Relaxed);
    }

    /// What the next transaction begins with, if it is chained to this one.
    fn chained(
        &self,
        chain: bool,
        what: &'static str,
    ) -> Result<Option<(crate::plan::TxnModes, Box<str>)>, Failure> {
        match self.hold.txn.block() {
            _ if !chain => Ok(None),
            // What was lost with the transaction, its modes included, isn't taken along.
            Some(block) if !block.implicit && matches!(self.hold.txn, Txn::Failed(_)) => {
                Ok(Some((crate::plan::TxnModes::default(), "BEGIN".into())))
            }
            Some(block) if !block.implicit => Ok(Some((block.modes, block.begin.clone()))),
            Some(_) | None => Err(Failure::Margay(
                Fault::new(
                    Code::UNSUPPORTED_STATEMENT,
                    format!("{what} can only be used in transaction blocks"),
                )
                .sqlstate("25P01"),
            )),
        }
    }

    fn warn_if_none(&mut self) {
        if self.hold.txn.block().is_none_or(|block| block.implicit) {
            self.warn(Some(NONE_OPEN));
        }
    }

    pub(super) fn warn(&mut self, warning: Option<Warning>) {
        let Some((sqlstate, text)) = warning else { return };
        let fields = [
            (b'S', "WARNING"),
            (b'V', "WARNING"),
            (b'C', sqlstate),
            (b'M', text),
        ];
        backend::fields(
            self.out.buf(),
            b'N',
            fields.into_iter().map(|(code, text)| (code, text.as_bytes())),
        );
    }

    fn tag(&mut self, tag: &str) {
        backend::command_complete(self.out.buf(), tag.as_bytes());
    }

    async fn set(&mut self, command: &SetCommand) -> Result<(), Failure> {
        let tag = command.tag();
        if let Some(name) = command.name.strip_prefix("margay.") {
            self.set_own(name, command.value.as_deref())?;
            self.tag(tag);
            return Ok(());
        }
        if command.name.is_empty() {
            self.hints = Hints::default();
            self.forget_view();
        }
        self.set_on_servers(command).await?;
        self.tag(tag);
        Ok(())
    }

    pub async fn set_on_servers(&mut self, command: &SetCommand) -> Result<(), Failure> {
        let startup = Arc::clone(&self.startup);
        self.warn(self.hold.warning_of_set(command));
        self.hold.set(command, &startup, client!(self)).await?;
        if &*command.name == "application_name" {
            self.entry
                .client
                .set_application(self.statuses.text("application_name").unwrap_or_default());
        }
        Ok(())
    }

    fn set_own(&mut self, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let value = value
            .map(|v| v.trim().trim_matches('\''))
            .filter(|v| !v.eq_ignore_ascii_case("default"));
        match (name, value) {
            ("read", None) => self.hints.read = None,
            ("read", Some("primary")) => self.hints.read = Some(ReadHint::Primary),
            ("read", Some("replica")) => self.hints.read = Some(ReadHint::Replica),
            ("key", value) => self.hints.key = value.map(|v| v.replace("''", "'").into()),
            ("read", Some(other)) => {
                let fault = Fault::new(
                    Code::BAD_HINT,
                    format!("invalid value for parameter \"margay.read\": \"{other}\""),
                );
                return Err(fault
                    .sqlstate("22023")
                    .hint("use 'primary', 'replica' or DEFAULT")
                    .into());
            }
            (_, _) => return Err(no_setting(name)),
        }
        self.forget_view();
        Ok(())
    }

    fn show(&mut self, name: &str, describe: Option<&[i16]>) -> Result<(), Failure> {
        let value = match name {
            "servers" => {
                let names: Vec<&str> = self.previous_servers.iter().map(|s| server_name(s)).collect();
                names.join(",")
            }
            "read" => match self.hints.read {
                None => "default",
                Some(ReadHint::Primary) => "primary",
                Some(ReadHint::Replica) => "replica",
            }
            .to_owned(),
            "key" => self.hints.key.as_deref().unwrap_or_default().to_owned(),
            other => return Err(no_setting(other)),
        };
        let column = format!("margay.{name}");
        if let Some(formats) = describe {
            grid::description(&mut self.out, &[&column], formats);
        }
        grid::row(&mut self.out, [Some(value.as_str())]);
        self.tag("SHOW");
        Ok(())
    }

    /// The client's own name, unless it has SET another.
    fn show_session_user(&mut self, describe: Option<&[i16]>) {
        let set = self.hold.settings.get(SESSION_USER).map(name_list);
        let set = set.and_then(|names| names.into_iter().next());
        let user = set.unwrap_or_else(|| self.entry.client.user.to_string());
        if let Some(formats) = describe {
            grid::description(&mut self.out, &[SESSION_USER], formats);
        }
        grid::row(&mut self.out, [Some(user.as_str())]);
        self.tag("SHOW");
    }

    fn explain_route(&mut self, sql: &str, describe: Option<&[i16]>) -> Result<(), Failure> {
        let view = self.view();
        let statement = self.shared.planner.read(sql, &view)?;
        let rows: Vec<[String; 6]> = match &statement.command {
            Command::Query(_) => {
                let plan = self.bind(&statement, &Params::default())?;
                let name = |node: crate::model::NodeId| {
                    self.snapshot
                        .nodes
                        .get(node.index())
                        .map_or(String::new(), |n| n.name.to_string())
                };
                plan::rows(&plan, &statement.text, &name)
            }
            Command::Empty
            | Command::Txn(_)
            | Command::Set(_)
            | Command::ExplainRoute(_)
            | Command::Prepare { .. }
            | Command::Execute { .. }
            | Command::Deallocate { .. }
            | Command::Discard { .. }
            | Command::ShowSessionUser
            | Command::ShowMargay(_) => {
                let text = statement.text.to_string();
                vec![[
                    "local".into(),
                    String::new(),
                    String::new(),
                    String::new(),
                    text,
                    "carried out by Margay".into(),
                ]]
            }
        };
        if let Some(formats) = describe {
            grid::description(&mut self.out, ROUTE_COLUMNS, formats);
        }
        for row in &rows {
            grid::row(&mut self.out, row.iter().map(|v| Some(v.as_str())));
        }
        self.tag("EXPLAIN");
        Ok(())
    }

    /// Names are the session's; what SQL has PREPAREd on a connection of its own is that server's.
    async fn deallocate(&mut self, name: Option<&str>, text: &str) -> Result<(), Failure> {
        match name {
            None => {
                self.extended.forget_statements();
                self.hold.forget_prepared().await?;
                self.tag("DEALLOCATE ALL");
            }
            Some(name) if self.extended.forget_statement(name.as_bytes()) => self.tag("DEALLOCATE"),
            Some(_) if self.hold.is_pinned() => {
                let shell = self.hold.database.anywhere;
                self.hold.run_quietly(shell, text).await?;
                self.tag("DEALLOCATE");
            }
            Some(name) => {
                let message = format!("prepared statement \"{name}\" does not exist");
                return Err(Fault::new(Code::NO_STATEMENT, message).into());
            }
        }
        Ok(())
    }

    async fn discard(&mut self, what: &str) -> Result<(), Failure> {
        let what = what.to_ascii_uppercase();
        if what == "ALL" {
            if !matches!(self.hold.txn, Txn::Idle) {
                let fault = Fault::new(
                    Code::UNSUPPORTED_STATEMENT,
                    "DISCARD ALL cannot run inside a transaction block",
                );
                return Err(fault.sqlstate("25001").into());
            }
            self.extended.forget_statements();
            self.hints = Hints::default();
            self.forget_view();
            self.hold.unpin();
            let reset = SetCommand {
                name: "".into(),
                value: None,
                local: false,
                text: "RESET ALL".into(),
            };
            let startup = Arc::clone(&self.startup);
            self.hold.set(&reset, &startup, client!(self)).await?;
        } else if self.hold.is_pinned() {
            let node = self.hold.database.anywhere;
            self.hold.run_quietly(node, &format!("DISCARD {what}")).await?;
        }
        self.tag(&format!("DISCARD {what}"));
        Ok(())
    }
}

fn no_setting(name: &str) -> Failure {
    let message = format!("unrecognized configuration parameter \"margay.{name}\"");
    let fault = Fault::new(Code::BAD_HINT, message).sqlstate("42704");
    fault
        .hint("there are margay.read, margay.key and, for SHOW, margay.servers")
        .into()
}

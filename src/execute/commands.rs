//! BEGIN, savepoints, ROLLBACK, SET: what a client says about its transaction and its session, carried
//! out on the branches that are open and remembered for those opened later.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::backend::{Lease, Settings, TxStatus};
use crate::model::{Code, Fault, identifier};
use crate::plan::{Isolation, Role, SetCommand, TxnModes};
use crate::wire::postgres::frontend;

use super::Failure;
use super::exchange::{Client, Exchange, Expect};
use super::hold::Hold;
use super::transaction::{Branch, Logged, Txn};

/// A warning as PostgreSQL gives it: SQLSTATE and text.
pub type Warning = (&'static str, &'static str);

pub const ALREADY_OPEN: Warning = ("25001", "there is already a transaction in progress");
pub const NONE_OPEN: Warning = ("25P01", "there is no transaction in progress");
pub const SET_LOCAL_OUTSIDE: Warning = ("25P01", "SET LOCAL can only be used in transaction blocks");
pub const SET_TRANSACTION_OUTSIDE: Warning =
    ("25P01", "SET TRANSACTION can only be used in transaction blocks");

fn set_transaction_text(modes: TxnModes) -> String {
    let isolation = modes.isolation.map(|level| match level {
        Isolation::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
        Isolation::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "ISOLATION LEVEL SERIALIZABLE",
    });
    let read_only = modes
        .read_only
        .map(|on| if on { "READ ONLY" } else { "READ WRITE" });
    let deferrable = modes
        .deferrable
        .map(|on| if on { "DEFERRABLE" } else { "NOT DEFERRABLE" });
    let list: Vec<&str> = [isolation, read_only, deferrable].into_iter().flatten().collect();
    format!("SET TRANSACTION {}", list.join(", "))
}

impl Hold {
    /// What PostgreSQL says of a BEGIN before it looks at its modes.
    pub fn warning_of_begin(&self) -> Option<Warning> {
        match &self.txn {
            Txn::Open(block) if !block.implicit => Some(ALREADY_OPEN),
            Txn::Idle | Txn::Open(_) | Txn::Failed(_) => None,
        }
    }

    /// BEGIN. The transaction opens on a node when it is first used there.
    pub async fn begin(&mut self, modes: TxnModes, text: &str) -> Result<(), Failure> {
        self.check_isolation(modes)?;
        match &mut self.txn {
            Txn::Idle => {
                self.txn = Txn::Open(Box::new(self.new_block(modes, text.into(), false)));
                return Ok(());
            }
            Txn::Open(block) if block.implicit && block.branches.is_empty() => {
                block.implicit = false;
                (block.modes, block.begin) = (modes, text.into());
                return Ok(());
            }
            Txn::Open(_) => {}
            Txn::Failed(_) => return Err(aborted()),
        }
        // The transaction has begun already: its modes are changed, or can't be any more.
        if modes != TxnModes::default() {
            self.set_transaction(modes, &set_transaction_text(modes)).await?;
        }
        // If that fails, the message's transaction ends as if there had been no BEGIN.
        if let Some(block) = self.txn.block_mut() {
            block.implicit = false;
        }
        Ok(())
    }

    /// A transaction around several statements that the client sent as one.
    pub fn begin_implicit(&mut self) {
        if matches!(self.txn, Txn::Idle) {
            self.txn = Txn::Open(Box::new(self.new_block(
                TxnModes::default(),
                "BEGIN".into(),
                true,
            )));
        }
    }

    /// SET TRANSACTION.
    pub async fn set_transaction(&mut self, modes: TxnModes, text: &str) -> Result<Option<Warning>, Failure> {
        self.check_isolation(modes)?;
        match &mut self.txn {
            Txn::Idle => return Ok(Some(SET_TRANSACTION_OUTSIDE)),
            Txn::Open(block) => {
                let level = modes.isolation;
                if level.is_some() && level != block.modes.isolation && block.has_savepoints() {
                    let message = "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction";
                    return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, message)
                        .sqlstate("25001")
                        .into());
                }
                block.modes.isolation = modes.isolation.or(block.modes.isolation);
                block.modes.read_only = modes.read_only.or(block.modes.read_only);
                block.modes.deferrable = modes.deferrable.or(block.modes.deferrable);
            }
            Txn::Failed(_) => return Err(aborted()),
        }
        self.on_branches(text).await?;
        self.log(Logged::Set(text.into()));
        Ok(None)
    }

    pub async fn savepoint(&mut self, name: &str) -> Result<(), Failure> {
        let (modes, local) = match &self.txn {
            Txn::Open(block) if !block.implicit => (block.modes, block.local.clone()),
            Txn::Idle | Txn::Open(_) => return Err(needs_block("SAVEPOINT")),
            Txn::Failed(_) => return Err(aborted()),
        };
        self.on_branches(&format!("SAVEPOINT {}", identifier(name)))
            .await?;
        let settings = Arc::clone(&self.settings);
        self.log(Logged::Savepoint {
            name: name.into(),
            settings,
            local,
            modes,
        });
        Ok(())
    }

    /// Gives the savepoint's place in the log.
    pub async fn release_savepoint(&mut self, name: &str) -> Result<usize, Failure> {
        let at = match &self.txn {
            Txn::Open(block) if !block.implicit => block.savepoint(name),
            Txn::Idle | Txn::Open(_) => return Err(needs_block("RELEASE SAVEPOINT")),
            Txn::Failed(_) => return Err(aborted()),
        };
        let at = self.known_savepoint(name, at)?;
        self.on_branches(&format!("RELEASE SAVEPOINT {}", identifier(name)))
            .await?;
        if let Some(block) = self.txn.block_mut() {
            // It and those set after it are gone; what was SET since stays.
            let mut index = 0;
            block.log.retain(|entry| {
                index += 1;
                index <= at || matches!(entry, Logged::Set(_))
            });
        }
        Ok(at)
    }

    /// Gives the savepoint's place in the log: what was opened behind it is gone.
    pub async fn rollback_to(&mut self, name: &str) -> Result<usize, Failure> {
        let (at, lost) = match &self.txn {
            Txn::Idle => return Err(needs_block("ROLLBACK TO SAVEPOINT")),
            Txn::Open(block) if block.implicit => return Err(needs_block("ROLLBACK TO SAVEPOINT")),
            Txn::Open(block) | Txn::Failed(block) => (block.savepoint(name), block.lost),
        };
        let at = self.known_savepoint(name, at)?;
        if lost {
            return Err(Failure::Margay(
                Fault::new(
                    Code::TXN_ABORTED,
                    "a server of the transaction was lost; there is no way back to a savepoint",
                )
                .hint("ROLLBACK and run the transaction again"),
            ));
        }
        self.on_branches(&format!("ROLLBACK TO SAVEPOINT {}", identifier(name)))
            .await?;
        self.note_news_of_a_branch();
        if let Some(block) = self.txn.block_mut() {
            block.log.truncate(at + 1);
            if let Some(Logged::Savepoint {
                settings,
                local,
                modes,
                ..
            }) = block.log.get(at)
            {
                self.settings = Arc::clone(settings);
                block.local.clone_from(local);
                block.modes = *modes;
            }
        }
        self.txn = match std::mem::take(&mut self.txn) {
            Txn::Idle => Txn::Idle,
            Txn::Open(block) | Txn::Failed(block) => Txn::Open(block),
        };
        Ok(at)
    }

    /// ROLLBACK, and the end of a failed transaction.
    pub async fn rollback(&mut self) -> Option<Warning> {
        let (Txn::Open(block) | Txn::Failed(block)) = std::mem::take(&mut self.txn) else {
            return Some(NONE_OPEN);
        };
        self.settings = Arc::clone(&block.before);
        let sets = block.has_sets();
        self.undo_telling(block.branches, sets).await;
        None
    }

    /// A statement has failed. Where nothing leads back, what the transaction holds on other servers is let go at
    /// once, as one server does: nobody should wait for a client that has yet to say ROLLBACK.
    pub async fn fail(&mut self) {
        self.txn.fail();
        let Some(block) = self.txn.block_mut() else { return };
        let lives = |b: &Branch| b.lease.as_ref().is_some_and(|l| l.tx_status() == TxStatus::InTxn);
        if block.has_savepoints() || !block.branches.iter().any(lives) {
            return;
        }
        let (branches, sets) = (std::mem::take(&mut block.branches), block.has_sets());
        self.undo_telling(branches, sets).await;
    }

    /// Rolls branches back, all at once, and lets them go. What can't be rolled back is closed,
    /// which does the same.
    pub(super) async fn undo(&mut self, branches: Vec<Branch>) {
        self.undo_telling(branches, false).await;
    }

    async fn undo_telling(&mut self, branches: Vec<Branch>, sets: bool) {
        let mut leases: Vec<Lease> = branches.into_iter().filter_map(|b| b.lease).collect();
        let rollbacks = leases.iter_mut().map(|lease| lease.run("ROLLBACK"));
        let outcomes: Vec<bool> = join_all(rollbacks).await.into_iter().map(|r| r.is_ok()).collect();
        for (mut lease, done) in leases.into_iter().zip(outcomes) {
            if !done {
                lease.poison();
            } else if sets {
                self.note_news(&lease);
            }
            self.release(lease);
        }
    }

    /// What PostgreSQL says of a SET before it does anything.
    pub fn warning_of_set(&self, command: &SetCommand) -> Option<Warning> {
        (command.local && matches!(self.txn, Txn::Idle)).then_some(SET_LOCAL_OUTSIDE)
    }

    /// SET and RESET of a server's setting. SET LOCAL outside a transaction does nothing.
    pub async fn set(
        &mut self,
        command: &SetCommand,
        startup: &Settings,
        client: &mut Client<'_>,
    ) -> Result<(), Failure> {
        if command.local && matches!(self.txn, Txn::Idle) {
            return Ok(());
        }
        let mut after = Settings::clone(&self.settings);
        let sql = changed(&mut after, command, startup);
        let after = Arc::new(after);
        match &self.txn {
            Txn::Failed(_) => return Err(aborted()),
            Txn::Idle => {
                let mut seat = self.seat(self.database.anywhere, Role::Any).await?;
                frontend::query(seat.lease.write_buf(), sql.as_bytes());
                let mut exchange = Exchange::new(std::iter::repeat_n(Expect::Quiet, seat.quiet + 1));
                let ran = exchange.run(&mut seat.lease, client).await;
                let outcome = exchange.outcome(ran);
                if outcome.is_ok() {
                    seat.lease.settings = Arc::clone(&after);
                }
                self.leave(seat, false);
                outcome?;
            }
            Txn::Open(block) => {
                // At least one server must judge the value.
                if block.branches.is_empty() {
                    let mut seat = self.seat(self.database.anywhere, Role::Any).await?;
                    let opened = super::hold::quiet_answers(&mut seat.lease).await;
                    self.leave(seat, false);
                    opened?;
                }
                self.on_branches_telling(&sql, Some(client)).await?;
                self.log(Logged::Set(sql.into()));
            }
        }
        let within = self.txn.block_mut().map(|block| &mut block.local);
        if let Some(local) = within.filter(|local| command.local || local.is_some()) {
            let mut effective = Settings::clone(local.as_ref().unwrap_or(&self.settings));
            let command = SetCommand {
                local: false,
                ..command.clone()
            };
            changed(&mut effective, &command, startup);
            *local = Some(Arc::new(effective));
        }
        if !command.local {
            self.settings = after;
        }
        Ok(())
    }

    /// Runs SQL without rows on all open branches at once; the first error is the result.
    async fn on_branches(&mut self, sql: &str) -> Result<(), Failure> {
        self.on_branches_telling(sql, None).await
    }

    async fn on_branches_telling(
        &mut self,
        sql: &str,
        client: Option<&mut Client<'_>>,
    ) -> Result<(), Failure> {
        let Some(block) = self.txn.block_mut() else {
            return Ok(());
        };
        let runs = block
            .branches
            .iter_mut()
            .filter_map(|b| b.lease.as_mut())
            .map(|lease| async move {
                let result = lease.run(sql).await;
                result.map(drop).map_err(Failure::from)
            });
        let outcomes = join_all(runs).await;
        block.lost |= block
            .branches
            .iter()
            .any(|b| b.lease.as_ref().is_none_or(|l| l.is_broken()));
        if let (Some(client), Some(lease)) = (client, block.branches.iter().find_map(|b| b.lease.as_ref())) {
            for (name, value) in lease.parameters() {
                client.statuses.report_pair(name, value, client.out.buf());
            }
        }
        outcomes.into_iter().collect()
    }

    fn known_savepoint(&mut self, name: &str, at: Option<usize>) -> Result<usize, Failure> {
        at.ok_or_else(|| {
            Failure::Margay(
                Fault::new(
                    Code::UNSUPPORTED_STATEMENT,
                    format!("savepoint \"{name}\" does not exist"),
                )
                .sqlstate("3B001"),
            )
        })
    }

    fn check_isolation(&self, modes: TxnModes) -> Result<(), Failure> {
        if modes.isolation == Some(Isolation::Serializable) && self.nodes().len() > 1 {
            return Err(Failure::Margay(serializable(&self.database.name)));
        }
        Ok(())
    }
}

/// The settings after SET or RESET, and the SQL that does it on a server. A session's defaults are what
/// its startup message said, which no server knows of: RESET sets them again.
fn changed(settings: &mut Settings, command: &SetCommand, startup: &Settings) -> String {
    if command.name.is_empty() {
        settings.reset_all();
        let mut sql = "RESET ALL".to_owned();
        for (name, value) in startup.iter() {
            settings.set(name, value);
            sql.push_str(&format!("; SET {name} = {value}"));
        }
        return sql;
    }
    match &command.value {
        Some(value) if !value.eq_ignore_ascii_case("default") => {
            if !command.local {
                settings.set(&command.name, value);
            }
            command.text.to_string()
        }
        Some(_) | None => {
            let local = if command.local { "LOCAL " } else { "" };
            match startup.get(&command.name) {
                Some(value) => {
                    settings.set(&command.name, value);
                    format!("SET {local}{} = {value}", command.name)
                }
                None => {
                    settings.reset(&command.name);
                    command.text.to_string()
                }
            }
        }
    }
}

pub(super) fn serializable(database: &str) -> Fault {
    Fault::new(
        Code::ISOLATION_ACROSS_NODES,
        format!("database \"{database}\" has several nodes, over which SERIALIZABLE can't be honoured"),
    )
    .hint("use REPEATABLE READ, and SELECT … FOR UPDATE where rows must not change")
}

/// What everything but the end of the transaction gets once it has failed.
pub fn aborted() -> Failure {
    Failure::Margay(Fault::new(
        Code::TXN_ABORTED,
        "current transaction is aborted, commands ignored until end of transaction block",
    ))
}

fn needs_block(what: &'static str) -> Failure {
    Failure::Margay(
        Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            format!("{what} can only be used in transaction blocks"),
        )
        .sqlstate("25P01"),
    )
}

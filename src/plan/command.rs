//! What one statement is to the session: something to plan, or something the session itself does.

use std::sync::Arc;

use super::{Argument, Compiled};

/// One statement, read. Made by `Planner::read`.
#[derive(Clone, Debug)]
pub enum Command {
    /// Nothing but blanks and comments.
    Empty,
    /// Bind it and carry the plan out.
    Query(Arc<Compiled>),
    Txn(TxnCommand),
    Set(SetCommand),
    /// `EXPLAIN ROUTE <statement>`: the statement itself.
    ExplainRoute(Box<str>),
    /// `PREPARE name [(types)] AS statement` where several nodes serve the database. `at`: where the statement
    /// begins in the text.
    Prepare {
        name: Box<str>,
        types: Vec<Box<str>>,
        sql: Box<str>,
        at: usize,
    },
    /// `EXECUTE name [(values)]` where several nodes serve the database.
    Execute {
        name: Box<str>,
        args: Vec<Argument>,
    },
    Deallocate {
        name: Option<Box<str>>,
    },
    /// `DISCARD ALL | PLANS | SEQUENCES | TEMP`.
    Discard {
        what: Box<str>,
    },
    /// `SHOW session_authorization`.
    ShowSessionUser,
    /// `SHOW margay.<name>`.
    ShowMargay(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnCommand {
    /// `text`: the statement to open the transaction with on each node. `begin_word`: the tag is BEGIN or START TRANSACTION.
    Begin {
        modes: TxnModes,
        tag: &'static str,
        text: Box<str>,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(Box<str>),
    Release(Box<str>),
    RollbackTo(Box<str>),
    /// `SET TRANSACTION …` within a transaction.
    SetTransaction {
        modes: TxnModes,
        text: Box<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TxnModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// READ UNCOMMITTED is this too, as on PostgreSQL.
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// SET and RESET of a server's or Margay's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCommand {
    /// Folded; empty for RESET ALL. `timezone` for SET TIME ZONE, `role`, `session_authorization` …
    pub name: Box<str>,
    /// As the right-hand side of `SET name = …`, as written (`'UTC'`, `a, b`, `DEFAULT`); None: RESET.
    pub value: Option<Box<str>>,
    pub local: bool,
    /// The statement as written, to be sent to servers.
    pub text: Box<str>,
}

impl SetCommand {
    /// Of CommandComplete: `SET x TO DEFAULT` is a SET.
    pub fn tag(&self) -> &'static str {
        let tokens = super::lex::tokens(&self.text, true);
        let reset = tokens.first().is_some_and(|t| t.is_word(&self.text, "reset"));
        if reset { "RESET" } else { "SET" }
    }
}

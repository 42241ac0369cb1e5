//! SQL → Plan. Pure: no tokio, no socket, no clock, no randomness.
//!
//! Two steps: `Planner::read(sql, view)` lexes, looks up the plan cache and on a miss parses,
//! lowers, classifies and routes as far as that goes without values. `Statement::bind(params,
//! moment)` fills in the values and gives the Plan.

mod clauses;
pub mod command;
mod lex;
mod analyze;
mod functions;
mod lower;
mod prune;
mod scope;
mod value;
mod query;
mod shape;
pub mod types;

pub use command::*;
pub use types::*;

use std::sync::Arc;

use crate::model::{Fault, NodeId};

/// Everything about a statement's shape that doesn't depend on its values. Immutable, shared.
#[derive(Debug)]
pub struct Compiled {
    /// To be filled in by the planner.
    pub todo: (),
}

/// A statement read for one session view: its command and its own literals.
#[derive(Clone, Debug)]
pub struct Statement {
    pub command: Command,
    /// The text, as the client sent it, without the terminating semicolon.
    pub text: Arc<str>,
}

/// Where to ask for the parameter types and row description of a statement, and with which text.
#[derive(Clone, Debug)]
pub struct Describe {
    pub node: NodeId,
    pub text: Text,
}

/// The planner with its cache of compiled shapes. Shared by all sessions.
#[derive(Debug, Default)]
pub struct Planner {}

impl Planner {
    /// Reads one statement (without `;`). An error here is what PostgreSQL would report at Parse.
    pub fn read(&self, _sql: &str, _view: &SessionView) -> Result<Statement, Fault> {
        Err(Fault::internal("planner not built yet"))
    }
}

impl Statement {
    /// For `Command::Query` only.
    pub fn bind(&self, _view: &SessionView, _params: &Params<'_>, _moment: &mut Moment<'_>) -> Planned {
        Err(Fault::internal("planner not built yet"))
    }

    /// For `Command::Query` only.
    pub fn describe(&self, _view: &SessionView) -> Result<Describe, Fault> {
        Err(Fault::internal("planner not built yet"))
    }
}

/// Cuts a simple-query message into statements at semicolons outside of quotes, comments and
/// parentheses (and SQL-body functions). Empty ones are left out.
pub fn split<'a>(_sql: &'a str, _standard_conforming_strings: bool) -> Vec<&'a str> {
    Vec::new()
}

//! The whole life of a query on one screen. The sessions come in here with a statement that the
//! planner has read; everything on the way to the servers and back is called from here.

use std::borrow::Cow;

use crate::model::{Code, Fault};
use crate::plan::{Merge, Moment, Params, Part, Plan, Planned, SessionView, Statement, Text};

use crate::execute::scatter;
pub use crate::execute::{
    Block, Client, Columns, CopyFeed, CopySource, Decisions, Described, Ended, Exchange, Expect, Failure,
    Fetching, Hold, Outlet, Portion, Request, Rows, Seat, Statuses, Task, Told, Txn, Using, Warning, aborted,
    batch, columns_shape, copy_channel, describe, open, simple, statement_key,
};

/// Values into the compiled statement: where it goes, and with which text.
pub fn bind(
    statement: &Statement,
    view: &SessionView,
    params: &Params<'_>,
    hold: &Hold,
    next_id: &mut dyn FnMut() -> Result<i64, Fault>,
) -> Planned {
    let statement_us = hold.clock_us();
    let mut moment = Moment {
        now_us: hold.now_us().unwrap_or(statement_us),
        statement_us,
        in_transaction: hold.now_us().is_some() && hold.nodes().len() > 1,
        next_id,
    };
    let plan = statement.bind(view, params, &mut moment)?;
    let unwritten = |part: &&Part| matches!(&part.text, Text::Spliced(text) if !view.text.can_write(text));
    if plan.parts.iter().any(|part| unwritten(&part)) {
        let message = "the statement names tables by characters that client_encoding doesn't have";
        return Err(Fault::new(Code::UNREADABLE, message).hint("SET client_encoding = 'UTF8'"));
    }
    Ok(plan)
}

/// What servers must know of a plan of one part.
pub fn task(plan: &Plan) -> Option<Task> {
    match (&plan.merge, plan.parts.as_slice()) {
        (Merge::Relay | Merge::Sum | Merge::Same, [part]) => Some(Task {
            node: part.node,
            role: plan.role,
            writes: plan.writes,
            pins: plan.pins,
        }),
        (_, _) => None,
    }
}

/// A statement of the simple protocol, from plan to answer. `message`: the client's own frame if it
/// holds this statement alone. Returns the rows told.
pub async fn run(
    hold: &mut Hold,
    plan: &Plan,
    text: &str,
    message: Option<&[u8]>,
    client: &mut Client<'_>,
) -> Result<u64, Failure> {
    // What is rare is boxed, so that the future of the usual case is small: it is moved for each statement.
    if hold.needs_snapshot() {
        Box::pin(hold.take_snapshot()).await?;
    }
    let Some(task) = task(plan) else {
        let told = Box::pin(scatter(hold, plan, text, Request::Simple, client)).await?;
        return Ok(told.rows());
    };
    let message = match (plan.parts.first().map(|part| &part.text), message) {
        (Some(Text::Original) | None, Some(message)) => Cow::Borrowed(message),
        (Some(Text::Original) | None, None) => Cow::Owned(query(hold, text)),
        (Some(Text::Spliced(spliced)), _) => Cow::Owned(query(hold, spliced)),
    };
    simple(hold, task, &message, client).await
}

/// A statement of the extended protocol that spans several parts.
pub async fn run_bound(
    hold: &mut Hold,
    plan: &Plan,
    text: &str,
    request: Request<'_>,
    client: &mut Client<'_>,
) -> Result<Told, Failure> {
    hold.take_snapshot().await?;
    scatter(hold, plan, text, request, client).await
}

/// A Query message.
fn query(hold: &Hold, text: &str) -> Vec<u8> {
    let text = hold.text.written(text);
    let mut message = Vec::with_capacity(text.len() + 6);
    message.push(b'Q');
    message.extend_from_slice(&(text.len() as u32 + 5).to_be_bytes());
    message.extend_from_slice(&text);
    message.push(0);
    message
}

/// How a statement was carried out, as it is counted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Single,
    Scatter,
    SplitWrite,
    Everywhere,
    Refused,
}

impl Tier {
    pub const ALL: [Tier; 5] = [
        Tier::Single,
        Tier::Scatter,
        Tier::SplitWrite,
        Tier::Everywhere,
        Tier::Refused,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Tier::Single => "single",
            Tier::Scatter => "scatter",
            Tier::SplitWrite => "split write",
            Tier::Everywhere => "everywhere",
            Tier::Refused => "refused",
        }
    }
}

pub fn tier(plan: &Plan) -> Tier {
    match &plan.merge {
        Merge::Relay => Tier::Single,
        Merge::Rows(_) => Tier::Scatter,
        Merge::Sum => Tier::SplitWrite,
        Merge::Same => Tier::Everywhere,
        Merge::CopyOut(_) => Tier::Scatter,
        Merge::CopyIn(_) => Tier::SplitWrite,
    }
}

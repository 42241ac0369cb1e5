//! A plan of one part, or a batch of them for the same server: the bytes go there and the answer
//! comes back as it is.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::backend::{self, Settings};
use crate::model::{Code, NodeId};
use crate::plan::Role;

use super::exchange::{Client, Exchange, Expect};
use super::{Failure, Hold, Seat, Txn};

/// Connections tried whose prepared statements turn out to be out of date.
const MAX_TRIES: u32 = 16;

/// What one batch does, as far as the choice of a server and the transaction must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    pub node: NodeId,
    pub role: Role,
    pub writes: bool,
    /// Leaves state on the connection that can't be replayed.
    pub pins: bool,
}

/// A batch that ended before its end.
pub struct Unfinished {
    pub failure: Failure,
    /// How many of the client's messages were not carried out, with the one that failed. None: not one was.
    pub unanswered: Option<usize>,
}

impl Unfinished {
    fn new(failure: Failure, exchange: &Exchange) -> Self {
        let unanswered = Some(exchange.unanswered);
        Self { failure, unanswered }
    }
}

impl From<Failure> for Unfinished {
    fn from(failure: Failure) -> Self {
        let unanswered = None;
        Self { failure, unanswered }
    }
}

/// Runs one batch. `queue` writes its messages to the connection and appends the answers that are
/// owed; it is called again if the batch is sent to another server.
///
/// A batch for a replica that turns out to write ("stable" functions may), or whose replica vanishes,
/// is sent once more to the primary as long as the client has seen nothing of the first try. So is one whose
/// statements on the connection are out of date, unless columns were `promised`: the client must then hear of it.
pub async fn batch(
    hold: &mut Hold,
    task: Task,
    promised: bool,
    client: &mut Client<'_>,
    mut queue: impl FnMut(&mut Seat, &mut Exchange),
) -> Result<Exchange, Unfinished> {
    let mark = client.out.mark();
    let mut role = task.role;
    let mut tries = 0;
    loop {
        tries += 1;
        let mut seat = hold.seat(task.node, role).await?;
        let on_replica = seat.lease.server().role() == backend::Role::Replica;
        let mut exchange = Exchange::new(std::iter::repeat_n(Expect::Quiet, seat.quiet));
        queue(&mut seat, &mut exchange);
        let ran = exchange.run(&mut seat.lease, client).await;
        let broken = exchange.quiet_failed || ran.is_err();
        let outcome = exchange.outcome(ran);
        let stale = outcome.as_ref().err().is_some_and(is_stale);
        if broken || stale {
            seat.lease.poison();
        }
        if task.pins && outcome.is_ok() {
            hold.pin(&mut seat);
        }
        hold.using.settle().await;
        let alone = matches!(hold.txn, Txn::Idle);
        hold.leave(seat, task.writes && outcome.is_ok());
        match outcome {
            Ok(()) => return Ok(exchange),
            Err(failure)
                if alone && stale && !promised && tries < MAX_TRIES && client.out.take_back(mark) =>
            {
                drop(failure)
            }
            Err(failure) if alone && role == Role::Any && worth_another_try(&failure, on_replica) => {
                if !client.out.take_back(mark) {
                    return Err(Unfinished::new(failure, &exchange));
                }
                role = Role::Primary;
            }
            Err(failure) => return Err(Unfinished::new(failure, &exchange)),
        }
    }
}

/// The connection's prepared statements are older than their tables.
pub(super) fn is_stale(failure: &Failure) -> bool {
    match failure {
        Failure::Server(_) => {
            failure.sqlstate() == "0A000" && failure.message().starts_with("cached plan must not")
        }
        Failure::Margay(_) => false,
    }
}

fn worth_another_try(failure: &Failure, on_replica: bool) -> bool {
    match failure {
        Failure::Margay(fault) => fault.code == Code::SERVER_LOST,
        // A recovery conflict is a replica's own affair too.
        Failure::Server(_) => {
            let state = failure.sqlstate();
            // A connection that was ended from outside before it ran a read.
            state == "57P01" || (on_replica && matches!(state.as_str(), "25006" | "40001"))
        }
    }
}

/// A simple-protocol message, sent as it is: the whole frame.
pub async fn simple(
    hold: &mut Hold,
    task: Task,
    message: &[u8],
    client: &mut Client<'_>,
) -> Result<u64, Failure> {
    let queue = |seat: &mut Seat, exchange: &mut Exchange| {
        seat.lease.queue(message);
        exchange.expect.push_back(Expect::Simple);
    };
    let ran = batch(hold, task, false, client, queue).await;
    Ok(ran.map_err(|unfinished| unfinished.failure)?.rows)
}

/// The key of a prepared statement on server connections, which clients share. Everything that
/// decides over what the text means when it is parsed is in it: a literal such as '2026-02-01' is
/// read under the time zone of that moment.
/// `epoch`: of the catalog, since a statement that was prepared before its table changed can't be run
/// after it, but can be prepared anew.
pub fn statement_key(text: &[u8], types: &[u32], settings: &Settings, epoch: u64) -> u64 {
    // Keyed at random: nobody can choose texts that collide.
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let settings: Vec<_> = settings
        .iter()
        .filter(|(name, _)| *name != "application_name")
        .collect();
    KEYS.hash_one((text, types, settings, epoch))
}

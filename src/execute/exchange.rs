//! One batch of messages to one server and the relay of its answers: which answers are owed, in
//! which order, and which of them the client must not see because Margay asked for them itself.
//!
//! Runs of bytes are passed on as they are; only frame headers are looked at.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use crate::backend::{Conn, Frame, Relay, Stop};
use crate::merge::tag_count;
use crate::model::{Code, Fault, oids};
use crate::wire::postgres::backend::{ParameterDescription, RowDescription};
use crate::wire::postgres::frontend;

use super::{CopyFeed, Failure, Outlet, Statuses};

/// Answers of a batch of one statement: Parse, Bind, Describe, Execute, Sync, and settings before it.
const USUAL: usize = 6;

/// An answer that is owed. `pass`: the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A simple query of Margay's own, up to its ReadyForQuery.
    Quiet,
    /// The client's simple query. Its ReadyForQuery is not passed on: the session sends its own.
    Simple,
    Parse {
        pass: bool,
    },
    Bind {
        pass: bool,
    },
    Close {
        pass: bool,
    },
    /// ParameterDescription and RowDescription or NoData.
    DescribeStatement {
        pass: bool,
    },
    DescribePortal {
        pass: bool,
    },
    Execute,
    /// The ReadyForQuery of a Sync; not passed on.
    Sync,
    /// Frames of Margay's own at this place of the stream.
    Local(Bytes),
}

/// The client, as far as answers need it.
pub struct Client<'c> {
    pub out: &'c mut Outlet,
    pub statuses: &'c mut Statuses,
    pub copy: &'c mut CopyFeed,
}

/// What a frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Done,
    CopyIn,
}

#[derive(Debug, Default)]
pub struct Exchange {
    pub expect: VecDeque<Expect>,
    /// The first ErrorResponse. Not passed on: the session says it.
    pub failure: Option<Frame>,
    /// The client's messages that were still to be answered when it failed, the failed one included.
    pub unanswered: usize,
    /// The failure came from a `Quiet` query: the server may not be as Margay thinks it is.
    pub quiet_failed: bool,
    /// Rows by the last command tags, added up.
    pub rows: u64,
    /// From the last ParameterDescription.
    pub param_types: Option<Vec<u32>>,
    /// For each Describe that was answered: whether the rows may hold OIDs of one server.
    pub columns: Vec<Columns>,
    /// The last Execute ended in PortalSuspended.
    pub suspended: bool,
    /// The Sync that `expect` ends with isn't queued yet. PostgreSQL ignores a Sync that it reads while
    /// it waits for COPY data, so behind a COPY it must be sent when the COPY is over.
    pub late_sync: bool,
}

impl Exchange {
    pub fn new(expect: impl IntoIterator<Item = Expect>) -> Self {
        // Room for a usual batch, so that it doesn't grow while it is filled.
        let mut owed = VecDeque::with_capacity(USUAL);
        owed.extend(expect);
        Self {
            expect: owed,
            ..Self::default()
        }
    }

    /// Reads answers until none is owed any more. What was queued on `conn` goes out on the way. An
    /// error is one of the connection; a server's ErrorResponse ends up in `failure`.
    pub async fn run(&mut self, conn: &mut Conn, client: &mut Client<'_>) -> Result<(), Fault> {
        loop {
            match self.expect.front() {
                None => return Ok(()),
                Some(Expect::Local(_)) => {
                    if let Some(Expect::Local(bytes)) = self.expect.pop_front()
                        && self.failure.is_none()
                    {
                        client.out.pass(&bytes).await;
                    }
                    continue;
                }
                Some(front) => {
                    if self.late_sync && (self.failure.is_some() || *front == Expect::Sync) {
                        self.late_sync = false;
                        frontend::sync(conn.write_buf());
                    }
                }
            }
            if self.failure.is_some() || matches!(self.expect.front(), Some(Expect::Quiet)) {
                let frame = conn.next_frame().await?;
                self.take(frame, client)?;
                continue;
            }
            let relayed = conn.relay(client.out.buf(), |tag, body| self.watch(tag, body))?;
            if relayed.bytes > 0 {
                client.out.relieve().await;
            }
            match relayed.stop {
                Some(Stop::After(_)) => {}
                Some(Stop::Before(_)) => {
                    let frame = conn.next_frame().await?;
                    if self.take(frame, client)? == Next::CopyIn {
                        client.out.flush().await;
                        Box::pin(client.copy.pass(conn)).await?;
                        if std::mem::take(&mut self.late_sync) {
                            // Without it the server keeps its answer in its buffer.
                            frontend::sync(conn.write_buf());
                        }
                    }
                }
                None if relayed.bytes == 0 => {
                    client.out.before_waiting().await;
                    conn.fill().await?;
                }
                None => {}
            }
        }
    }

    /// Decides over a frame that is wholly there, and moves on in `expect` for those that pass.
    fn watch(&mut self, tag: u8, body: &[u8]) -> Relay {
        let Some(front) = self.expect.front() else {
            return Relay::StopBefore;
        };
        match (tag, front) {
            (b'T' | b'n', Expect::DescribeStatement { pass: true }) => {
                self.columns.push(Columns::told(tag, body, true));
            }
            (b'T' | b'n', Expect::DescribePortal { pass: true }) => {
                self.columns.push(Columns::told(tag, body, false));
            }
            (_, _) => {}
        }
        match (tag, front) {
            (b'Z', Expect::Simple | Expect::Sync) => {
                self.expect.pop_front();
                return Relay::Drop;
            }
            (b'E' | b'Z' | b'S' | b'G' | b'W', _) => return Relay::StopBefore,
            (_, Expect::Quiet | Expect::Local(_)) => return Relay::StopBefore,
            (b'N' | b'A', Expect::Sync) => return Relay::Pass,
            (_, Expect::Sync) => return Relay::StopBefore,
            (b'N' | b'A' | b'H' | b'c' | b'd', _) => return Relay::Pass,
            (b'C', Expect::Simple) => {
                self.rows += tag_count(body.strip_suffix(&[0]).unwrap_or(body)).unwrap_or(0);
                return Relay::Pass;
            }
            (_, Expect::Simple) => return Relay::Pass,
            (b't', Expect::DescribeStatement { pass }) => {
                let pass = *pass;
                self.note_types(body);
                return if pass { Relay::Pass } else { Relay::StopBefore };
            }
            (b'C' | b'I' | b's', Expect::Execute) => {
                self.executed(tag, body);
            }
            (b'1', Expect::Parse { pass: true })
            | (b'2', Expect::Bind { pass: true })
            | (b'3', Expect::Close { pass: true })
            | (
                b'T' | b'n',
                Expect::DescribeStatement { pass: true } | Expect::DescribePortal { pass: true },
            ) => {}
            // Not to be passed on, or out of turn: `take` tells these apart.
            _ => return Relay::StopBefore,
        }
        self.expect.pop_front();
        // What the session says itself must stand between this answer and the next.
        if matches!(self.expect.front(), Some(Expect::Local(_)) | None) {
            Relay::StopAfter
        } else {
            Relay::Pass
        }
    }

    fn executed(&mut self, tag: u8, body: &[u8]) {
        self.suspended = tag == b's';
        if tag == b'C' {
            self.rows += tag_count(body.strip_suffix(&[0]).unwrap_or(body)).unwrap_or(0);
        }
    }

    fn note_types(&mut self, body: &[u8]) {
        if let Ok(description) = ParameterDescription::decode(body) {
            self.param_types = Some(description.types().collect());
        }
    }

    /// Messages of the client's that are not answered yet.
    fn owed(&self) -> usize {
        let is_own = |expect: &&Expect| match expect {
            Expect::Quiet | Expect::Sync | Expect::Parse { pass: false } => false,
            Expect::Simple
            | Expect::Parse { pass: true }
            | Expect::Bind { .. }
            | Expect::Close { .. }
            | Expect::DescribeStatement { .. }
            | Expect::DescribePortal { .. }
            | Expect::Execute
            | Expect::Local(_) => true,
        };
        self.expect.iter().filter(is_own).count()
    }

    /// A frame that is not simply passed on.
    fn take(&mut self, frame: Frame, client: &mut Client<'_>) -> Result<Next, Fault> {
        let out = &mut *client.out;
        let front = self.expect.front();
        if self.failure.is_some() {
            // The client sees nothing of what comes behind an error, not even of a batch that ran
            // although Margay's own query before it failed.
            match frame.tag {
                b'S' => client.statuses.report(frame.body(), out.buf()),
                b'Z' => {
                    while !matches!(
                        self.expect.pop_front(),
                        Some(Expect::Quiet | Expect::Simple | Expect::Sync) | None
                    ) {}
                }
                b'G' => {
                    return Err(Fault::new(
                        Code::SERVER_PROTOCOL,
                        "a server asked for data after an error",
                    ));
                }
                _ => {}
            }
            return Ok(Next::Done);
        }
        match (frame.tag, front) {
            (b'S', _) => client.statuses.report(frame.body(), out.buf()),
            (b'E', front) => {
                self.quiet_failed |= front == Some(&Expect::Quiet);
                self.failure = Some(frame);
                self.unanswered = self.owed();
            }
            (b'Z', Some(Expect::Quiet | Expect::Simple | Expect::Sync)) => {
                self.expect.pop_front();
            }
            (_, Some(Expect::Quiet)) => {}
            (b'N' | b'A', Some(_)) => out.buf().extend_from_slice(&frame.bytes),
            (b'G', Some(Expect::Simple | Expect::Execute)) => {
                out.buf().extend_from_slice(&frame.bytes);
                return Ok(Next::CopyIn);
            }
            (b't', Some(Expect::DescribeStatement { pass: false })) => self.note_types(frame.body()),
            (b'1', Some(Expect::Parse { pass: false }))
            | (b'2', Some(Expect::Bind { pass: false }))
            | (b'3', Some(Expect::Close { pass: false }))
            | (
                b'T' | b'n',
                Some(Expect::DescribeStatement { pass: false } | Expect::DescribePortal { pass: false }),
            ) => {
                if matches!(frame.tag, b'T' | b'n') {
                    self.columns.push(Columns::told(frame.tag, frame.body(), false));
                }
                self.expect.pop_front();
            }
            (tag, _) => {
                return Err(Fault::new(
                    Code::SERVER_PROTOCOL,
                    format!("a server sent message {:?} out of turn", char::from(tag)),
                ));
            }
        }
        Ok(Next::Done)
    }
}

/// What was said of a statement's columns.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Their values may hold OIDs in binary format.
    pub hold_oids: bool,
    /// Where the client asked about the statement.
    pub shape: Option<u64>,
}

impl Columns {
    /// By a RowDescription or NoData.
    fn told(tag: u8, body: &[u8], with_shape: bool) -> Self {
        let description = if tag == b'T' { body } else { &[] };
        Self {
            hold_oids: tag == b'T' && may_hold_oids(body),
            shape: with_shape.then(|| columns_shape(description)),
        }
    }
}

/// A hash of what must not change about the columns of a prepared statement: names, types and type modifiers
/// (`equalTupleDescs` in PostgreSQL's `access/common/tupdesc.c`). `description`: the body of a RowDescription, or
/// nothing.
pub fn columns_shape(description: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Ok(columns) = RowDescription::decode(description) {
        for column in columns.fields() {
            (column.name, column.type_oid, column.type_mod).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Values of these columns may hold OIDs in binary format.
fn may_hold_oids(description: &[u8]) -> bool {
    RowDescription::decode(description).is_ok_and(|columns| {
        columns
            .fields()
            .any(|column| oids::may_hold_oids(column.type_oid))
    })
}

impl Exchange {
    /// What came of it: the server's own words before those about its connection.
    pub fn outcome(&mut self, ran: Result<(), Fault>) -> Result<(), Failure> {
        match (self.failure.take(), ran) {
            (Some(frame), _) => Err(Failure::Server(frame)),
            (None, Err(fault)) => {
                self.unanswered = self.owed();
                Err(Failure::Margay(fault))
            }
            (None, Ok(())) => Ok(()),
        }
    }
}

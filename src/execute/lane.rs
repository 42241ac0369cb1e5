//! One server connection of a scatter: the parts that run on it, one after the other, and what the server
//! says of each.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use crate::backend::Frame;
use crate::model::{Code, Fault};
use crate::wire::postgres::frontend;

use super::{Client, Failure, Seat};

pub(super) struct Lane {
    pub seat: Seat,
    /// Parts not finished yet, the running one first.
    pub parts: VecDeque<usize>,
    /// Quiet answers owed before the first part's.
    quiet: usize,
}

pub(super) enum Event {
    /// Body of a RowDescription.
    Description(usize, Bytes),
    /// The whole DataRow frame.
    Row(usize, Frame),
    /// A part's command tag, without its zero byte.
    Complete(usize, Bytes),
    /// BindComplete.
    Bound,
    /// Bodies of CopyInResponse and CopyOutResponse.
    CopyIn(Bytes),
    CopyOut(Bytes),
    /// What is in a CopyData message.
    CopyData(usize, Bytes),
    CopyDone(usize),
    /// Nothing of interest, but something was read.
    Other,
}

impl Lane {
    pub fn new(seat: Seat) -> Self {
        let quiet = seat.quiet;
        Self {
            seat,
            parts: VecDeque::new(),
            quiet,
        }
    }

    /// A statement of Margay's own, before the parts that are queued after it.
    pub fn queue_quietly(&mut self, sql: &str) {
        frontend::query(self.seat.lease.write_buf(), sql.as_bytes());
        self.quiet += 1;
    }

    pub fn is_done(&self) -> bool {
        self.parts.is_empty() && self.quiet == 0
    }

    /// The next thing that its server says. Cancel-safe.
    pub async fn next(&mut self, client: &mut Client<'_>, first: bool) -> Result<Event, Failure> {
        let frame = self.seat.lease.next_frame().await?;
        let part = self.parts.front().copied();
        Ok(match (frame.tag, part) {
            (b'E', _) => return Err(Failure::Server(frame)),
            (b'S', _) => {
                client.statuses.report(frame.body(), client.out.buf());
                Event::Other
            }
            (b'Z', _) if self.quiet > 0 => {
                self.quiet -= 1;
                Event::Other
            }
            (_, _) if self.quiet > 0 => Event::Other,
            (b'Z', _) => {
                self.parts.pop_front();
                Event::Other
            }
            (b'T', Some(part)) => Event::Description(part, frame.bytes.slice(5..)),
            (b'D', Some(part)) => Event::Row(part, frame),
            (b'C', Some(part)) => {
                let tag = frame.bytes.slice(5..frame.bytes.len().max(6) - 1);
                Event::Complete(part, tag)
            }
            // As many rows as were asked for: the rest stays in the server's portal.
            (b's', Some(part)) => Event::Complete(part, Bytes::new()),
            // Each server says the same: the client hears it once.
            (b'N', _) if first => {
                client.out.pass(&frame.bytes).await;
                Event::Other
            }
            // Of the one connection that the client keeps.
            (b'A', _) => {
                client.out.pass(&frame.bytes).await;
                Event::Other
            }
            (b'2', _) => Event::Bound,
            (b'I' | b'1' | b'3' | b'n' | b't' | b'N', _) => Event::Other,
            (b'G', Some(_)) => Event::CopyIn(frame.bytes.slice(5..)),
            (b'H', Some(_)) => Event::CopyOut(frame.bytes.slice(5..)),
            (b'd', Some(part)) => Event::CopyData(part, frame.bytes.slice(5..)),
            (b'c', Some(part)) => Event::CopyDone(part),
            (_, _) => {
                self.seat.lease.mark_broken();
                return Err(Fault::new(Code::SERVER_PROTOCOL, "a server sent a message out of turn").into());
            }
        })
    }
}

/// The next event of any lane that isn't done. None: all are done.
pub(super) async fn any(lanes: &mut [Lane], client: &mut Client<'_>) -> Result<Option<Event>, Failure> {
    if lanes.iter().all(Lane::is_done) {
        return Ok(None);
    }
    poll_fn(|cx| {
        for (index, lane) in lanes.iter_mut().enumerate() {
            if lane.is_done() {
                continue;
            }
            if let Poll::Ready(event) = pin!(lane.next(client, index == 0)).poll(cx) {
                return Poll::Ready(event.map(Some));
            }
        }
        Poll::Pending
    })
    .await
}

//! One framed connection to a PostgreSQL server. Forwards without decoding: what comes in is cut
//! into frames or runs of frames that share the read buffer; what goes out is collected and
//! written at once. Keeps track of what the protocol says of the connection (transaction status,
//! answers owed, parameters), so that a pool knows whether it can be used again.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::prepared::StatementName;
use super::settings::Settings;
use crate::model::Fault;
use crate::topology;
use crate::wire::postgres::{Frame, TxStatus};

/// What a relay does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// Into the chunk, and on.
    Pass,
    /// The chunk ends before it; the frame stays for `next_frame`.
    StopBefore,
    /// Into the chunk, which ends after it.
    StopAfter,
}

/// Why a chunk ended where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The watcher said StopBefore at a frame of this tag.
    Before(u8),
    /// The watcher said StopAfter at a frame of this tag.
    After(u8),
}

/// A run of bytes to pass on: whole frames, and maybe the first or middle part of a big DataRow or CopyData.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub bytes: Bytes,
    /// None: as far as the buffer went.
    pub stop: Option<Stop>,
}

/// An ErrorResponse that a server sent.
#[derive(Clone, Debug)]
pub struct ServerError {
    /// The whole frame, to pass on as it is.
    pub frame: Frame,
}

impl ServerError {
    /// SQLSTATE, five characters.
    pub fn sqlstate(&self) -> &str {
        todo!()
    }

    /// For logs and messages, lossy.
    pub fn message(&self) -> String {
        todo!()
    }
}

/// What `Conn::run` gives: the rows of the last statement in text format, and each statement's tag.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<Bytes>>>,
    /// Of the last statement.
    pub tag: String,
}

/// Why `Conn::run` failed.
#[derive(Clone, Debug)]
pub enum RunError {
    /// The server said no; the connection is in sync (ReadyForQuery was read).
    Server(ServerError),
    /// The connection is lost.
    Fault(Fault),
}

/// A connection to one server, logged in.
pub struct Conn {
    _out: BytesMut,
    /// Settings applied on it, beyond the server's defaults. Whoever changes them on the server changes this.
    pub settings: Arc<Settings>,
}

impl Conn {
    /// Connects and logs in (trust, password, md5, SCRAM-SHA-256). Faults: NODE_DOWN (can't be
    /// reached, starting up, full), SERVER_LOGIN (refused), SERVER_PROTOCOL.
    pub async fn connect(_server: &topology::Server, _timeout: Duration) -> Result<Conn, Fault> {
        todo!()
    }

    // Writing. Frames are collected and go out at `flush`, or while waiting in any reading method.

    /// Appends whole or partial frames as they are. ReadyForQuery owed is counted from the frames
    /// themselves (Query, Sync, FunctionCall), whichever way they are written.
    pub fn queue(&mut self, _frames: &[u8]) {
        todo!()
    }

    /// The write buffer, for the encoders of `wire::postgres::frontend`.
    pub fn write_buf(&mut self) -> &mut BytesMut {
        todo!()
    }

    /// Writes all that is queued. Reads (up to a limit) while the server doesn't take more, since it
    /// may be waiting for us to read. Cancel-safe: a later call goes on.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        todo!()
    }

    // Reading.

    /// The next whole frame, with I/O if need be. *Every* frame is given, asynchronous ones too
    /// (`Frame::is_async`); ParameterStatus, ReadyForQuery … are noted on the connection before.
    /// Also flushes. Cancel-safe.
    pub async fn next_frame(&mut self) -> Result<Frame, Fault> {
        todo!()
    }

    /// The next whole frame if it is in the buffer; no I/O.
    pub fn buffered_frame(&mut self) -> Result<Option<Frame>, Fault> {
        todo!()
    }

    /// Waits until at least one more byte has come in, writing what is queued meanwhile. Cancel-safe.
    pub async fn fill(&mut self) -> Result<(), Fault> {
        todo!()
    }

    /// The longest run in the buffer that can be passed on; no I/O. `watch(tag, body)` is asked for
    /// each frame but DataRow and CopyData (which always pass, in parts if they are big), once it is
    /// wholly there. Empty without stop: more must be read first.
    pub fn take_chunk(&mut self, _watch: impl FnMut(u8, &[u8]) -> Relay) -> Result<Chunk, Fault> {
        todo!()
    }

    /// `take_chunk`, reading (and flushing) as long as the chunk would be empty without a stop. Cancel-safe.
    pub async fn relay_chunk(&mut self, _watch: impl FnMut(u8, &[u8]) -> Relay) -> Result<Chunk, Fault> {
        todo!()
    }

    /// Runs SQL text (simple protocol) and reads up to ReadyForQuery: for BEGIN, COMMIT, SET and such.
    /// The connection must owe no answer before.
    pub async fn run(&mut self, _sql: &str) -> Result<Rows, RunError> {
        todo!()
    }

    /// Reads and drops frames until no ReadyForQuery is owed.
    pub async fn drain(&mut self) -> Result<(), Fault> {
        todo!()
    }

    /// Brings the server's settings to `target` (one round trip, none if they are equal).
    pub async fn apply_settings(&mut self, _target: &Arc<Settings>) -> Result<(), RunError> {
        todo!()
    }

    // State.

    /// Of the last ReadyForQuery.
    pub fn tx_status(&self) -> TxStatus {
        todo!()
    }

    /// ReadyForQuery still to come for what was queued.
    pub fn pending_syncs(&self) -> u32 {
        todo!()
    }

    /// The stream failed or can't be trusted.
    pub fn is_broken(&self) -> bool {
        todo!()
    }

    pub fn mark_broken(&mut self) {
        todo!()
    }

    /// Idle, nothing owed, nothing buffered, not broken.
    pub fn is_reusable(&self) -> bool {
        todo!()
    }

    /// A parameter as the server reported it last (`server_version`, `TimeZone` …).
    pub fn parameter(&self, _name: &str) -> Option<&[u8]> {
        todo!()
    }

    pub fn parameters(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::empty()
    }

    pub fn backend_pid(&self) -> u32 {
        todo!()
    }

    /// How to cancel what runs on this connection, from any task.
    pub fn cancel_key(&self) -> CancelTarget {
        todo!()
    }

    // Prepared statements. Keys are the caller's (the same text and types give the same key).

    /// The server-side name for `key`, and whether it must be parsed first (then queue a Parse with
    /// this name *in the same batch*). If a batch fails, what it introduced is forgotten by itself.
    /// The least recently used goes when there are too many.
    pub fn prepare(&mut self, _key: u64) -> (StatementName, bool) {
        todo!()
    }

    /// The name if the statement is prepared already.
    pub fn prepared(&mut self, _key: u64) -> Option<StatementName> {
        todo!()
    }

    /// The statement isn't on the server any more, or must not be used again.
    pub fn forget_prepared(&mut self, _key: u64) {
        todo!()
    }

    /// After DEALLOCATE ALL or DISCARD ALL.
    pub fn forget_all_prepared(&mut self) {
        todo!()
    }

    /// Closes on the server what was evicted, if it is much. The pool calls it; who holds a
    /// connection for long calls it at an idle moment.
    pub async fn close_evicted(&mut self) -> Result<(), Fault> {
        todo!()
    }
}

/// Where to send a CancelRequest, and for whom.
#[derive(Clone)]
pub struct CancelTarget {
    _private: (),
}

impl CancelTarget {
    /// Connects, sends the request and waits until the server has closed: by then the signal is sent.
    pub async fn send(&self) -> Result<(), Fault> {
        todo!()
    }
}

//! One framed connection to a PostgreSQL server. Forwards without decoding: what comes in is cut
//! into frames or runs of frames that share the read buffer; what goes out is collected and
//! written at once. Keeps track of what the protocol says of the connection (transaction status,
//! answers owed, parameters), so that a pool knows whether it can be used again.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::runtime::{Handle, Id};

use super::cancel::CancelTarget;
use super::chunk::{Relay, Relayed, Stop};
use super::login;
use super::prepared::{Prepared, StatementName};
use super::server::Tally;
use super::settings::Settings;
use super::stream::{Breaker, Peer, Stream};
use super::track::{Track, peek};
use super::words::{self, Words};
use crate::model::oids::Oids;
use crate::model::{Code, Fault};
use crate::topology;
use crate::wire::postgres::oids::Untold;
use crate::wire::postgres::{Frame, ProtocolError, TxStatus, frontend};

/// Room for a read: small at first, doubled each time a read fills it, so that an idle connection
/// stays small and a big result takes few system calls.
const MIN_READ: usize = 8 << 10;
const MAX_READ: usize = 128 << 10;
/// What may come in while a write is stuck, before the write alone is waited for.
const MAX_READ_AHEAD: usize = 1 << 20;
/// A write buffer that grew beyond this for one big statement isn't kept.
const MAX_KEPT_WRITE: usize = 256 << 10;
/// Evicted statements are closed this many at a time: one round trip in as many evictions.
const CLOSE_BATCH: usize = 64;

/// A connection to one server, logged in.
pub struct Conn {
    stream: Stream,
    peer: Peer,
    input: BytesMut,
    read_size: usize,
    /// Bytes of a frame that `relay` has still to pass on in part.
    mid_frame: usize,
    words: Words,
    output: BytesMut,
    /// Of `output`: seen by `track`, and written.
    counted: usize,
    written: usize,
    track: Track,
    broken: bool,
    /// Made when it is first asked for: after the login it doesn't change.
    cancel: OnceLock<Arc<CancelTarget>>,
    prepared: Prepared,
    /// Settings applied on it, beyond the server's defaults. Whoever changes them on the server changes this.
    pub settings: Arc<Settings>,
    /// NotificationResponses that came with answers which no client sees: whoever ran these passes them on.
    pub notifications: Vec<Frame>,
    pub(super) created: Instant,
    pub(super) returned: Instant,
    /// The runtime that watches its socket.
    home: Id,
    /// Of its server; None outside of a pool.
    tally: Option<Arc<Tally>>,
    breaker: Option<Arc<Breaker>>,
}

impl Conn {
    /// Connects and logs in (trust, password, md5, SCRAM-SHA-256). Faults: NODE_DOWN (can't be
    /// reached, starting up, full), SERVER_LOGIN (refused), SERVER_PROTOCOL.
    pub async fn connect(server: &topology::Server, timeout: Duration) -> Result<Conn, Fault> {
        login::connect(server, timeout)
            .await
            .map_err(|refusal| refusal.fault)
    }

    /// Within a runtime, which watches the socket from then on.
    pub(super) fn new(stream: Stream, peer: Peer) -> Self {
        let now = Instant::now();
        Self {
            stream,
            peer,
            input: BytesMut::new(),
            read_size: MIN_READ,
            mid_frame: 0,
            words: Words::default(),
            output: BytesMut::new(),
            counted: 0,
            written: 0,
            track: Track::new(),
            broken: false,
            cancel: OnceLock::new(),
            prepared: Prepared::default(),
            settings: Arc::default(),
            notifications: Vec::new(),
            created: now,
            returned: now,
            home: Handle::current().id(),
            tally: None,
            breaker: None,
        }
    }

    /// What a SCRAM login can be bound to.
    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        self.stream.end_point()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.stream.is_encrypted()
    }

    pub(super) fn breaker(&self) -> io::Result<Breaker> {
        self.stream.breaker()
    }

    /// Statements and faults are counted there, and the breaker ends it from outside.
    pub(super) fn belong_to(&mut self, tally: Arc<Tally>, breaker: Arc<Breaker>) {
        self.tally = Some(tally);
        self.breaker = Some(breaker);
    }

    // Writing. Frames are collected and go out at `flush`, or while waiting in any reading method.

    /// Appends whole or partial frames as they are. ReadyForQuery owed is counted from the frames
    /// themselves (Query, Sync, FunctionCall), whichever way they are written.
    pub fn queue(&mut self, frames: &[u8]) {
        self.output.extend_from_slice(frames);
    }

    /// The write buffer, for the encoders of `wire::postgres::frontend`. Append only.
    pub fn write_buf(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Writes all that is queued. Reads (up to a limit) while the server doesn't take more, since it
    /// may be waiting for us to read. Cancel-safe: a later call goes on.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        self.check()?;
        self.count_output()?;
        // Written and still here: a TLS stream that holds some of it back.
        while !self.output.is_empty() {
            let done = poll_fn(|cx| {
                match self.poll_write(cx) {
                    Poll::Pending => {}
                    done @ Poll::Ready(_) => return done.map_ok(|()| 0),
                }
                if self.input.len() >= MAX_READ_AHEAD {
                    return Poll::Pending;
                }
                self.poll_read(cx)
            })
            .await;
            self.guard(done)?;
        }
        Ok(())
    }

    /// Writes until everything is written. The output is counted before.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.written += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            other @ (Poll::Ready(Err(_)) | Poll::Pending) => return other,
        }
        if self.output.capacity() > MAX_KEPT_WRITE {
            self.output = BytesMut::new();
        }
        self.output.clear();
        (self.counted, self.written) = (0, 0);
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.is_empty() {
            // From the start of the buffer again, which the processor's caches still hold.
            let _ = self.input.try_reclaim(self.read_size);
        }
        if self.input.capacity() - self.input.len() < MIN_READ / 2 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.stream.read_buf(&mut self.input)).as_mut().poll(cx);
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(n)) => {
                if n == room {
                    self.read_size = (self.read_size * 2).min(MAX_READ);
                }
                Poll::Ready(Ok(n))
            }
            other @ (Poll::Ready(Err(_)) | Poll::Pending) => other,
        }
    }

    fn count_output(&mut self) -> Result<(), Fault> {
        let counted = std::mem::replace(&mut self.counted, self.output.len());
        let before = self.track.statements;
        let to_node = self.words.to_node();
        let noted = self.track.note_sent(&mut self.output[counted..], to_node);
        if let Some(tally) = self.tally.as_ref().filter(|_| self.track.statements > before) {
            tally.queries.fetch_add(self.track.statements - before, Relaxed);
        }
        // Frames were read from a client or made here: a defect, not the server's fault.
        noted.map_err(|error| self.lost(Fault::internal(format!("malformed frame for a server: {error}"))))
    }

    // Reading.

    /// The next whole frame, with I/O if need be. *Every* frame is given, asynchronous ones too
    /// (`Frame::is_async`); ParameterStatus, ReadyForQuery … are noted on the connection before.
    /// Also flushes. Cancel-safe.
    pub fn next_frame(&mut self) -> impl Future<Output = Result<Frame, Fault>> + Send + '_ {
        poll_fn(|cx| {
            loop {
                if let Some(frame) = self.buffered_frame()? {
                    return Poll::Ready(Ok(frame));
                }
                ready!(self.poll_fill(cx))?;
            }
        })
    }

    /// The next whole frame if it is in the buffer; no I/O.
    pub fn buffered_frame(&mut self) -> Result<Option<Frame>, Fault> {
        if self.mid_frame > 0 {
            return Err(self.lost(Fault::internal(
                "a frame was asked for in the middle of a relayed one",
            )));
        }
        let Some(header) = peek(&self.input).map_err(|e| self.violated(e))? else {
            return Ok(None);
        };
        if self.input.len() < header.len {
            return Ok(None);
        }
        self.put_oids(header.tag, 0, header.len)?;
        self.words.is_put = false;
        let frame = Frame {
            tag: header.tag,
            bytes: self.input.split_to(header.len).freeze(),
        };
        if frame.tag != b'D' {
            self.track
                .note_received(frame.tag, frame.body())
                .map_err(|e| self.violated(e))?;
            self.settle();
        }
        Ok(Some(frame))
    }

    /// Waits until at least one more byte has come in, writing what is queued meanwhile. Cancel-safe.
    pub fn fill(&mut self) -> impl Future<Output = Result<(), Fault>> + Send + '_ {
        poll_fn(|cx| self.poll_fill(cx))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.check()?;
        self.count_output()?;
        let mut failed = None;
        if !self.output.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            failed = Some(error);
        }
        // After an error too: the server may have said why it closes before it did.
        let done = match (self.poll_read(cx), failed) {
            (Poll::Ready(Ok(n)), _) => Ok(n),
            (Poll::Ready(Err(_)) | Poll::Pending, Some(error)) => Err(error),
            (Poll::Ready(Err(error)), None) => Err(error),
            (Poll::Pending, None) => return Poll::Pending,
        };
        Poll::Ready(self.guard(done))
    }

    /// Appends to `out` the longest run in the buffer that can be passed on; no I/O. `watch(tag, body)` is
    /// asked for each frame but DataRow and CopyData (which always pass, in parts if they aren't all there),
    /// once it is wholly there. Nothing without a stop: more must be read first.
    pub fn relay(
        &mut self,
        out: &mut BytesMut,
        mut watch: impl FnMut(u8, &[u8]) -> Relay,
    ) -> Result<Relayed, Fault> {
        let mut at = self.mid_frame.min(self.input.len());
        self.mid_frame -= at;
        let mut stop = None;
        let mut dropped = 0;
        let mut violation = None;
        while self.mid_frame == 0 && stop.is_none() && violation.is_none() {
            let rest = &self.input[at..];
            let header = match peek(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => {
                    violation = Some(error);
                    break;
                }
            };
            if matches!(header.tag, b'D' | b'd') && (header.tag == b'd' || !self.words.reads_rows()) {
                self.mid_frame = header.len.saturating_sub(rest.len());
                at += header.len.min(rest.len());
                continue;
            }
            if rest.len() < header.len {
                break;
            }
            self.put_oids(header.tag, at, header.len)?;
            let body = &self.input[at + 5..at + header.len];
            let verdict = match header.tag {
                b'D' => Relay::Pass,
                tag => watch(tag, body),
            };
            self.words.is_put = verdict == Relay::StopBefore;
            match verdict {
                Relay::Pass => {}
                Relay::StopBefore => {
                    stop = Some(Stop::Before(header.tag));
                    break;
                }
                Relay::StopAfter => stop = Some(Stop::After(header.tag)),
                Relay::Drop => {
                    dropped = header.len;
                    stop = Some(Stop::After(header.tag));
                }
            }
            violation = self.track.note_received(header.tag, body).err();
            at += header.len;
        }
        if let Some(error) = violation {
            return Err(self.violated(error));
        }
        self.settle();
        let bytes = at - dropped;
        out.extend_from_slice(&self.input[..bytes]);
        self.input.advance(at);
        Ok(Relayed { bytes, stop })
    }

    /// Whose OIDs the client knows: told by whoever takes the connection.
    pub fn speak(&mut self, oids: Option<Arc<Oids>>) {
        self.words.oids = oids;
    }

    /// The values of the Bind that was queued last, from `start` of the write buffer on, into the server's
    /// OIDs. `types`: of the parameters, in the client's.
    pub fn put_bind(&mut self, start: usize, types: &[u32]) {
        let frame = self.output.get_mut(start..).unwrap_or_default();
        self.broken |= !self.words.put_bind(frame, types);
    }

    fn put_oids(&mut self, tag: u8, at: usize, length: usize) -> Result<(), Fault> {
        match self.words.put(tag, &mut self.input, at, length) {
            Ok(()) => Ok(()),
            Err(Untold::Unknown(oid)) => Err(self.lost(words::unknown(oid))),
            Err(Untold::Broken(error)) => Err(self.violated(error)),
        }
    }

    /// Reads and drops frames until no ReadyForQuery is owed; a COPY that waits for data is ended.
    /// Don't call it before the last Sync is queued.
    pub async fn drain(&mut self) -> Result<(), Fault> {
        self.count_output()?;
        let mut unwanted = BytesMut::new();
        while self.mid_frame > 0 {
            self.relay(&mut unwanted, |_, _| Relay::StopBefore)?;
            unwanted.clear();
            if self.mid_frame > 0 {
                self.fill().await?;
            }
        }
        while self.track.owed() > 0 || self.track.wants_copy_data() {
            if self.track.wants_copy_data() {
                frontend::copy_fail(&mut self.output, b"given up");
                self.count_output()?;
                if self.track.owed() == 0 {
                    frontend::sync(&mut self.output);
                    self.count_output()?;
                }
            }
            self.next_frame().await?;
        }
        Ok(())
    }

    // State.

    /// Of the last ReadyForQuery.
    pub fn tx_status(&self) -> TxStatus {
        self.track.status
    }

    /// ReadyForQuery still to come for what was flushed.
    pub fn pending_syncs(&self) -> u32 {
        self.track.owed() as u32
    }

    /// `relay` passed on a frame in part; the rest must follow before anything else does.
    pub fn is_mid_frame(&self) -> bool {
        self.mid_frame > 0
    }

    /// The stream failed or can't be trusted.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Idle, nothing owed, nothing buffered, not broken.
    pub fn is_reusable(&self) -> bool {
        !self.broken
            && self.mid_frame == 0
            && self.input.is_empty()
            && self.output.is_empty()
            && self.track.status == TxStatus::Idle
            && self.track.is_quiet()
    }

    /// Takes in what came while nobody used the connection. False: it can't be used any more.
    pub(super) fn check_idle(&mut self) -> bool {
        while self.come_to_rest() {
            self.input.reserve(MIN_READ / 2);
            match self.stream.try_read_buf(&mut self.input) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        false
    }

    /// Drops what is buffered as long as it may come at any time (an error means the end); true if
    /// the connection is reusable then.
    pub(super) fn come_to_rest(&mut self) -> bool {
        while !self.input.is_empty() && self.mid_frame == 0 && self.track.owed() == 0 {
            match self.buffered_frame() {
                Ok(Some(frame)) if frame.is_async() => {}
                Ok(Some(_) | None) | Err(_) => return false,
            }
        }
        self.is_reusable()
    }

    /// A parameter as the server reported it last (`server_version`, `TimeZone` …).
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters()
            .find(|(n, _)| *n == name.as_bytes())
            .map(|(_, value)| value)
    }

    pub fn parameters(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.track
            .parameters
            .iter()
            .map(|(name, value)| (&**name, &**value))
    }

    pub fn backend_pid(&self) -> u32 {
        self.track.pid
    }

    /// How to cancel what runs on this connection, from any task.
    pub fn cancel_key(&self) -> Arc<CancelTarget> {
        let target = || CancelTarget::new(self.peer.clone(), self.track.pid, self.track.secret.clone());
        Arc::clone(self.cancel.get_or_init(|| Arc::new(target())))
    }

    pub fn age(&self) -> Duration {
        self.created.elapsed()
    }

    // Prepared statements. Keys are the caller's (the same text and types give the same key).

    /// The server-side name for `key`, and whether it must be parsed first (then queue a Parse with
    /// this name *in the same batch*). If a batch fails, what it introduced is forgotten by itself.
    /// The least recently used goes when there are too many.
    pub fn prepare(&mut self, key: u64) -> (StatementName, bool) {
        self.prepared.prepare(key)
    }

    /// The name if the statement is prepared already.
    pub fn prepared(&mut self, key: u64) -> Option<StatementName> {
        self.prepared.get(key)
    }

    /// The statement isn't on the server any more, or must not be used again.
    pub fn forget_prepared(&mut self, key: u64) {
        self.prepared.forget(key);
    }

    /// After DEALLOCATE ALL or DISCARD ALL.
    pub fn forget_all_prepared(&mut self) {
        self.prepared.forget_all();
    }

    /// The runtime that watches its socket. Used from another one it works as well, but each answer costs a
    /// wake-up from thread to thread.
    pub(super) fn home(&self) -> Id {
        self.home
    }

    /// Has the present runtime (`here`) watch the socket. Nothing may be under way.
    pub(super) fn move_here(&mut self, here: Id) -> io::Result<()> {
        self.stream.move_here()?;
        self.home = here;
        Ok(())
    }

    /// `close_evicted` has something to do.
    pub(super) fn has_to_close(&self) -> bool {
        self.prepared.evicted() >= CLOSE_BATCH
    }

    /// Closes on the server what was evicted, if it is much. The pool calls it; who holds a
    /// connection for long calls it at an idle moment.
    pub async fn close_evicted(&mut self) -> Result<(), Fault> {
        if !self.has_to_close() {
            return Ok(());
        }
        for name in self.prepared.take_evicted() {
            frontend::close(&mut self.output, frontend::Target::Statement, name.as_bytes());
        }
        frontend::sync(&mut self.output);
        self.drain().await
    }

    /// What was introduced is confirmed or forgotten once nothing is under way, neither sent nor queued.
    fn settle(&mut self) {
        if self.track.is_quiet() && self.output.len() == self.written {
            self.prepared.settled(self.track.failed);
            self.track.failed = false;
        }
    }

    /// Counts the ReadyForQuery that ends a login.
    pub(super) fn expect_login(&mut self) {
        self.track.expect_login();
    }

    /// Startup packets have no tag, so they go out uncounted.
    pub(super) fn queue_untagged(&mut self, put: impl FnOnce(&mut BytesMut)) {
        debug_assert!(self.output.is_empty(), "a startup packet comes first");
        put(&mut self.output);
        self.counted = self.output.len();
    }

    // Faults. Their texts reach clients, so they name no server.

    fn check(&self) -> Result<(), Fault> {
        if self.broken { Err(server_lost()) } else { Ok(()) }
    }

    fn guard<T>(&mut self, done: io::Result<T>) -> Result<(), Fault> {
        match done {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(peer = ?self.peer, pid = self.track.pid, %error, "server connection lost");
                Err(self.lost(server_lost()))
            }
        }
    }

    fn violated(&mut self, error: ProtocolError) -> Fault {
        self.lost(error.from_server())
    }

    fn lost(&mut self, fault: Fault) -> Fault {
        if let Some(tally) = self.tally.as_ref().filter(|_| !self.broken) {
            tally.errors.fetch_add(1, Relaxed);
        }
        self.broken = true;
        fault
    }
}

fn server_lost() -> Fault {
    Fault::new(Code::SERVER_LOST, "a server closed the connection unexpectedly")
}

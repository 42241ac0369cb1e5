//! The client's side of the wire: what is to be sent to it, collected and written at once. A client
//! that reads slowly slows its servers down, since nothing more is read from them meanwhile.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// More than this isn't kept for a client that doesn't read: about one socket buffer.
const HOLD_BYTES: usize = 64 << 10;
/// What a server has sent so far is passed on before waiting for more of it once it is this much:
/// the client sees first rows early, and small answers still go out in one write.
const EARLY_BYTES: usize = 8 << 10;

/// Where the buffer begins. It is given back with each flush: thousands of clients may do nothing, and what one
/// gives back another one takes while the processor's caches still hold it.
const FIRST_BYTES: usize = 1 << 10;

pub struct Outlet {
    socket: Box<dyn AsyncWrite + Send + Unpin>,
    buf: BytesMut,
    /// Of `buf`.
    written: usize,
    /// Bytes ever handed to the socket: tells whether an answer can still be taken back.
    sent: u64,
    gone: bool,
}

impl Outlet {
    pub fn new(socket: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Self {
            socket,
            buf: BytesMut::new(),
            written: 0,
            sent: 0,
            gone: false,
        }
    }

    /// For the encoders of `wire::postgres::backend`.
    pub fn buf(&mut self) -> &mut BytesMut {
        if self.buf.capacity() == 0 {
            self.buf.reserve(FIRST_BYTES);
        }
        &mut self.buf
    }

    // What these return is as small as a few pointers: it is part of every statement's future.

    /// Appends bytes, and writes if that is much.
    pub fn pass(&mut self, bytes: &[u8]) -> impl Future<Output = ()> + Send + '_ {
        self.buf().extend_from_slice(bytes);
        self.relieve()
    }

    /// Writes if more is held than should be.
    pub fn relieve(&mut self) -> impl Future<Output = ()> + Send + '_ {
        self.flush_from(HOLD_BYTES)
    }

    /// To be called before waiting for a server.
    pub fn before_waiting(&mut self) -> impl Future<Output = ()> + Send + '_ {
        self.flush_from(EARLY_BYTES)
    }

    /// Writes everything. A client that is gone is noted, not an error: what was begun on servers
    /// must be brought to its end all the same.
    pub fn flush(&mut self) -> impl Future<Output = ()> + Send + '_ {
        self.flush_from(1)
    }

    /// Writes everything, if it is so many bytes.
    fn flush_from(&mut self, bytes: usize) -> impl Future<Output = ()> + Send + '_ {
        poll_fn(move |cx| {
            if self.buf.len() < bytes {
                return Poll::Ready(());
            }
            let done = ready!(self.poll_write(cx));
            self.gone |= done.is_err();
            self.buf = BytesMut::new();
            self.written = 0;
            Poll::Ready(())
        })
    }

    /// A later call goes on where this one had to stop.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gone {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.buf.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.buf[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => {
                    self.written += n;
                    self.sent += n as u64;
                }
            }
        }
        // A TLS stream holds back what the socket didn't take; for TCP this does nothing.
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// The client can't be written to any more.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// A place to come back to with `take_back`.
    pub fn mark(&self) -> Mark {
        Mark {
            sent: self.sent,
            len: self.buf.len(),
        }
    }

    /// Forgets what was appended since; false: some of it may have reached the client.
    pub fn take_back(&mut self, mark: Mark) -> bool {
        if self.sent != mark.sent {
            return false;
        }
        self.buf.truncate(mark.len);
        true
    }

    pub async fn close(&mut self) {
        self.flush().await;
        let _ = self.socket.shutdown().await;
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Mark {
    sent: u64,
    len: usize,
}

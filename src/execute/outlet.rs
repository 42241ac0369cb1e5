//! The client's side of the wire: what is to be sent to it, collected and written at once. A client
//! that reads slowly slows its servers down, since nothing more is read from them meanwhile.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// More than this isn't kept for a client that doesn't read: about one socket buffer.
const HOLD_BYTES: usize = 64 << 10;
/// What a server has sent so far is passed on before waiting for more of it once it is this much:
/// the client sees first rows early, and small answers still go out in one write.
const EARLY_BYTES: usize = 8 << 10;

/// A larger buffer isn't kept: there may be thousands of clients that do nothing.
const KEEP_BYTES: usize = 4 << 10;

pub struct Outlet {
    socket: Box<dyn AsyncWrite + Send + Unpin>,
    buf: BytesMut,
    /// Bytes ever handed to the socket: tells whether an answer can still be taken back.
    sent: u64,
    gone: bool,
}

impl Outlet {
    pub fn new(socket: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Self {
            socket,
            buf: BytesMut::new(),
            sent: 0,
            gone: false,
        }
    }

    /// For the encoders of `wire::postgres::backend`.
    pub fn buf(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Appends bytes, and writes if that is much.
    pub async fn pass(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
        self.relieve().await;
    }

    /// Writes if more is held than should be.
    pub async fn relieve(&mut self) {
        if self.buf.len() >= HOLD_BYTES {
            self.flush().await;
        }
    }

    /// To be called before waiting for a server.
    pub async fn before_waiting(&mut self) {
        if self.buf.len() >= EARLY_BYTES {
            self.flush().await;
        }
    }

    /// Writes everything. A client that is gone is noted, not an error: what was begun on servers
    /// must be brought to its end all the same.
    pub async fn flush(&mut self) {
        if self.buf.is_empty() {
            return;
        }
        self.sent += self.buf.len() as u64;
        // A TLS stream holds back what the socket didn't take; for TCP the flush does nothing.
        if !self.gone
            && (self.socket.write_all(&self.buf).await.is_err() || self.socket.flush().await.is_err())
        {
            self.gone = true;
        }
        self.buf.clear();
        if self.buf.capacity() > KEEP_BYTES {
            self.buf = BytesMut::new();
        }
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

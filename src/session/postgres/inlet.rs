//! What the client sends: a read buffer cut into frames.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::wire::postgres::ProtocolError;
use crate::wire::postgres::frame::{self, Frame};

/// Room for one read: small at first, doubled when a read fills it. The small one is on the stack, so that
/// thousands of idle clients hold no buffer, and busy ones share the processor's caches.
const MIN_READ: usize = 2 << 10;
const MAX_READ: usize = 64 << 10;
/// Read ahead while a statement runs, to notice that the client left or what it sends next.
const AHEAD_BYTES: usize = 64 << 10;

pub(super) struct Inlet {
    socket: Box<dyn AsyncRead + Send + Unpin>,
    buf: BytesMut,
    read_size: usize,
    /// Bytes that the last read gave.
    last_read: usize,
    /// Was taken and not used: the next frame.
    unread: Option<Frame>,
    /// The client has closed its end.
    closed: bool,
    /// Longest frame taken.
    pub limit: usize,
}

impl Inlet {
    /// `buf`: what was read already.
    pub fn after(buf: BytesMut, socket: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        Self {
            socket,
            buf,
            read_size: MIN_READ,
            last_read: 0,
            unread: None,
            closed: false,
            limit: frame::MAX_LOGIN,
        }
    }

    /// The next frame, if it is all there.
    pub fn buffered(&mut self) -> Result<Option<Frame>, ProtocolError> {
        if let Some(frame) = self.unread.take() {
            return Ok(Some(frame));
        }
        frame::split(&mut self.buf, self.limit)
    }

    /// The next frame; None: the client has left.
    pub async fn frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    /// The untagged frame that a connection starts with.
    pub async fn startup(&mut self) -> Result<Option<Bytes>, ProtocolError> {
        loop {
            if let Some(frame) = frame::split_startup(&mut self.buf)? {
                return Ok(Some(frame));
            }
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    /// Gives back the frame that was taken last.
    pub fn unread(&mut self, frame: Frame) {
        self.unread = Some(frame);
    }

    /// Reads once; false: there will be no more.
    async fn more(&mut self) -> bool {
        poll_fn(|cx| self.poll_more(cx)).await
    }

    pub fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.closed {
            return Poll::Ready(false);
        }
        self.make_room();
        let room = match self.buf.capacity() - self.buf.len() {
            0 => MIN_READ,
            room => room,
        };
        let read = if self.buf.capacity() == 0 {
            self.poll_small(cx)
        } else {
            pin!(self.socket.read_buf(&mut self.buf)).poll(cx)
        };
        match ready!(read) {
            Ok(0) | Err(_) => {
                self.closed = true;
                Poll::Ready(false)
            }
            Ok(n) => {
                self.last_read = n;
                if n == room {
                    self.read_size = (self.read_size * 2).min(MAX_READ);
                }
                Poll::Ready(true)
            }
        }
    }

    /// Reads into the empty buffer, which comes to be as large as what was read.
    fn poll_small(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); MIN_READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        self.buf = BytesMut::from(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    fn make_room(&mut self) {
        if self.buf.is_empty() {
            if self.read_size > MIN_READ && self.last_read < MIN_READ {
                // What the large buffer was for is over.
                self.read_size = MIN_READ;
            }
            if self.read_size == MIN_READ {
                self.buf = BytesMut::new();
                return;
            }
            // From the start of the buffer again, which the processor's caches still hold. Not if a frame of it
            // is still in use.
            let _ = self.buf.try_reclaim(self.read_size);
        }
        if self.buf.capacity() - self.buf.len() < MIN_READ / 4 {
            self.buf.reserve(self.read_size);
        }
    }

    /// Enough was read ahead.
    pub fn is_full(&self) -> bool {
        self.buf.len() >= AHEAD_BYTES
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

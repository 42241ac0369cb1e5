//! COPY data on its way from the client to a server. The session's own task reads the client all
//! the time (to notice that it left); while a server wants COPY data, it passes the frames on here.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::backend::{Conn, Frame};
use crate::model::Fault;
use crate::model::admin::SharedIds;
use crate::wire::postgres::frontend;

/// Frames under way: one being written, one waiting.
const DEPTH: usize = 2;
/// Written to the server at once.
const WRITE_BYTES: usize = 32 << 10;

/// What both ends share. Every client has one, and few ever send COPY data: it holds no memory until then.
#[derive(Default)]
struct Pipe {
    wanted: AtomicBool,
    frames: Mutex<VecDeque<Frame>>,
    /// The session's end is gone.
    ended: AtomicBool,
    reader: AtomicWaker,
}

impl Pipe {
    fn frames(&self) -> MutexGuard<'_, VecDeque<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's end.
pub struct CopySource(Arc<Pipe>);

impl CopySource {
    pub fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Acquire)
    }

    /// Hands a frame over, or gives it back if as many wait as may.
    pub fn offer(&self, frame: Frame) -> Result<(), Frame> {
        let mut frames = self.0.frames();
        if frames.len() >= DEPTH {
            return Err(frame);
        }
        frames.push_back(frame);
        drop(frames);
        self.0.reader.wake();
        Ok(())
    }
}

impl Drop for CopySource {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.reader.wake();
    }
}

/// The server's end.
pub struct CopyFeed {
    pipe: Arc<Pipe>,
    /// Messages that were read for a COPY which ended before them; the session's next ones.
    pub leftover: VecDeque<Frame>,
    /// For columns that Margay fills.
    ids: SharedIds,
    database: Box<str>,
    /// COPY data was asked for since this was last set to false.
    pub used: bool,
}

/// Both ends, for one client of a database.
pub fn copy_channel(ids: SharedIds, database: &str) -> (CopySource, CopyFeed) {
    let pipe = Arc::new(Pipe::default());
    let feed = CopyFeed {
        pipe: Arc::clone(&pipe),
        leftover: VecDeque::new(),
        ids,
        database: database.into(),
        used: false,
    };
    (CopySource(pipe), feed)
}

impl CopyFeed {
    /// From now on the client's frames come here.
    pub fn open(&mut self) {
        self.used = true;
        self.pipe.wanted.store(true, Ordering::Release);
    }

    /// The next frame; None: the client has left.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.pipe.reader.register(cx.waker());
        // Asked first: no frame can follow the end.
        let ended = self.pipe.ended.load(Ordering::Acquire);
        match self.pipe.frames().pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn frame(&mut self) -> impl Future<Output = Option<Frame>> + Send + '_ {
        poll_fn(|cx| self.poll_frame(cx))
    }

    /// No more data is wanted. What has come already and is none is left for the session.
    pub fn close(&mut self) {
        self.pipe.wanted.store(false, Ordering::Release);
        let frames = std::mem::take(&mut *self.pipe.frames());
        let others = frames
            .into_iter()
            .filter(|f| !matches!(f.tag, b'd' | b'c' | b'f'));
        self.leftover.extend(others);
    }

    pub fn next_id(&self) -> Result<i64, Fault> {
        self.ids.next_id(&self.database)
    }

    /// Passes data on until the client says that it is done, or has failed, or has left.
    pub async fn pass(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        self.used = true;
        self.pipe.wanted.store(true, Ordering::Release);
        let result = self.frames_to(conn).await;
        self.pipe.wanted.store(false, Ordering::Release);
        result
    }

    async fn frames_to(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        loop {
            match self.frame().await {
                Some(frame) => match frame.tag {
                    b'd' => {
                        conn.queue(&frame.bytes);
                        if conn.write_buf().len() >= WRITE_BYTES {
                            conn.flush().await?;
                        }
                    }
                    b'c' | b'f' => {
                        conn.queue(&frame.bytes);
                        return Ok(());
                    }
                    // PostgreSQL ignores both while it waits for data.
                    b'H' | b'S' => {}
                    _ => {
                        frontend::copy_fail(
                            conn.write_buf(),
                            b"unexpected message type during COPY from stdin",
                        );
                        return Ok(());
                    }
                },
                None => {
                    frontend::copy_fail(conn.write_buf(), b"the client has left");
                    return Ok(());
                }
            }
        }
    }
}

//! COPY data on its way from the client to a server. The session's own task reads the client all
//! the time (to notice that it left); while a server wants COPY data, it passes the frames on here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::backend::{Conn, Frame};
use crate::model::Fault;
use crate::model::admin::SharedIds;
use crate::wire::postgres::frontend;

/// Frames under way: one being written, one waiting.
const DEPTH: usize = 2;
/// Written to the server at once.
const WRITE_BYTES: usize = 32 << 10;

/// The session's end.
pub struct CopySource {
    wanted: Arc<AtomicBool>,
    pub frames: mpsc::Sender<Frame>,
}

impl CopySource {
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }
}

/// The server's end.
pub struct CopyFeed {
    wanted: Arc<AtomicBool>,
    frames: mpsc::Receiver<Frame>,
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
    let wanted = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel(DEPTH);
    (
        CopySource {
            wanted: Arc::clone(&wanted),
            frames: sender,
        },
        CopyFeed {
            wanted,
            frames: receiver,
            leftover: VecDeque::new(),
            ids,
            database: database.into(),
            used: false,
        },
    )
}

impl CopyFeed {
    /// From now on the client's frames come here.
    pub fn open(&mut self) {
        self.used = true;
        self.wanted.store(true, Ordering::Release);
    }

    /// The next frame; None: the client has left.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.frames.poll_recv(cx)
    }

    /// No more data is wanted. What has come already and is none is left for the session.
    pub fn close(&mut self) {
        self.wanted.store(false, Ordering::Release);
        while let Ok(frame) = self.frames.try_recv() {
            if !matches!(frame.tag, b'd' | b'c' | b'f') {
                self.leftover.push_back(frame);
            }
        }
    }

    pub fn next_id(&self) -> Result<i64, Fault> {
        self.ids.next_id(&self.database)
    }

    /// Passes data on until the client says that it is done, or has failed, or has left.
    pub async fn pass(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        self.used = true;
        self.wanted.store(true, Ordering::Release);
        let result = self.frames_to(conn).await;
        self.wanted.store(false, Ordering::Release);
        result
    }

    async fn frames_to(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        loop {
            match self.frames.recv().await {
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

//! Runs of frames that are passed on as they are, and where such a run ends. No I/O.

use bytes::Bytes;

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

/// A run of bytes to pass on: whole frames, and maybe a part of a DataRow or CopyData at either
/// end (`Conn::is_mid_frame`).
#[derive(Clone, Debug)]
pub struct Chunk {
    pub bytes: Bytes,
    /// None: as far as the buffer went.
    pub stop: Option<Stop>,
}

//! What a relay does with the frames that come in, and where it ends. No I/O.

/// What a relay does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// It is passed on, and the relay goes on.
    Pass,
    /// The relay ends before it; the frame stays for `next_frame`.
    StopBefore,
    /// It is passed on, and the relay ends after it.
    StopAfter,
    /// It isn't passed on, and the relay ends after it.
    Drop,
}

/// Why a relay ended where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The watcher said StopBefore at a frame of this tag.
    Before(u8),
    /// The watcher said StopAfter or Drop at a frame of this tag.
    After(u8),
}

/// What was passed on: whole frames, and maybe a part of a DataRow or CopyData at either end
/// (`Conn::is_mid_frame`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    pub bytes: usize,
    /// None: as far as the buffer went.
    pub stop: Option<Stop>,
}

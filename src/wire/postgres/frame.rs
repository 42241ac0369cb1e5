//! Frames: a tag byte, an Int32 length that counts itself, the body. Finds where they begin and
//! end without looking into them; must never wait for more bytes than its caller needs, and never
//! allocate by a length that it only read.

use bytes::{Bytes, BytesMut};

use super::ProtocolError;

/// Tag and length.
pub const HEADER: usize = 5;

/// PostgreSQL's own limit of a startup packet (MAX_STARTUP_PACKET_LENGTH): it is read before the
/// client has said who it is.
pub const MAX_STARTUP: usize = 10_000;

/// Longest message of a client that hasn't logged in (PostgreSQL: PG_MAX_AUTH_TOKEN_LENGTH).
pub const MAX_LOGIN: usize = 65_535;

/// PostgreSQL allocates at most 1 GiB for a message; no frame of a real server is longer.
pub const MAX_SERVER: usize = 1 << 30;

/// What the first five bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub tag: u8,
    /// The whole frame, tag and length included.
    pub len: usize,
}

/// Reads the header of the frame at the start of `buf`; None: fewer than five bytes are there.
/// `limit` bounds the whole frame.
#[inline]
pub fn peek(buf: &[u8], limit: usize) -> Result<Option<Header>, ProtocolError> {
    let Some(&[tag, a, b, c, d]) = buf.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let said = i32::from_be_bytes([a, b, c, d]);
    if said < 4 {
        return Err(ProtocolError::Length(said));
    }
    let len = said as usize + 1;
    if len > limit {
        return Err(ProtocolError::TooLarge { len, limit });
    }
    Ok(Some(Header { tag, len }))
}

/// Length of the untagged startup frame at the start of `buf`; None: fewer than four bytes are there.
pub fn peek_startup(buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some(head) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    let said = i32::from_be_bytes(*head);
    // The length and the code that every startup packet has.
    if said < 8 {
        return Err(ProtocolError::Length(said));
    }
    let len = said as usize;
    if len > MAX_STARTUP {
        return Err(ProtocolError::TooLarge {
            len,
            limit: MAX_STARTUP,
        });
    }
    Ok(Some(len))
}

/// One whole frame. Cheap to clone: `bytes` is a slice of the read buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub tag: u8,
    /// With its header.
    pub bytes: Bytes,
}

impl Frame {
    /// What follows the header.
    #[inline]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// NoticeResponse, ParameterStatus and NotificationResponse: a server may send them at any time.
    #[inline]
    pub fn is_async(&self) -> bool {
        matches!(self.tag, b'N' | b'S' | b'A')
    }
}

/// Cuts the first whole frame off `buf`; None: it isn't all there yet.
#[inline]
pub fn split(buf: &mut BytesMut, limit: usize) -> Result<Option<Frame>, ProtocolError> {
    match peek(buf, limit)? {
        // A buffer that is full with it is given away whole: that shares nothing.
        Some(header) if buf.len() == header.len && buf.capacity() == header.len => Ok(Some(Frame {
            tag: header.tag,
            bytes: std::mem::take(buf).freeze(),
        })),
        Some(header) if buf.len() >= header.len => Ok(Some(Frame {
            tag: header.tag,
            bytes: buf.split_to(header.len).freeze(),
        })),
        Some(_) | None => Ok(None),
    }
}

/// Cuts the startup frame (with its length field) off `buf`; None: it isn't all there yet.
pub fn split_startup(buf: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
    match peek_startup(buf)? {
        Some(len) if buf.len() >= len => Ok(Some(buf.split_to(len).freeze())),
        Some(_) | None => Ok(None),
    }
}

/// What a `FrameScanner` met in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The header of a frame is complete; `at` is the offset behind it in this chunk.
    Begin { header: Header, at: usize },
    /// The frame is complete; `at` is the offset behind it in this chunk.
    End { tag: u8, at: usize },
}

/// Follows a byte stream chunk by chunk and says where frames begin and end, also where a border
/// between chunks cuts a header or a body. Keeps five bytes of state and copies nothing, so a
/// relay can pass partial frames on.
#[derive(Clone, Debug)]
pub struct FrameScanner {
    limit: usize,
    head: [u8; HEADER],
    /// Bytes of the header seen; HEADER: within the body.
    have: usize,
    /// Bytes of the body to come.
    left: usize,
}

impl FrameScanner {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            head: [0; HEADER],
            have: 0,
            left: 0,
        }
    }

    /// No frame is open: the stream may end here.
    pub fn at_border(&self) -> bool {
        self.have == 0
    }

    /// Bytes that the open frame still lacks, as far as its header said.
    pub fn body_left(&self) -> usize {
        self.left
    }

    /// The next mark in `chunk`, read from offset `*at` on, which moves behind the mark. None: the
    /// chunk is used up.
    #[inline]
    pub fn next(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Mark>, ProtocolError> {
        let rest = chunk.get(*at..).unwrap_or_default();
        if self.have == 0
            && let Some(header) = peek(rest, self.limit)?
        {
            // The usual case: the header isn't cut.
            (self.have, self.head[0], self.left) = (HEADER, header.tag, header.len - HEADER);
            *at += HEADER;
            return Ok(Some(Mark::Begin { header, at: *at }));
        }
        if self.have < HEADER {
            if rest.is_empty() {
                return Ok(None);
            }
            let take = rest.len().min(HEADER - self.have);
            self.head[self.have..self.have + take].copy_from_slice(&rest[..take]);
            self.have += take;
            *at += take;
            return match peek(&self.head[..self.have], self.limit)? {
                None => Ok(None),
                Some(header) => {
                    self.left = header.len - HEADER;
                    Ok(Some(Mark::Begin { header, at: *at }))
                }
            };
        }
        let take = rest.len().min(self.left);
        self.left -= take;
        *at += take;
        if self.left > 0 {
            return Ok(None);
        }
        self.have = 0;
        Ok(Some(Mark::End {
            tag: self.head[0],
            at: *at,
        }))
    }
}

//! Writing frames: the length is patched in when the body is known.

use bytes::{BufMut, BytesMut};

/// Writes one frame with a tag; `body` appends the body.
#[inline]
pub(super) fn frame(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    untagged(out, body);
}

/// Writes one frame without a tag (startup messages).
#[inline]
pub(super) fn untagged(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    body(out);
    let len =
        u32::try_from(out.len() - at).expect("what Margay writes is bounded by what it read, below 2 GiB");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// A string with its zero byte. A zero byte inside would end it early and shift all that follows,
/// so the rest is left out.
pub(super) fn cstr(out: &mut BytesMut, text: &[u8]) {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    debug_assert_eq!(end, text.len(), "text with a zero byte can't be sent");
    out.put_slice(&text[..end]);
    out.put_u8(0);
}

/// A value: Int32 length and bytes; NULL is -1.
#[inline]
pub(super) fn value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_u32(bytes.len() as u32);
            out.put_slice(bytes);
        }
    }
}

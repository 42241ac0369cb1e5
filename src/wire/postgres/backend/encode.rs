//! Encoders of a server's messages. They append to a buffer and never fail: what a message can't
//! hold is cut to what the protocol has room for.

use bytes::{BufMut, BytesMut};

use super::{Field, TxStatus};
use crate::model::Fault;
use crate::wire::postgres::write;

pub fn authentication_ok(out: &mut BytesMut) {
    auth(out, 0, |_| {});
}

pub fn authentication_cleartext(out: &mut BytesMut) {
    auth(out, 3, |_| {});
}

pub fn authentication_md5(out: &mut BytesMut, salt: [u8; 4]) {
    auth(out, 5, |out| out.put_slice(&salt));
}

pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&[u8]]) {
    auth(out, 10, |out| {
        mechanisms.iter().for_each(|name| write::cstr(out, name));
        out.put_u8(0);
    });
}

pub fn authentication_sasl_continue(out: &mut BytesMut, data: &[u8]) {
    auth(out, 11, |out| out.put_slice(data));
}

pub fn authentication_sasl_final(out: &mut BytesMut, data: &[u8]) {
    auth(out, 12, |out| out.put_slice(data));
}

fn auth(out: &mut BytesMut, kind: u32, body: impl FnOnce(&mut BytesMut)) {
    write::frame(out, b'R', |out| {
        out.put_u32(kind);
        body(out);
    });
}

pub fn parameter_status(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    write::frame(out, b'S', |out| {
        write::cstr(out, name);
        write::cstr(out, value);
    });
}

pub fn backend_key_data(out: &mut BytesMut, pid: u32, secret: &[u8]) {
    write::frame(out, b'K', |out| {
        out.put_u32(pid);
        out.put_slice(secret);
    });
}

pub fn ready_for_query(out: &mut BytesMut, status: TxStatus) {
    out.put_slice(&[b'Z', 0, 0, 0, 5, status.byte()]);
}

/// At most 65535 fields, as the protocol has it.
pub fn row_description(out: &mut BytesMut, fields: &[Field<'_>]) {
    write::frame(out, b'T', |out| {
        let count = fields.len().min(usize::from(u16::MAX));
        out.put_u16(count as u16);
        for field in fields.iter().take(count) {
            write::cstr(out, field.name);
            out.put_u32(field.table_oid);
            out.put_i16(field.column);
            out.put_u32(field.type_oid);
            out.put_i16(field.type_len);
            out.put_i32(field.type_mod);
            out.put_i16(field.format);
        }
    });
}

/// At most 65535 columns, as the protocol has it.
pub fn data_row<'v>(out: &mut BytesMut, columns: impl IntoIterator<Item = Option<&'v [u8]>>) {
    write::frame(out, b'D', |out| {
        let at = out.len();
        out.put_u16(0);
        let mut count: u16 = 0;
        for column in columns.into_iter().take(usize::from(u16::MAX)) {
            write::value(out, column);
            count += 1;
        }
        out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    });
}

/// A row whose columns are at hand as they stand in a message (`DataRow::prefix`).
pub fn data_row_raw(out: &mut BytesMut, count: u16, columns: &[u8]) {
    write::frame(out, b'D', |out| {
        out.put_u16(count);
        out.put_slice(columns);
    });
}

pub fn command_complete(out: &mut BytesMut, tag: &[u8]) {
    write::frame(out, b'C', |out| write::cstr(out, tag));
}

pub fn empty_query_response(out: &mut BytesMut) {
    out.put_slice(b"I\0\0\0\x04");
}

pub fn parse_complete(out: &mut BytesMut) {
    out.put_slice(b"1\0\0\0\x04");
}

pub fn bind_complete(out: &mut BytesMut) {
    out.put_slice(b"2\0\0\0\x04");
}

pub fn close_complete(out: &mut BytesMut) {
    out.put_slice(b"3\0\0\0\x04");
}

pub fn no_data(out: &mut BytesMut) {
    out.put_slice(b"n\0\0\0\x04");
}

pub fn portal_suspended(out: &mut BytesMut) {
    out.put_slice(b"s\0\0\0\x04");
}

pub fn parameter_description(out: &mut BytesMut, types: &[u32]) {
    write::frame(out, b't', |out| {
        let count = types.len().min(usize::from(u16::MAX));
        out.put_u16(count as u16);
        types.iter().take(count).for_each(|oid| out.put_u32(*oid));
    });
}

/// `minor`: the minor version to go on with; `options`: the `_pq_.` options not known.
pub fn negotiate_protocol_version<'o>(
    out: &mut BytesMut,
    minor: u16,
    options: impl ExactSizeIterator<Item = &'o [u8]>,
) {
    write::frame(out, b'v', |out| {
        // The documentation calls the field the minor version; server and libpq put the whole one there.
        out.put_u32(3 << 16 | u32::from(minor));
        out.put_u32(options.len() as u32);
        options.for_each(|name| write::cstr(out, name));
    });
}

pub fn copy_in_response(out: &mut BytesMut, format: u8, columns: &[i16]) {
    copy_response(out, b'G', format, columns);
}

pub fn copy_out_response(out: &mut BytesMut, format: u8, columns: &[i16]) {
    copy_response(out, b'H', format, columns);
}

fn copy_response(out: &mut BytesMut, tag: u8, format: u8, columns: &[i16]) {
    write::frame(out, tag, |out| {
        out.put_u8(format);
        let count = columns.len().min(usize::from(u16::MAX));
        out.put_u16(count as u16);
        columns.iter().take(count).for_each(|code| out.put_i16(*code));
    });
}

pub fn copy_data(out: &mut BytesMut, data: &[u8]) {
    write::frame(out, b'd', |out| out.put_slice(data));
}

pub fn copy_done(out: &mut BytesMut) {
    out.put_slice(b"c\0\0\0\x04");
}

/// ErrorResponse of severity ERROR. The code's name stands at the end of the message: a client that
/// shows nothing else shows it.
pub fn error_response(out: &mut BytesMut, fault: &Fault) {
    report(out, b'E', "ERROR", fault);
}

/// ErrorResponse of severity FATAL: the connection is closed after it.
pub fn fatal_response(out: &mut BytesMut, fault: &Fault) {
    report(out, b'E', "FATAL", fault);
}

/// NoticeResponse; `severity` is WARNING, NOTICE, INFO, LOG or DEBUG.
pub fn notice_response(out: &mut BytesMut, severity: &'static str, fault: &Fault) {
    report(out, b'N', severity, fault);
}

fn report(out: &mut BytesMut, tag: u8, severity: &str, fault: &Fault) {
    let message = format!("{} [{}]", fault.message, fault.code.name);
    let position = fault.position.map(|p| p.to_string());
    let all = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(fault.state())),
        (b'M', Some(&*message)),
        (b'D', fault.detail.as_deref()),
        (b'H', fault.hint.as_deref()),
        (b'P', position.as_deref()),
    ];
    fields(
        out,
        tag,
        all.into_iter()
            .filter_map(|(code, text)| Some((code, text?.as_bytes()))),
    );
}

/// An `E` or `N` frame from single fields, for passing a server's report on with changes.
pub fn fields<'f>(out: &mut BytesMut, tag: u8, all: impl IntoIterator<Item = (u8, &'f [u8])>) {
    write::frame(out, tag, |out| {
        for (code, text) in all {
            out.put_u8(code);
            // Text of our own may quote what a client sent; a zero byte would end the field early.
            let end = memchr::memchr(0, text).unwrap_or(text.len());
            write::cstr(out, &text[..end]);
        }
        out.put_u8(0);
    });
}

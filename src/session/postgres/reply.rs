//! Answers of the extended protocol that Margay gives itself.

use bytes::{Bytes, BytesMut};

use super::command::columns;
use super::grid;
use crate::model::Fault;
use crate::plan::Command;
use crate::wire::postgres::backend;
use crate::wire::postgres::frame::Frame;
use crate::wire::postgres::frontend::{self, Message};

pub(super) const PARSE_COMPLETE: Bytes = Bytes::from_static(b"1\0\0\0\x04");
pub(super) const BIND_COMPLETE: Bytes = Bytes::from_static(b"2\0\0\0\x04");
pub(super) const CLOSE_COMPLETE: Bytes = Bytes::from_static(b"3\0\0\0\x04");
pub(super) const NO_DATA: Bytes = Bytes::from_static(b"n\0\0\0\x04");

/// The result formats that a Bind asks for.
pub(super) fn result_formats(bind: &Frame) -> Vec<i16> {
    match frontend::decode(b'B', bind.body()) {
        Ok(Message::Bind(bind)) => bind.result_formats.iter().collect(),
        Ok(_) | Err(_) => Vec::new(),
    }
}

pub(super) fn put_columns(out: &mut BytesMut, command: &Command) {
    match columns(command) {
        Some(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            grid::describe_into(out, &names, &[]);
        }
        None => out.extend_from_slice(&NO_DATA),
    }
}

pub(super) fn put_description(out: &mut BytesMut, body: Option<&[u8]>) {
    match body {
        Some(body) => {
            out.extend_from_slice(b"T");
            out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            out.extend_from_slice(body);
        }
        None => out.extend_from_slice(&NO_DATA),
    }
}

/// A RowDescription's body with other format codes: none, one for all, or one each.
pub(super) fn with_formats(body: &[u8], formats: &[i16]) -> Result<Vec<u8>, Fault> {
    let description = backend::RowDescription::decode(body).map_err(|e| e.from_server())?;
    let format = |i: usize| match formats {
        [all] => *all,
        each => each.get(i).copied().unwrap_or(0),
    };
    let fields: Vec<_> = description
        .fields()
        .enumerate()
        .map(|(i, f)| backend::Field {
            format: format(i),
            ..f
        })
        .collect();
    let mut out = BytesMut::new();
    backend::row_description(&mut out, &fields);
    Ok(out[5..].to_vec())
}

//! Why a statement failed, and how that is said to the client.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use crate::backend::{Frame, RunError, ServerError};
use crate::model::Fault;
use crate::topology::Database;
use crate::wire::postgres::backend::{Fields, error_response, fatal_response, fields};

#[derive(Clone, Debug)]
pub enum Failure {
    /// Margay's own refusal or fault.
    Margay(Fault),
    /// A server's ErrorResponse, to be passed on as it is.
    Server(Frame),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Margay(fault)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Server(ServerError { frame }) => Failure::Server(frame),
            RunError::Fault(fault) => Failure::Margay(fault),
        }
    }
}

impl Failure {
    pub fn sqlstate(&self) -> String {
        match self {
            Failure::Margay(fault) => fault.state().to_owned(),
            Failure::Server(frame) => ServerError { frame: frame.clone() }.sqlstate().to_owned(),
        }
    }

    /// The code to list it under; for a server's own error that it was a server's.
    pub fn code_name(&self) -> &'static str {
        match self {
            Failure::Margay(fault) => fault.code.name,
            Failure::Server(_) => "server",
        }
    }

    /// The primary message, for wrapping it into another one.
    pub fn message(&self) -> String {
        match self {
            Failure::Margay(fault) => fault.message.to_string(),
            Failure::Server(frame) => ServerError { frame: frame.clone() }.message(),
        }
    }

    /// A server's words with fields changed, or left out where `edit` says None.
    pub fn edited(self, edit: impl Fn(u8, &[u8]) -> Option<Cow<'_, [u8]>>) -> Self {
        let Failure::Server(frame) = &self else {
            return self;
        };
        let Ok(all) = Fields::decode(frame.body()) else {
            return self;
        };
        let said: Vec<_> = all
            .iter()
            .filter_map(|(code, text)| Some((code, edit(code, text)?)))
            .collect();
        let mut out = BytesMut::new();
        fields(&mut out, b'E', said.iter().map(|(code, text)| (*code, &text[..])));
        Failure::Server(Frame {
            tag: b'E',
            bytes: out.freeze(),
        })
    }

    /// Appends it as the last words of a connection.
    pub fn write_fatal(&self, out: &mut BytesMut) {
        match self {
            Failure::Margay(fault) => fatal_response(out, fault),
            Failure::Server(frame) => match Fields::decode(frame.body()) {
                Ok(all) => severity(out, all, b"FATAL"),
                Err(_) => out.put_slice(&frame.bytes),
            },
        }
    }

    /// Appends the ErrorResponse, with the names of tables that the client knows.
    pub fn write(&self, out: &mut BytesMut, database: &Database) {
        match self {
            Failure::Margay(fault) => error_response(out, fault),
            Failure::Server(frame) => match Fields::decode(frame.body()) {
                // The server closed its connection with Margay, not the client's with Margay.
                Ok(all) if all.is_fatal() => severity(out, all, b"ERROR"),
                Ok(all) => logical_names(out, frame, all, database),
                Err(_) => out.put_slice(&frame.bytes),
            },
        }
    }
}

/// Shards are tables of their own on the servers (`orders_03`), whose names no client has ever seen.
/// Where the server says which table and constraint it means, those names are told as the logical ones,
/// and so they are in its sentences, in quotes. Nothing else is touched: it may be the user's own words.
fn logical_names(out: &mut BytesMut, frame: &Frame, all: Fields<'_>, database: &Database) {
    let text = |code: u8| all.get(code).and_then(|t| std::str::from_utf8(t).ok());
    let Some((physical, table)) = text(b't').and_then(|t| Some((t, database.logical_text(t)?))) else {
        return out.put_slice(&frame.bytes);
    };
    // PostgreSQL names what belongs to a table after it: `orders_03_pkey`.
    let constraint = text(b'n').and_then(|n| Some((n, format!("{table}{}", n.strip_prefix(physical)?))));
    let rename = |said: &[u8]| -> Option<Vec<u8>> {
        let said = std::str::from_utf8(said).ok()?;
        let mut told = said.replace(&format!("\"{physical}\""), &format!("\"{table}\""));
        if let Some((name, logical)) = &constraint {
            told = told.replace(&format!("\"{name}\""), &format!("\"{logical}\""));
        }
        Some(told.into_bytes())
    };
    let renamed: Vec<(u8, Cow<'_, [u8]>)> = all
        .iter()
        .map(|(code, said)| {
            let told = match code {
                b't' => Some(table.clone().into_bytes()),
                b'n' => constraint
                    .as_ref()
                    .map(|(_, logical)| logical.clone().into_bytes()),
                b'M' => rename(said),
                _ => None,
            };
            (code, told.map_or(Cow::Borrowed(said), Cow::Owned))
        })
        .collect();
    fields(out, b'E', renamed.iter().map(|(code, text)| (*code, &text[..])));
}

fn severity(out: &mut BytesMut, all: Fields<'_>, severity: &[u8]) {
    let said = all.iter().map(|(code, text)| {
        if matches!(code, b'S' | b'V') {
            (code, severity)
        } else {
            (code, text)
        }
    });
    fields(out, b'E', said);
}

//! Why a statement failed, and how that is said to the client.

use bytes::{BufMut, BytesMut};

use crate::backend::{Frame, RunError, ServerError};
use crate::model::Fault;
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

    /// Appends the ErrorResponse.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Failure::Margay(fault) => error_response(out, fault),
            Failure::Server(frame) => match Fields::decode(frame.body()) {
                // The server closed its connection with Margay, not the client's with Margay.
                Ok(all) if all.is_fatal() => severity(out, all, b"ERROR"),
                Ok(_) | Err(_) => out.put_slice(&frame.bytes),
            },
        }
    }
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

//! What can be wrong with bytes that claim to be protocol messages.

use crate::model::{Code, Fault};

/// The peer broke the protocol. After any of these the byte stream can't be trusted any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("invalid message length {0}")]
    Length(i32),
    #[error("message of {len} bytes exceeds the limit of {limit}")]
    TooLarge { len: usize, limit: usize },
    #[error("message ends in the middle of a field")]
    Truncated,
    #[error("message is longer than its fields")]
    Trailing,
    #[error("string without a terminating zero byte")]
    MissingNul,
    #[error("a count in the message does not fit its content")]
    Count,
    #[error("unknown message type {0:#04x}")]
    Tag(u8),
    #[error("unsupported frontend protocol {major}.{minor}")]
    Version { major: u16, minor: u16 },
    #[error("invalid {0}")]
    Field(&'static str),
}

impl ProtocolError {
    /// The fault when a server behind Margay sent it.
    pub fn from_server(self) -> Fault {
        Fault::new(
            Code::SERVER_PROTOCOL,
            format!("a server broke the protocol: {self}"),
        )
    }
}

impl From<ProtocolError> for Fault {
    /// The fault when a client sent it.
    fn from(error: ProtocolError) -> Self {
        let code = match error {
            ProtocolError::TooLarge { .. } => Code::TOO_LARGE,
            ProtocolError::Length(_)
            | ProtocolError::Truncated
            | ProtocolError::Trailing
            | ProtocolError::MissingNul
            | ProtocolError::Count
            | ProtocolError::Tag(_)
            | ProtocolError::Version { .. }
            | ProtocolError::Field(_) => Code::PROTOCOL,
        };
        Fault::new(code, error.to_string())
    }
}

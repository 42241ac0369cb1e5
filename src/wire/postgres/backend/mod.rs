//! Messages from a backend: encoded where Margay is the server (`encode`), decoded where it is the
//! client (`decode`). No input or output here, and no state between two messages.

mod decode;
mod encode;

pub use decode::*;
pub use encode::*;

use super::ProtocolError;

/// What ReadyForQuery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TxStatus {
    #[default]
    Idle,
    InTxn,
    Failed,
}

impl TxStatus {
    pub fn byte(self) -> u8 {
        match self {
            TxStatus::Idle => b'I',
            TxStatus::InTxn => b'T',
            TxStatus::Failed => b'E',
        }
    }

    pub fn from_byte(byte: u8) -> Result<Self, ProtocolError> {
        match byte {
            b'I' => Ok(TxStatus::Idle),
            b'T' => Ok(TxStatus::InTxn),
            b'E' => Ok(TxStatus::Failed),
            _ => Err(ProtocolError::Field("transaction status")),
        }
    }
}

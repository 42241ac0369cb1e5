//! PostgreSQL's frontend/backend protocol, version 3
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
//!
//! Text stays bytes: a client may speak LATIN1, and nothing here may change what it said.

pub mod backend;
pub mod error;
pub mod frame;
pub mod frontend;
pub mod oids;
mod read;
pub mod scram;
mod write;

pub use backend::TxStatus;
pub use error::ProtocolError;
pub use frame::{Frame, FrameScanner, Header};

//! Connections and pools to real servers, and which server of a node takes a statement. Bytes go
//! through as they are; health is measured by `control` and only kept here.

pub mod conn;
pub mod fleet;
pub mod pool;
pub mod prepared;
pub mod server;
pub mod settings;

pub use conn::{CancelTarget, Chunk, Conn, Relay, Rows, RunError, ServerError, Stop};
pub use fleet::{Fleet, NodeState, Want};
pub use pool::Lease;
pub use server::{Health, Role, ServerState};
pub use settings::Settings;

pub use crate::wire::postgres::{Frame, TxStatus};

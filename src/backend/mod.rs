//! Connections and pools to real servers, and which server of a node takes a statement. Bytes go
//! through as they are; health is measured by `control` and only kept here.

mod cancel;
mod choice;
mod chunk;
mod client;
pub mod conn;
pub mod fleet;
mod login;
mod node;
pub mod pool;
mod pools;
pub mod prepared;
mod run;
pub mod server;
pub mod settings;
mod stream;
mod track;
mod words;

pub use cancel::CancelTarget;
pub use choice::Want;
pub use chunk::{Relay, Relayed, Stop};
pub use client::{OpenError, Purpose, open_client};
pub use conn::Conn;
pub use fleet::{Chosen, Fleet, Now};
pub use node::NodeState;
pub use pool::Lease;
pub use prepared::StatementName;
pub use run::{Rows, RunError, ServerError};
pub use server::{Health, Role, ServerState};
pub use settings::{Settings, setting_name};

pub use crate::wire::postgres::{Frame, TxStatus};

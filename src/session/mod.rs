//! The room `session`: one client connection after the other, from its first byte to its last.
//!
//! - `listener`: accepts connections and counts them. `cores`: where they run. `shared`: what all sessions are handed.
//! - `registry`: who is connected (for cancelling and SHOW CLIENTS) and what ran lately.
//! - `postgres`: the state machine of PostgreSQL's protocol.
//!
//! Decides nothing about routes, and speaks to servers only through `pipeline`.

mod cores;
mod listener;
mod postgres;
mod registry;
mod shared;

pub use cores::Cores;
pub use listener::{Listener, Shutdown};
pub use registry::{Registry, Work};
pub use shared::Shared;

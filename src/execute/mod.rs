//! The room `execute`: carries a Plan out on real servers.
//!
//! - `hold`: what one client holds of the servers: its settings, its transaction, connections on loan.
//! - `exchange`: one batch of messages to one server and the relay of its answers.
//! - `single`: a plan of one part. `scatter`: several parts at once, merged.
//! - `transaction`: lazily opened branches, savepoints, what must be replayed. `commit`: one phase
//!   or two. `recovery`: finishes what a dead proxy began.
//! - `outlet`: the client's side of the wire, with back-pressure.
//!
//! Must not plan, and must never send a statement to another server than its plan says.

mod commands;
mod commit;
mod copy;
mod copy_in;
mod copy_out;
mod copy_rows;
mod decisions;
mod describe;
mod exchange;
mod failure;
mod fetch;
mod hold;
mod lane;
mod oids;
mod outlet;
mod recovery;
mod scatter;
mod settings;
mod single;
mod statuses;
mod transaction;
mod using;

pub use commands::{Warning, aborted};
pub use commit::Ended;
pub use copy::{CopyFeed, CopySource, copy_channel};
pub use decisions::Decisions;
pub use describe::{Described, describe};
pub use exchange::{Client, Columns, Exchange, Expect, columns_shape};
pub use failure::Failure;
pub use fetch::{Fetching, Portion, Rows, open};
pub use hold::{Hold, Seat};
pub use oids::{Canonical, OidRow, dictionary, oids_sql};
pub use outlet::Outlet;
pub use recovery::{DECISION_TABLE, GID_PREFIX, Outcome, Report, create_decision_table, recover};
pub use scatter::{Request, Told, scatter};
pub use single::{Task, Unfinished, batch, simple, statement_key};
pub use statuses::Statuses;
pub use transaction::{Block, Txn};
pub use using::Using;

//! SQL → Plan. Pure: no tokio, no socket, no clock, no randomness.
//!
//! Two steps: `Planner::read(sql, view)` lexes, looks up the plan cache and on a miss parses,
//! lowers, classifies and routes as far as that goes without values. `Statement::bind(params,
//! moment)` fills in the values and gives the Plan.
//!
//! The files in the order of a statement's way: `lex` → `shape` → (cache) → `utility`, `ddl` or
//! `lower` → `analyze` (with `scope`) → `scatter`, `insert` → `compile`; then, with values, `value`
//! → `prune` → `bind` (with `splice`) → `types::Plan`.

mod analyze;
mod bind;
mod clauses;
pub mod command;
mod compile;
mod copy;
mod cursor;
mod ddl;
mod explain;
mod fixed;
mod functions;
mod hints;
mod indexes;
mod insert;
mod lex;
mod lower;
mod made;
mod params;
mod planner;
mod prepared;
mod prune;
mod query;
mod reader;
mod routines;
mod scatter;
mod scope;
mod sequences;
mod set_config;
mod shape;
mod shards;
mod shell;
mod splice;
mod stack;
pub mod types;
mod unnest;
mod utility;
mod value;
mod views;

pub use command::*;
pub use compile::Compiled;
pub use copy::{CopyField, CopyFill, CopyFormat, CopyIn, CopyKey, CopyOut, CopyRows, CopyTarget};
pub use explain::{print, rows};
pub use functions::is_of_session;
pub use lex::split;
pub use lower::{catalog_from_sql, unreadable};
pub use made::{made_by, refuse_made};
pub use planner::{Describe, Planner, Statement};
pub use prepared::{Argument, type_oid};
pub use types::*;

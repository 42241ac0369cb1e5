//! The rules: the YAML file as written (`file`), and the checked, immutable Snapshot that all
//! other rooms read. Nothing else holds configuration.
//!
//! text → `tree` (keys and values with their places) → `merge` (several files into one) → `shape`
//! (against the JSON Schema of `file`) → `check` (names, defaults, contradictions) → `snapshot`.

mod check;
pub mod file;
mod load;
mod logical;
mod merge;
pub mod placement;
pub mod problem;
pub mod schema;
mod shape;
pub mod snapshot;
mod summary;
pub mod tls;
mod tree;

pub use load::{Loaded, Overrides, load, load_texts, load_with_overrides};
pub use placement::{Scheme, ShardRange, partition_by, physical_name, shard_bounds};
pub use problem::Problem;
pub use snapshot::*;
pub use summary::check_text;

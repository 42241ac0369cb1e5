//! The rules: the YAML file as written (`file`), and the checked, immutable Snapshot that all
//! other rooms read. Nothing else holds configuration.

pub mod file;
mod merge;
pub mod placement;
pub mod problem;
pub mod schema;
mod shape;
pub mod snapshot;
mod tree;

pub use placement::{Scheme, ShardRange, partition_by, physical_name, shard_bounds};
pub use problem::Problem;
pub use snapshot::*;

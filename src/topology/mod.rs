//! The rules: the YAML file as written (`file`), and the checked, immutable Snapshot that all
//! other rooms read. Nothing else holds configuration.

pub mod placement;
pub mod snapshot;

pub use placement::Scheme;
pub use snapshot::*;

//! Everything off the data path.

pub mod bootstrap;
pub mod catalog;
pub mod catalog_sql;
pub mod connect;
pub mod health;
pub mod ids;
pub mod lease;
pub mod lsn;
pub mod placement;
pub mod primaries;
pub mod problems;
pub mod recovery;
pub mod refresh;
pub mod shared;
pub mod snowflake;
pub mod time_shards;

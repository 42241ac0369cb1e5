//! Everything off the data path.

pub mod bootstrap;
pub mod catalog;
pub mod catalog_sql;
pub mod connect;
pub mod lease;
pub mod primaries;
pub mod problems;
pub mod snowflake;

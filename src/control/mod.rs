//! Everything off the data path.

pub mod catalog;
pub mod catalog_sql;
pub mod connect;
pub mod primaries;
pub mod problems;

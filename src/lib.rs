//! Margay: many PostgreSQL and MySQL servers, one database.
//!
//! The rooms in the order in which a query passes them; docs/architecture.md tells the story.
//!
//! wire in → session → parse → classify → route → rewrite → execute → merge → wire out
pub mod merge;
pub mod model;
pub mod plan;
pub mod sandbox;
pub mod topology;

//! Margay: many PostgreSQL and MySQL servers, one database.
//!
//! The rooms in the order in which a query passes them; docs/architecture.md tells the story.
//!
//! wire in → session → parse → classify → route → rewrite → execute → merge → wire out
pub mod backend;
pub mod control;
pub mod execute;
pub mod merge;
pub mod model;
pub mod pipeline;
pub mod plan;
pub mod sandbox;
pub mod session;
pub mod topology;
pub mod wire;

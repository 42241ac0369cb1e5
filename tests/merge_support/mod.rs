//! What the merge's tests against a real server need: the server, a raw client, random rows.

pub mod data;
pub mod raw;
pub mod server;

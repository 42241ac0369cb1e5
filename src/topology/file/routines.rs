//! What the rules say of users' functions, as written.

use schemars::JsonSchema;

/// What a function, procedure or trigger function of users' does to tables.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Routine {
    /// Tables that it reads.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Tables that it writes.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Default: everywhere.
    pub runs: Option<Runs>,
}

/// Where a function may run.
#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// Of sharded tables it touches only rows of the sharding key that it is called for.
    Node,
    /// It gives the same on every node that has its tables complete.
    Everywhere,
}

//! The admin console as the sessions see it: a command in, a table of text out. `control`
//! implements it, `main` hands it to the sessions, which never import `control`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Fault;

/// An answer of the admin console: column names and rows of text (None = NULL).
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
    /// The command tag, as `SHOW` or `RELOAD`.
    pub tag: String,
}

pub trait Admin: Send + Sync {
    /// Carries out one command of the console (`SHOW NODES` …).
    fn command<'a>(&'a self, sql: &'a str) -> Pin<Box<dyn Future<Output = Result<Grid, Fault>> + Send + 'a>>;
}

pub type SharedAdmin = Arc<dyn Admin>;

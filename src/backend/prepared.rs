//! Which statements are prepared on one server connection, under which names. Bounded; the least
//! recently used goes first. Must never name a statement that the server doesn't have.

use std::collections::HashMap;

/// Statements kept per connection. PostgreSQL keeps each with its plan: tens of kilobytes.
pub const MAX_PREPARED: usize = 500;

/// A statement's name on the server, without its zero byte.
pub type StatementName = std::sync::Arc<str>;

#[derive(Debug, Default)]
pub struct Prepared {
    _names: HashMap<u64, StatementName>,
}

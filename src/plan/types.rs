//! What planning gives: data that prints. `execute` carries it out; nothing here does I/O.

use std::sync::Arc;

use crate::model::{ClientText, Fault, NodeId, ShardId};

use super::copy::{CopyIn, CopyOut};

/// Which of a node's servers may run a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Writes, locks, or may do so.
    Primary,
    /// Only reads: a replica may run it, if the session's rules of consistency allow.
    Any,
}

/// The text of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The client's own text, byte for byte.
    Original,
    /// The client's text with names, limits or rows replaced at their places.
    Spliced(Arc<str>),
}

/// One statement for one node. Several parts may name the same node: they run in turn on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub node: NodeId,
    pub text: Text,
    /// The shards it touches, for EXPLAIN ROUTE and tests. Empty: not a sharded table.
    pub shards: Vec<ShardId>,
    /// The text no longer names all parameters of the original: prepare it with every parameter's
    /// type given (ask any part's node to describe the original first).
    pub needs_param_types: bool,
}

/// What to do with one statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub role: Role,
    /// Changes rows or schema: the transaction must commit it on this node. False for reads.
    pub writes: bool,
    pub parts: Vec<Part>,
    pub merge: Merge,
    /// DDL or something else after which the catalog must be read anew.
    pub changes_catalog: bool,
    /// The statement leaves state in the server's session that can't be replayed (temporary table,
    /// session lock, cursor, PREPARE …): the connection stays with this client. Only ever on the node that
    /// serves the whole database, or on the shell's (LISTEN, session locks).
    pub pins: bool,
    /// Periods of time-sharded tables with `outside: create` that the statement writes to: they must
    /// exist before it runs.
    pub periods: Vec<(crate::model::TableName, ShardId)>,
    /// What `set_config()` in the statement sets, in this order: the session takes it over.
    pub sets: Vec<SetConfig>,
    /// The parts' texts hold values of this execution, such as a time or an id: no use in keeping them prepared.
    pub once: bool,
    /// Cursors live on one node each, which the session knows: where `Uses` and `All` go, it says.
    pub cursor: Option<CursorUse>,
    /// To be run before it on each node, one node first: copies of rows that are found by what they hold stay equal
    /// only if all nodes see the writes in the same order.
    pub lock: Option<Arc<str>>,
    /// DDL that PostgreSQL refuses inside a transaction block (CREATE INDEX CONCURRENTLY, VACUUM …).
    pub outside_txn: bool,
}

/// What a statement has to do with cursors of a database of several nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorUse {
    /// DECLARE: from now on it is there, to the end of the transaction. `at`: where its query begins in
    /// the text.
    Declares { name: Box<str>, at: usize },
    /// FETCH, MOVE, CLOSE.
    Uses { name: Box<str>, what: CursorStep },
    /// CLOSE ALL.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorStep {
    /// FETCH or MOVE so many rows ahead; u64::MAX: all.
    Forward {
        rows: u64,
        moves: bool,
    },
    /// Any other way through the rows.
    Elsewhere,
    Close,
}

/// One call of `set_config()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetConfig {
    /// Folded.
    pub name: Box<str>,
    /// None: back to the default.
    pub value: Option<Box<str>>,
    pub local: bool,
    /// Only if the statement returned a row.
    pub if_rows: bool,
}

/// How the parts' answers become one answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Merge {
    /// One part: its bytes are the answer.
    Relay,
    /// Several parts that return rows.
    Rows(RowMerge),
    /// Several parts that write different rows: affected rows add up. RETURNING rows are concatenated.
    Sum,
    /// Several parts that write copies of the same rows (broadcast, DDL): the first answers for all;
    /// their affected-row counts must agree, else the statement fails.
    Same,
    /// COPY … TO STDOUT: the parts' streams, one behind the other.
    CopyOut(CopyOut),
    /// COPY … FROM STDIN: each row to the part of its key.
    CopyIn(CopyIn),
}

/// Rows of several parts into one stream. Parts are sorted by `order` already when `order` is not empty.
///
/// The parts' rows are `visible + hidden` columns: what the client asked for, then columns that
/// were appended for merging and are cut off again.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RowMerge {
    /// Columns appended for the merge.
    pub hidden: usize,
    /// Order of the result; empty = any order.
    pub order: Vec<SortKey>,
    /// Some: group rows by these columns (which may be hidden) and combine the others.
    /// None: no aggregation.
    pub aggregate: Option<Aggregation>,
    /// Rows with all visible columns equal are one row.
    pub distinct: bool,
    pub limit: Option<u64>,
    pub offset: u64,
}

/// Position of a column in a part's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnAt {
    /// From the left, 0-based.
    Visible(usize),
    /// From the first hidden column, 0-based. (A part's row description says how many columns
    /// there are; the last `hidden` ones are the hidden ones.)
    Hidden(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub at: ColumnAt,
    pub descending: bool,
    pub nulls_first: bool,
    /// Text is compared by bytes only where planning proved that its collation does so.
    /// False and the column's type is collatable: ORDER_NOT_EXACT at run time.
    pub bytes_order: bool,
    /// For messages: the expression as written.
    pub what: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregation {
    /// Columns whose values make a group. Empty: one group, present even without rows.
    pub group: Vec<GroupKey>,
    /// One per column that isn't a group key.
    pub columns: Vec<(ColumnAt, Combine)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupKey {
    pub at: ColumnAt,
    /// Text may be grouped by bytes: its collation is deterministic. False and collatable: refused at run time.
    pub bytes_equal: bool,
    pub what: Box<str>,
}

/// How partial aggregates become the whole one. The result has PostgreSQL's own type:
/// the type of the part's column, except for Avg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Combine {
    /// count: partial counts add up.
    Count,
    /// sum of int2/int4 (bigint, overflow is error 22003), of bigint and numeric (numeric). Refused
    /// at run time for float, money, interval.
    Sum,
    Min,
    Max,
    /// The visible column holds each part's own avg (its type is the result's type: numeric);
    /// the hidden columns hold sum(x) and count(x). Refused at run time for float and interval.
    Avg {
        sum: usize,
        count: usize,
    },
    BoolAnd,
    BoolOr,
    /// The same in every row of a group (it depends on the group keys).
    First,
}

/// A refusal is a plan too: it prints in golden tests.
pub type Planned = Result<Arc<Plan>, Fault>;

/// What planning must know of the session. Everything that planning reads is part of the plan
/// cache's key through `fingerprint`.
#[derive(Clone, Debug)]
pub struct SessionView {
    pub database: Arc<crate::topology::Database>,
    /// Folded schema names in order; `"$user"` resolved.
    pub search_path: Vec<Box<str>>,
    /// None: the session's TimeZone isn't one that can be computed with here; local times stay unread.
    pub time_zone: Option<jiff::tz::TimeZone>,
    pub standard_conforming_strings: bool,
    /// How the client's text is read.
    pub text: ClientText,
    /// Hints given by `SET margay.read` and `SET margay.key`.
    pub read_hint: Option<ReadHint>,
    pub key_hint: Option<Box<str>>,
    /// The transaction (or session default) is READ ONLY.
    pub read_only: bool,
    /// Not part of the fingerprint: they are put in when a statement is bound.
    pub names: LogicalNames,
    /// Microseconds since 2000-01-01 UTC when the view was made or refreshed: only for what DDL of time
    /// shards creates ahead, never for answers. Not part of the fingerprint.
    pub now_us: i64,
    /// Distinguishes views that may plan differently; computed by `SessionView::seal`.
    pub fingerprint: u64,
}

/// As whom and where the client knows itself to be. None: what the servers say is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogicalNames {
    pub current_user: Option<Box<str>>,
    pub session_user: Option<Box<str>>,
    pub database: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadHint {
    Primary,
    Replica,
}

/// The parameters of an extended-protocol Bind.
#[derive(Clone, Debug, Default)]
pub struct Params<'a> {
    /// Type OIDs as given by Parse; 0 or missing: not said.
    pub types: &'a [u32],
    /// Per value: true = binary.
    pub binary: Vec<bool>,
    /// None = NULL.
    pub values: Vec<Option<&'a [u8]>>,
}

/// What changes from one execution to the next and isn't in the statement.
pub struct Moment<'a> {
    /// Microseconds since 2000-01-01 UTC: the transaction's `now()`.
    pub now_us: i64,
    /// The statement's own time: `statement_timestamp()`.
    pub statement_us: i64,
    /// Other statements of the transaction may run on other nodes: all of them get one `now()`.
    pub in_transaction: bool,
    /// The next generated id, unique over all proxies.
    pub next_id: &'a mut dyn FnMut() -> Result<i64, Fault>,
}

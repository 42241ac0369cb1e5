//! The one error type that reaches a client: a stable code, what the wire wants (SQLSTATE, MySQL
//! errno), whose fault it is, and whether trying again may help. Its text never holds an address
//! or a password of a server behind Margay.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Whose fault it is; decides the log level and which counter moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client sent something that can't be carried out.
    Client,
    /// The rules or the set-up.
    Operator,
    /// A server behind Margay.
    Server,
    /// A defect of Margay.
    Margay,
}

/// A stable code. `MG1xxx`: what can't be done with a statement; `MG2xxx`: the connection and its
/// protocol; `MG3xxx`: servers; `MG4xxx`: rules; `MG9xxx`: defects. docs/errors.md lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    pub name: &'static str,
    pub sqlstate: &'static str,
    pub mysql_errno: u16,
    pub blame: Blame,
    /// The same statement may succeed when sent again.
    pub retry: bool,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $id:ident = $name:literal $sqlstate:literal $errno:literal $blame:ident $retry:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $id: Code = Code { name: $name, sqlstate: $sqlstate, mysql_errno: $errno, blame: Blame::$blame, retry: $retry };)*
            /// Every code, for docs/errors.md and its test.
            pub const ALL: &'static [Code] = &[$(Code::$id,)*];
        }
    };
}

codes! {
    /// The statement's text can't be read and it names a sharded table.
    UNREADABLE = "MG1001" "0A000" 1235 Client false;
    /// A statement of a kind that isn't supported over several nodes.
    UNSUPPORTED_STATEMENT = "MG1002" "0A000" 1235 Client false;
    /// So deeply nested that planning it would need too much of the stack.
    TOO_COMPLEX = "MG1003" "54001" 1436 Client false;
    /// The tables live on different nodes and no plan brings them together exactly.
    CROSS_NODE_JOIN = "MG1101" "0A000" 1235 Client false;
    /// Sharded tables joined otherwise than by their sharding keys.
    NOT_COLOCATED = "MG1102" "0A000" 1235 Client false;
    /// A set operation, CTE or subquery that can't be computed shard by shard.
    SUBQUERY_ACROSS_SHARDS = "MG1103" "0A000" 1235 Client false;
    /// The system catalogs together with tables' rows, or a shell that can't answer.
    CATALOG_ACROSS_NODES = "MG1104" "0A000" 1235 Client false;
    /// ORDER BY on something that the proxy can't compare exactly.
    ORDER_NOT_EXACT = "MG1201" "0A000" 1235 Client false;
    /// GROUP BY or DISTINCT on something that the proxy can't group exactly.
    GROUP_NOT_EXACT = "MG1202" "0A000" 1235 Client false;
    /// An aggregate that can't be computed from partial results.
    AGGREGATE_ACROSS_SHARDS = "MG1203" "0A000" 1235 Client false;
    /// A window function over rows of several shards.
    WINDOW_ACROSS_SHARDS = "MG1204" "0A000" 1235 Client false;
    /// LIMIT or OFFSET whose value isn't known before the statement runs.
    LIMIT_NOT_KNOWN = "MG1205" "0A000" 1235 Client false;
    /// HAVING that can't be computed shard by shard.
    HAVING_ACROSS_SHARDS = "MG1206" "0A000" 1235 Client false;
    /// A function whose result or effect differs from node to node.
    FUNCTION_ACROSS_NODES = "MG1207" "0A000" 1235 Client false;
    /// A written row has no sharding key, or one whose value isn't known before it runs.
    KEY_MISSING = "MG1301" "0A000" 1235 Client false;
    /// The sharding key's value belongs to no shard.
    KEY_OUTSIDE = "MG1302" "23514" 1526 Client false;
    /// UPDATE of a sharding key.
    KEY_UPDATE = "MG1303" "0A000" 1235 Client false;
    /// A write that can't be split by node.
    WRITE_ACROSS_NODES = "MG1304" "0A000" 1235 Client false;
    /// A default or function that would give each copy of a broadcast row another value.
    BROADCAST_DIVERGES = "MG1305" "0A000" 1235 Client false;
    /// A hint that can't be followed.
    BAD_HINT = "MG1401" "42601" 1064 Client false;
    /// The type of a sharding key is not known, since no server or schema told it.
    KEY_TYPE_UNKNOWN = "MG1402" "0A000" 1235 Operator false;
    /// An isolation level that can't be honoured over several nodes.
    ISOLATION_ACROSS_NODES = "MG1501" "0A000" 1235 Client false;
    /// Session state (a temporary table, cursor, session lock …) that can't be kept over several nodes.
    SESSION_STATE = "MG1502" "0A000" 1235 Client false;
    /// The transaction is aborted; only ROLLBACK is taken.
    TXN_ABORTED = "MG1503" "25P02" 1180 Client false;
    /// A commit over several nodes failed before the decision; everything was rolled back.
    COMMIT_FAILED = "MG1504" "40000" 1180 Server true;
    /// The connection broke while a commit was under way; its outcome is not known.
    COMMIT_UNKNOWN = "MG1505" "08007" 1180 Server false;
    /// A write in a READ ONLY transaction.
    READ_ONLY_TXN = "MG1506" "25006" 1792 Client false;

    /// A message that doesn't follow the protocol.
    PROTOCOL = "MG2001" "08P01" 1047 Client false;
    /// A message longer than its limit.
    TOO_LARGE = "MG2002" "54000" 1153 Client false;
    /// Wrong user or password.
    AUTH_FAILED = "MG2003" "28P01" 1045 Client false;
    /// No such logical database, or the user may not use it.
    NO_DATABASE = "MG2004" "3D000" 1049 Client false;
    /// As many clients as the rules allow.
    TOO_MANY_CLIENTS = "MG2005" "53300" 1040 Operator true;
    /// A named statement that was never prepared.
    NO_STATEMENT = "MG2006" "26000" 1243 Client false;
    /// A portal that doesn't exist.
    NO_PORTAL = "MG2007" "34000" 1243 Client false;
    /// A statement of that name is there already.
    DUPLICATE_STATEMENT = "MG2008" "42P05" 1243 Client false;
    /// The statement was cancelled by its user.
    CANCELLED = "MG2009" "57014" 1317 Client false;
    /// The proxy is going down.
    SHUTDOWN = "MG2010" "57P01" 1053 Operator true;

    /// No server of the node can take the statement.
    NODE_DOWN = "MG3001" "08006" 2013 Server true;
    /// The server closed the connection in the middle.
    SERVER_LOST = "MG3002" "08006" 2013 Server true;
    /// No connection became free in time.
    POOL_TIMEOUT = "MG3003" "53300" 1040 Server true;
    /// The server refused Margay's own login.
    SERVER_LOGIN = "MG3004" "08006" 2013 Operator false;
    /// The server sent something that doesn't follow the protocol.
    SERVER_PROTOCOL = "MG3005" "08006" 2013 Server false;
    /// The servers of a node disagree (placement, schema) with the rules.
    PLACEMENT_MISMATCH = "MG3006" "55000" 1105 Operator false;

    /// The rules are wrong.
    RULES = "MG4001" "F0000" 1105 Operator false;
    /// The admin console doesn't know the command.
    ADMIN_COMMAND = "MG4002" "42601" 1064 Client false;

    /// A defect of Margay.
    INTERNAL = "MG9001" "XX000" 1105 Margay false;
}

/// An error as a client sees it. Behind a pointer: it is in the result of nearly every function, and results
/// are as large as their largest case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(Box<Said>);

/// What a fault says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub code: Code,
    pub message: Cow<'static, str>,
    pub detail: Option<Cow<'static, str>>,
    /// What to write instead.
    pub hint: Option<Cow<'static, str>>,
    /// 1-based character position in the statement, as PostgreSQL's field P.
    pub position: Option<u32>,
    /// Replaces the code's SQLSTATE where the server has a finer one (22P02, 22003 …).
    pub sqlstate: Option<&'static str>,
}

impl Fault {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Said {
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            sqlstate: None,
        }))
    }

    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn sqlstate(mut self, sqlstate: &'static str) -> Self {
        self.sqlstate = Some(sqlstate);
        self
    }

    /// The SQLSTATE to send.
    pub fn state(&self) -> &'static str {
        self.sqlstate.unwrap_or(self.code.sqlstate)
    }

    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::INTERNAL, message)
    }
}

impl Deref for Fault {
    type Target = Said;
    fn deref(&self) -> &Said {
        &self.0
    }
}

impl DerefMut for Fault {
    fn deref_mut(&mut self) -> &mut Said {
        &mut self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code.name)?;
        if let Some(hint) = &self.hint {
            write!(f, " Hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

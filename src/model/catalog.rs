//! What the servers know of a logical database: tables, columns, types, defaults and the
//! volatility of functions. Loaded by `control` from the servers or read from a schema file;
//! immutable once built, and part of the Snapshot.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::ids::{NodeId, ShardId};
use super::names::TableName;
use super::oids::Oids;
use super::value::KeyType;

/// A logical database's catalog. `epoch` changes whenever the content does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    pub epoch: u64,
    /// False: nothing was loaded (yet); unknown tables may exist.
    pub loaded: bool,
    pub tables: HashMap<TableName, Arc<TableInfo>>,
    /// Index → its table. Where shards are separate tables, `name_0`, `name_1` … are one index `name`.
    pub indexes: HashMap<TableName, TableName>,
    /// By unqualified, folded name; the most volatile of all overloads. Functions of
    /// `pg_catalog` and user-defined ones alike.
    pub functions: HashMap<Box<str>, FunctionInfo>,
    /// Tables that the rules place otherwise than when they were filled, with what differs: rows would
    /// be looked for where they aren't, so nothing is served on them.
    pub misplaced: HashMap<TableName, Box<str>>,
    /// Shards that should be on a node and aren't: they would answer with nothing as if nothing had ever
    /// been in them, so statements that need them are refused.
    pub absent: HashMap<TableName, Absent>,
    /// Relations of the shell's system catalogs that tell the name of its own database.
    pub system: HashMap<TableName, Arc<SystemRelation>>,
    /// Views by name: their queries as the shell prints them, every name with its schema.
    pub views: HashMap<TableName, Box<str>>,
    pub sequences: HashMap<TableName, SequenceInfo>,
    /// Nodes whose OIDs of types and relations aren't those that clients see, which are the shell's.
    pub oids: HashMap<NodeId, Arc<Oids>>,
    /// Why the shell's catalogs aren't those of the logical database at the moment.
    pub shell_behind: Option<Box<str>>,
}

/// Shards of a table that can't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    pub shards: BTreeSet<ShardId>,
    /// Nodes that lack the whole table, with whatever shards are theirs.
    pub nodes: BTreeSet<NodeId>,
    /// Without addresses: clients read it.
    pub why: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceInfo {
    /// The table that owns it.
    pub owner: Option<TableName>,
    /// The statements that would make it anew, without its owner.
    pub definition: Box<str>,
}

/// A relation of the system catalogs with columns that name databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemRelation {
    /// `pg_catalog` or `information_schema`.
    pub schema: Box<str>,
    /// The name of the shell's own database.
    pub own: Box<str>,
    pub columns: Vec<SystemColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemColumn {
    pub name: Box<str>,
    /// Its type, where it names databases.
    pub database_type: Option<Box<str>>,
}

/// A table, partitioned table, view or foreign table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableInfo {
    pub columns: Vec<ColumnInfo>,
    pub is_view: bool,
    /// Columns of each unique index without expressions and predicate (primary key first).
    pub unique: Vec<Vec<Box<str>>>,
    /// The table has a trigger or rule that may do more than the statement says.
    pub has_triggers: bool,
}

impl TableInfo {
    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|c| &*c.name == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    pub name: Box<str>,
    /// As `format_type(atttypid, NULL)` prints it.
    pub type_name: Box<str>,
    pub type_oid: u32,
    /// Its values hold OIDs in binary format.
    pub holds_oids: bool,
    /// `atttypmod`: the length of a varchar(n) plus 4, the precision of a timestamp(n); -1: none.
    pub type_modifier: i32,
    pub not_null: bool,
    pub collation: Collation,
    pub default: ColumnDefault,
}

impl ColumnInfo {
    pub fn key_type(&self) -> Option<KeyType> {
        KeyType::from_sql(&self.type_name)
    }
}

/// What the proxy may do with a text column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Collation {
    /// Not a collatable type.
    #[default]
    None,
    /// "C", "POSIX", ucs_basic: order and equality are those of the bytes.
    Bytes,
    /// Deterministic: equality is that of the bytes, order is not.
    Deterministic,
    /// Equality isn't that of the bytes.
    Nondeterministic,
}

/// What a column gets when an INSERT leaves it out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ColumnDefault {
    #[default]
    Null,
    /// Immutable: every node gives the same value. The expression as the server prints it.
    Constant(Box<str>),
    /// Made of the transaction's time, the session's names and what is the same on every node: `now()`,
    /// `CURRENT_DATE + 7`, `CURRENT_USER`.
    OfSession(Box<str>),
    /// Identity, nextval, random, anything else that may differ from node to node.
    Volatile(Box<str>),
    /// GENERATED ALWAYS AS … STORED: computed from the row itself.
    Generated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    pub volatility: Volatility,
    /// Defined by a user, so that its body may read and write tables.
    pub user_defined: bool,
    pub is_aggregate: bool,
    pub returns_set: bool,
}

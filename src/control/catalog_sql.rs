//! The questions that the catalog is made of, and their answers as typed rows: one round trip per
//! node, in one snapshot. Works from PostgreSQL 12 on. Must not decide what an answer means for the
//! logical database: `catalog` does.

use tokio_postgres::SimpleQueryRow;

use super::connect::{Link, LinkError};
use crate::execute::{OidRow, oids_sql};
use crate::model::oids::FIRST_USER_OID;

/// Schemas that hold nothing of the user's, as a condition on `n` (pg_namespace).
const USER_SCHEMA: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'margay') \
     AND n.nspname !~ '^pg_(toast|temp)'";

/// Tables, partitioned tables, views, materialized views, foreign tables; partitions are part of
/// their parents. The rewrite rule `_RETURN` is what makes a view a view.
fn tables_sql() -> String {
    format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind, \
            EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) \
            OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
            AND c.relpersistence <> 't' AND {USER_SCHEMA}"
    )
}

/// Whether binary values of type `t` hold OIDs: those of users' types but enums and plain domains, and of
/// regclass and its kin (typsend `reg…send`).
const HOLDS_OIDS: &str = "(t.oid >= 16384 AND CASE t.typtype WHEN 'e' THEN false WHEN 'b' THEN t.typcategory = 'A' \
     WHEN 'd' THEN t.typbasetype >= 16384 ELSE true END \
     OR t.typsend::text ~ '^(pg_catalog\\.)?(reg.*|record_)send$')";

/// Columns. What a default depends on is read from its stored expression tree, since pg_depend
/// doesn't list built-in functions: `tags` are the kinds of its nodes, `volatile` the most volatile
/// function named in it. The strings of a tree's constants are printed as numbers, so no text of
/// a user can look like a tag. A domain's own default counts where the column has none.
fn columns_sql() -> String {
    format!(
        "SELECT a.attrelid, a.attname, format_type(a.atttypid, NULL), a.atttypid, a.attnotnull, \
            CASE WHEN a.attcollation = 0 THEN 'none' WHEN a.attcollation = 100 THEN 'default' \
                 WHEN NOT l.collisdeterministic THEN 'nondeterministic' \
                 WHEN l.collprovider = 'b' OR l.collprovider = 'c' AND l.collcollate IN ('C', 'POSIX') \
                 THEN 'bytes' ELSE 'deterministic' END, \
            CASE WHEN t.typcategory = 'A' THEN t.typelem WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
                IN (18, 19, 25, 1042, 1043), t.typcategory = 'A', \
            a.attidentity, a.attgenerated, \
            coalesce(pg_get_expr(d.adbin, d.adrelid), pg_get_expr(t.typdefaultbin, 0)), \
            x.tags, x.volatility, a.atttypmod, {HOLDS_OIDS} \
         FROM pg_attribute a \
         JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_collation l ON l.oid = a.attcollation \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = '' \
         LEFT JOIN LATERAL ( \
            SELECT (SELECT string_agg(DISTINCT m[1], ' ') FROM regexp_matches(tree, '\\{{([A-Z]+)', 'g') m) AS tags, \
                (SELECT CASE WHEN bool_or(p.provolatile IS NULL OR p.provolatile = 'v') THEN 'v' \
                        WHEN bool_or(p.provolatile = 's') THEN 's' ELSE 'i' END \
                 FROM regexp_matches(tree, ':(?:funcid|opfuncid) ([0-9]+)', 'g') f \
                 LEFT JOIN pg_proc p ON p.oid = f[1]::oid) AS volatility \
            FROM (SELECT coalesce(d.adbin, t.typdefaultbin)::text AS tree) s WHERE tree IS NOT NULL) x ON true \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
            AND NOT c.relispartition AND c.relpersistence <> 't' AND {USER_SCHEMA} \
         ORDER BY a.attrelid, a.attnum"
    )
}

/// Unique indexes that say something about the table's columns as they are, primary key first.
/// A row per index column.
fn unique_sql() -> String {
    format!(
        "SELECT i.indrelid, i.indexrelid, a.attname \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
            AND k.place <= i.indnkeyatts AND NOT c.relispartition AND c.relpersistence <> 't' AND {USER_SCHEMA} \
         ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid, k.place"
    )
}

/// Indexes of tables and partitioned tables.
fn indexes_sql() -> String {
    format!(
        "SELECT n.nspname, x.relname, i.indrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
         JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace \
         WHERE NOT c.relispartition AND c.relpersistence <> 't' AND {USER_SCHEMA}"
    )
}

/// Partitioned tables with each of their partitions (NULL: none) and its bounds.
fn partitions_sql() -> String {
    format!(
        "SELECT n.nspname, c.relname, CASE WHEN k.relnamespace = c.relnamespace THEN k.relname::text \
            ELSE k.oid::regclass::text END, pg_get_expr(k.relpartbound, k.oid) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_inherits i ON i.inhparent = c.oid LEFT JOIN pg_class k ON k.oid = i.inhrelid \
         WHERE c.relkind = 'p' AND NOT c.relispartition AND {USER_SCHEMA}"
    )
}

/// How the database sorts what has no collation of its own. `datlocprovider` came with version 15.
const DEFAULT_COLLATION: &str = "SELECT CASE WHEN p = 'b' OR p = 'c' AND datcollate IN ('C', 'POSIX') THEN 'bytes' ELSE 'deterministic' END \
     FROM (SELECT datcollate, coalesce(to_jsonb(d)->>'datlocprovider', 'c') AS p \
           FROM pg_database d WHERE datname = current_database()) s";

/// Functions by name: the most volatile overload.
const FUNCTIONS: &str = "SELECT p.proname, CASE WHEN bool_or(p.provolatile = 'v') THEN 'v' \
        WHEN bool_or(p.provolatile = 's') THEN 's' ELSE 'i' END, \
        bool_or(n.nspname NOT IN ('pg_catalog', 'information_schema')), \
        bool_or(p.prokind = 'a'), bool_or(p.proretset) \
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace GROUP BY p.proname";

/// One number for everything that the catalog is made of, so that a change made elsewhere is
/// noticed without reading it all. `xmin` of a row changes whenever the row does.
pub const FINGERPRINT: &str = "SELECT concat_ws(',', \
        (SELECT concat(count(*), ':', sum(hashint8((c.oid::int8 << 32) # c.xmin::text::int8)::numeric)) FROM pg_class c \
            WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'i', 'I')), \
        (SELECT concat(count(*), ':', sum(hashint8((a.attrelid::int8 << 32) # a.xmin::text::int8)::numeric)) \
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attnum > 0 AND a.attrelid >= 16384 \
            AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')), \
        (SELECT concat(count(*), ':', sum(hashint8((d.oid::int8 << 32) # d.xmin::text::int8)::numeric)) FROM pg_attrdef d \
            JOIN pg_class c ON c.oid = d.adrelid WHERE c.relpersistence <> 't'), \
        (SELECT concat(count(*), ':', sum(hashint8((i.indexrelid::int8 << 32) # i.xmin::text::int8)::numeric)) \
            FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
            WHERE i.indrelid >= 16384 AND c.relpersistence <> 't' AND c.relkind <> 't'), \
        (SELECT concat(count(*), ':', sum(hashint8((t.oid::int8 << 32) # t.xmin::text::int8)::numeric)) FROM pg_trigger t), \
        (SELECT concat(count(*), ':', sum(hashint8((r.oid::int8 << 32) # r.xmin::text::int8)::numeric)) FROM pg_rewrite r \
            WHERE r.oid >= 16384), \
        (SELECT concat(count(*), ':', sum(hashint8((p.oid::int8 << 32) # p.xmin::text::int8)::numeric)) FROM pg_proc p), \
        (SELECT concat(count(*), ':', sum(hashint8((y.oid::int8 << 32) # y.xmin::text::int8)::numeric)) FROM pg_type y \
            JOIN pg_namespace n ON n.oid = y.typnamespace WHERE y.oid >= 16384 AND y.typrelid = 0 AND y.typtype <> 'b' \
            AND n.nspname !~ '^pg_(toast|temp)'), \
        (SELECT concat(count(*), ':', sum(hashint8((n.oid::int8 << 32) # n.xmin::text::int8)::numeric)) FROM pg_namespace n \
            WHERE n.nspname !~ '^pg_(toast|temp)'))";

/// A table as one node has it.
#[derive(Debug)]
pub struct TableRow {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// pg_class.relkind.
    pub kind: char,
    pub has_triggers: bool,
}

/// A column's collation class as the server's catalog has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollationRow {
    None,
    /// The database's.
    Default,
    Bytes,
    Deterministic,
    Nondeterministic,
}

#[derive(Debug)]
pub struct ColumnRow {
    pub table: u32,
    pub name: String,
    pub type_name: String,
    pub type_oid: u32,
    pub holds_oids: bool,
    pub type_modifier: i32,
    pub not_null: bool,
    pub collation: CollationRow,
    /// The type (or its element, or the domain's base) is one of the server's own texts: a type of
    /// an extension, such as citext, has a collation too but compares otherwise.
    pub plain_text: bool,
    pub is_array: bool,
    pub identity: bool,
    pub generated: bool,
    pub default: Option<String>,
    /// Kinds of nodes in the default's expression tree.
    pub tags: Vec<String>,
    /// 'i', 's' or 'v': the most volatile function in the default.
    pub volatility: char,
}

#[derive(Debug)]
pub struct UniqueRow {
    pub table: u32,
    pub index: u32,
    pub column: String,
}

#[derive(Debug)]
pub struct FunctionRow {
    pub name: String,
    pub volatility: char,
    pub user_defined: bool,
    pub is_aggregate: bool,
    pub returns_set: bool,
}

#[derive(Debug)]
pub struct IndexRow {
    pub schema: String,
    pub name: String,
    pub table: u32,
}

/// A partition, or a partitioned table that has none.
#[derive(Debug)]
pub struct PartitionRow {
    pub schema: String,
    pub table: String,
    /// With its schema, if that isn't the table's; None: there is none.
    pub name: Option<String>,
    pub bounds: Option<String>,
}

/// Everything that one node says.
#[derive(Debug)]
pub struct NodeCatalog {
    pub tables: Vec<TableRow>,
    pub columns: Vec<ColumnRow>,
    pub unique: Vec<UniqueRow>,
    pub indexes: Vec<IndexRow>,
    pub partitions: Vec<PartitionRow>,
    pub default_collation: CollationRow,
    /// Empty unless asked for.
    pub functions: Vec<FunctionRow>,
    /// Likewise.
    pub oids: Vec<OidRow>,
    /// `FINGERPRINT`, of the same snapshot.
    pub fingerprint: String,
}

/// Asks one node, in one round trip.
pub async fn read_node(
    link: &mut Link,
    with_functions: bool,
    with_oids: bool,
) -> Result<NodeCatalog, LinkError> {
    const NOTHING: &str = "SELECT WHERE false";
    let functions = if with_functions { FUNCTIONS } else { NOTHING };
    let oids = if with_oids {
        oids_sql(FIRST_USER_OID)
    } else {
        NOTHING.to_owned()
    };
    // What pg_get_expr and format_type print comes from the newest catalog; the rest from one snapshot.
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}; {}; {}; {}; {}; {DEFAULT_COLLATION}; {functions}; {oids}; {FINGERPRINT}; COMMIT",
        tables_sql(),
        columns_sql(),
        unique_sql(),
        indexes_sql(),
        partitions_sql(),
    );
    let sets = link.ask(&sql).await?;
    let [
        tables,
        columns,
        unique,
        indexes,
        partitions,
        collation,
        functions,
        oids,
        fingerprint,
    ] = sets.as_slice()
    else {
        return Err(LinkError::Answer(format!(
            "{} results where 8 were asked for",
            sets.len()
        )));
    };
    Ok(NodeCatalog {
        tables: tables.iter().map(table_row).collect::<Result<_, _>>()?,
        columns: columns.iter().map(column_row).collect::<Result<_, _>>()?,
        unique: unique.iter().map(unique_row).collect::<Result<_, _>>()?,
        indexes: indexes.iter().map(index_row).collect::<Result<_, _>>()?,
        partitions: partitions.iter().map(partition_row).collect::<Result<_, _>>()?,
        default_collation: match collation.first() {
            Some(row) => collation_row(text(row, 0)?)?,
            None => CollationRow::Deterministic,
        },
        functions: functions.iter().map(function_row).collect::<Result<_, _>>()?,
        oids: oids.iter().map(oid_row).collect::<Result<_, _>>()?,
        fingerprint: match fingerprint.first() {
            Some(row) => text(row, 0)?.to_owned(),
            None => return Err(LinkError::Answer("no fingerprint".into())),
        },
    })
}

fn table_row(row: &SimpleQueryRow) -> Result<TableRow, LinkError> {
    Ok(TableRow {
        oid: oid(row, 0)?,
        schema: text(row, 1)?.to_owned(),
        name: text(row, 2)?.to_owned(),
        kind: first_char(text(row, 3)?),
        has_triggers: text(row, 4)? == "t",
    })
}

fn column_row(row: &SimpleQueryRow) -> Result<ColumnRow, LinkError> {
    Ok(ColumnRow {
        table: oid(row, 0)?,
        name: text(row, 1)?.to_owned(),
        type_name: text(row, 2)?.to_owned(),
        type_oid: oid(row, 3)?,
        holds_oids: text(row, 14)? == "t",
        type_modifier: number(row, 13)?,
        not_null: text(row, 4)? == "t",
        collation: collation_row(text(row, 5)?)?,
        plain_text: text(row, 6)? == "t",
        is_array: text(row, 7)? == "t",
        identity: !text(row, 8)?.is_empty(),
        generated: !text(row, 9)?.is_empty(),
        default: row.get(10).map(str::to_owned),
        tags: row
            .get(11)
            .unwrap_or("")
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        volatility: row.get(12).map_or('v', first_char),
    })
}

fn unique_row(row: &SimpleQueryRow) -> Result<UniqueRow, LinkError> {
    Ok(UniqueRow {
        table: oid(row, 0)?,
        index: oid(row, 1)?,
        column: text(row, 2)?.to_owned(),
    })
}

fn index_row(row: &SimpleQueryRow) -> Result<IndexRow, LinkError> {
    Ok(IndexRow {
        schema: text(row, 0)?.to_owned(),
        name: text(row, 1)?.to_owned(),
        table: oid(row, 2)?,
    })
}

fn function_row(row: &SimpleQueryRow) -> Result<FunctionRow, LinkError> {
    Ok(FunctionRow {
        name: text(row, 0)?.to_owned(),
        volatility: first_char(text(row, 1)?),
        user_defined: text(row, 2)? == "t",
        is_aggregate: text(row, 3)? == "t",
        returns_set: text(row, 4)? == "t",
    })
}

fn partition_row(row: &SimpleQueryRow) -> Result<PartitionRow, LinkError> {
    Ok(PartitionRow {
        schema: text(row, 0)?.to_owned(),
        table: text(row, 1)?.to_owned(),
        name: row.get(2).map(str::to_owned),
        bounds: row.get(3).map(str::to_owned),
    })
}

fn oid_row(row: &SimpleQueryRow) -> Result<OidRow, LinkError> {
    Ok(OidRow {
        oid: oid(row, 0)?,
        schema: text(row, 1)?.to_owned(),
        name: text(row, 2)?.to_owned(),
        kind: first_char(text(row, 3)?),
        of: oid(row, 4)?,
    })
}

fn collation_row(text: &str) -> Result<CollationRow, LinkError> {
    Ok(match text {
        "none" => CollationRow::None,
        "default" => CollationRow::Default,
        "bytes" => CollationRow::Bytes,
        "deterministic" => CollationRow::Deterministic,
        "nondeterministic" => CollationRow::Nondeterministic,
        other => return Err(LinkError::Answer(format!("collation class {other:?}"))),
    })
}

fn text(row: &SimpleQueryRow, at: usize) -> Result<&str, LinkError> {
    match row.try_get(at) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(LinkError::Answer(format!("NULL in column {at}"))),
        Err(error) => Err(LinkError::Postgres(error)),
    }
}

fn oid(row: &SimpleQueryRow, at: usize) -> Result<u32, LinkError> {
    let text = text(row, at)?;
    text.parse()
        .map_err(|_| LinkError::Answer(format!("{text:?} where an oid was asked for")))
}

fn number(row: &SimpleQueryRow, at: usize) -> Result<i32, LinkError> {
    let text = text(row, at)?;
    text.parse()
        .map_err(|_| LinkError::Answer(format!("{text:?} where a number was asked for")))
}

fn first_char(text: &str) -> char {
    text.chars().next().unwrap_or('?')
}

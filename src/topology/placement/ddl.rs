//! Names of physical tables, and the partitioning clauses of PostgreSQL that say the same as the
//! placement functions do. Text only: who creates what is decided elsewhere.

use crate::model::{KeyType, ShardId, Value};

use super::super::snapshot::{Layout, Sharding, Spread, Table};
use super::{HashFunction, Scheme};

/// The table that holds a shard, without its schema: `orders_03`, `page_views_2026_01`; the table's
/// own name where it has one shard per node.
pub fn physical_name(table: &Table, shard: ShardId) -> String {
    let name = &table.name.table;
    let Spread::Sharded(sharding) = &table.spread else {
        return name.to_string();
    };
    if sharding.layout == Layout::PerNode {
        return name.to_string();
    }
    match &sharding.scheme {
        Scheme::Time(time) => {
            // Out of the calendar no row can be either.
            format!(
                "{name}_{}",
                time.suffix(shard).unwrap_or_else(|| format!("p{}", shard.0))
            )
        }
        Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => {
            let last = sharding.place.len().saturating_sub(1);
            let width = last.to_string().len().max(2);
            format!("{name}_{:0width$}", shard.0)
        }
    }
}

/// `PARTITION BY HASH (user_id)`. None: PostgreSQL can't partition by this scheme.
pub fn partition_by(sharding: &Sharding, types: &[KeyType]) -> Option<String> {
    let columns: Vec<String> = sharding.key.iter().map(|k| quote_ident(&k.column)).collect();
    let columns = columns.join(", ");
    Some(match &sharding.scheme {
        Scheme::Hash(hash) if hash.function == HashFunction::Postgres => {
            format!("PARTITION BY HASH ({columns})")
        }
        Scheme::Hash(_) => return None,
        // Bounds are compared by bytes here: the server must do the same.
        Scheme::Range(_) if matches!(types.first(), Some(KeyType::Text | KeyType::Bpchar)) => {
            format!("PARTITION BY RANGE ({columns} COLLATE \"C\")")
        }
        Scheme::Time(_) | Scheme::Range(_) => format!("PARTITION BY RANGE ({columns})"),
        Scheme::List(_) => format!("PARTITION BY LIST ({columns})"),
    })
}

/// `FOR VALUES WITH (MODULUS 16, REMAINDER 3)`, `FOR VALUES FROM (…) TO (…)` or `FOR VALUES IN (…)`.
/// None: no row can be in the shard (an hour that clocks skip), or PostgreSQL can't partition so.
pub fn shard_bounds(sharding: &Sharding, shard: ShardId, types: &[KeyType]) -> Option<String> {
    let ty = *types.first()?;
    match &sharding.scheme {
        Scheme::Hash(hash) => (hash.function == HashFunction::Postgres)
            .then(|| format!("FOR VALUES WITH (MODULUS {}, REMAINDER {})", hash.count, shard.0)),
        Scheme::Time(time) => {
            let start = time.start(shard, ty)?;
            let end = time.start(ShardId(shard.0.checked_add(1)?), ty)?;
            (start < end).then(|| between(&literal(&start, ty), &literal(&end, ty)))
        }
        Scheme::Range(range) => {
            let index = usize::try_from(shard.0).ok()?;
            let start = match index.checked_sub(1) {
                None => "MINVALUE".to_owned(),
                Some(before) => literal(range.bounds.get(before)?, ty),
            };
            let end = range
                .bounds
                .get(index)
                .map_or("MAXVALUE".to_owned(), |b| literal(b, ty));
            Some(between(&start, &end))
        }
        Scheme::List(list) => {
            let values: Vec<String> = list
                .values_of(shard)
                .into_iter()
                .map(|v| literal(v, ty))
                .collect();
            (!values.is_empty()).then(|| format!("FOR VALUES IN ({})", values.join(", ")))
        }
    }
}

fn between(start: &str, end: &str) -> String {
    format!("FOR VALUES FROM ({start}) TO ({end})")
}

/// A value as a literal of PostgreSQL, safe under any `standard_conforming_strings`.
pub fn literal(value: &Value, ty: KeyType) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Text(bytes) => quote_literal(&String::from_utf8_lossy(bytes)),
        Value::Timestamp(_) if ty == KeyType::Timestamptz => format!("'{value}+00'"),
        Value::Bytea(_) => format!("decode('{}', 'hex')", value.to_string().trim_start_matches("\\x")),
        Value::Uuid(_) | Value::Date(_) | Value::Timestamp(_) => format!("'{value}'"),
    }
}

/// A text literal; one with a backslash as `E'…'`, which reads the same under any setting.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A name in SQL. Always quoted unless it is plainly lower case, and when it may be a reserved word.
pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    // Reserved words of PostgreSQL that are short enough to be columns (table C.1 of its manual).
    const RESERVED: &[&str] = &[
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "authorization",
        "binary",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "collation",
        "column",
        "concurrently",
        "constraint",
        "create",
        "cross",
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "grant",
        "group",
        "having",
        "ilike",
        "in",
        "initially",
        "inner",
        "intersect",
        "into",
        "is",
        "isnull",
        "join",
        "lateral",
        "leading",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "natural",
        "not",
        "notnull",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "outer",
        "overlaps",
        "placing",
        "primary",
        "references",
        "returning",
        "right",
        "select",
        "session_user",
        "similar",
        "some",
        "symmetric",
        "system_user",
        "table",
        "tablesample",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "verbose",
        "when",
        "where",
        "window",
        "with",
    ];
    if plain && !RESERVED.contains(&name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quote_ident("user_id"), "user_id");
        assert_eq!(quote_ident("user"), "\"user\"");
        assert_eq!(quote_ident("UserId"), "\"UserId\"");
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(quote_literal("o'brien"), "'o''brien'");
        assert_eq!(quote_literal("a\\b'"), "E'a\\\\b'''");
        assert_eq!(
            literal(&Value::Bytea([1, 255].into()), KeyType::Bytea),
            "decode('01ff', 'hex')"
        );
        assert_eq!(
            literal(&Value::Timestamp(0), KeyType::Timestamptz),
            "'2000-01-01 00:00:00+00'"
        );
    }
}

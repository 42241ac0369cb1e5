//! Physical names back to logical ones, for what servers say about shards: `orders_03_pkey` is
//! `orders_pkey` to a client. Text only; it must leave everything alone that is no shard's name.

use std::collections::HashMap;

use crate::model::{ShardId, TableName};

use super::placement::{Every, Scheme, physical_name};
use super::snapshot::{Database, Layout, Sharding, Spread, Table};

impl Database {
    /// The table of the rules that a shard of this name belongs to. To a client there is no such relation.
    pub fn table_of_shard(&self, name: &TableName) -> Option<&Table> {
        if self.tables.contains_key(name) {
            return None;
        }
        self.tables.values().map(|table| &**table).find(|table| {
            let Spread::Sharded(sharding) = &table.spread else {
                return false;
            };
            let suffix = name.table.strip_prefix(&*table.name.table);
            let suffix = suffix.and_then(|rest| rest.strip_prefix('_'));
            sharding.layout != Layout::PerNode
                && table.name.schema == name.schema
                && suffix.is_some_and(|text| suffix_length(text, sharding) == Some(text.len()))
        })
    }

    /// Shards that stand as tables of their own → their tables. No statement may name them.
    pub fn physical_names(&self) -> HashMap<TableName, TableName> {
        let mut names = HashMap::new();
        for table in self.tables.values() {
            let Spread::Sharded(sharding) = &table.spread else {
                continue;
            };
            if sharding.layout == Layout::Separate {
                let shards = (0..sharding.place.len() as i32).map(ShardId);
                let of = |s| TableName::new(table.name.schema.clone(), physical_name(table, s));
                names.extend(shards.map(|s| (of(s), table.name.clone())));
            }
        }
        names
    }

    /// A server's message with the names of shards replaced by those of their tables. None: there is
    /// nothing to replace.
    pub fn logical_text(&self, text: &str) -> Option<String> {
        let mut out: Option<String> = None;
        for table in self.tables.values() {
            let Spread::Sharded(sharding) = &table.spread else {
                continue;
            };
            if sharding.layout == Layout::PerNode {
                continue;
            }
            let now = out.as_deref().unwrap_or(text);
            if let Some(replaced) = replace(now, &table.name.table, sharding) {
                out = Some(replaced);
            }
        }
        out
    }
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

/// Replaces `table_<suffix>` by `table` wherever it stands as a name or as the beginning of one
/// (`table_<suffix>_pkey`).
fn replace(text: &str, table: &str, sharding: &Sharding) -> Option<String> {
    let mut out = String::new();
    let mut rest = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find(table).map(|i| i + from) {
        let end = at + table.len();
        from = end;
        let begins = at == 0 || !is_name(text.as_bytes()[at - 1]);
        let Some(suffix) = text[end..].strip_prefix('_').filter(|_| begins) else {
            continue;
        };
        let Some(length) = suffix_length(suffix, sharding) else {
            continue;
        };
        let after = suffix.as_bytes().get(length).copied();
        if after.is_some_and(|b| is_name(b) && b != b'_') {
            continue;
        }
        out.push_str(&text[rest..end]);
        rest = end + 1 + length;
        from = rest;
    }
    (rest > 0).then(|| out + &text[rest..])
}

/// The length of a shard's suffix at the beginning of the text.
fn suffix_length(text: &str, sharding: &Sharding) -> Option<usize> {
    let digits = |from: usize, n: usize| {
        text.as_bytes()
            .get(from..from + n)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
            .then_some(from + n)
    };
    let part =
        |from: usize, n: usize| (text.as_bytes().get(from) == Some(&b'_')).then(|| digits(from + 1, n))?;
    match &sharding.scheme {
        Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => {
            let length = text.bytes().take_while(u8::is_ascii_digit).count();
            let shard: usize = text.get(..length)?.parse().ok()?;
            let last = sharding.place.len().saturating_sub(1);
            (length == last.to_string().len().max(2) && shard <= last).then_some(length)
        }
        Scheme::Time(time) => {
            let year = digits(0, 4)?;
            match time.every {
                Every::Year => Some(year),
                Every::Month => part(year, 2),
                Every::Week => (text.get(year..year + 2)? == "_w").then(|| digits(year + 2, 2))?,
                Every::Day => part(part(year, 2)?, 2),
                Every::Hour => part(part(part(year, 2)?, 2)?, 2),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::model::TableName;
    use crate::topology::{Database, Overrides, load_texts};

    fn database() -> Database {
        let rules = r#"
version: 1
users: [{name: u, password: {plain: p}}]
nodes: {a: {primary: "postgres://app@127.0.0.1:5001/d"}, b: {primary: "postgres://app@127.0.0.1:5002/d"}}
databases:
  d:
    engine: postgres
    default_domain: m
    domains:
      m:
        nodes: [a, b]
        tables:
          orders: {shard: {by: hash, key: user_id, count: 16}}
          views: {shard: {by: time, key: at, every: month, from: 2026-01}}
          plain: {shard: {by: hash, key: id}}
"#;
        let loaded = load_texts(
            vec![(PathBuf::from("r.yaml"), rules.into())],
            &|_| None,
            &Overrides::default(),
        );
        let snapshot = loaded.expect("rules that hold").snapshot;
        Database::clone(&snapshot.databases[0])
    }

    fn logical(text: &str) -> Option<String> {
        database().logical_text(text)
    }

    #[test]
    fn names_of_shards_become_those_of_their_tables() {
        assert_eq!(
            logical(r#"violates unique constraint "orders_03_pkey""#).unwrap(),
            r#"violates unique constraint "orders_pkey""#
        );
        assert_eq!(logical("orders_15").unwrap(), "orders");
        assert_eq!(
            logical("no partition views_2026_03 of views_2026_04").unwrap(),
            "no partition views of views"
        );
    }

    #[test]
    fn shards_are_known_by_name() {
        let shard = |schema: &str, table: &str| {
            let database = database();
            let found = database.table_of_shard(&TableName::new(schema, table));
            found.map(|t| t.name.table.to_string())
        };
        assert_eq!(shard("public", "orders_03").as_deref(), Some("orders"));
        assert_eq!(shard("public", "views_2031_12").as_deref(), Some("views"));
        for other in ["orders", "orders_16", "orders_03_pkey", "plain_00", "views_2026"] {
            assert_eq!(shard("public", other), None, "{other}");
        }
        assert_eq!(shard("sales", "orders_03"), None);
    }

    #[test]
    fn other_names_stay_as_they_are() {
        for text in [
            "orders",
            "orders_16",
            "orders_003",
            "my_orders_03",
            "orders_03x",
            "orders_status",
            "views_2026",
            "plain_01",
        ] {
            assert_eq!(logical(text), None, "{text}");
        }
    }
}

//! DDL about indexes: they live where their table lives. A unique index sees only its own shard, so
//! where shards are tables of their own it must hold the sharding key.

use crate::model::catalog::Catalog;
use crate::model::{Code, Fault, ShardId, TableName};
use crate::topology::placement::physical_name;
use crate::topology::{Layout, Sharding, Table};

use super::analyze::locate;
use super::compile::{Compiler, Route};
use super::ddl::{shards_at_start, unsupported};
use super::lex::Kind;
use super::lower::catalog_from_sql;
use super::query::{Name, Span};
use super::reader::Reader;
use super::scope::Home;
use super::splice::Splice;

/// Columns of each unique constraint.
type Unique = [Vec<Box<str>>];

impl Compiler<'_> {
    /// The table of an index, found as the server finds the index.
    fn table_of(&self, index: &Name) -> Option<TableName> {
        let indexes = &self.view.database.catalog.indexes;
        match index.parts.as_slice() {
            [.., schema, name] => indexes
                .get(&TableName::new(schema.clone(), name.clone()))
                .cloned(),
            [name] => self
                .view
                .search_path
                .iter()
                .find_map(|s| indexes.get(&TableName::new(s.clone(), name.clone())).cloned()),
            [] => None,
        }
    }

    /// DROP and ALTER INDEX.
    pub(super) fn on_indexes(&self, names: &[Name], if_exists: bool, first: &str) -> Result<Route, Fault> {
        let known: Vec<Option<TableName>> = names.iter().map(|n| self.table_of(n)).collect();
        let separate = |t: &Table| matches!(&t.spread, crate::topology::Spread::Sharded(s) if s.layout == Layout::Separate);
        if known.iter().all(Option::is_none) {
            let database = &self.view.database;
            if if_exists {
                return Ok(Route::Same {
                    nodes: self.with_shell(database.nodes()),
                });
            }
            // The server says best that there is none; but the indexes of separate tables may have names of
            // the server's making.
            return if database.catalog.loaded && !database.tables.values().any(|t| separate(t)) {
                Ok(Route::Fixed(database.catalogs()))
            } else {
                Err(unsupported("DROP or ALTER of an index that isn't known"))
            };
        }
        let Some(tables) = known.into_iter().collect::<Option<Vec<_>>>() else {
            return Err(
                unsupported("a statement about indexes of which not all are known")
                    .hint("Write one per index."),
            );
        };
        let as_names: Vec<Name> = tables
            .iter()
            .map(|t| Name {
                parts: vec![t.schema.clone(), t.table.clone()],
                span: Span::default(),
            })
            .collect();
        let located = locate(&as_names[0], self.view);
        match (&located.home, &located.rule) {
            (Home::Sharded(sharding), Some(rule)) if sharding.layout == Layout::Separate => {
                if first != "drop" || tables.iter().any(|t| *t != tables[0]) {
                    return Err(unsupported("this statement about an index of separate tables"));
                }
                self.drop_separate(names, rule, sharding)
            }
            _ => self.on_index_tables(&as_names, &located, first),
        }
    }

    fn drop_separate(&self, names: &[Name], rule: &Table, sharding: &Sharding) -> Result<Route, Fault> {
        let parts = shards_at_start(sharding, 0).into_iter().map(|shard| {
            let splice = |n: &Name| {
                let text = format!("\"{}\".\"{}_{}\"", rule.name.schema, n.last(), shard.0);
                Splice::replace(self.shape.range(n.span), text)
            };
            (
                sharding.node_of(shard),
                self.splice(names.iter().map(splice).collect()),
            )
        });
        Ok(Route::Parts(self.shell_part().into_iter().chain(parts).collect()))
    }

    /// The unique constraints that a CREATE TABLE declares. None: it can't be read.
    pub(super) fn declared_unique(&self) -> Option<Vec<Vec<Box<str>>>> {
        if self
            .tokens
            .iter()
            .any(|t| t.is_word(self.sql, "like") || t.is_word(self.sql, "exclude"))
        {
            return None;
        }
        let catalog = catalog_from_sql(self.sql).ok()?;
        let table = catalog.tables.values().next()?;
        Some(table.unique.clone())
    }

    pub(super) fn refuse_local_unique(
        &self,
        name: &TableName,
        sharding: &Sharding,
        unique: Option<&Unique>,
    ) -> Result<(), Fault> {
        // The server itself demands the key in the unique indexes of a partitioned table.
        if sharding.place.len() <= 1 || sharding.layout == Layout::Partitioned {
            return Ok(());
        }
        let holds_key = |columns: &Vec<Box<str>>| sharding.key.iter().all(|k| columns.contains(&k.column));
        if unique.is_some_and(|u| u.iter().all(holds_key)) {
            return Ok(());
        }
        Err(Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            format!("a unique constraint on {name} must hold its sharding key, since each shard sees only its own rows"),
        )
        .hint("Add the sharding key to the constraint's columns."))
    }

    /// CREATE UNIQUE INDEX and ALTER TABLE … ADD UNIQUE.
    pub(super) fn check_unique(&self, names: &[Name], first: &str) -> Result<(), Fault> {
        let word = |w: &str| self.tokens.iter().any(|t| t.is_word(self.sql, w));
        let adds = match first {
            "create" => word("unique"),
            "alter" => word("add") && (word("unique") || word("primary") || word("exclude")),
            _ => false,
        };
        let (true, [name]) = (adds, names) else {
            return Ok(());
        };
        let located = locate(name, self.view);
        let Home::Sharded(sharding) = &located.home else {
            return Ok(());
        };
        // The columns are the plain list behind the table's name; anything else counts as unknown.
        let mut r = Reader::new(self.sql, self.tokens);
        while !r.done() && !r.peek().is_some_and(|t| t.is_punct(self.sql, '(')) {
            r.at += 1;
        }
        let start = r.at + 1;
        r.parens();
        let inner = self.tokens.get(start..r.at.saturating_sub(1)).unwrap_or_default();
        let plain = !word("exclude")
            && !word("column")
            && inner
                .iter()
                .all(|t| matches!(t.kind, Kind::Word | Kind::QuotedIdent) || t.is_punct(self.sql, ','));
        let idents = inner
            .iter()
            .filter(|t| matches!(t.kind, Kind::Word | Kind::QuotedIdent));
        let columns: Vec<Box<str>> = idents.map(|t| super::lex::fold_ident(t.text(self.sql))).collect();
        let unique = [columns];
        self.refuse_local_unique(&located.name, sharding, plain.then_some(&unique[..]))
    }

    /// Names of constraints that stand on an index get the shard's number, since one node has several
    /// of the shards and an index name is unique in its schema.
    pub(super) fn constraint_names(&self, rule: &Table, shard: ShardId) -> Vec<Splice> {
        let mut out = Vec::new();
        let mut r = Reader::new(self.sql, self.tokens);
        while !r.done() {
            if !r.take("constraint") {
                r.at += 1;
                continue;
            }
            r.take_all(&["if", "exists"]);
            let Some(name) = r.name() else { continue };
            let new = r.is("unique") || r.is("primary") || r.is("exclude");
            let text = if new {
                Some(format!("{}_{}", name.last(), shard.0))
            } else {
                constraint_on(&self.view.database.catalog, name.last(), rule, shard)
            };
            if let Some(text) = text {
                let text = format!("\"{}\"", text.replace('"', "\"\""));
                out.push(Splice::replace(self.shape.range(name.span), text));
            }
        }
        out
    }

    /// The name on a node's shard.
    pub(super) fn rename(&self, name: &Name, rule: &Table, shard: ShardId) -> Splice {
        let text = format!("\"{}\".\"{}\"", rule.name.schema, physical_name(rule, shard));
        Splice::replace(self.shape.range(name.span), text)
    }
}

/// The name that a constraint with an index has on a shard that is a table of its own: the given one with
/// the shard's number, or the server's own making from the shard's name (`legacy_pkey` →
/// `legacy_03_pkey`). None: it keeps its name.
pub(super) fn constraint_on(catalog: &Catalog, name: &str, rule: &Table, shard: ShardId) -> Option<String> {
    let known = |name: &str| {
        let index = TableName::new(rule.name.schema.clone(), name);
        catalog.indexes.get(&index).is_some_and(|t| *t == rule.name)
    };
    if known(name) {
        return Some(format!("{name}_{}", shard.0));
    }
    let suffix = name.strip_prefix(&*rule.name.table)?;
    let crate::topology::Spread::Sharded(sharding) = &rule.spread else {
        return None;
    };
    (0..sharding.place.len() as i32)
        .any(|s| known(&format!("{}{suffix}", physical_name(rule, ShardId(s)))))
        .then(|| format!("{}{suffix}", physical_name(rule, shard)))
}

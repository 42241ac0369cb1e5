//! Names of shards in statements. A client knows tables by the names of the rules alone: a shard's own
//! name is, to it, no relation, whatever a server may hold under it.

use crate::model::{Code, Fault, TableName};

use super::analyze::Analysis;
use super::compile::Compiler;
use super::lex::{self, Kind};
use super::query::{Name, Span};

impl Compiler<'_> {
    /// The table that has a shard of this name, as the server would find the name.
    pub(super) fn table_of_shard(&self, parts: &[Box<str>]) -> Option<TableName> {
        let database = &self.view.database;
        let in_schema = |schema: &str, table: &str| {
            let found = database.table_of_shard(&TableName::new(schema, table));
            found.map(|t| t.name.clone())
        };
        match parts {
            [.., schema, table] => in_schema(schema, table),
            [table] => self
                .view
                .search_path
                .iter()
                .find_map(|schema| in_schema(schema, table)),
            [] => None,
        }
    }

    /// As if it weren't there.
    pub(super) fn refuse_shard(&self, name: &Name) -> Result<(), Fault> {
        match self.table_of_shard(&name.parts) {
            None => Ok(()),
            Some(table) => Err(self.no_relation(name, &table)),
        }
    }

    fn no_relation(&self, name: &Name, table: &TableName) -> Fault {
        let written: Vec<&str> = name.parts.iter().map(|p| &**p).collect();
        let mut fault = Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            format!("relation \"{}\" does not exist", written.join(".")),
        )
        .sqlstate("42P01")
        .hint(format!("It is a shard's own name: name the table, {table}."));
        if name.span != Span::default() {
            let before = self.sql.get(..name.span.start as usize).unwrap_or("");
            fault.position = Some(before.chars().count() as u32 + 1);
        }
        fault
    }

    /// No relation that a query reads or writes is a shard.
    pub(super) fn refuse_shards_read(&self, analysis: &Analysis) -> Result<(), Fault> {
        for table in analysis.facts.refs.iter().filter(|t| t.rule.is_none()) {
            if let Some(owner) = self.view.database.table_of_shard(&table.name) {
                let written = self.sql.get(table.span.start as usize..table.span.end as usize);
                let qualified = written.is_some_and(|w| w.contains('.'));
                let mut parts = vec![table.name.table.clone()];
                if qualified {
                    parts.insert(0, table.name.schema.clone());
                }
                let name = Name {
                    parts,
                    span: table.span,
                };
                return Err(self.no_relation(&name, &owner.name));
            }
        }
        Ok(())
    }

    /// No word of the statement names a shard: for statements that aren't read as a whole. Too many are
    /// refused: a column may bear such a name.
    pub(super) fn refuse_shards_named(&self) -> Result<(), Fault> {
        let ident = |at: usize| {
            let token = self.tokens.get(at)?;
            matches!(token.kind, Kind::Word | Kind::QuotedIdent)
                .then(|| lex::fold_ident(token.text(self.sql)))
        };
        let dot = |at: usize| self.tokens.get(at).is_some_and(|t| t.is_punct(self.sql, '.'));
        for at in 0..self.tokens.len() {
            let Some(word) = ident(at) else { continue };
            let schema = if at >= 2 && dot(at - 1) {
                ident(at - 2)
            } else {
                None
            };
            let parts: Vec<Box<str>> = schema.into_iter().chain([word.clone()]).collect();
            if let Some(table) = self.table_of_shard(&parts) {
                return Err(Fault::new(
                    Code::UNSUPPORTED_STATEMENT,
                    format!("{word} is the name of a shard of {table}, which no statement can name"),
                )
                .hint("Name the table; choose another name for what is new."));
            }
        }
        Ok(())
    }
}

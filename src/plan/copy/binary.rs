//! COPY in binary format over nodes whose OIDs clients don't know: arrays and records hold the OIDs of their
//! types, and the bytes of a COPY aren't looked into. The safe direction is to refuse.

use crate::model::oids::may_hold_oids;
use crate::model::{Code, Fault};

use super::super::analyze::{Analysis, analyze};
use super::super::compile::Compiler;
use super::super::lex::{Kind, fold_ident};
use super::super::lower;
use super::super::scope::{Home, TableRef};
use super::super::shell::is_built_in;
use super::super::views;
use super::CopyFormat;
use super::read::Statement;

/// Words that begin an expression and are no names.
const NO_NAMES: [&str; 14] = [
    "all", "array", "binary", "case", "csv", "distinct", "exists", "false", "format", "interval", "not",
    "null", "select", "true",
];

impl Compiler<'_> {
    fn copies_oids(&self, statement: &Statement) -> bool {
        statement.options.format == Some(CopyFormat::Binary) && self.view.database.shell.is_some()
    }

    /// Columns whose values hold OIDs.
    pub(super) fn refuse_oids_of(
        &self,
        statement: &Statement,
        table: &TableRef,
        columns: Option<&[Box<str>]>,
    ) -> Result<(), Fault> {
        if !self.copies_oids(statement) || matches!(table.home, Home::System) {
            return Ok(());
        }
        let listed = |name: &str| columns.is_none_or(|list| list.iter().any(|c| **c == *name));
        let mut all = table.info.iter().flat_map(|info| &info.columns);
        match all.find(|column| column.holds_oids && listed(&column.name)) {
            None => Ok(()),
            Some(column) => Err(refused(
                &format!("{}.{}", table.name, column.name),
                &column.type_name,
            )),
        }
    }

    /// A query whose columns may be of such types: it reads columns of users' types, makes values of them,
    /// or puts whole rows into other values.
    pub(super) fn refuse_oids_in(&self, statement: &Statement, body: &str) -> Result<(), Fault> {
        if !self.copies_oids(statement) {
            return Ok(());
        }
        let of = "what the query returns";
        let Ok(mut lowered) = lower::lower(body, self.shape, self.view.standard_conforming_strings) else {
            return Err(refused(of, "a type that isn't known"));
        };
        views::expand(&mut lowered.root, self.view)?;
        let analysis = analyze(&lowered.root, self.view);
        if analysis.facts.refs.iter().all(|t| matches!(t.home, Home::System))
            && !analysis.facts.refs.is_empty()
        {
            return Ok(());
        }
        for table in &analysis.facts.refs {
            let mut all = table.info.iter().flat_map(|info| &info.columns);
            if let Some(column) = all.find(|column| may_hold_oids(column.type_oid)) {
                return Err(refused(
                    &format!("{}.{}", table.name, column.name),
                    &column.type_name,
                ));
            }
        }
        if let Some(ty) = analysis.casts.iter().find(|ty| !is_built_in(ty)) {
            return Err(refused(of, ty));
        }
        let functions = &self.view.database.catalog.functions;
        let mut calls = analysis.calls.iter().map(|call| call.name.last());
        if let Some(name) = calls.find(|name| functions.get(*name).is_some_and(|f| f.user_defined)) {
            return Err(refused(of, &format!("what {name}() returns")));
        }
        match self.row_in_value(&analysis) {
            None => Ok(()),
            Some(name) => Err(refused(of, &format!("something that holds rows of {name}"))),
        }
    }

    /// A name within parentheses that is no column's: the whole row of a table, as an element or a field.
    fn row_in_value(&self, analysis: &Analysis) -> Option<String> {
        let columns = analysis.facts.refs.iter().filter_map(|t| t.info.as_ref());
        let columns: Vec<&str> = columns.flat_map(|info| &info.columns).map(|c| &*c.name).collect();
        let known = analysis.facts.refs.iter().all(|t| t.info.is_some());
        let punct = |at: Option<usize>, any: &[char]| {
            let token = at.and_then(|at| self.tokens.get(at));
            token.is_some_and(|t| any.iter().any(|c| t.is_punct(self.sql, *c)))
        };
        let mut names = self.tokens.iter().enumerate();
        names.find_map(|(at, token)| {
            let is_name = matches!(token.kind, Kind::Word | Kind::QuotedIdent);
            let name = fold_ident(token.text(self.sql));
            let words = ["select", "distinct", "all"];
            let before = at.checked_sub(1).and_then(|at| self.tokens.get(at));
            let is_value = punct(at.checked_sub(1), &['(', ',', '['])
                || before.is_some_and(|t| words.iter().any(|w| t.is_word(self.sql, w)));
            let goes_on = punct(Some(at + 1), &['.', '(']);
            let whole = is_name && is_value && !goes_on && !NO_NAMES.contains(&&*name);
            (whole && !(known && columns.contains(&&*name))).then(|| name.into())
        })
    }
}

fn refused(what: &str, ty: &str) -> Fault {
    Fault::new(
        Code::UNSUPPORTED_STATEMENT,
        format!("{what} can't be copied in binary format: {ty} holds OIDs, which differ from node to node"),
    )
    .hint("COPY it in text or CSV format.")
}

//! Finds what of a statement the proxy may have to give values for: `now()`, `current_user` and their
//! kin in the text, and columns that are left to a default made of them.

use crate::model::catalog::ColumnDefault;

use super::super::analyze::{Analysis, CallSite, locate};
use super::super::fixed;
use super::super::functions;
use super::super::query::{Body, Cte, CteBody, Expr, Insert, InsertSource, Item, Lowered, Name, Root, Span};
use super::super::reader::Reader;
use super::super::scope::Home;
use super::super::views::NOWHERE;
use super::{Compiled, Compiler, FixedSplice, Route, Unfixed, is_default};

impl Compiler<'_> {
    pub(super) fn fix(&self, lowered: &Lowered, analysis: &Analysis, compiled: &mut Compiled) {
        let refs = &analysis.facts.refs;
        let by_name = |c: &CallSite| functions::takes_servers_names(c.name.last());
        compiled.reads_catalogs = refs.iter().any(|r| matches!(r.home, Home::System))
            || analysis.calls.iter().any(by_name)
            || analysis.casts.iter().any(|c| functions::of_catalog(c));
        for word in fixed::found(self.sql, self.tokens) {
            let (first, last) = (self.tokens[word.first], self.tokens[word.last]);
            // The name ends before its parentheses.
            let call = analysis.calls.iter().find(|c| {
                let end = c.name.span.end;
                c.name.span.start == first.start && first.start < end && end <= last.end
            });
            match call {
                Some(call) if !call.as_relation => compiled.fixed.push(FixedSplice {
                    at: self.shape.range(Span {
                        start: first.start,
                        end: last.end,
                    }),
                    what: word.what,
                    name: call.names_output.then(|| call.name.last().into()),
                }),
                Some(_) | None => compiled
                    .unfixed
                    .push(Unfixed::Word(word.what, first.text(self.sql).into())),
            }
        }
        // A view's own words can't be replaced in the client's text.
        for call in analysis.calls.iter().filter(|c| c.name.span == NOWHERE) {
            if let Some(what) = fixed::of_name(call.name.last()) {
                compiled
                    .unfixed
                    .push(Unfixed::Word(what, call.name.last().into()));
            }
        }
        let own = !matches!(compiled.route, Route::Insert(_));
        self.defaults_of(&lowered.root, own, &mut compiled.unfixed);
    }

    /// A statement that can't be read: each such word may matter.
    pub(super) fn fix_unread(&self, compiled: &mut Compiled) {
        for word in fixed::found(self.sql, self.tokens) {
            let name = self.tokens[word.first].text(self.sql);
            compiled.unfixed.push(Unfixed::Word(word.what, name.into()));
        }
    }

    /// COPY FROM leaves columns that it doesn't list to their defaults.
    pub fn fix_copy(&self, compiled: &mut Compiled) {
        let mut r = Reader::new(self.sql, self.tokens);
        r.take("copy");
        let Some(name) = r.name() else { return };
        let mut listed: Option<Vec<Box<str>>> = None;
        while !r.done() && !r.is("from") {
            match r.ident() {
                Some(column) => listed.get_or_insert_default().push(column),
                None => r.at += 1,
            }
        }
        if r.is("from") {
            let given = |_: usize, column: &str| {
                let names = |list: &Vec<Box<str>>| list.iter().any(|c| &**c == column);
                listed.as_ref().is_none_or(names)
            };
            self.left_out(&name, &given, &mut compiled.unfixed);
        }
    }

    /// Columns that a write leaves to such a default; `own`: those of the statement itself too, not only
    /// of its WITH.
    fn defaults_of(&self, root: &Root, own: bool, out: &mut Vec<Unfixed>) {
        let mut ctes = |list: &[Cte]| {
            for cte in list {
                if let CteBody::Write(root) = cte.body.as_ref() {
                    self.defaults_of(root, true, out);
                }
            }
        };
        match root {
            Root::Query(q) => ctes(&q.ctes),
            Root::Insert(i) => {
                ctes(&i.ctes);
                if own {
                    self.left_out(&i.table.name, &|at, column| gives(i, at, column), out);
                }
                let set = i.conflict.iter().flat_map(|c| &c.set);
                let reset: Vec<_> = set.filter(|a| is_default(&a.value)).collect();
                self.left_out(
                    &i.table.name,
                    &|_, column| !reset.iter().any(|a| a.columns.iter().any(|c| &**c == column)),
                    out,
                );
            }
            Root::Update(w) | Root::Delete(w) => {
                ctes(&w.ctes);
                let reset: Vec<_> = w.set.iter().filter(|a| is_default(&a.value)).collect();
                self.left_out(
                    &w.table.name,
                    &|_, column| !reset.iter().any(|a| a.columns.iter().any(|c| &**c == column)),
                    out,
                );
            }
        }
    }

    fn left_out(&self, table: &Name, given: &dyn Fn(usize, &str) -> bool, out: &mut Vec<Unfixed>) {
        let located = locate(table, self.view);
        for (i, column) in located.info.iter().flat_map(|i| &i.columns).enumerate() {
            if let ColumnDefault::OfSession(text) = &column.default
                && !given(i, &column.name)
            {
                let label = format!("{}.{}", located.name, column.name);
                out.push(Unfixed::Default(label, text.clone()));
            }
        }
    }
}

/// Does an INSERT give the column a value of its own in every row? The safe direction is no.
fn gives(i: &Insert, at: usize, column: &str) -> bool {
    let listed = i.columns.iter().position(|c| c.last() == column);
    let Some(at) = listed.or(i.columns.is_empty().then_some(at)) else {
        return false;
    };
    match &i.source {
        InsertSource::DefaultValues => false,
        InsertSource::Values(rows) => rows.iter().all(|r| r.get(at).is_some_and(|e| !is_default(e))),
        // A select list has as many columns as are listed, if any are.
        InsertSource::Query(_) if !i.columns.is_empty() => true,
        InsertSource::Query(q) => match &q.body {
            Body::Select(s) => {
                at < s
                    .items
                    .iter()
                    .take_while(|i| matches!(i, Item::Expr { .. }))
                    .count()
            }
            Body::Values(rows) => rows.iter().all(|r: &Vec<Expr>| at < r.len()),
            Body::Query(_) | Body::SetOp { .. } | Body::Write(_) => false,
        },
    }
}

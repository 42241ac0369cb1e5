//! CREATE VIEW: a view is in the shell and on every node where all of its tables are. What its tables
//! don't share a node for can't be asked of any, so such a view is refused.

use crate::model::{Code, Fault, NodeId, TableName};
use crate::topology::Layout;

use super::super::analyze::{analyze, locate};
use super::super::compile::{Compiled, Compiler, Route};
use super::super::lower;
use super::super::query::Lowered;
use super::super::reader::Reader;
use super::super::scope::Home;
use super::super::shape::shape;
use super::super::views;
use super::unsupported;

impl Compiler<'_> {
    /// `r` stands behind CREATE and its modifiers.
    pub(super) fn create_view(&self, mut r: Reader<'_>) -> Result<Compiled, Fault> {
        if r.is("recursive") {
            return Err(
                unsupported("CREATE RECURSIVE VIEW").hint("Write CREATE VIEW … AS WITH RECURSIVE … SELECT …")
            );
        }
        let materialized = r.take("materialized");
        r.take("view");
        r.take_all(&["if", "not", "exists"]);
        let Some(name) = r.name() else {
            return Err(unsupported("this CREATE VIEW"));
        };
        let located = locate(&name, self.view);
        if located.rule.is_some() {
            return Err(unsupported(&format!(
                "a view named {}, which is a table of the rules,",
                located.name
            )));
        }
        while !r.done() && !r.take("as") {
            if !r.parens() {
                r.at += 1;
            }
        }
        let nodes = self.nodes_of_query(&self.body(&r))?;
        if materialized {
            // It holds rows, so it is a table that no rule names.
            let home = self.nodes_of_home(&located.home);
            let ([home], true) = (home.as_slice(), home.iter().all(|n| nodes.contains(n))) else {
                return Err(unsupported(
                    "a materialized view over tables that aren't where tables are that no rule names",
                ));
            };
            // The shell takes it over from the node.
            let mut compiled = self.finish(Route::Fixed(*home));
            compiled.changes_catalog = true;
            return Ok(compiled);
        }
        if let Some(known) = self.find(&name, |n| self.view.database.catalog.views.contains_key(n))
            && self.nodes_of_view(&known)? != nodes
        {
            return Err(unsupported("replacing a view by one of other nodes")
                .hint("DROP VIEW first, then CREATE it."));
        }
        let mut compiled = self.finish(Route::Same {
            nodes: self.with_shell(nodes),
        });
        compiled.changes_catalog = true;
        Ok(compiled)
    }

    /// The query of a CREATE VIEW at its own place in the text, all else blank.
    fn body(&self, r: &Reader<'_>) -> String {
        let start = r.peek().map_or(self.sql.len(), |t| t.start as usize);
        let word = |back: usize, w: &str| {
            let at = self.tokens.len().checked_sub(back);
            at.and_then(|at| self.tokens.get(at))
                .is_some_and(|t| t.is_word(self.sql, w))
        };
        let cut = if word(2, "check") && word(1, "option") {
            if word(4, "with") { 4 } else { 3 }
        } else if word(1, "data") {
            if word(3, "with") { 3 } else { 2 }
        } else {
            0
        };
        let end = match cut {
            0 => self.sql.len(),
            back => self
                .tokens
                .get(self.tokens.len().saturating_sub(back))
                .map_or(self.sql.len(), |t| t.start as usize),
        };
        format!(
            "{}{}",
            " ".repeat(start),
            self.sql.get(start..end).unwrap_or_default()
        )
    }

    /// The nodes that have all of a query's tables; of one without tables every node.
    fn nodes_of_query(&self, body: &str) -> Result<Vec<NodeId>, Fault> {
        let strings = self.view.standard_conforming_strings;
        let lowered = lower::lower(body, self.shape, strings).map_err(|why| {
            Fault::new(Code::UNREADABLE, "the view's query can't be read here").detail(why.0)
        })?;
        self.nodes_of_lowered(lowered)
    }

    pub(super) fn nodes_of_view(&self, view: &TableName) -> Result<Vec<NodeId>, Fault> {
        let text = self.view.database.catalog.views.get(view);
        let text = text.map_or("", |text| text.trim().trim_end_matches(';'));
        let lowered = lower::lower(text, &shape(text, true), true).map_err(|why| {
            Fault::new(
                Code::UNREADABLE,
                format!("the query of the view {view} can't be read here"),
            )
            .detail(why.0)
        })?;
        self.nodes_of_lowered(lowered)
    }

    fn nodes_of_lowered(&self, mut lowered: Lowered) -> Result<Vec<NodeId>, Fault> {
        views::expand(&mut lowered.root, self.view)?;
        let analysis = analyze(&lowered.root, self.view);
        let mut nodes: Option<Vec<NodeId>> = None;
        let mut system = false;
        for table in &analysis.facts.refs {
            let on = match &table.home {
                Home::System => {
                    system = true;
                    continue;
                }
                Home::Sharded(s) if s.layout == Layout::Separate => {
                    return Err(unsupported(&format!(
                        "a view over {}, whose shards are tables of their own,",
                        table.name
                    )));
                }
                other => self.nodes_of_home(other),
            };
            nodes = Some(match nodes {
                None => on,
                Some(before) => before.into_iter().filter(|n| on.contains(n)).collect(),
            });
        }
        match nodes {
            Some(_) if system => Err(unsupported("a view over the system catalogs and tables")),
            Some(list) if list.is_empty() => Err(Fault::new(
                Code::CROSS_NODE_JOIN,
                "the view's tables are not together on one node",
            )
            .hint("Make a view per domain, or make the smaller table `broadcast`.")),
            Some(list) => Ok(list),
            // Of the catalogs too, though only the shell's are ever asked.
            None => Ok(self.view.database.nodes()),
        }
    }
}

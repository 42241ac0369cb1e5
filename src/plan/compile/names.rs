//! Statements that can't be read: where they may run, judged by every word that could be a table's name.

use crate::model::{Code, Fault, NodeId};
use crate::topology::Layout;

use super::super::analyze;
use super::super::bind::refusal;
use super::super::lex::{self, Kind as TokenKind, Token};
use super::super::lower::Unreadable;
use super::super::query::{Name, Span};
use super::super::scope::Home;
use super::{Compiled, Compiler, Route};

impl Compiler<'_> {
    /// A statement that can't be read: it may run where all tables that its words could mean are.
    pub fn by_names(&self, why: &Unreadable) -> Result<Compiled, Fault> {
        let mut compiled = self.finish(Route::Fixed(self.db().anywhere));
        self.fix_unread(&mut compiled);
        self.refuse_only()?;
        self.refuse_shards_named()?;
        if let Some(node) = self.single_node() {
            compiled.route = Route::Fixed(node);
            return Ok(compiled);
        }
        let homes = self.homes_by_names();
        if let Some(route) = self.catalogs_by_words()? {
            if let Some((name, _)) = homes.first() {
                return Err(unreadable(why, name));
            }
            compiled.route = route;
            return Ok(compiled);
        }
        for (name, _) in self.db().catalog.tables.iter().filter(|(_, t)| t.is_view) {
            if homes.iter().any(|(named, _)| *named == name.to_string()) {
                self.refuse_view(name)?;
            }
        }
        let mut nodes: Option<Vec<NodeId>> = None;
        for (name, home) in &homes {
            let on = match home {
                Home::Node(n) => vec![*n],
                Home::Everywhere(list) => list.clone(),
                Home::Sharded(s) if s.nodes.len() == 1 && s.layout != Layout::Separate => s.nodes.clone(),
                Home::Sharded(_) => return Err(unreadable(why, name)),
                Home::System => continue,
            };
            let left = match nodes {
                None => on,
                Some(before) => before.into_iter().filter(|n| on.contains(n)).collect(),
            };
            if left.is_empty() {
                return Err(unreadable(why, name));
            }
            nodes = Some(left);
        }
        // A table that is on several nodes must not be written on one.
        let copies = homes
            .iter()
            .any(|(_, h)| matches!(h, Home::Everywhere(list) if list.len() > 1));
        let first = self
            .tokens
            .first()
            .map_or("", |t| t.text(self.sql))
            .to_ascii_lowercase();
        let writes = |t: &Token| {
            ["insert", "update", "delete", "merge"]
                .iter()
                .any(|w| t.is_word(self.sql, w))
        };
        let reads = matches!(first.as_str(), "select" | "table" | "values" | "show" | "explain");
        if copies && (!reads || self.tokens.iter().any(writes)) {
            return Err(unreadable(why, &homes[0].0));
        }
        if let Some(node) = nodes.and_then(|n| n.first().copied()) {
            compiled.route = Route::Fixed(node);
        }
        Ok(compiled)
    }

    /// ONLY before the name of a table whose rows are all in partitions, also where one node has them all.
    fn refuse_only(&self) -> Result<(), Fault> {
        let only = self.tokens.iter().any(|t| t.is_word(self.sql, "only"));
        let partitioned = |h: &Home| matches!(h, Home::Sharded(s) if s.layout == Layout::Partitioned);
        if only && self.homes_by_names().iter().any(|(_, h)| partitioned(h)) {
            return Err(only_of_partitioned());
        }
        Ok(())
    }

    /// Nothing is served on tables that the rules place otherwise than when they were filled. By
    /// words, since a table must not be reached in any kind of statement; too many are refused.
    pub fn refuse_misplaced(&self) -> Result<(), Fault> {
        let misplaced = &self.view.database.catalog.misplaced;
        if misplaced.is_empty() {
            return Ok(());
        }
        let named = self.homes_by_names();
        match misplaced
            .iter()
            .find(|(table, _)| named.iter().any(|(name, _)| *name == table.to_string()))
        {
            None => Ok(()),
            Some((table, why)) => Err(Fault::new(
                Code::PLACEMENT_MISMATCH,
                format!("the rules place {table} otherwise than when it was filled"),
            )
            .detail(why.to_string())
            .hint(
                "Bring the rules back to what they were. If the rows were moved: SHOW PROBLEMS on the admin console \
                 says what to type on which node.",
            )),
        }
    }

    /// Statements that aren't routed by their tables, but name one whose shards aren't all there. DDL may:
    /// it is how a table is mended.
    pub fn refuse_absent(&self, compiled: &Compiled) -> Result<(), Fault> {
        let absent = &self.view.database.catalog.absent;
        let by_tables = matches!(compiled.route, Route::Tables(_) | Route::Insert(_));
        if absent.is_empty() || compiled.changes_catalog || by_tables {
            return Ok(());
        }
        let named = self.homes_by_names();
        let found = absent
            .iter()
            .find(|(table, _)| named.iter().any(|(name, _)| *name == table.to_string()));
        found.map_or(Ok(()), |(table, gone)| Err(refusal(table, gone)))
    }

    /// Every table of the rules or the catalog that a word of the statement could mean.
    pub fn homes_by_names(&self) -> Vec<(String, Home)> {
        let mut out: Vec<(String, Home)> = Vec::new();
        let ident = |t: &Token| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent);
        for (i, token) in self.tokens.iter().enumerate() {
            if !ident(token) {
                continue;
            }
            let text = |t: &Token| lex::fold_ident(t.text(self.sql));
            let mut parts = vec![text(token)];
            if i >= 2 && self.tokens[i - 1].is_punct(self.sql, '.') && ident(&self.tokens[i - 2]) {
                parts.insert(0, text(&self.tokens[i - 2]));
            }
            for parts in [parts.clone(), vec![text(token)]] {
                let located = analyze::locate(
                    &Name {
                        parts,
                        span: Span::default(),
                    },
                    self.view,
                );
                if (located.rule.is_some() || located.info.is_some())
                    && !out.iter().any(|(n, _)| *n == located.name.to_string())
                {
                    out.push((located.name.to_string(), located.home));
                }
            }
        }
        out
    }
}

pub(super) fn only_of_partitioned() -> Fault {
    Fault::new(
        Code::UNSUPPORTED_STATEMENT,
        "ONLY would leave out the rows of a table whose shards are partitions",
    )
    .hint("Leave ONLY out: the table has no other descendants.")
}

fn unreadable(why: &Unreadable, table: &str) -> Fault {
    Fault::new(
        Code::UNREADABLE,
        format!("this statement can't be read here and names {table}, which is spread over several nodes"),
    )
    .detail(why.0.clone())
    .hint("Write it in plainer SQL, or direct it to one shard with /* margay: shard=N */ where it reads one.")
}

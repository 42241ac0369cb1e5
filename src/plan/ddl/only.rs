//! `ALTER TABLE ONLY t` and `CREATE INDEX … ON ONLY t`, as pg_dump writes them. To a client a table of the
//! rules has no descendants, so ONLY says nothing; on a node whose shards are partitions it would leave
//! them out: a primary key made so holds on no shard. It is taken out there.

use crate::topology::Layout;

use super::super::analyze::locate;
use super::super::compile::{Compiled, Compiler, Route};
use super::super::lex;
use super::super::reader::Reader;
use super::super::scope::Home;
use super::super::shape;
use crate::model::Fault;

impl Compiler<'_> {
    /// The statement without ONLY before tables whose shards are partitions. None: there is none.
    fn without_only(&self) -> Option<String> {
        let mut plain = None;
        for (at, token) in self.tokens.iter().enumerate() {
            if !token.is_word(self.sql, "only") {
                continue;
            }
            let mut r = Reader::new(self.sql, self.tokens);
            r.at = at + 1;
            let partitioned = r.name().is_some_and(|name| {
                matches!(locate(&name, self.view).home, Home::Sharded(s) if s.layout == Layout::Partitioned)
            });
            if partitioned {
                plain
                    .get_or_insert_with(|| self.sql.to_owned())
                    .replace_range(token.start as usize..token.end as usize, "    ");
            }
        }
        plain
    }

    /// Compiles ALTER TABLE, TRUNCATE or CREATE INDEX without its ONLY. None: it has none, or is another statement.
    pub(super) fn utility_of_all(&self, first: &str, now_us: i64) -> Result<Option<Compiled>, Fault> {
        let mut r = Reader::new(self.sql, self.tokens);
        let index = r.take("create") && {
            r.take("unique");
            r.is("index")
        };
        if !index && !matches!(first, "alter" | "truncate") {
            return Ok(None);
        }
        let Some(plain) = self.without_only() else {
            return Ok(None);
        };
        let standard = self.view.standard_conforming_strings;
        let (shape, tokens) = (shape::shape(&plain, standard), lex::tokens(&plain, standard));
        let compiler = Compiler {
            sql: &plain,
            shape: &shape,
            tokens: &tokens,
            view: self.view,
            hints: self.hints.clone(),
        };
        let Some(mut compiled) = compiler.utility(now_us)? else {
            return Ok(None);
        };
        // What would go out as the client wrote it goes out as it was read.
        let parts = match &compiled.route {
            Route::Fixed(node) => vec![(*node, plain)],
            Route::Same { nodes } => nodes.iter().map(|node| (*node, plain.clone())).collect(),
            Route::Parts(_) | Route::Refused(_) => return Ok(Some(compiled)),
            Route::Tables(_) | Route::Insert(_) | Route::Catalogs { .. } => return Ok(None),
        };
        compiled.route = Route::Parts(parts);
        Ok(Some(compiled))
    }
}

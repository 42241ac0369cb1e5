//! Cursors on a database of several nodes: each lives on one node, in its transaction.

use crate::model::{Code, Fault};

use super::compile::{Compiled, Compiler, Route};
use super::ddl::unsupported;
use super::reader::Reader;
use super::types::{CursorUse, Role};

impl Compiler<'_> {
    /// DECLARE, FETCH, MOVE and CLOSE. None: it is something else.
    pub(super) fn cursor(&self, first: &str) -> Result<Option<Compiled>, Fault> {
        let mut r = Reader::new(self.sql, self.tokens);
        r.at = 1;
        let cursor = match first {
            "declare" => return self.declare(r).map(Some),
            "close" if r.take("all") => CursorUse::All,
            "close" => CursorUse::Uses(r.ident().unwrap_or_default()),
            "fetch" | "move" => {
                r.at = self.tokens.len().saturating_sub(1);
                CursorUse::Uses(r.ident().unwrap_or_default())
            }
            _ => return Ok(None),
        };
        let mut compiled = self.finish(Route::Fixed(self.view.database.anywhere));
        compiled.cursor = Some(cursor);
        compiled.writes = false;
        Ok(Some(compiled))
    }

    /// It goes where its query goes, if that is one node.
    fn declare(&self, mut r: Reader<'_>) -> Result<Compiled, Fault> {
        let name = r.ident().unwrap_or_default();
        while !r.done() && !r.take("for") {
            if r.take_all(&["with", "hold"]) {
                return Err(Fault::new(
                    Code::SESSION_STATE,
                    "a cursor WITH HOLD outlives its transaction, which can't be kept over several nodes",
                )
                .hint("Declare it without HOLD, in a transaction."));
            }
            r.at += 1;
        }
        let start = r.peek().map_or(self.sql.len(), |t| t.start as usize);
        let body = format!(
            "{}{}",
            " ".repeat(start),
            self.sql.get(start..).unwrap_or_default()
        );
        let mut compiled = self.query(&body)?;
        compiled.cursor = Some(CursorUse::Declares(name));
        compiled.role = Role::Primary;
        let scatter = || {
            unsupported("a cursor over several nodes")
                .hint("Run the query itself, or page by key with LIMIT.")
        };
        match &mut compiled.route {
            Route::Tables(t) => t.scatter = Err(scatter()),
            Route::Same { .. } | Route::Insert(_) => compiled.route = Route::Refused(scatter()),
            Route::Fixed(_) | Route::Catalogs { .. } | Route::Parts(_) | Route::Refused(_) => {}
        }
        Ok(compiled)
    }
}

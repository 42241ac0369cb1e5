//! Cursors on a database of several nodes: each lives on one node, in its transaction.

use crate::model::{Code, Fault};

use super::compile::{Compiled, Compiler, Route};
use super::ddl::unsupported;
use super::reader::Reader;
use super::types::{CursorStep, CursorUse, Role};

impl Compiler<'_> {
    /// DECLARE, FETCH, MOVE and CLOSE. None: it is something else.
    pub(super) fn cursor(&self, first: &str) -> Result<Option<Compiled>, Fault> {
        let mut r = Reader::new(self.sql, self.tokens);
        r.at = 1;
        let cursor = match first {
            "declare" => return self.declare(r).map(Some),
            "close" if r.take("all") => CursorUse::All,
            "close" => CursorUse::Uses {
                name: r.ident().unwrap_or_default(),
                what: CursorStep::Close,
            },
            "fetch" | "move" => {
                let what = step(&mut r, first == "move");
                r.at = self.tokens.len().saturating_sub(1);
                CursorUse::Uses {
                    name: r.ident().unwrap_or_default(),
                    what,
                }
            }
            _ => return Ok(None),
        };
        let mut compiled = self.finish(Route::Fixed(self.view.database.anywhere));
        compiled.cursor = Some(cursor);
        compiled.writes = false;
        Ok(Some(compiled))
    }

    /// It goes where its query goes; over several nodes it is read forward only.
    fn declare(&self, mut r: Reader<'_>) -> Result<Compiled, Fault> {
        let name = r.ident().unwrap_or_default();
        let mut special = false;
        while !r.done() && !r.take("for") {
            // NO SCROLL is what it is over several nodes.
            if r.take_all(&["no", "scroll"]) {
                continue;
            }
            special |= r.is("scroll") || r.is("binary");
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
        compiled.cursor = Some(CursorUse::Declares { name, at: start });
        compiled.role = Role::Primary;
        match &mut compiled.route {
            Route::Tables(t) if special || t.write => {
                t.scatter = Err(unsupported("a SCROLL or BINARY cursor over several nodes")
                    .hint("Declare it without SCROLL and BINARY, and read it forward."));
            }
            Route::Tables(_) => {}
            Route::Same { .. } | Route::Insert(_) => {
                compiled.route = Route::Refused(unsupported("a cursor on a write over several nodes"));
            }
            Route::Fixed(_) | Route::Catalogs { .. } | Route::Parts(_) | Route::Refused(_) => {}
        }
        Ok(compiled)
    }
}

/// The direction of FETCH and MOVE, and how far.
fn step(r: &mut Reader<'_>, moves: bool) -> CursorStep {
    let forward = |rows| CursorStep::Forward { rows, moves };
    let named = r.take("forward");
    if !named && r.take("next") {
        return forward(1);
    }
    if r.take("all") {
        return forward(u64::MAX);
    }
    let backward = ["prior", "first", "last", "absolute", "relative", "backward"];
    if !named && r.tokens.len() > r.at + 1 && backward.iter().any(|word| r.is(word)) {
        return CursorStep::Elsewhere;
    }
    match r.text().parse::<u64>() {
        // Once more the same row.
        Ok(0) => CursorStep::Elsewhere,
        Ok(rows) => forward(rows),
        Err(_) if r.text() == "-" || r.text() == "+" => CursorStep::Elsewhere,
        Err(_) => forward(1),
    }
}

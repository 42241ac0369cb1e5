//! `DO $$ BEGIN <one statement>; EXCEPTION WHEN duplicate_object THEN null; END $$`: how migrations write the
//! IF NOT EXISTS that CREATE TYPE and ADD CONSTRAINT lack. The statement is planned like any other, and what
//! each node gets of it stands in a block with the same handler. Any other DO is refused: it could do anything.

use crate::model::Fault;

use super::super::compile::{Compiled, Compiler, Route};
use super::super::lex::{self, Kind, Token};
use super::super::reader::Reader;
use super::super::shape;

/// Handlers after which nothing is there that wasn't before, on whichever node it is.
const HANDLED: [&str; 6] = [
    "duplicate_object",
    "duplicate_table",
    "duplicate_column",
    "duplicate_schema",
    "duplicate_function",
    "duplicate_alias",
];

impl Compiler<'_> {
    /// None: it is another block.
    pub(super) fn guarded_block(&self, now_us: i64) -> Result<Option<Compiled>, Fault> {
        let Some(body) = self.block_body() else {
            return Ok(None);
        };
        let standard = self.view.standard_conforming_strings;
        let tokens = lex::tokens(&body, standard);
        let Some((statement, handler)) = parts(&body, &tokens) else {
            return Ok(None);
        };
        let (shape, tokens) = (
            shape::shape(statement, standard),
            lex::tokens(statement, standard),
        );
        let creates = tokens
            .first()
            .is_some_and(|t| t.is_word(statement, "create") || t.is_word(statement, "alter"));
        if !creates {
            return Ok(None);
        }
        let inner = Compiler {
            sql: statement,
            shape: &shape,
            tokens: &tokens,
            view: self.view,
            hints: self.hints.clone(),
        };
        let Some(mut compiled) = inner.utility(now_us)? else {
            return Ok(None);
        };
        let wrap = |text: &str| block(&format!("BEGIN {text}; {handler} END"));
        let list = match &compiled.route {
            Route::Fixed(node) => vec![(*node, wrap(statement))],
            Route::Same { nodes } => nodes.iter().map(|node| (*node, wrap(statement))).collect(),
            Route::Parts(list) => list.iter().map(|(node, text)| (*node, wrap(text))).collect(),
            Route::Refused(_) => return Ok(Some(compiled)),
            Route::Tables(_) | Route::Insert(_) | Route::Catalogs { .. } => return Ok(None),
        };
        if compiled.outside_txn {
            return Ok(None);
        }
        compiled.route = Route::Parts(list);
        Ok(Some(compiled))
    }

    /// The text of the block, without its quotes.
    fn block_body(&self) -> Option<String> {
        let mut r = Reader::new(self.sql, self.tokens);
        if !r.take("do") {
            return None;
        }
        let _ = r.take_all(&["language", "plpgsql"]);
        let token = r.peek()?;
        r.at += 1;
        let _ = r.take_all(&["language", "plpgsql"]);
        if !r.done() {
            return None;
        }
        let text = token.text(self.sql);
        match token.kind {
            Kind::String => lex::unquote(text),
            Kind::SpecialString if text.starts_with('$') => {
                let tag = text.get(..=text.get(1..)?.find('$')? + 1)?;
                Some(text.strip_prefix(tag)?.strip_suffix(tag)?.to_owned())
            }
            _ => None,
        }
    }
}

/// The statement and the handler: `EXCEPTION WHEN … THEN null;`.
fn parts<'a>(body: &'a str, tokens: &[Token]) -> Option<(&'a str, &'a str)> {
    let mut r = Reader::new(body, tokens);
    if !r.take("begin") {
        return None;
    }
    let start = r.peek()?.start as usize;
    while !r.peek()?.is_punct(body, ';') {
        r.at += 1;
    }
    let statement = body.get(start..r.peek()?.start as usize)?;
    r.at += 1;
    let from = r.peek()?.start as usize;
    if !r.take_all(&["exception", "when"]) {
        return None;
    }
    loop {
        let name = r.ident()?;
        if !HANDLED.contains(&&*name) {
            return None;
        }
        if !r.take("or") {
            break;
        }
    }
    if !r.take_all(&["then", "null"]) || !r.take_punct(';') {
        return None;
    }
    let handler = body.get(from..tokens.get(r.at.checked_sub(1)?)?.end as usize)?;
    if !r.take("end") {
        return None;
    }
    let _ = r.take_punct(';');
    r.done().then_some((statement, handler))
}

/// A DO with a quote that its text doesn't hold.
pub(super) fn block(text: &str) -> String {
    let mut tag = String::from("$margay");
    while text.contains(&tag) {
        tag.push('_');
    }
    format!("DO {tag}$ {text} {tag}$")
}

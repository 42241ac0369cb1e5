//! Small readers of statements that aren't queries: transaction control, SET, DDL … They work on
//! tokens, since the parser reads few of these and positions are all that is needed.

use super::lex::{self, Kind, Token};
use super::query::{Name, Span};

/// A cursor over a statement's tokens.
#[derive(Clone)]
pub struct Reader<'a> {
    pub sql: &'a str,
    pub tokens: &'a [Token],
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(sql: &'a str, tokens: &'a [Token]) -> Self {
        Self { sql, tokens, at: 0 }
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub fn text(&self) -> &'a str {
        self.peek().map_or("", |t| t.text(self.sql))
    }

    pub fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|t| t.is_word(self.sql, word))
    }

    /// Takes the word if it is next.
    pub fn take(&mut self, word: &str) -> bool {
        let hit = self.is(word);
        self.at += usize::from(hit);
        hit
    }

    /// Takes the words if they are all next.
    pub fn take_all(&mut self, words: &[&str]) -> bool {
        let hit = words.iter().enumerate().all(|(i, w)| {
            self.tokens
                .get(self.at + i)
                .is_some_and(|t| t.is_word(self.sql, w))
        });
        self.at += if hit { words.len() } else { 0 };
        hit
    }

    pub fn take_punct(&mut self, c: char) -> bool {
        let hit = self.peek().is_some_and(|t| t.is_punct(self.sql, c));
        self.at += usize::from(hit);
        hit
    }

    pub fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// An identifier, folded.
    pub fn ident(&mut self) -> Option<Box<str>> {
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Word | Kind::QuotedIdent) {
            return None;
        }
        self.at += 1;
        Some(lex::fold_ident(token.text(self.sql)))
    }

    /// `a.b.c`.
    pub fn name(&mut self) -> Option<Name> {
        let start = self.peek()?.start;
        let mut parts = vec![self.ident()?];
        let mut end = self.tokens.get(self.at - 1)?.end;
        while self.peek().is_some_and(|t| t.is_punct(self.sql, '.')) {
            self.at += 1;
            parts.push(self.ident()?);
            end = self.tokens.get(self.at - 1)?.end;
        }
        Some(Name {
            parts,
            span: Span { start, end },
        })
    }

    /// The text from the next token to the last.
    pub fn rest(&self) -> &'a str {
        match (self.peek(), self.tokens.last()) {
            (Some(first), Some(last)) => self
                .sql
                .get(first.start as usize..last.end as usize)
                .unwrap_or(""),
            _ => "",
        }
    }

    /// Skips a balanced `( … )`.
    pub fn parens(&mut self) -> bool {
        if !self.peek().is_some_and(|t| t.is_punct(self.sql, '(')) {
            return false;
        }
        let mut depth = 0;
        while let Some(t) = self.peek() {
            if t.is_punct(self.sql, '(') {
                depth += 1;
            } else if t.is_punct(self.sql, ')') {
                depth -= 1;
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        true
    }
}

//! A statement's shape: its text with the literals taken out, byte for byte otherwise. The plan
//! cache is keyed by it, and splicing works in its coordinates, so that one compiled statement
//! serves every text of the same shape.

use super::lex::{Kind, Lexer, Token};
use super::query::Span;

/// What a literal looks like. Part of the shape (each kind has its own marker), so planning may
/// rely on the kind, but never on the value without pinning it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    String,
    Integer,
    Decimal,
    /// All of `(1, 2, 3)` behind IN, parentheses left out.
    List,
}

impl SlotKind {
    fn marker(self) -> char {
        match self {
            SlotKind::String => '\u{1}',
            SlotKind::Integer => '\u{2}',
            SlotKind::Decimal => '\u{3}',
            SlotKind::List => '\u{4}',
        }
    }
}

/// A literal: where it stands in the original text and in the shape (one byte there).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub kind: SlotKind,
    pub span: Span,
    pub at: u32,
}

/// A statement taken apart.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    pub text: String,
    pub slots: Vec<Slot>,
    /// A token that planning can't trust (see `Kind::Bad`), or a control byte that would be
    /// mistaken for a marker.
    pub unreadable: bool,
}

/// Takes the literals out of a statement.
pub fn shape(sql: &str, standard_strings: bool) -> Shape {
    let mut out = Shape {
        text: String::with_capacity(sql.len()),
        ..Shape::default()
    };
    let mut lexer = Lexer::new(sql, standard_strings);
    let mut after_in = false;
    // So much of the text is in the shape already: what lies between two literals is copied at once.
    let mut copied = 0;
    while let Some(token) = lexer.next() {
        let (start, end) = (token.start, token.end);
        let (kind, span) = match token.kind {
            Kind::Blank => continue,
            Kind::Comment => {
                out.unreadable |= has_marker(token.text(sql));
                continue;
            }
            Kind::Word => {
                after_in = token.is_word(sql, "in");
                continue;
            }
            Kind::Punct if after_in && token.is_punct(sql, '(') => {
                after_in = false;
                let Some((span, rest)) = literal_list(sql, &lexer, end) else {
                    continue;
                };
                lexer = rest;
                (SlotKind::List, span)
            }
            Kind::String => (SlotKind::String, Span { start, end }),
            Kind::Integer => (SlotKind::Integer, Span { start, end }),
            Kind::Decimal => (SlotKind::Decimal, Span { start, end }),
            Kind::QuotedIdent | Kind::SpecialString | Kind::Bad => {
                out.unreadable |= token.kind == Kind::Bad || has_marker(token.text(sql));
                after_in = false;
                continue;
            }
            Kind::Param | Kind::Operator | Kind::Punct => {
                after_in = false;
                continue;
            }
        };
        after_in = false;
        out.text
            .push_str(sql.get(copied..span.start as usize).unwrap_or(""));
        out.slots.push(Slot {
            kind,
            span,
            at: out.text.len() as u32,
        });
        out.text.push(kind.marker());
        copied = span.end as usize;
    }
    out.text.push_str(sql.get(copied..).unwrap_or(""));
    out
}

/// A byte that would be taken for a literal's place. Words have none.
fn has_marker(text: &str) -> bool {
    text.bytes().any(|b| b < 5)
}

/// `lit, lit, …` up to but not including the closing parenthesis; the lexer behind it.
fn literal_list<'a>(sql: &'a str, lexer: &Lexer<'a>, start: u32) -> Option<(Span, Lexer<'a>)> {
    let mut ahead = lexer.clone();
    let mut end = start;
    let mut want_value = true;
    loop {
        let before = ahead.clone();
        let token = ahead.next()?;
        match token.kind {
            Kind::Blank => continue,
            Kind::String | Kind::Integer | Kind::Decimal if want_value => want_value = false,
            Kind::Punct if !want_value && token.text(sql) == "," => want_value = true,
            Kind::Punct if !want_value && token.text(sql) == ")" => {
                return Some((Span { start, end }, before));
            }
            _ => return None,
        }
        end = token.end;
    }
}

/// The values in a List slot's text.
pub fn list_items(text: &str) -> Vec<(SlotKind, &str)> {
    Lexer::new(text, true)
        .filter_map(|t: Token| {
            let kind = match t.kind {
                Kind::String => SlotKind::String,
                Kind::Integer => SlotKind::Integer,
                Kind::Decimal => SlotKind::Decimal,
                _ => return None,
            };
            Some((kind, t.text(text)))
        })
        .collect()
}

impl Shape {
    /// A position of the original text as a position of the shape. Positions within a literal
    /// become that literal's marker.
    pub fn position(&self, original: u32) -> u32 {
        let before = self.slots.partition_point(|s| s.span.start < original);
        match before.checked_sub(1).map(|i| self.slots[i]) {
            None => original,
            Some(slot) if original < slot.span.end => slot.at,
            // Behind a literal both texts run on in step: its marker is one byte.
            Some(slot) => slot.at + 1 + (original - slot.span.end),
        }
    }

    pub fn range(&self, span: Span) -> Span {
        Span {
            start: self.position(span.start),
            end: self.position(span.end),
        }
    }

    /// The slot that holds a position of the original text.
    pub fn slot_at(&self, original: u32) -> Option<usize> {
        let before = self.slots.partition_point(|s| s.span.start <= original);
        let i = before.checked_sub(1)?;
        (original < self.slots[i].span.end).then_some(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn in_lists_of_any_length_share_a_shape() {
        let a = shape("SELECT * FROM t WHERE a IN (1, 2,3) AND b = 'x'", true);
        let b = shape("SELECT * FROM t WHERE a IN (7) AND b = 'long one'", true);
        assert_eq!(a.text, b.text);
        assert_eq!(
            list_items("1, 'a',3"),
            [
                (SlotKind::Integer, "1"),
                (SlotKind::String, "'a'"),
                (SlotKind::Integer, "3")
            ]
        );
        assert_ne!(shape("a IN (1, b)", true).text, shape("a IN (1)", true).text);
        assert_ne!(shape("a = 1", true).text, shape("a = '1'", true).text);
    }

    #[test]
    fn positions_map_to_the_shape_and_back() {
        let sql = "SELECT 'abc', 12 FROM t";
        let s = shape(sql, true);
        let from = sql.find("FROM").unwrap() as u32;
        assert_eq!(&s.text[s.position(from) as usize..], "FROM t");
        assert_eq!(s.slot_at(8), Some(0));
    }

    proptest! {
        #[test]
        fn a_shape_with_its_literals_put_back_is_the_text(sql in "[ a-z0-9'$(),;.\\-]{0,50}") {
            let s = shape(&sql, true);
            let mut back = String::new();
            let mut at = 0usize;
            for slot in &s.slots {
                back.push_str(&s.text[at..slot.at as usize]);
                back.push_str(&sql[slot.span.start as usize..slot.span.end as usize]);
                at = slot.at as usize + 1;
            }
            back.push_str(&s.text[at..]);
            prop_assert_eq!(back, sql);
        }
    }
}

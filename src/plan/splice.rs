//! Rewriting by splicing: the user's own text with pieces replaced at their places. A printer
//! would change meaning; what isn't understood here isn't touched.

use super::query::Span;
use super::shape::{Slot, SlotKind};

/// A piece to put in place of `at` (in the shape's coordinates; empty = insert).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    pub at: Span,
    pub text: String,
}

impl Splice {
    pub fn replace(at: Span, text: impl Into<String>) -> Self {
        Self {
            at,
            text: text.into(),
        }
    }

    pub fn insert(at: u32, text: impl Into<String>) -> Self {
        Self {
            at: Span { start: at, end: at },
            text: text.into(),
        }
    }
}

/// The statement's text with splices applied and its literals put back.
/// Splices must not overlap; of several at one place the first given comes first.
pub fn splice(
    shape: &str,
    slots: &[Slot],
    literals: &[(SlotKind, &str)],
    mut splices: Vec<Splice>,
) -> String {
    splices.sort_by_key(|s| (s.at.start, s.at.end));
    let mut out = String::with_capacity(shape.len() + 64);
    let mut next_slot = 0usize;
    let mut at = 0u32;
    let mut copy = |out: &mut String, from: u32, to: u32, emit: bool| {
        let mut at = from;
        while let Some(slot) = slots.get(next_slot).filter(|s| s.at < to) {
            if emit && slot.at >= at {
                out.push_str(shape.get(at as usize..slot.at as usize).unwrap_or(""));
                out.push_str(literals.get(next_slot).map_or("", |l| l.1));
            }
            at = slot.at + 1;
            next_slot += 1;
        }
        if emit {
            out.push_str(shape.get(at as usize..to as usize).unwrap_or(""));
        }
    };
    for s in splices {
        if s.at.start < at {
            continue; // the same place named twice (a WITH referenced twice)
        }
        copy(&mut out, at, s.at.start, true);
        out.push_str(&s.text);
        copy(&mut out, s.at.start, s.at.end, false);
        at = s.at.end;
    }
    copy(&mut out, at, shape.len() as u32, true);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::shape::shape;

    #[test]
    fn pieces_go_where_they_belong_and_literals_come_back() {
        let sql = "SELECT a, 'x' FROM t WHERE b = 10 LIMIT 5";
        let s = shape(sql, true);
        let literals: Vec<_> = s
            .slots
            .iter()
            .map(|l| (l.kind, &sql[l.span.start as usize..l.span.end as usize]))
            .collect();
        let place = |needle: &str| {
            let start = sql.find(needle).unwrap() as u32;
            s.range(Span {
                start,
                end: start + needle.len() as u32,
            })
        };
        let out = splice(
            &s.text,
            &s.slots,
            &literals,
            vec![
                Splice::replace(place("LIMIT 5"), "LIMIT 15"),
                Splice::insert(place("'x'").end, ", c"),
                Splice::replace(place("t WHERE"), "t_03 AS t WHERE"),
            ],
        );
        assert_eq!(out, "SELECT a, 'x', c FROM t_03 AS t WHERE b = 10 LIMIT 15");
    }
}

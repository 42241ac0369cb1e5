//! Parameters whose type isn't declared: the server finds it where the parameter stands first, in the
//! order of its own analysis. Used in several places, `ratio > $1 AND user_id = $1`, the type may be that
//! of a place which planning doesn't look at, and then the bytes mean something else.

use super::lex::{Kind, Token};

/// The parameters that stand in several places, unless each place is the same: compared with a
/// column of one name, or cast to one type.
pub fn untyped(sql: &str, tokens: &[Token]) -> Vec<u16> {
    let mut places: Vec<(u16, Option<String>, bool)> = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if token.kind != Kind::Param {
            continue;
        }
        let Some(n) = token.text(sql).strip_prefix('$').and_then(|n| n.parse().ok()) else {
            continue;
        };
        let place = place(sql, tokens, i);
        match places.iter_mut().find(|p| p.0 == n) {
            Some((_, before, several)) => *several |= before.is_none() || *before != place,
            None => places.push((n, place, false)),
        }
    }
    places.into_iter().filter(|p| p.2).map(|p| p.0).collect()
}

/// `column = $1`, `$1 = column` → `column`; `$1::type` → `::type`.
fn place(sql: &str, tokens: &[Token], i: usize) -> Option<String> {
    let word = |at: Option<usize>| {
        let token = tokens.get(at?)?;
        matches!(token.kind, Kind::Word | Kind::QuotedIdent).then(|| token.text(sql).to_ascii_lowercase())
    };
    let operator = |at: Option<usize>| {
        let text = at
            .and_then(|at| tokens.get(at))
            .filter(|t| t.kind == Kind::Operator)
            .map_or("", |t| t.text(sql));
        matches!(text, "=" | "<" | ">" | "<=" | ">=" | "<>")
    };
    if tokens.get(i + 1).is_some_and(|t| t.text(sql) == "::") {
        // A type of several words or with a modifier isn't told apart from others: it has a place of its own.
        return word(Some(i + 2)).map(|w| format!("::{w}"));
    }
    if operator(i.checked_sub(1)) {
        return word(i.checked_sub(2));
    }
    if !operator(Some(i + 1)) {
        return None;
    }
    // The last part of a qualified name.
    let mut at = i + 2;
    while tokens.get(at + 1).is_some_and(|t| t.is_punct(sql, '.')) {
        at += 2;
    }
    word(Some(at))
}

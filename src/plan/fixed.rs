//! Words whose value the proxy must give, since servers would each give their own: the time of the
//! transaction (`now()`, `CURRENT_DATE` …), and the names under which the client knows itself and its
//! database (`current_user`, `current_database()` …).
//!
//! They are found on the tokens of a text, be it a statement or a column's default as the server prints
//! it. Must not decide when they are replaced: `bind` does.

use super::lex::{self, Kind, Token};

/// What such a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// The transaction's time, as a type.
    Time {
        ty: TimeType,
        precision: Option<u8>,
    },
    /// The statement's own time: it moves on within a transaction.
    StatementTime,
    CurrentUser,
    SessionUser,
    Database,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeType {
    Timestamptz,
    Timestamp,
    Date,
    Time,
    Timetz,
}

impl TimeType {
    pub fn sql(self) -> &'static str {
        match self {
            TimeType::Timestamptz => "timestamptz",
            TimeType::Timestamp => "timestamp",
            TimeType::Date => "date",
            TimeType::Time => "time",
            TimeType::Timetz => "timetz",
        }
    }
}

/// A word found: what it stands for, and its tokens from its own to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub what: Fixed,
    pub first: usize,
    pub last: usize,
}

/// The name of a function or keyword of this kind, whatever its arguments.
pub fn named(name: &str) -> bool {
    of_name(name).is_some()
}

/// What a name of this kind stands for.
pub fn of_name(name: &str) -> Option<Fixed> {
    function(name).or_else(|| keyword(name))
}

fn function(name: &str) -> Option<Fixed> {
    let time = |ty| Fixed::Time { ty, precision: None };
    Some(match name {
        "now" | "transaction_timestamp" => time(TimeType::Timestamptz),
        "statement_timestamp" => Fixed::StatementTime,
        "current_database" => Fixed::Database,
        _ => return None,
    })
}

/// Reserved words: unquoted they are never a column, but for labels.
fn keyword(name: &str) -> Option<Fixed> {
    let time = |ty| Fixed::Time { ty, precision: None };
    Some(match name {
        "current_timestamp" => time(TimeType::Timestamptz),
        "current_date" => time(TimeType::Date),
        "current_time" => time(TimeType::Timetz),
        "localtimestamp" => time(TimeType::Timestamp),
        "localtime" => time(TimeType::Time),
        "current_user" | "current_role" | "user" => Fixed::CurrentUser,
        "session_user" => Fixed::SessionUser,
        "current_catalog" => Fixed::Database,
        _ => return None,
    })
}

/// All such words of a text.
pub fn found(sql: &str, tokens: &[Token]) -> Vec<Found> {
    (0..tokens.len()).filter_map(|i| at(sql, tokens, i)).collect()
}

fn at(sql: &str, tokens: &[Token], i: usize) -> Option<Found> {
    let token = tokens.get(i)?;
    if !matches!(token.kind, Kind::Word | Kind::QuotedIdent) {
        return None;
    }
    let punct = |at: usize, c: char| tokens.get(at).is_some_and(|t| t.is_punct(sql, c));
    let name = lex::fold_ident(token.text(sql));
    let qualified = i > 0 && punct(i - 1, '.');
    if let Some(what) = function(&name) {
        let ours = !qualified || (i > 1 && tokens[i - 2].is_word(sql, "pg_catalog"));
        let called = punct(i + 1, '(') && punct(i + 2, ')');
        let first = if qualified { i.checked_sub(2)? } else { i };
        return (ours && called).then_some(Found {
            what,
            first,
            last: i + 2,
        });
    }
    let what = keyword(&name)?;
    // `AS user`, `t.user`: labels.
    let label = qualified || (i > 0 && tokens[i - 1].is_word(sql, "as"));
    if token.kind == Kind::QuotedIdent || label {
        return None;
    }
    let (first, last) = (i, i);
    match what {
        Fixed::Time { ty, .. } if punct(i + 1, '(') && punct(i + 3, ')') && ty != TimeType::Date => {
            let precision = tokens.get(i + 2).and_then(|t| t.text(sql).parse().ok());
            Some(Found {
                what: Fixed::Time { ty, precision },
                first,
                last: i + 3,
            })
        }
        Fixed::Time { .. }
        | Fixed::StatementTime
        | Fixed::CurrentUser
        | Fixed::SessionUser
        | Fixed::Database => Some(Found { what, first, last }),
    }
}

/// Such words in an expression that the server printed, as byte ranges.
pub fn in_text(text: &str) -> Vec<(std::ops::Range<usize>, Fixed)> {
    let tokens = lex::tokens(text, true);
    found(text, &tokens)
        .into_iter()
        .map(|f| {
            let range = tokens[f.first].start as usize..tokens[f.last].end as usize;
            (range, f.what)
        })
        .collect()
}

/// The expression is nothing but the time of the transaction (or statement) as a timestamptz.
pub fn is_plain_now(text: &str) -> bool {
    match in_text(text).as_slice() {
        [(range, what)] => {
            *range == (0..text.len())
                && matches!(
                    what,
                    Fixed::Time {
                        ty: TimeType::Timestamptz,
                        precision: None
                    }
                )
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str) -> Vec<String> {
        in_text(sql)
            .into_iter()
            .map(|(r, w)| format!("{} {w:?}", &sql[r]))
            .collect()
    }

    #[test]
    fn labels_and_quoted_names_are_no_such_words() {
        assert!(words("SELECT t.user, 1 AS current_user, \"user\", now, x.now()").is_empty());
        assert_eq!(
            words("SELECT user, pg_catalog.now(), current_timestamp(3)").len(),
            3
        );
        assert!(words("SELECT current_date (1)")[0].starts_with("current_date Time"));
    }

    #[test]
    fn a_default_that_is_now_alone_is_told_from_one_made_of_it() {
        assert!(is_plain_now("now()") && is_plain_now("CURRENT_TIMESTAMP"));
        assert!(!is_plain_now("CURRENT_TIMESTAMP(3)"));
        assert!(!is_plain_now("(now() + '1 day'::interval)"));
        assert!(!is_plain_now("CURRENT_DATE"));
    }
}

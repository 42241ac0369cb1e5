//! `INSERT INTO t (…) SELECT * FROM unnest('{…}'::a[], ARRAY[…]::b[], …)`, in which ORMs send many rows: it
//! inserts the rows that `VALUES ('…'::a, …::b, …)` does, and VALUES can be split by the key. So it is read as that.
//!
//! Only arrays of constants, all of one length, are: whatever else stands there is left as it is, and is
//! refused where it can't be split. Must not decide where rows go.

use super::analyze::locate;
use super::lex::{self, Kind, Token};
use super::prepared::type_oid;
use super::reader::Reader;
use super::scope::Home;
use super::types::SessionView;

/// So many bytes of VALUES are written at most: each row repeats the types.
const MAX_BYTES: usize = 64 << 20;

/// The same statement with VALUES. None: it is another one, or its table is on one node.
pub(super) fn as_values(sql: &str, tokens: &[Token], view: &SessionView) -> Option<String> {
    if !tokens.first()?.is_word(sql, "insert") || !view.standard_conforming_strings {
        return None;
    }
    let mut r = Reader::new(sql, tokens);
    if !r.take_all(&["insert", "into"]) {
        return None;
    }
    let table = r.name()?;
    if !r.parens() {
        return None;
    }
    let head = tokens.get(r.at.checked_sub(1)?)?.end as usize;
    if !r.take("select") || r.text() != "*" {
        return None;
    }
    r.at += 1;
    if !r.take("from") || !r.take("unnest") || !r.take_punct('(') {
        return None;
    }
    match locate(&table, view).home {
        Home::Sharded(_) => {}
        Home::Node(_) | Home::Everywhere(_) | Home::System => return None,
    }
    let mut columns = Vec::new();
    loop {
        columns.push(column(&mut r)?);
        if r.take_punct(')') {
            break;
        }
        if !r.take_punct(',') {
            return None;
        }
    }
    if !(r.done() || r.is("returning") || r.is("on")) {
        return None;
    }
    let rows = columns.first()?.len();
    if rows == 0 || columns.iter().any(|c| c.len() != rows) {
        return None;
    }
    let mut out = format!("{} VALUES ", sql.get(..head)?);
    for row in 0..rows {
        out.push_str(if row == 0 { "(" } else { ", (" });
        for (at, column) in columns.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            out.push_str(column.get(row)?);
        }
        out.push(')');
        if out.len() > MAX_BYTES {
            return None;
        }
    }
    out.push(' ');
    out.push_str(r.rest());
    Some(out)
}

/// One array: its elements as expressions of its type.
fn column(r: &mut Reader<'_>) -> Option<Vec<String>> {
    let (elements, own) = if r.take_punct('(') {
        let inner = array(r)?;
        if !r.take_punct(')') {
            return None;
        }
        inner
    } else {
        array(r)?
    };
    let outer = cast(r)?;
    let casts = match (own, outer) {
        (Some(own), Some(outer)) => vec![own, outer],
        (own, outer) => own.into_iter().chain(outer).collect(),
    };
    // An array without a type would take one from its elements.
    let (last, before) = casts.split_last()?;
    elements.into_iter().map(|e| e.with(before, last)).collect()
}

enum Element {
    Null,
    /// As the input function of a type reads it.
    Text(String),
    /// As written in ARRAY[…].
    Written(String),
}

impl Element {
    fn with(self, before: &[&str], last: &str) -> Option<String> {
        let mut out = match (self, before) {
            (Element::Null, _) => return Some(format!("NULL::{last}")),
            (Element::Written(text), _) => text,
            (Element::Text(text), []) => quoted(&text),
            (Element::Text(text), [one]) => {
                let same = one.eq_ignore_ascii_case(last)
                    || type_oid(one).is_some_and(|oid| type_oid(last) == Some(oid));
                if same || fits_integer(&text, one, last) {
                    return Some(format!("{}::{last}", quoted(&text)));
                }
                quoted(&text)
            }
            (Element::Text(_), _) => return None,
        };
        for ty in before {
            out.push_str("::");
            out.push_str(ty);
        }
        Some(format!("{out}::{last}"))
    }
}

/// An integer of the narrower type is the same one in the wider.
fn fits_integer(text: &str, narrow: &str, wide: &str) -> bool {
    let max = |name: &str| match type_oid(name) {
        Some(21) => Some(i64::from(i16::MAX)),
        Some(23) => Some(i64::from(i32::MAX)),
        Some(20) => Some(i64::MAX),
        Some(_) | None => None,
    };
    match (max(narrow), max(wide), text.parse::<i64>()) {
        (Some(narrow), Some(wide), Ok(value)) => narrow <= wide && (-narrow..=narrow).contains(&value),
        (_, _, _) => false,
    }
}

/// A literal or ARRAY[…], and the element type of the cast behind it, if it has one.
fn array<'a>(r: &mut Reader<'a>) -> Option<(Vec<Element>, Option<&'a str>)> {
    let elements = if r.take("array") {
        written(r)?
    } else {
        let token = r.peek()?;
        let text = match token.kind {
            Kind::String => lex::unquote(token.text(r.sql))?,
            Kind::SpecialString => unescaped(token.text(r.sql))?,
            _ => return None,
        };
        r.at += 1;
        elements_of(&text)?
    };
    Some((elements, cast(r)?))
}

/// `::type[]`: the type of the elements. The outer None: it is a cast to something else.
fn cast<'a>(r: &mut Reader<'a>) -> Option<Option<&'a str>> {
    if r.peek().is_none_or(|t| t.text(r.sql) != "::") {
        return Some(None);
    }
    r.at += 1;
    let start = r.peek()?.start as usize;
    let mut end = start;
    while let Some(t) = r.peek() {
        if t.is_punct(r.sql, '[') {
            r.at += 1;
            return r
                .take_punct(']')
                .then(|| r.sql.get(start..end))
                .map(|ty| ty.filter(|ty| !ty.is_empty()));
        }
        if t.is_punct(r.sql, '(') {
            r.parens();
        } else if matches!(t.kind, Kind::Word | Kind::QuotedIdent) || t.is_punct(r.sql, '.') {
            r.at += 1;
        } else {
            return None;
        }
        end = r.tokens.get(r.at.checked_sub(1)?)?.end as usize;
    }
    None
}

/// `[constant, …]`: the array's type is that of its elements, so they must all be of one kind.
fn written(r: &mut Reader<'_>) -> Option<Vec<Element>> {
    let (mut out, mut kinds) = (Vec::new(), Vec::new());
    if !r.take_punct('[') {
        return None;
    }
    loop {
        let start = r.peek()?.start as usize;
        if r.peek()?.text(r.sql) == "-" {
            r.at += 1;
        }
        let token = *r.peek()?;
        let word = token.text(r.sql).to_ascii_lowercase();
        let kind = match token.kind {
            Kind::String | Kind::SpecialString => "text",
            Kind::Integer | Kind::Decimal => "number",
            Kind::Word if word == "true" || word == "false" => "boolean",
            Kind::Word if word == "null" => "",
            _ => return None,
        };
        r.at += 1;
        let mut kind = kind.to_owned();
        if r.peek().is_some_and(|t| t.text(r.sql) == "::") {
            r.at += 1;
            let from = r.peek()?.start as usize;
            while r
                .peek()
                .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::QuotedIdent))
            {
                r.at += 1;
            }
            kind = r
                .sql
                .get(from..r.tokens.get(r.at.checked_sub(1)?)?.end as usize)?
                .to_ascii_lowercase();
        }
        let text = r
            .sql
            .get(start..r.tokens.get(r.at.checked_sub(1)?)?.end as usize)?;
        if kind.is_empty() {
            out.push(Element::Null);
        } else {
            kinds.push(kind);
            out.push(Element::Written(text.to_owned()));
        }
        if r.take_punct(']') {
            break;
        }
        if !r.take_punct(',') {
            return None;
        }
    }
    kinds.dedup();
    (kinds.len() <= 1).then_some(out)
}

/// The elements of an array in PostgreSQL's text form, of one dimension.
fn elements_of(text: &str) -> Option<Vec<Element>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut out = Vec::new();
    let mut chars = inner.chars().peekable();
    loop {
        let (mut element, mut in_quotes, mut was_quoted) = (String::new(), false, false);
        let more = loop {
            match (chars.next(), in_quotes) {
                (None, true) => return None,
                (None, false) => break false,
                (Some('"'), _) => {
                    // A quoted element holds nothing else.
                    if !in_quotes && (was_quoted || !element.trim().is_empty()) {
                        return None;
                    }
                    if !in_quotes {
                        element.clear();
                    }
                    (in_quotes, was_quoted) = (!in_quotes, true);
                }
                (Some('\\'), true) => element.push(chars.next()?),
                (Some(','), false) => break true,
                (Some('\\' | '{' | '}'), false) => return None,
                (Some(c), false) if was_quoted => {
                    if !c.is_ascii_whitespace() {
                        return None;
                    }
                }
                (Some(c), _) => element.push(c),
            }
        };
        let plain = element.trim_matches(|c: char| c.is_ascii_whitespace());
        out.push(match was_quoted {
            true => Element::Text(element),
            false if plain.is_empty() => return None,
            false if plain.eq_ignore_ascii_case("null") => Element::Null,
            false => Element::Text(plain.to_owned()),
        });
        if !more {
            return Some(out);
        }
    }
}

/// The content of `E'…'`, of whose escapes only those of the quote and the backslash are read.
fn unescaped(text: &str) -> Option<String> {
    let inner = text
        .strip_prefix(['E', 'e'])?
        .strip_prefix('\'')?
        .strip_suffix('\'')?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c @ ('\\' | '\'') => out.push(c),
                _ => return None,
            },
            // Doubled: a single one ends the literal, which may be continued on the next line.
            '\'' if chars.next()? != '\'' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str) -> Option<Vec<String>> {
        let name = |e: Element| match e {
            Element::Null => "null".to_owned(),
            Element::Text(text) | Element::Written(text) => format!("<{text}>"),
        };
        elements_of(text).map(|list| list.into_iter().map(name).collect())
    }

    #[test]
    fn arrays_are_read_as_the_server_reads_them() {
        let some = |list: &[&str]| Some(list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(elements("{1, 2,NULL}"), some(&["<1>", "<2>", "null"]));
        assert_eq!(
            elements(r#"{"a,\"b\\","NULL", "" ,a b }"#),
            some(&[r#"<a,"b\>"#, "<NULL>", "<>", "<a b>"])
        );
        for unread in [
            "{}",
            "{{1},{2}}",
            "[2:3]={1,2}",
            "{1,}",
            r#"{a"b"}"#,
            r"{a\b}",
            r#"{"a"b}"#,
            "{1",
        ] {
            assert_eq!(elements(unread), None, "{unread}");
        }
    }

    #[test]
    fn a_column_is_cast_element_by_element() {
        let read = |sql: &str| column(&mut Reader::new(sql, &lex::tokens(sql, true)));
        let is = |sql: &str, list: &[&str]| {
            assert_eq!(
                read(sql),
                Some(list.iter().map(|s| (*s).to_owned()).collect()),
                "{sql}"
            );
        };
        is("('{1,-2}'::int2[])::bigint[]", &["'1'::bigint", "'-2'::bigint"]);
        is("('{70000}'::int2[])::bigint[]", &["'70000'::int2::bigint"]);
        is(
            r#"(E'{"a\\"''b",NULL}')::varchar[]"#,
            &[r#"'a"''b'::varchar"#, "NULL::varchar"],
        );
        is("(ARRAY['x','y'])::text[]", &["'x'::text", "'y'::text"]);
        is(
            "ARRAY[1.5,NULL]::numeric(5,1)[]",
            &["1.5::numeric(5,1)", "NULL::numeric(5,1)"],
        );
        is(
            "(ARRAY['2026-01-01'::date])::timestamp with time zone[]",
            &["'2026-01-01'::date::timestamp with time zone"],
        );
        for unread in [
            "(ARRAY[1,2])",
            "ARRAY[1,'2']::int[]",
            "ARRAY[now()]::date[]",
            "$1::int[]",
            "'{1}'::int",
        ] {
            assert_eq!(read(unread), None, "{unread}");
        }
    }
}

//! COPY's statement, in the syntax of today and in the old ones.

use super::super::lex::{self, Kind};
use super::super::query::{Name, Span};
use super::super::reader::Reader;
use super::{CopyFormat, CopyOut};

/// Both syntaxes, read.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub format: Option<CopyFormat>,
    pub delimiter: Option<String>,
    pub null: Option<String>,
    pub header: bool,
    pub quote: Option<String>,
    pub escape: Option<String>,
    pub force_null: Columns,
    pub force_not_null: Columns,
    pub encoding: Option<Box<str>>,
    /// Where FREEZE stands, and whether it can take a value there.
    pub freeze: Option<(Span, bool)>,
    /// WHERE follows.
    pub filters: bool,
}

#[derive(Debug, Default)]
pub(super) struct Columns {
    all: bool,
    named: Vec<Box<str>>,
}

impl Columns {
    pub fn holds(&self, name: &str) -> bool {
        self.all || self.named.iter().any(|n| **n == *name)
    }
}

#[derive(Debug)]
pub(super) struct Statement {
    /// The table with its column list; else the parentheses of a query.
    pub table: Option<(Name, Option<Vec<Box<str>>>)>,
    /// Where the column list ends (before its parenthesis), or the table's name.
    pub list_end: u32,
    pub query: Span,
    pub out: bool,
    /// STDIN or STDOUT.
    pub std: bool,
    pub options: Options,
}

impl Options {
    pub fn out(&self) -> CopyOut {
        CopyOut {
            format: self.format.unwrap_or(CopyFormat::Text),
            header: self.header,
        }
    }
}

/// Reads a COPY statement. None: it isn't one that is understood here.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Statement> {
    r.take("copy");
    let mut options = Options::default();
    let mut list_end = 0;
    let mut query = Span::default();
    let table = if r.peek()?.is_punct(r.sql, '(') {
        query.start = r.peek()?.end;
        r.parens();
        query.end = r.tokens.get(r.at.checked_sub(1)?)?.start;
        None
    } else {
        if r.take("binary") {
            options.format = Some(CopyFormat::Binary);
        }
        let name = r.name()?;
        list_end = name.span.end;
        let columns = match r.peek() {
            Some(t) if t.is_punct(r.sql, '(') => {
                let list = column_list(r)?;
                list_end = r.tokens.get(r.at.checked_sub(1)?)?.start;
                Some(list)
            }
            _ => None,
        };
        Some((name, columns))
    };
    let out = if r.take("to") {
        true
    } else if r.take("from") {
        false
    } else {
        return None;
    };
    let std = if r.is("program")
        || r.peek()
            .is_some_and(|t| matches!(t.kind, Kind::String | Kind::SpecialString))
    {
        false
    } else if r.take("stdin") || r.take("stdout") {
        true
    } else {
        return None;
    };
    if std {
        if r.take("using") || r.is("delimiters") {
            r.take("delimiters");
            options.delimiter = Some(string(r)?);
        }
        r.take("with");
        if r.peek().is_some_and(|t| t.is_punct(r.sql, '(')) {
            options_in_parens(r, &mut options)?;
        } else {
            while !r.done() && !r.is("where") {
                old_option(r, &mut options)?;
            }
        }
        options.filters = r.is("where");
        if !options.filters && !r.done() {
            return None;
        }
    }
    Some(Statement {
        table,
        list_end,
        query,
        out,
        std,
        options,
    })
}

fn column_list(r: &mut Reader<'_>) -> Option<Vec<Box<str>>> {
    if !r.take_punct('(') {
        return None;
    }
    let mut list = vec![r.ident()?];
    while r.take_punct(',') {
        list.push(r.ident()?);
    }
    r.take_punct(')').then_some(list)
}

/// A string constant of the plain kind, or `E'\t'` and the like.
fn string(r: &mut Reader<'_>) -> Option<String> {
    let token = r.peek()?;
    r.at += 1;
    let text = token.text(r.sql);
    match token.kind {
        Kind::String => lex::unquote(text),
        Kind::SpecialString => {
            let inner = text
                .strip_prefix(['E', 'e'])?
                .strip_prefix('\'')?
                .strip_suffix('\'')?;
            let mut out = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => out.push(match chars.next()? {
                        't' => '\t',
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'v' => 'v',
                        '\\' => '\\',
                        '\'' => '\'',
                        '"' => '"',
                        // Numbers, and the rest, which aren't worth their rules.
                        _ => return None,
                    }),
                    '\'' => return None,
                    c => out.push(c),
                }
            }
            Some(out)
        }
        _ => None,
    }
}

fn switch(r: &mut Reader<'_>) -> Option<bool> {
    if !r
        .peek()
        .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::String | Kind::Integer))
    {
        return Some(true);
    }
    let text = r.text().trim_matches('\'').to_ascii_lowercase();
    r.at += 1;
    match text.as_str() {
        "on" | "true" | "1" => Some(true),
        "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn options_in_parens(r: &mut Reader<'_>, options: &mut Options) -> Option<()> {
    r.take_punct('(');
    loop {
        let start = r.peek()?.start;
        let name = r.ident()?;
        match &*name {
            "format" => {
                let token = r.peek()?;
                let text = token.text(r.sql).trim_matches('\'').to_ascii_lowercase();
                r.at += 1;
                options.format = Some(match text.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => return None,
                });
            }
            "delimiter" => options.delimiter = Some(string(r)?),
            "null" => options.null = Some(string(r)?),
            "quote" => options.quote = Some(string(r)?),
            "escape" => options.escape = Some(string(r)?),
            "encoding" => options.encoding = Some(string(r)?.into()),
            "header" if r.is("match") => {
                r.at += 1;
                options.header = true;
            }
            "header" => options.header = switch(r)?,
            "freeze" => {
                if switch(r)? {
                    let end = r.tokens.get(r.at.checked_sub(1)?)?.end;
                    options.freeze = Some((Span { start, end }, true));
                }
            }
            "force_quote" => {
                columns(r)?;
            }
            "force_null" => options.force_null = columns(r)?,
            "force_not_null" => options.force_not_null = columns(r)?,
            _ => return None,
        }
        if r.take_punct(')') {
            return Some(());
        }
        if !r.take_punct(',') {
            return None;
        }
    }
}

/// `(a, b)` or `*`.
fn columns(r: &mut Reader<'_>) -> Option<Columns> {
    if r.text() == "*" {
        r.at += 1;
        return Some(Columns {
            all: true,
            named: Vec::new(),
        });
    }
    let named = column_list(r)?;
    Some(Columns { all: false, named })
}

fn old_option(r: &mut Reader<'_>, options: &mut Options) -> Option<()> {
    let token = r.peek()?;
    let at = Span {
        start: token.start,
        end: token.end,
    };
    let word = token.text(r.sql).to_ascii_lowercase();
    r.at += 1;
    let value = |r: &mut Reader<'_>| {
        r.take("as");
        string(r)
    };
    // A bare list, without parentheses.
    let listed = |r: &mut Reader<'_>| -> Option<Columns> {
        if r.text() == "*" {
            return columns(r);
        }
        let mut named = vec![r.ident()?];
        while r.take_punct(',') {
            named.push(r.ident()?);
        }
        Some(Columns { all: false, named })
    };
    match word.as_str() {
        "binary" => options.format = Some(CopyFormat::Binary),
        "csv" => options.format = Some(CopyFormat::Csv),
        "header" => options.header = true,
        "freeze" => options.freeze = Some((at, false)),
        "delimiter" | "delimiters" => options.delimiter = Some(value(r)?),
        "null" => options.null = Some(value(r)?),
        "quote" => options.quote = Some(value(r)?),
        "escape" => options.escape = Some(value(r)?),
        "encoding" => options.encoding = Some(string(r)?.into()),
        "force" if r.take("quote") => {
            listed(r)?;
        }
        "force" if r.take_all(&["not", "null"]) => options.force_not_null = listed(r)?,
        "force" if r.take("null") => options.force_null = listed(r)?,
        _ => return None,
    }
    Some(())
}

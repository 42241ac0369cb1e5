//! Where the clauses of the outermost SELECT begin and end, read off the tokens.
//!
//! Parsers give reliable positions for names and literals but not for whole expressions; splicing
//! needs the latter. At parenthesis depth 0 the clause keywords are reserved words, so that a scan
//! over the tokens is exact; whoever uses it checks the number of items against the parser's.

use super::lex::{Kind, Token};
use super::query::Span;

/// The clauses of the outermost SELECT; spans of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clauses {
    /// Each item of the select list, alias included.
    pub items: Vec<Span>,
    /// Each expression of GROUP BY.
    pub group: Vec<Span>,
    /// Each item of ORDER BY without its direction.
    pub order: Vec<Span>,
    /// The whole clause with its keyword.
    pub limit: Option<Span>,
    pub offset: Option<Span>,
    /// FETCH FIRST … ROWS.
    pub fetch: Option<Span>,
    /// The expression alone.
    pub limit_expr: Option<Span>,
    pub offset_expr: Option<Span>,
    /// Where a LIMIT clause can be inserted: behind ORDER BY, before locking clauses.
    pub end: u32,
    /// There is a set operation at the outermost level.
    pub set_operation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    Before,
    List,
    From,
    Where,
    Group,
    Having,
    Window,
    Order,
    Limit,
    Offset,
    Fetch,
    Locks,
}

fn clause_of(sql: &str, tokens: &[Token], i: usize) -> Option<Clause> {
    let token = tokens[i];
    let word = |at: usize, w: &str| tokens.get(at).is_some_and(|t| t.is_word(sql, w));
    let before = |w: &str| i > 0 && word(i - 1, w);
    // `AS limit`, `t.limit`: labels, not clauses.
    if token.kind != Kind::Word || before("as") || (i > 0 && tokens[i - 1].is_punct(sql, '.')) {
        return None;
    }
    let lower = token.text(sql).to_ascii_lowercase();
    Some(match lower.as_str() {
        "select" => Clause::List,
        // `a IS [NOT] DISTINCT FROM b`.
        "from" if before("distinct") && i > 1 && (word(i - 2, "is") || word(i - 2, "not")) => return None,
        "from" => Clause::From,
        "where" => Clause::Where,
        "group" if word(i + 1, "by") => Clause::Group,
        "having" => Clause::Having,
        "window" => Clause::Window,
        "order" if word(i + 1, "by") => Clause::Order,
        "limit" => Clause::Limit,
        "offset" => Clause::Offset,
        "fetch" => Clause::Fetch,
        "for" => Clause::Locks,
        _ => return None,
    })
}

/// Reads the clauses of the outermost SELECT. None: there is no SELECT at depth 0.
pub fn read(sql: &str, tokens: &[Token]) -> Option<Clauses> {
    let mut out = Clauses::default();
    let mut clause = Clause::Before;
    let mut depth = 0i32;
    // Start of the current item and of the current clause, as token indexes.
    let (mut item, mut start) = (0usize, 0usize);
    let close = |out: &mut Clauses, clause: Clause, start: usize, item: usize, end: usize| {
        let span = |a: usize, b: usize| {
            (b > a).then(|| Span {
                start: tokens[a].start,
                end: tokens[b - 1].end,
            })
        };
        match clause {
            Clause::List => out.items.extend(span(item, end)),
            Clause::Group => out.group.extend(span(item, end)),
            Clause::Order => out
                .order
                .extend(span(item, trim_direction(sql, tokens, item, end))),
            Clause::Limit => {
                out.limit = span(start, end);
                out.limit_expr = span(start + 1, end);
            }
            Clause::Offset => {
                out.offset = span(start, end);
                let rows = end > start + 1
                    && (tokens[end - 1].is_word(sql, "rows") || tokens[end - 1].is_word(sql, "row"));
                out.offset_expr = span(start + 1, if rows { end - 1 } else { end });
            }
            Clause::Fetch => out.fetch = span(start, end),
            Clause::Before
            | Clause::From
            | Clause::Where
            | Clause::Having
            | Clause::Window
            | Clause::Locks => {}
        }
        if !matches!(clause, Clause::Locks | Clause::Before) && end > 0 {
            out.end = tokens[end - 1].end;
        }
    };
    let mut i = 0;
    while i < tokens.len() {
        let token = tokens[i];
        if token.kind == Kind::Punct {
            match token.text(sql) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "," if depth == 0 && matches!(clause, Clause::List | Clause::Group | Clause::Order) => {
                    close(&mut out, clause, start, item, i);
                    item = i + 1;
                }
                _ => {}
            }
        } else if depth == 0 {
            if token.is_word(sql, "union") || token.is_word(sql, "intersect") || token.is_word(sql, "except")
            {
                out.set_operation = true;
            } else if let Some(next) = clause_of(sql, tokens, i).filter(|_| clause != Clause::Locks) {
                close(&mut out, clause, start, item, i);
                clause = next;
                start = i;
                if matches!(next, Clause::Group | Clause::Order) {
                    i += 1;
                }
                item = i + 1;
                if next == Clause::List {
                    item = skip_quantifier(sql, tokens, item);
                    i = item - 1;
                }
            }
        }
        i += 1;
    }
    close(&mut out, clause, start, item, tokens.len());
    (clause != Clause::Before).then_some(out)
}

/// Past ALL, DISTINCT and DISTINCT ON (…).
fn skip_quantifier(sql: &str, tokens: &[Token], mut at: usize) -> usize {
    let word = |at: usize, w: &str| tokens.get(at).is_some_and(|t| t.is_word(sql, w));
    if word(at, "all") {
        return at + 1;
    }
    if !word(at, "distinct") {
        return at;
    }
    at += 1;
    if !word(at, "on") {
        return at;
    }
    let mut depth = 0;
    at += 1;
    while let Some(token) = tokens.get(at) {
        if token.is_punct(sql, '(') {
            depth += 1;
        } else if token.is_punct(sql, ')') {
            depth -= 1;
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The end of an ORDER BY item without ASC, DESC, NULLS FIRST, NULLS LAST.
fn trim_direction(sql: &str, tokens: &[Token], start: usize, mut end: usize) -> usize {
    let word = |at: usize, w: &str| at >= start && tokens.get(at).is_some_and(|t| t.is_word(sql, w));
    if end >= start + 2 && (word(end - 1, "first") || word(end - 1, "last")) && word(end - 2, "nulls") {
        end -= 2;
    }
    if end > start && (word(end - 1, "asc") || word(end - 1, "desc")) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::super::lex::tokens;
    use super::*;

    fn texts(sql: &str, spans: &[Span]) -> Vec<String> {
        spans
            .iter()
            .map(|s| sql[s.start as usize..s.end as usize].to_string())
            .collect()
    }

    #[test]
    fn clauses_are_found_at_depth_zero_only() {
        let sql = "WITH c AS (SELECT 1 FROM x ORDER BY 1) SELECT DISTINCT a, extract(year from b) AS from, \
                   c IS NOT DISTINCT FROM d FROM t WHERE x IN (SELECT 2 LIMIT 1) GROUP BY a, f(b, c) \
                   ORDER BY a DESC NULLS LAST, 2 ASC LIMIT 5 OFFSET 3 ROWS FOR UPDATE";
        let c = read(sql, &tokens(sql, true)).unwrap();
        assert_eq!(
            texts(sql, &c.items),
            ["a", "extract(year from b) AS from", "c IS NOT DISTINCT FROM d"]
        );
        assert_eq!(texts(sql, &c.group), ["a", "f(b, c)"]);
        assert_eq!(texts(sql, &c.order), ["a", "2"]);
        assert_eq!(
            texts(sql, &[c.limit.unwrap(), c.limit_expr.unwrap()]),
            ["LIMIT 5", "5"]
        );
        assert_eq!(
            texts(sql, &[c.offset.unwrap(), c.offset_expr.unwrap()]),
            ["OFFSET 3 ROWS", "3"]
        );
        assert_eq!(&sql[c.end as usize..], " FOR UPDATE");
    }
}

//! Room on the stack for planning. Parser, lowering, analysis and the dropping of trees recurse, and a
//! chain of operators is a tree as deep as the chain is long: what a statement needs is judged by its
//! tokens before it is parsed, and what needs more than there may be is refused by name. No statement may
//! overflow the stack, for that would end the whole process.

use crate::model::{Code, Fault};

use super::lex::{Kind, Token};

/// What planning needs for a flat statement.
const BASE: usize = 1 << 20;
/// Beyond this a statement is refused. Only what is really used of it is backed by memory.
const LIMIT: usize = 256 << 20;

/// Per AND or OR: lowering makes one list of a chain, but the parser's tree is deep.
const CONNECTIVE: usize = 2 << 10;
/// Per operator, cast, subscript or keyword that may stand in a chain.
const OPERATOR: usize = 8 << 10;
/// Per form for which `lower::dialect` has to copy all that stands before: that is time, not stack, but
/// a long chain of these must end somewhere too.
const COPIED: usize = 256 << 10;
/// Per BETWEEN, whose AND is no connective.
const RANGE: usize = 12 << 10;
/// Per UNION, INTERSECT, EXCEPT or JOIN.
const SET: usize = 16 << 10;
/// Per query of a WITH.
const WITH: usize = 64 << 10;
/// Per statement within another, as in EXPLAIN EXPLAIN; the parser follows a limited number of them.
const STATEMENT: usize = 64 << 10;
const MAX_STATEMENTS: usize = 256;
const BEGINS_STATEMENT: [&str; 14] = [
    "explain", "describe", "desc", "prepare", "declare", "insert", "update", "delete", "merge", "begin",
    "if", "while", "create", "do",
];
/// Per parenthesis or CASE within another; the parser follows a limited number of them.
const NESTED: usize = 24 << 10;

/// One level of parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Chains that reach over the whole level.
    over_all: usize,
    /// Of the list element or operand of AND and OR that is being read.
    here: usize,
    inner: usize,
    /// The most that any element before needs.
    before: usize,
}

impl Level {
    fn end_element(&mut self) {
        self.before = self.before.max(self.here + self.inner);
        (self.here, self.inner) = (0, 0);
    }

    fn total(mut self) -> usize {
        self.end_element();
        self.over_all + self.before
    }
}

/// An upper bound of the stack that planning of these tokens uses.
fn needed(sql: &str, tokens: &[Token]) -> usize {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut statements = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Operator => level.here += OPERATOR,
            Kind::Punct => match token.text(sql) {
                "(" | "[" => outer.push(std::mem::take(&mut level)),
                ")" | "]" => {
                    let inner = level.total();
                    level = outer.pop().unwrap_or_default();
                    level.inner = level.inner.max(inner.saturating_add(NESTED));
                    // `a[1][2]` is a chain.
                    level.here += OPERATOR;
                }
                "," => level.end_element(),
                _ => level.here += OPERATOR,
            },
            // `|| ANY (…)`
            Kind::Word
                if at > 0
                    && tokens[at - 1].kind == Kind::Operator
                    && ["any", "all", "some"].iter().any(|w| token.is_word(sql, w)) =>
            {
                level.here += COPIED;
            }
            // Each of a WITH may read the one before, which is walked within it.
            Kind::Word if is_with(sql, tokens, at) => level.over_all += WITH,
            Kind::Word if BEGINS_STATEMENT.iter().any(|w| token.is_word(sql, w)) => statements += 1,
            Kind::Word => match word(token.text(sql)) {
                Some(CONNECTIVE) => {
                    level.over_all += CONNECTIVE;
                    level.end_element();
                }
                Some(more @ (OPERATOR | COPIED)) => level.here += more,
                Some(more) => level.over_all += more,
                None => {}
            },
            Kind::QuotedIdent
            | Kind::String
            | Kind::SpecialString
            | Kind::Integer
            | Kind::Decimal
            | Kind::Param
            | Kind::Blank
            | Kind::Comment
            | Kind::Bad => {}
        }
    }
    // What isn't closed is nested all the same.
    let open = outer.into_iter().fold(level.total(), |inner, level| {
        level.total().saturating_add(inner).saturating_add(NESTED)
    });
    open.saturating_add(BASE + statements.min(MAX_STATEMENTS) * STATEMENT)
}

/// `AS (`, `AS MATERIALIZED (`.
fn is_with(sql: &str, tokens: &[Token], at: usize) -> bool {
    let opens = tokens.get(at + 1).is_some_and(|t| t.is_punct(sql, '('));
    opens && (tokens[at].is_word(sql, "as") || tokens[at].is_word(sql, "materialized"))
}

/// What a keyword adds.
fn word(text: &str) -> Option<usize> {
    const WORDS: [(&str, usize); 21] = [
        ("and", CONNECTIVE),
        ("or", CONNECTIVE),
        ("union", SET),
        ("intersect", SET),
        ("except", SET),
        ("join", SET),
        ("case", NESTED),
        ("not", OPERATOR),
        ("is", OPERATOR),
        ("isnull", COPIED),
        ("notnull", OPERATOR),
        ("like", OPERATOR),
        ("ilike", OPERATOR),
        ("similar", OPERATOR),
        ("between", RANGE),
        ("in", OPERATOR),
        ("collate", COPIED),
        ("at", OPERATOR),
        ("operator", COPIED),
        ("symmetric", COPIED),
        ("escape", OPERATOR),
    ];
    // No keyword of these is longer.
    if text.len() > 9 {
        return None;
    }
    WORDS
        .iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word))
        .map(|(_, cost)| *cost)
}

/// Runs planning with as much stack as these tokens need.
pub fn enough<T>(sql: &str, tokens: &[Token], plan: impl FnOnce() -> T) -> Result<T, Fault> {
    let needed = needed(sql, tokens);
    if needed > LIMIT {
        return Err(Fault::new(Code::TOO_COMPLEX, "the statement is too complex: its expressions or set operations are nested too deeply")
            .hint("Write long chains as lists: IN (…) or = ANY (array) instead of OR, several rows of VALUES instead of UNION ALL."));
    }
    Ok(stacker::maybe_grow(needed, needed, plan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::lex;

    fn of(sql: &str) -> usize {
        needed(sql, &lex::tokens(sql, true)) - BASE
    }

    #[test]
    fn chains_need_more_the_longer_they_are_and_lists_do_not() {
        let or = |n: usize| of(&format!("SELECT 1 WHERE {}", vec!["k = 1"; n].join(" OR ")));
        assert_eq!(or(1001) - or(1), 1000 * CONNECTIVE);
        let union = |n: usize| of(&vec!["SELECT a, b FROM t"; n].join(" UNION ALL "));
        assert_eq!(union(1001) - union(1), 1000 * SET);
        let rows = |n: usize| {
            of(&format!(
                "INSERT INTO t VALUES {}",
                vec!["(-1, 2 + 3)"; n].join(", ")
            ))
        };
        assert_eq!(rows(1000), rows(1));
    }
}

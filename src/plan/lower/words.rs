//! Our lexer's tokens → the parser's. The parser's own tokenizer isn't used: where a string, a comment, a number
//! or an operator ends is said by one lexer alone, so that routing and the parser can't read two statements in
//! one text.
//!
//! A token's location is its byte offset (column = offset + 1, one line), which is what splicing needs.

use sqlparser::ast::DollarQuotedString;
use sqlparser::tokenizer::{Location, Span as At, Token as Parsed, TokenWithSpan};

use super::Unreadable;
use crate::plan::lex::{self, Kind, Token};

/// One token for the parser, with the byte range it stands for.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub token: Parsed,
    pub start: u32,
    pub end: u32,
}

impl Word {
    /// A token that isn't in the text; it is placed where another one stands.
    pub fn made(token: Parsed, at: &Word) -> Word {
        Word {
            token,
            start: at.start,
            end: at.start,
        }
    }

    /// An unquoted word, whatever its case.
    pub fn is(&self, word: &str) -> bool {
        matches!(&self.token, Parsed::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// A name, quoted or not, or a keyword.
    pub fn is_name(&self) -> bool {
        matches!(self.token, Parsed::Word(_))
    }

    pub fn is_string(&self) -> bool {
        matches!(
            self.token,
            Parsed::SingleQuotedString(_)
                | Parsed::EscapedStringLiteral(_)
                | Parsed::UnicodeStringLiteral(_)
                | Parsed::DollarQuotedString(_)
        )
    }

    pub fn into_parsed(self) -> TokenWithSpan {
        let at = |offset: u32| Location::new(1, u64::from(offset) + 1);
        TokenWithSpan::new(self.token, At::new(at(self.start), at(self.end)))
    }
}

/// The byte offset that a location of a made token stands for.
pub(super) fn offset(at: Location) -> u32 {
    u32::try_from(at.column.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// The tokens as the parser's.
pub(super) fn words(sql: &str, tokens: &[Token]) -> Result<Vec<Word>, Unreadable> {
    let mut out = Vec::with_capacity(tokens.len());
    for token in tokens {
        let text = token.text(sql);
        let parsed = match token.kind {
            Kind::Word => Parsed::make_word(text, None),
            Kind::QuotedIdent => Parsed::make_word(&lex::fold_ident(text), Some('"')),
            Kind::String => Parsed::SingleQuotedString(lex::unquote(text).unwrap_or_default()),
            Kind::SpecialString => special(text),
            Kind::Integer | Kind::Decimal => Parsed::Number(text.into(), false),
            Kind::Param => Parsed::Placeholder(text.into()),
            Kind::Operator => {
                operators(text, token.start, &mut out);
                continue;
            }
            Kind::Punct => match text {
                "(" => Parsed::LParen,
                ")" => Parsed::RParen,
                "[" => Parsed::LBracket,
                "]" => Parsed::RBracket,
                "," => Parsed::Comma,
                ";" => Parsed::SemiColon,
                "." => Parsed::Period,
                _ => Parsed::Colon,
            },
            Kind::Blank | Kind::Comment => continue,
            Kind::Bad => return Err(Unreadable("it holds a token that isn't read here".into())),
        };
        out.push(Word {
            token: parsed,
            start: token.start,
            end: token.end,
        });
    }
    Ok(out)
}

/// Their content is never read; only that they are constants.
fn special(text: &str) -> Parsed {
    let content = String::new();
    match text.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'x') => Parsed::HexStringLiteral(content),
        Some(b'b') => Parsed::SingleQuotedByteStringLiteral(content),
        Some(b'n') => Parsed::NationalStringLiteral(content),
        Some(b'$') => Parsed::DollarQuotedString(DollarQuotedString {
            value: content,
            tag: None,
        }),
        _ => Parsed::EscapedStringLiteral(content),
    }
}

/// Characters with which an operator of several may end in `+` or `-`.
const ALLOW_SIGN: &str = "~!@#^&|`?%";

/// How many bytes of a run of operator characters are one operator (`scan.l`): `=-` is two, `@-` is one.
fn operator_length(run: &str) -> usize {
    let mut length = run.len();
    let ends_in_sign = |n: usize| {
        run.as_bytes()
            .get(n - 1)
            .is_some_and(|b| matches!(b, b'+' | b'-'))
    };
    if length > 1 && ends_in_sign(length) && !run[..length - 1].contains(|c| ALLOW_SIGN.contains(c)) {
        while length > 1 && ends_in_sign(length) {
            length -= 1;
        }
    }
    length
}

fn operators(run: &str, start: u32, out: &mut Vec<Word>) {
    let mut at = 0;
    while at < run.len() {
        let length = if run.starts_with(':') {
            run.len()
        } else {
            operator_length(&run[at..])
        };
        let text = &run[at..at + length];
        let token = match text {
            "::" => Parsed::DoubleColon,
            ":=" => Parsed::Assignment,
            "=>" => Parsed::RArrow,
            "=" => Parsed::Eq,
            "<>" | "!=" => Parsed::Neq,
            "<" => Parsed::Lt,
            ">" => Parsed::Gt,
            "<=" => Parsed::LtEq,
            ">=" => Parsed::GtEq,
            "+" => Parsed::Plus,
            "-" => Parsed::Minus,
            "*" => Parsed::Mul,
            "/" => Parsed::Div,
            "%" => Parsed::Mod,
            "^" => Parsed::Caret,
            // All others bind alike, and none is looked into.
            _ => Parsed::CustomBinaryOperator(text.into()),
        };
        out.push(Word {
            token,
            start: start + at as u32,
            end: start + (at + length) as u32,
        });
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(run: &str) -> Vec<String> {
        let mut out = Vec::new();
        operators(run, 0, &mut out);
        out.iter()
            .map(|w| run[w.start as usize..w.end as usize].to_string())
            .collect()
    }

    #[test]
    fn operators_end_where_postgresql_ends_them() {
        assert_eq!(cut("=-"), ["=", "-"]);
        assert_eq!(cut("<=-"), ["<=", "-"]);
        assert_eq!(cut("+-"), ["+", "-"]);
        assert_eq!(cut("*--"), ["*", "-", "-"]);
        assert_eq!(cut("@-"), ["@-"]);
        assert_eq!(cut("!=-"), ["!=-"]);
        assert_eq!(cut("=="), ["=="]);
        assert_eq!(cut("::"), ["::"]);
    }

    #[test]
    fn every_word_stands_where_its_text_is() {
        let sql = "SELECT \"ä\"\"b\" =- 1,\n 'x''y' FROM t -- c\n WHERE é <>$1";
        let tokens = lex::tokens(sql, true);
        for word in words(sql, &tokens).expect("readable") {
            let text = &sql[word.start as usize..word.end as usize];
            match &word.token {
                Parsed::Word(w) if w.quote_style.is_some() => assert_eq!(text, "\"ä\"\"b\""),
                Parsed::SingleQuotedString(s) => assert_eq!(s, "x'y"),
                other => assert_eq!(other.to_string(), text),
            }
        }
    }
}

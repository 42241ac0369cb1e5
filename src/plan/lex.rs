//! A byte lexer for PostgreSQL's SQL: where tokens begin and end, no more.
//!
//! It follows `src/backend/parser/scan.l`: nested comments, dollar quotes, E'' and U&'' strings,
//! quoted identifiers, `$1` parameters. Everything that reads SQL here (splitting, shapes, the
//! small statement readers, splicing) stands on this one lexer, so that they can't disagree about
//! where a string ends. It must never panic and never skip a byte.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unquoted identifier or keyword.
    Word,
    /// `"…"` or `U&"…"`.
    QuotedIdent,
    /// `'…'` without escapes that change its content (but `''`).
    String,
    /// `E'…'`, `B'…'`, `X'…'`, `U&'…'`, `N'…'`, `$tag$…$tag$`, or continued over lines.
    SpecialString,
    /// Digits only.
    Integer,
    /// With a point or an exponent.
    Decimal,
    /// `$1`.
    Param,
    /// Operator characters, `::`, `:=`, `..`.
    Operator,
    /// One of `( ) [ ] , ; . :`.
    Punct,
    /// Blanks.
    Blank,
    /// `-- …` or `/* … */`.
    Comment,
    /// A quote or comment that never ends, or a byte that no token can hold.
    Bad,
}

/// A token: `text[start..end]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: u32,
    pub end: u32,
}

impl Token {
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        sql.get(self.start as usize..self.end as usize).unwrap_or("")
    }

    /// An unquoted word, whatever its case.
    pub fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == Kind::Word
            && (self.end - self.start) as usize == word.len()
            && self.text(sql).eq_ignore_ascii_case(word)
    }

    pub fn is_punct(&self, sql: &str, c: char) -> bool {
        self.kind == Kind::Punct && self.text(sql).starts_with(c)
    }
}

/// The lexer over one text.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    /// `standard_conforming_strings`: off makes a backslash escape in plain `'…'`.
    standard_strings: bool,
}

fn is_ident_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

/// By byte: can it be in the middle of an identifier? Most bytes of a statement are asked.
const IDENT_PART: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        table[b] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80;
        b += 1;
    }
    table
};

fn is_ident_part(b: u8) -> bool {
    IDENT_PART[usize::from(b)]
}

fn is_operator(b: u8) -> bool {
    matches!(
        b,
        b'+' | b'-'
            | b'*'
            | b'/'
            | b'<'
            | b'>'
            | b'='
            | b'~'
            | b'!'
            | b'@'
            | b'#'
            | b'%'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
    )
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

impl<'a> Lexer<'a> {
    pub fn new(sql: &'a str, standard_strings: bool) -> Self {
        Self {
            bytes: sql.as_bytes(),
            at: 0,
            standard_strings,
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Moves past the closing quote. False: there is none.
    fn quoted(&mut self, quote: u8, backslash: bool) -> bool {
        while let Some(&b) = self.bytes.get(self.at) {
            self.at += 1;
            if b == quote {
                if self.peek(0) == quote {
                    self.at += 1;
                } else {
                    return true;
                }
            } else if b == b'\\' && backslash {
                self.at += 1;
            }
        }
        self.at = self.bytes.len();
        false
    }

    fn block_comment(&mut self) -> bool {
        let mut depth = 0usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
        false
    }

    /// `'a'` newline `'b'` is one constant; moves past every continuation.
    fn continued(&mut self, backslash: bool) -> Option<bool> {
        let mut any = false;
        loop {
            let mut next = self.at;
            let mut newline = false;
            while let Some(&b) = self.bytes.get(next) {
                if !is_blank(b) {
                    break;
                }
                newline |= b == b'\n' || b == b'\r';
                next += 1;
            }
            if !newline || self.bytes.get(next) != Some(&b'\'') {
                return Some(any);
            }
            any = true;
            self.at = next + 1;
            if !self.quoted(b'\'', backslash) {
                return None;
            }
        }
    }

    fn string(&mut self, plain: bool, backslash: bool) -> Kind {
        self.at += 1;
        if !self.quoted(b'\'', backslash) {
            return Kind::Bad;
        }
        match self.continued(backslash) {
            None => Kind::Bad,
            Some(true) => Kind::SpecialString,
            Some(false) if plain && !backslash => Kind::String,
            Some(false) => Kind::SpecialString,
        }
    }

    fn number(&mut self) -> Kind {
        let mut kind = Kind::Integer;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        // `1..10` is an integer and an operator of PL/pgSQL, not a decimal.
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            kind = Kind::Decimal;
            self.at += 1;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                kind = Kind::Decimal;
                self.at += 1 + sign;
                while self.peek(0).is_ascii_digit() {
                    self.at += 1;
                }
            }
        }
        // `0x1F`, `123abc`: versions differ in what they make of it, so nobody here may read it.
        if is_ident_start(self.peek(0)) {
            while is_ident_part(self.peek(0)) {
                self.at += 1;
            }
            return Kind::Bad;
        }
        kind
    }

    fn dollar(&mut self) -> Kind {
        if self.peek(1).is_ascii_digit() {
            self.at += 1;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
            return if is_ident_start(self.peek(0)) {
                Kind::Bad
            } else {
                Kind::Param
            };
        }
        let start = self.at;
        let mut end = start + 1;
        while self
            .bytes
            .get(end)
            .is_some_and(|&b| is_ident_part(b) && b != b'$')
        {
            end += 1;
        }
        if self.bytes.get(end) != Some(&b'$') {
            self.at += 1;
            return Kind::Bad;
        }
        let tag = &self.bytes[start..=end];
        match memchr::memmem::find(&self.bytes[end + 1..], tag) {
            Some(offset) => {
                self.at = end + 1 + offset + tag.len();
                Kind::SpecialString
            }
            None => {
                self.at = self.bytes.len();
                Kind::Bad
            }
        }
    }

    fn operator(&mut self) -> Kind {
        while is_operator(self.peek(0)) {
            // A comment may begin in the middle of operator characters.
            if matches!((self.peek(0), self.peek(1)), (b'-', b'-') | (b'/', b'*')) {
                break;
            }
            self.at += 1;
        }
        Kind::Operator
    }

    fn word(&mut self) -> Kind {
        let first = self.peek(0);
        match (first | 0x20, self.peek(1)) {
            (b'e', b'\'') => {
                self.at += 1;
                return self.string(false, true);
            }
            (b'b' | b'x' | b'n', b'\'') => {
                self.at += 1;
                return self.string(false, false);
            }
            (b'u', b'&') if self.peek(2) == b'\'' => {
                self.at += 2;
                return self.string(false, false);
            }
            (b'u', b'&') if self.peek(2) == b'"' => {
                self.at += 3;
                // U& identifiers hold escapes that nobody here reads.
                self.quoted(b'"', false);
                return Kind::Bad;
            }
            _ => {}
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|b| !is_ident_part(*b));
        self.at += end.unwrap_or(rest.len());
        Kind::Word
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        let first = *self.bytes.get(start)?;
        let kind = match first {
            b if is_blank(b) => {
                while self.bytes.get(self.at).is_some_and(|&b| is_blank(b)) {
                    self.at += 1;
                }
                Kind::Blank
            }
            b'-' if self.peek(1) == b'-' => {
                let rest = &self.bytes[self.at..];
                self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                Kind::Comment
            }
            b'/' if self.peek(1) == b'*' => {
                if self.block_comment() {
                    Kind::Comment
                } else {
                    Kind::Bad
                }
            }
            b'\'' => {
                let backslash = !self.standard_strings;
                self.string(true, backslash)
            }
            b'"' => {
                self.at += 1;
                if self.quoted(b'"', false) {
                    Kind::QuotedIdent
                } else {
                    Kind::Bad
                }
            }
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b':' if matches!(self.peek(1), b':' | b'=') => {
                self.at += 2;
                Kind::Operator
            }
            b'(' | b')' | b'[' | b']' | b',' | b';' | b'.' | b':' => {
                self.at += 1;
                Kind::Punct
            }
            b if is_ident_start(b) => self.word(),
            b if is_operator(b) => self.operator(),
            _ => {
                self.at += 1;
                Kind::Bad
            }
        };
        Some(Token {
            kind,
            start: start as u32,
            end: self.at as u32,
        })
    }
}

/// The tokens of a statement that mean something: no blanks, no comments, no semicolons at its end.
pub fn tokens(sql: &str, standard_strings: bool) -> Vec<Token> {
    let mut tokens: Vec<Token> = Lexer::new(sql, standard_strings)
        .filter(|t| !matches!(t.kind, Kind::Blank | Kind::Comment))
        .collect();
    while tokens.last().is_some_and(|t| t.is_punct(sql, ';')) {
        tokens.pop();
    }
    tokens
}

/// Cuts a simple-query message into statements at semicolons outside of quotes, comments and
/// parentheses. Statements of nothing but blanks and comments are left out; leading blanks and
/// comments stay with their statement, since comments carry hints.
pub fn split(sql: &str, standard_strings: bool) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0usize;
    let mut depth = 0i32;
    let mut content = false;
    // `CREATE FUNCTION … BEGIN ATOMIC …; … END` holds semicolons of its own.
    let mut atomic = 0usize;
    let mut previous_begin = false;
    let mut cases = 0usize;
    for token in Lexer::new(sql, standard_strings) {
        let text = token.text(sql);
        match token.kind {
            Kind::Blank | Kind::Comment => continue,
            Kind::Punct if text == "(" => depth += 1,
            Kind::Punct if text == ")" => depth -= 1,
            Kind::Punct if text == ";" && depth <= 0 && atomic == 0 => {
                if content {
                    out.push(&sql[start..token.start as usize]);
                }
                start = token.end as usize;
                content = false;
                depth = 0;
                previous_begin = false;
                continue;
            }
            Kind::Word if previous_begin && text.eq_ignore_ascii_case("atomic") => atomic += 1,
            Kind::Word if atomic > 0 && text.eq_ignore_ascii_case("case") => cases += 1,
            Kind::Word if atomic > 0 && text.eq_ignore_ascii_case("end") => {
                if cases > 0 {
                    cases -= 1;
                } else {
                    atomic -= 1;
                }
            }
            _ => {}
        }
        previous_begin = token.kind == Kind::Word && text.eq_ignore_ascii_case("begin");
        content = true;
    }
    if content {
        out.push(&sql[start..]);
    }
    out
}

/// An identifier as the server compares it: unquoted ones in lower case (ASCII), quoted ones
/// without their quotes.
pub fn fold_ident(text: &str) -> Box<str> {
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\"").into(),
        None => text.to_ascii_lowercase().into(),
    }
}

/// The content of a plain `'…'` literal.
pub fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(inner.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        tokens(sql, true)
            .into_iter()
            .map(|t| (t.kind, t.text(sql)))
            .collect()
    }

    #[test]
    fn strings_end_where_postgresql_ends_them() {
        assert_eq!(kinds(r"'a''b'"), [(Kind::String, r"'a''b'")]);
        assert_eq!(kinds(r"'\' x"), [(Kind::String, r"'\'"), (Kind::Word, "x")]);
        assert_eq!(kinds(r"E'\' x'"), [(Kind::SpecialString, r"E'\' x'")]);
        assert_eq!(kinds("$a$ ' $b$ $a$"), [(Kind::SpecialString, "$a$ ' $b$ $a$")]);
        assert_eq!(kinds("'a'\n 'b'"), [(Kind::SpecialString, "'a'\n 'b'")]);
        assert_eq!(kinds("'a' 'b'").len(), 2);
        assert_eq!(tokens(r"'\' x'", false).len(), 1);
    }

    #[test]
    fn a_semicolon_at_the_end_is_no_part_of_the_statement() {
        assert_eq!(kinds("END; -- done").len(), 1);
        assert_eq!(kinds("a; b;").len(), 3);
    }

    #[test]
    fn comments_nest_and_cut_operators() {
        assert_eq!(kinds("1 /* a /* b */ c */ + 2").len(), 3);
        assert_eq!(kinds("1+--x\n2").len(), 3);
        assert_eq!(kinds("a<>/*x*/b").len(), 3);
    }

    #[test]
    fn numbers_glued_to_letters_are_read_by_nobody() {
        assert_eq!(kinds("0x1F")[0].0, Kind::Bad);
        assert_eq!(kinds("0b101")[0].0, Kind::Bad);
        assert_eq!(kinds("1.5e-3")[0].0, Kind::Decimal);
        assert_eq!(kinds("$1")[0].0, Kind::Param);
    }

    #[test]
    fn statements_split_only_at_their_own_semicolons() {
        assert_eq!(split("a; b ;; -- x;\n c", true), ["a", " b ", " -- x;\n c"]);
        assert_eq!(
            split("select ';' ; select $$;$$", true),
            ["select ';' ", " select $$;$$"]
        );
        assert_eq!(split("  ; -- nothing", true), Vec::<&str>::new());
        let f =
            "create function f() returns int begin atomic select 1; select case when true then 2 end; end";
        assert_eq!(split(f, true), [f]);
    }

    proptest! {
        #[test]
        fn every_byte_belongs_to_exactly_one_token(sql in "[ a-z0-9'\"$/*\\-;().,:E&\\\\\n]{0,60}") {
            let mut at = 0;
            for token in Lexer::new(&sql, true) {
                prop_assert_eq!(token.start, at);
                prop_assert!(token.end > token.start);
                at = token.end;
            }
            prop_assert_eq!(at as usize, sql.len());
        }
    }
}

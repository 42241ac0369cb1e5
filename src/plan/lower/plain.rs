//! What the parser doesn't read is taken out of the token list, or replaced by what it reads, before it sees it.
//!
//! Only what says nothing of which rows of which table are read may go. Whatever must be known of it is left in
//! `Notes`. The text that servers get is never touched.

use std::collections::HashSet;

use sqlparser::tokenizer::Token;

use super::words::Word;

/// The label that stands for `.*` behind an expression. No server takes an empty name, so it is no statement's own.
pub(super) const EXPANDED: &str = "";

/// What was taken out and matters.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// Where the names of tables begin that stand behind ONLY.
    pub only: HashSet<u32>,
    /// WHERE CURRENT OF.
    pub current_of: bool,
    /// FOR UPDATE and its kin in a subquery.
    pub locks: bool,
    /// GROUP BY ALL or DISTINCT.
    pub odd_group: bool,
    /// OVERRIDING USER VALUE: the values given are not those that are stored.
    pub overridden: bool,
}

pub(super) fn plain(words: Vec<Word>) -> (Vec<Word>, Notes) {
    let mut plain = Plain {
        words,
        at: 0,
        out: Vec::new(),
        notes: Notes::default(),
        groups: vec![true],
        opens: Vec::new(),
        in_set: false,
    };
    while plain.at < plain.words.len() {
        plain.step();
    }
    (plain.out, plain.notes)
}

struct Plain {
    words: Vec<Word>,
    at: usize,
    out: Vec<Word>,
    notes: Notes,
    /// For each open parenthesis, and the statement itself: does a query stand in it?
    groups: Vec<bool>,
    /// Where in `out` each open parenthesis stands.
    opens: Vec<usize>,
    /// Within the list behind SET of the statement itself.
    in_set: bool,
}

impl Plain {
    fn get(&self, ahead: usize) -> Option<&Word> {
        self.words.get(self.at + ahead)
    }

    fn is(&self, ahead: usize, word: &str) -> bool {
        self.get(ahead).is_some_and(|w| w.is(word))
    }

    fn is_any(&self, ahead: usize, words: &[&str]) -> bool {
        words.iter().any(|w| self.is(ahead, w))
    }

    fn are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| self.is(i, w))
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.get(ahead).map(|w| &w.token)
    }

    fn is_token(&self, ahead: usize, token: &Token) -> bool {
        self.token(ahead) == Some(token)
    }

    fn is_name(&self, ahead: usize) -> bool {
        self.get(ahead).is_some_and(Word::is_name)
    }

    /// The word that was last let through.
    fn before(&self, words: &[&str]) -> bool {
        self.out.last().is_some_and(|w| words.iter().any(|x| w.is(x)))
    }

    fn before_token(&self, token: &Token) -> bool {
        self.out.last().is_some_and(|w| w.token == *token)
    }

    /// Behind a point a word is a column or a table, whatever it looks like; behind AS, a label.
    fn is_label(&self) -> bool {
        self.before_token(&Token::Period) || self.before(&["as"])
    }

    fn in_query(&self) -> bool {
        self.groups.last().copied().unwrap_or(false)
    }

    fn keep(&mut self) {
        let Some(word) = self.words.get(self.at) else {
            return;
        };
        match word.token {
            Token::LParen => {
                let next = self.words.get(self.at + 1);
                let query = next.is_some_and(|w| {
                    ["select", "with", "table", "insert", "update", "delete", "merge"]
                        .iter()
                        .any(|q| w.is(q))
                });
                self.groups.push(query);
                self.opens.push(self.out.len());
            }
            Token::RParen => {
                self.groups.pop();
                self.opens.pop();
            }
            Token::Word(_) if self.groups.len() == 1 => {
                if word.is("set") {
                    self.in_set = true;
                } else if ["from", "where", "returning", "select"]
                    .iter()
                    .any(|w| word.is(w))
                {
                    self.in_set = false;
                }
            }
            _ => {}
        }
        self.out.push(word.clone());
        self.at += 1;
    }

    fn put(&mut self, token: Token) {
        if let Some(here) = self.words.get(self.at).or(self.words.last()) {
            self.out.push(Word::made(token, here));
        }
    }

    fn put_word(&mut self, word: &str) {
        self.put(Token::make_word(word, None));
    }

    /// How far it is from the opening bracket `ahead` of here to behind its closing one.
    fn group(&self, ahead: usize) -> Option<usize> {
        let mut depth = 0usize;
        for (i, word) in self.words.iter().enumerate().skip(self.at + ahead) {
            match word.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(i + 1 - self.at);
            }
        }
        None
    }

    /// Nothing that calls, asks or is qualified stands in the next words.
    fn is_simple(&self, from: usize, to: usize) -> bool {
        (from..to).all(|i| match self.token(i) {
            Some(Token::LParen | Token::RParen | Token::Period) => false,
            Some(Token::Word(w)) => !w.value.eq_ignore_ascii_case("select"),
            Some(_) => true,
            None => false,
        })
    }

    fn step(&mut self) {
        let taken = match self.token(0) {
            Some(Token::Word(w)) if w.quote_style.is_none() && !self.is_label() => {
                let word = w.value.to_ascii_lowercase();
                self.word(&word)
            }
            Some(Token::Mul) => self.descendants(),
            Some(Token::LBracket) => self.subscript(),
            Some(Token::Period) => self.field(),
            Some(Token::RParen) => self.behind_parenthesis(),
            _ => false,
        };
        if !taken {
            self.keep();
        }
    }

    /// True: the words are dealt with.
    fn word(&mut self, word: &str) -> bool {
        match word {
            "only" => self.only(),
            "exclude" => self.exclude(),
            "rows" if self.are(&["rows", "from"]) && self.is_token(2, &Token::LParen) => self.rows_from(),
            "rows" | "range" | "groups" => self.frame(),
            "overriding" => self.overriding(),
            "table" => self.table(),
            "where" => self.current_of(),
            "for" => self.locking(),
            "variadic" if self.before_token(&Token::LParen) || self.before_token(&Token::Comma) => {
                self.skip(1)
            }
            "uescape" if self.out.last().is_some_and(Word::is_string) => self.skip(2),
            "both" | "leading" | "trailing" if self.is(1, "from") => self.skip(2),
            "collation" if self.are(&["collation", "for"]) && self.is_token(2, &Token::LParen) => {
                self.put_word("pg_collation_for");
                self.skip(2)
            }
            "similar" | "escape" if self.in_substring() => {
                self.put(Token::Comma);
                self.skip(1)
            }
            "all" | "distinct"
                if self.before(&["by"])
                    && self.out.len() > 1
                    && self.out[self.out.len() - 2].is("group")
                    && (self.is_name(1) || self.is_token(1, &Token::LParen)) =>
            {
                self.notes.odd_group = true;
                self.skip(1)
            }
            "repeatable" if self.is_token(1, &Token::LParen) => match self.group(1) {
                Some(end) if self.is_simple(2, end - 1) => self.skip(end),
                _ => false,
            },
            "on" if self.are(&["on", "conflict"]) && self.is_token(2, &Token::LParen) => self.conflict(),
            "with" if self.before_token(&Token::RParen) && self.are(&["with", "ordinality"]) => self.skip(2),
            "passing" if self.in_call_of(&["xmlexists"]) => {
                self.put(Token::Comma);
                self.skip(1);
                self.by_ref();
                true
            }
            "by" if self.in_call_of(&["xmlexists", "xmltable"]) => self.by_ref(),
            "name" if self.before_token(&Token::LParen) && self.is_name(1) && self.in_xml() => {
                let comma = self.is_token(2, &Token::Comma);
                self.skip(if comma { 3 } else { 2 })
            }
            "version" | "standalone" if !self.in_query() && self.before_token(&Token::Comma) => {
                self.xml_root()
            }
            "content" | "document" if self.before_token(&Token::LParen) && self.out.len() > 1 => {
                let inside = self.out[self.out.len() - 2].is("xmlserialize");
                if inside { self.skip(1) } else { false }
            }
            "search" | "cycle" if self.before_token(&Token::RParen) => self.search_or_cycle(),
            _ => false,
        }
    }

    fn skip(&mut self, count: usize) -> bool {
        self.at += count;
        true
    }

    fn by_ref(&mut self) -> bool {
        let found = self.is(0, "by") && self.is_any(1, &["ref", "value"]);
        self.at += if found { 2 } else { 0 };
        found
    }

    /// `ONLY t`, `ONLY (t)`. It is reserved, so that it can't be a column.
    fn only(&mut self) -> bool {
        let behind = self.before(&["from", "join", "update", "using", "into", "table"])
            || self.before_token(&Token::Comma);
        if !behind {
            return false;
        }
        if self.is_name(1) {
            self.note_only(1);
            return self.skip(1);
        }
        let Some(end) = self.group(1) else { return false };
        let name = (2..end - 1).all(|i| self.is_name(i) || self.is_token(i, &Token::Period));
        if !self.is_token(1, &Token::LParen) || !name {
            return false;
        }
        self.note_only(2);
        let inner = self.at + 2..self.at + end - 1;
        self.out.extend_from_slice(&self.words[inner]);
        self.skip(end)
    }

    fn note_only(&mut self, ahead: usize) {
        if let Some(start) = self.get(ahead).map(|w| w.start) {
            self.notes.only.insert(start);
        }
    }

    /// `FROM t *`: with its descendants, which is what `t` means anyway.
    fn descendants(&mut self) -> bool {
        // The one name before it, and FROM or the like before that.
        let mut name = self.out.len();
        loop {
            let is_name = name > 0 && self.out[name - 1].is_name();
            name = name.saturating_sub(1);
            if !is_name {
                return false;
            }
            if name == 0 || self.out[name - 1].token != Token::Period {
                break;
            }
            name -= 1;
        }
        let before = |back: usize, words: &[&str]| {
            let word = name.checked_sub(back).and_then(|i| self.out.get(i));
            word.is_some_and(|w| words.iter().any(|x| w.is(x)))
        };
        let from = before(1, &["from", "join", "update", "into"]) && !before(2, &["distinct"]);
        from && self.in_query() && self.skip(1)
    }

    /// `EXCLUDE …` of a window's frame: which of a partition's rows count.
    fn exclude(&mut self) -> bool {
        let two = self.are(&["exclude", "current", "row"]) || self.are(&["exclude", "no", "others"]);
        if two {
            return self.skip(3);
        }
        let one = self.is_any(1, &["group", "ties"]);
        if one && self.is_token(2, &Token::RParen) {
            return self.skip(2);
        }
        false
    }

    /// A window's frame: the same, and no columns may stand in it.
    fn frame(&mut self) -> bool {
        let begins = self.is_any(1, &["between", "unbounded", "current", "interval"])
            || matches!(
                self.token(1),
                Some(Token::Number(..) | Token::Placeholder(_) | Token::SingleQuotedString(_) | Token::Minus)
            );
        if !begins || self.before_token(&Token::Comma) || self.before(&["by"]) {
            return false;
        }
        let mut end = 1;
        let mut bound = false;
        while let Some(word) = self.get(end) {
            if word.token == Token::RParen {
                break;
            }
            bound |= ["preceding", "following", "row"].iter().any(|w| word.is(w));
            end += 1;
        }
        bound && self.is_token(end, &Token::RParen) && self.is_simple(1, end) && self.skip(end)
    }

    /// `ROWS FROM (f(x), g(y) AS (a int))`: functions side by side.
    fn rows_from(&mut self) -> bool {
        self.put_word("unnest");
        self.skip(2)
    }

    fn overriding(&mut self) -> bool {
        if !self.is(2, "value") || !self.is_any(1, &["system", "user"]) {
            return false;
        }
        self.notes.overridden |= self.is(1, "user");
        self.skip(3)
    }

    /// `TABLE t` as a query.
    fn table(&mut self) -> bool {
        let query = self.out.is_empty()
            || self.before_token(&Token::LParen)
            || self.before(&["union", "except", "intersect", "all", "distinct"])
            || self.groups.len() == 1 && self.words.first().is_some_and(|w| w.is("insert") || w.is("with"));
        if !query || !self.is_name(1) {
            return false;
        }
        self.put_word("SELECT");
        self.put(Token::Mul);
        self.put_word("FROM");
        self.skip(1)
    }

    fn current_of(&mut self) -> bool {
        if !self.are(&["where", "current", "of"]) || !self.is_name(3) {
            return false;
        }
        self.notes.current_of = true;
        self.skip(4)
    }

    /// `FOR UPDATE` and its kin in a subquery; those of the statement itself are cut off before.
    fn locking(&mut self) -> bool {
        if self.groups.len() == 1 || !self.in_query() {
            return false;
        }
        let mut end = if self.are(&["for", "no", "key", "update"]) {
            4
        } else if self.are(&["for", "key", "share"]) {
            3
        } else if self.is_any(1, &["update", "share"]) {
            2
        } else {
            return false;
        };
        if self.is(end, "of") {
            end += 1;
            while self.is_name(end) && !self.is_any(end, &["nowait", "skip", "for"])
                || self.is_token(end, &Token::Comma)
                || self.is_token(end, &Token::Period)
            {
                end += 1;
            }
        }
        if self.is(end, "nowait") {
            end += 1;
        } else if self.is(end, "skip") && self.is(end + 1, "locked") {
            end += 2;
        }
        let ends = self.is_token(end, &Token::RParen) || self.is(end, "for");
        self.notes.locks |= ends;
        ends && self.skip(end)
    }

    /// The innermost open parenthesis in what was let through: its place.
    fn opened(&self) -> Option<usize> {
        self.opens.last().copied()
    }

    fn in_call_of(&self, names: &[&str]) -> bool {
        let name = self.opened().and_then(|i| self.out.get(i.checked_sub(1)?));
        name.is_some_and(|w| names.iter().any(|n| w.is(n)))
    }

    fn in_substring(&self) -> bool {
        self.in_call_of(&["substring"])
    }

    fn in_xml(&self) -> bool {
        self.in_call_of(&["xmlelement", "xmlpi"])
    }

    /// `version '1.0'`, `standalone yes`.
    fn xml_root(&mut self) -> bool {
        if !self.in_call_of(&["xmlroot"]) {
            return false;
        }
        if self.is(1, "no") && self.is(2, "value") {
            self.put_word("NULL");
            self.skip(3)
        } else if self.is_any(1, &["yes", "no"]) {
            self.put_word("NULL");
            self.skip(2)
        } else {
            self.skip(1)
        }
    }

    /// The target of ON CONFLICT in a form other than a list of columns: it stands for an index.
    fn conflict(&mut self) -> bool {
        let Some(end) = self.group(2) else { return false };
        let columns = (3..end - 1).all(|i| {
            if (i - 3) % 2 == 0 {
                self.is_name(i)
            } else {
                self.is_token(i, &Token::Comma)
            }
        });
        let calls = (3..end - 1).any(|i| self.is(i, "select"));
        let mut action = end;
        if self.is(end, "where") {
            while self.get(action).is_some() && !self.is(action, "do") {
                if self.is(action, "select") {
                    return false;
                }
                action += 1;
            }
        }
        if columns && action == end || calls {
            return false;
        }
        if columns {
            let kept = self.at..self.at + end;
            self.out.extend_from_slice(&self.words[kept]);
        } else {
            self.put_word("ON");
            self.put_word("CONFLICT");
            self.put_word("ON");
            self.put_word("CONSTRAINT");
            self.put(Token::make_word("", Some('"')));
        }
        self.skip(action)
    }

    /// `SEARCH … SET c`, `CYCLE … USING p` of a recursive WITH, whose columns nobody knows anyway.
    fn search_or_cycle(&mut self) -> bool {
        let last = if self.is(0, "search") && self.is_any(1, &["depth", "breadth"]) {
            "set"
        } else if self.is(0, "cycle") && self.is_name(1) {
            "using"
        } else {
            return false;
        };
        let mut end = 1;
        while !self.is(end, last) {
            let expected = self.is_name(end)
                || self.is_token(end, &Token::Comma)
                || self.get(end).is_some_and(Word::is_string)
                || matches!(self.token(end), Some(Token::Number(..) | Token::DoubleColon));
            if !expected {
                return false;
            }
            end += 1;
        }
        self.is_name(end + 1) && self.skip(end + 2)
    }

    /// `SET a[1] = …`, `INSERT INTO t (a[1])`: the column is what is written.
    fn subscript(&mut self) -> bool {
        if !self.is_target() {
            return false;
        }
        match self.group(0) {
            Some(end) if self.is_simple(1, end - 1) => self.skip(end),
            _ => false,
        }
    }

    /// `SET a.b = …`, `INSERT INTO t (a.b)`: likewise.
    fn field(&mut self) -> bool {
        self.is_target() && self.is_name(1) && self.skip(2)
    }

    /// Does the word before stand where a column is written to?
    fn is_target(&self) -> bool {
        if !self.out.last().is_some_and(Word::is_name) {
            return false;
        }
        let Some(before) = self.out.len().checked_sub(2).and_then(|i| self.out.get(i)) else {
            return false;
        };
        let Some(open) = self.opened() else {
            // `SET a[1] = …, b[1] = …`: directly behind SET or a comma.
            return self.in_set && (before.is("set") || before.token == Token::Comma);
        };
        let list = self.out[open + 1..]
            .iter()
            .all(|w| w.is_name() || w.token == Token::Comma);
        let set = open > 0 && self.out[open - 1].is("set");
        list && (set || self.is_insert_list(open))
    }

    /// Is the parenthesis that of `INSERT INTO t [AS x] (`?
    fn is_insert_list(&self, open: usize) -> bool {
        let mut at = open;
        while at > 0 && (self.out[at - 1].is_name() || self.out[at - 1].token == Token::Period) {
            at -= 1;
            if self.out[at].is("into") {
                return true;
            }
            if ["select", "values", "with"].iter().any(|w| self.out[at].is(w)) {
                return false;
            }
        }
        false
    }

    /// `f(x) AS (a int)`: a list of columns without a name for the rows.
    fn behind_parenthesis(&mut self) -> bool {
        if self.is_token(1, &Token::Period) && self.is_token(2, &Token::Mul) {
            self.keep();
            if self.in_query() {
                self.put_word("AS");
                self.put(Token::make_word(EXPANDED, Some('"')));
                self.at += 2;
            }
            return true;
        }
        if !self.is(1, "as") || !self.is_token(2, &Token::LParen) || !self.is_name(3) {
            return false;
        }
        let query = [
            "select", "with", "values", "table", "insert", "update", "delete", "merge",
        ];
        if self.is_any(3, &query) {
            return false;
        }
        // The parenthesis that is closed here is the innermost; the next one out tells.
        let outer = self.opens.len().checked_sub(2).and_then(|i| self.opens.get(i));
        let inside_rows_from = outer.is_some_and(|&i| i > 0 && self.out[i - 1].is("unnest"));
        self.keep();
        if inside_rows_from {
            if let Some(end) = self.group(1) {
                self.skip(end);
            }
        } else {
            self.keep();
            self.put(Token::make_word("", Some('"')));
        }
        true
    }
}

//! Functions and views that a transaction makes and calls before it is committed. What they read isn't known
//! until the catalog is read again, so that no node can be chosen for a statement that names them.

use crate::model::{Code, Fault};

use super::lex::{self, Kind};
use super::reader::Reader;

/// The name of the function, procedure or view that a statement makes, without its schema.
pub fn made_by(sql: &str) -> Option<Box<str>> {
    let tokens = lex::tokens(sql, true);
    let mut reader = Reader::new(sql, &tokens);
    if !reader.take("create") {
        return None;
    }
    reader.take_all(&["or", "replace"]);
    for word in ["temp", "temporary", "recursive", "materialized"] {
        reader.take(word);
    }
    if !["function", "procedure", "view"]
        .iter()
        .any(|kind| reader.take(kind))
    {
        return None;
    }
    reader.take_all(&["if", "not", "exists"]);
    Some(reader.name()?.last().into())
}

/// Refuses a statement that has one of these names for a word.
pub fn refuse_made(sql: &str, made: &[Box<str>]) -> Result<(), Fault> {
    let tokens = lex::tokens(sql, true);
    let words = tokens
        .iter()
        .filter(|t| matches!(t.kind, Kind::Word | Kind::QuotedIdent));
    for word in words.map(|t| lex::fold_ident(t.text(sql))) {
        if made.contains(&word) {
            return Err(Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                format!("{word} was made in this transaction, and what it reads isn't known before COMMIT"),
            )
            .hint("Commit first, then use it."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_way_to_write_them() {
        for (sql, name) in [
            (
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                Some("f"),
            ),
            (
                "create or replace procedure s.\"P q\"(a int) language sql as ''",
                Some("P q"),
            ),
            ("CREATE TEMP RECURSIVE VIEW v (a) AS SELECT 1", Some("v")),
            ("CREATE MATERIALIZED VIEW IF NOT EXISTS M AS SELECT 1", Some("m")),
            ("CREATE TABLE t (a int)", None),
            ("SELECT 1", None),
        ] {
            assert_eq!(made_by(sql).as_deref(), name, "{sql}");
        }
        let made = ["f".into()];
        assert!(refuse_made("SELECT 'f', \"F\", 1", &made).is_ok());
        assert!(refuse_made("SELECT s.F(1)", &made).is_err());
    }
}

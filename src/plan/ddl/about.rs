//! What a utility statement is about, read off its first words.

use super::super::query::{Name, Span};
use super::super::reader::Reader;

/// What a utility statement is about.
pub(super) enum About {
    Tables(Vec<Name>),
    /// DROP or ALTER INDEX.
    Indexes {
        names: Vec<Name>,
        if_exists: bool,
    },
    /// The whole database: every node.
    Database,
    /// One server may say it for all.
    Shell,
    /// Can't be done over several nodes.
    No(String),
    /// Not one of ours: it is read as a query.
    Query,
}

pub(super) fn about(r: &mut Reader<'_>, first: &str) -> About {
    r.at = 1;
    let names = |r: &mut Reader<'_>| {
        let mut out = Vec::new();
        r.take("only");
        while let Some(name) = r.name() {
            out.push(name);
            r.parens();
            if !r.take_punct(',') {
                break;
            }
            r.take("only");
        }
        About::Tables(out)
    };
    match first {
        "truncate" => {
            r.take("table");
            names(r)
        }
        "alter" if r.take("table") => {
            r.take_all(&["if", "exists"]);
            let tables = names(r);
            if r.is("rename")
                && !r.clone().take_all(&["rename", "column"])
                && r.clone().take_all(&["rename", "to"])
            {
                return About::No("renaming a table".into());
            }
            tables
        }
        "drop" if r.take("table") => {
            r.take_all(&["if", "exists"]);
            names(r)
        }
        "drop" | "alter" if r.take("index") => {
            r.take("concurrently");
            let if_exists = r.take_all(&["if", "exists"]);
            let About::Tables(list) = names(r) else {
                return About::No("this statement about an index".into());
            };
            About::Indexes {
                names: list,
                if_exists,
            }
        }
        "create"
            if {
                r.take("unique");
                r.take("index")
            } =>
        {
            while !r.done() && !r.is("on") {
                r.at += 1;
            }
            r.take("on");
            r.take("only");
            match r.name() {
                Some(name) => About::Tables(vec![name]),
                None => About::No("this CREATE INDEX".into()),
            }
        }
        "comment" if r.take("on") => {
            if r.take("table") {
                return r.name().map_or(About::Database, |n| About::Tables(vec![n]));
            }
            if r.take("column") {
                let Some(mut name) = r.name() else {
                    return About::Database;
                };
                name.parts.pop();
                return About::Tables(vec![name]);
            }
            About::Database
        }
        "vacuum" | "analyze" | "analyse" => {
            r.parens();
            while r.take("full") || r.take("freeze") || r.take("verbose") || r.take("analyze") {}
            if r.done() { About::Database } else { names(r) }
        }
        "lock" => {
            r.take("table");
            names(r)
        }
        "create" | "drop" | "alter" => {
            r.take_all(&["or", "replace"]);
            let _ = r.take("temp") || r.take("temporary") || r.take("recursive");
            let mut word = r.text().to_ascii_lowercase();
            if r.take("materialized") {
                word = "materialized view".into();
            }
            match word.as_str() {
                "schema" | "extension" | "type" | "domain" => About::Database,
                _ => About::No(format!(
                    "{} {}",
                    first.to_ascii_uppercase(),
                    word.to_ascii_uppercase()
                )),
            }
        }
        "grant" | "revoke" => About::Database,
        "checkpoint" => About::Database,
        // Every client's LISTEN and NOTIFY meet there.
        "listen" | "unlisten" => About::Shell,
        "show" | "notify" => About::Tables(vec![Name {
            parts: vec!["pg_catalog".into(), "pg_settings".into()],
            span: Span::default(),
        }]),
        "merge" => About::Query,
        other => About::No(other.to_ascii_uppercase()),
    }
}

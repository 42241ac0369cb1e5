//! What a utility statement is about, read off its words.

use super::super::query::{Name, Span};
use super::super::reader::Reader;

/// What a utility statement is about.
pub(super) enum About {
    /// Tables, views or sequences, whichever they are.
    Relations(Vec<Name>),
    /// DROP or ALTER INDEX.
    Indexes { names: Vec<Name>, if_exists: bool },
    /// DROP STATISTICS: its names, as written.
    Statistics(String),
    /// CREATE VIEW; the rest of the statement is the reader's.
    View,
    /// CREATE FUNCTION or PROCEDURE.
    Function,
    /// CREATE TRIGGER on a table.
    Trigger(Name),
    /// CREATE SEQUENCE.
    Sequence,
    /// The logical database itself, by the name in this place.
    OwnDatabase(Name),
    /// Objects that are alike on every node.
    Database,
    /// Rows of whatever is there: every node.
    EveryNode,
    /// One server may say it for all.
    Anywhere,
    /// Can't be done over several nodes.
    No(String),
    /// Not one of ours: it is read as a query.
    Query,
}

/// Objects that every node has alike.
const EVERYWHERE: [&str; 13] = [
    "schema",
    "extension",
    "type",
    "domain",
    "function",
    "procedure",
    "routine",
    "aggregate",
    "operator",
    "collation",
    "conversion",
    "cast",
    "language",
];

pub(super) fn about(r: &mut Reader<'_>, first: &str) -> About {
    r.at = 1;
    match first {
        "truncate" | "lock" => {
            r.take("table");
            relations(r)
        }
        "alter" | "drop" => changed(r, first),
        "create" => created(r),
        "comment" if r.take("on") => commented(r),
        "reindex" => {
            r.parens();
            if r.take("table") {
                r.take("concurrently");
                return relations(r);
            }
            if r.take("index") {
                r.take("concurrently");
                return indexes(r);
            }
            About::No("REINDEX of more than a table or index".into())
        }
        "refresh" if r.take_all(&["materialized", "view"]) => {
            r.take("concurrently");
            relations(r)
        }
        "vacuum" | "analyze" | "analyse" => {
            r.parens();
            while r.take("full") || r.take("freeze") || r.take("verbose") || r.take("analyze") {}
            if r.done() { About::EveryNode } else { relations(r) }
        }
        "grant" | "revoke" => granted(r, first),
        "checkpoint" => About::EveryNode,
        // Every client's LISTEN and NOTIFY meet there.
        "listen" | "unlisten" => About::Anywhere,
        "show" | "notify" => About::Relations(vec![Name {
            parts: vec!["pg_catalog".into(), "pg_settings".into()],
            span: Span::default(),
        }]),
        "merge" => About::Query,
        other => About::No(other.to_ascii_uppercase()),
    }
}

fn relations(r: &mut Reader<'_>) -> About {
    let mut out = Vec::new();
    r.take("only");
    while let Some(name) = r.name() {
        out.push(name);
        r.parens();
        if r.peek().is_some_and(|t| t.text(r.sql) == "*") {
            r.at += 1;
        }
        if !r.take_punct(',') {
            break;
        }
        r.take("only");
    }
    About::Relations(out)
}

fn indexes(r: &mut Reader<'_>) -> About {
    let if_exists = r.take_all(&["if", "exists"]);
    match relations(r) {
        About::Relations(names) => About::Indexes { names, if_exists },
        other => other,
    }
}

/// The relation behind `ON`, which something belongs to: a trigger, a policy, a rule, a constraint.
fn owner(r: &mut Reader<'_>) -> Option<Name> {
    while !r.done() && !r.take("on") {
        r.at += 1;
    }
    r.take("only");
    r.name()
}

fn owned(r: &mut Reader<'_>, what: &str) -> About {
    owner(r).map_or(About::No(what.to_owned()), |n| About::Relations(vec![n]))
}

fn no(r: &Reader<'_>, first: &str) -> About {
    About::No(format!(
        "{} {}",
        first.to_ascii_uppercase(),
        r.text().to_ascii_uppercase()
    ))
}

fn is_everywhere(r: &Reader<'_>) -> bool {
    EVERYWHERE.iter().any(|kind| r.is(kind)) || r.clone().take_all(&["text", "search"])
}

fn changed(r: &mut Reader<'_>, first: &str) -> About {
    if r.take("table") || r.take("view") || r.take("sequence") || r.take_all(&["materialized", "view"]) {
        r.take_all(&["if", "exists"]);
        return relations(r);
    }
    if r.take("index") {
        r.take("concurrently");
        return indexes(r);
    }
    if first == "drop" && r.take("statistics") {
        r.take_all(&["if", "exists"]);
        return About::Statistics(r.rest().to_owned());
    }
    if r.is("trigger") || r.is("policy") || r.is("rule") {
        return owned(r, "this statement about a trigger, policy or rule");
    }
    if is_everywhere(r) || first == "alter" && r.clone().take_all(&["default", "privileges"]) {
        return About::Database;
    }
    no(r, first)
}

fn created(r: &mut Reader<'_>) -> About {
    let or_replace = r.take_all(&["or", "replace"]);
    if or_replace && r.is("rule") {
        return About::No("CREATE RULE".into());
    }
    let temporary = r.take("temp") || r.take("temporary");
    r.take("unlogged");
    let mut index = r.clone();
    index.take("unique");
    if index.take("index") {
        *r = index;
        return owned(r, "this CREATE INDEX");
    }
    if r.is("view") || r.clone().take_all(&["recursive", "view"]) || r.is("materialized") {
        return if temporary {
            About::No("a temporary view".into())
        } else {
            About::View
        };
    }
    if r.take("sequence") {
        r.take_all(&["if", "not", "exists"]);
        return match r.name() {
            Some(_) if !temporary => About::Sequence,
            Some(_) | None => About::No("a temporary sequence".into()),
        };
    }
    if r.is("function") || r.is("procedure") {
        return About::Function;
    }
    if r.take("constraint") || r.is("trigger") {
        return owner(r).map_or(About::No("this CREATE TRIGGER".into()), About::Trigger);
    }
    if r.is("policy") {
        return owned(r, "this CREATE POLICY");
    }
    if r.take("statistics") {
        while !r.done() && !r.take("from") {
            r.at += 1;
        }
        return r.name().map_or(About::No("this CREATE STATISTICS".into()), |n| {
            About::Relations(vec![n])
        });
    }
    if r.is("schema") && !is_plain_schema(r) {
        return About::No("CREATE SCHEMA with what it holds".into());
    }
    if is_everywhere(r) {
        return About::Database;
    }
    no(r, "create")
}

/// No tables, views or grants in the same statement.
fn is_plain_schema(r: &Reader<'_>) -> bool {
    let rest = r.tokens.get(r.at..).unwrap_or_default();
    !rest
        .iter()
        .any(|t| t.is_word(r.sql, "create") || t.is_word(r.sql, "grant"))
}

fn commented(r: &mut Reader<'_>) -> About {
    let relation = r.take("table")
        || r.take("view")
        || r.take("sequence")
        || r.take_all(&["materialized", "view"])
        || r.take_all(&["foreign", "table"]);
    if relation {
        return r.name().map_or(About::Database, |n| About::Relations(vec![n]));
    }
    if r.take("column") {
        let Some(mut name) = r.name() else {
            return About::Database;
        };
        name.parts.pop();
        return About::Relations(vec![name]);
    }
    if r.take("index") {
        return indexes(r);
    }
    if r.is("constraint") {
        let mut behind = r.clone();
        while !behind.done() && !behind.take("on") {
            behind.at += 1;
        }
        if behind.is("domain") {
            return About::Database;
        }
    }
    if r.is("constraint") || r.is("trigger") || r.is("policy") || r.is("rule") {
        return owned(r, "this COMMENT");
    }
    if r.take("database") {
        return r
            .name()
            .map_or(About::No("this COMMENT".into()), About::OwnDatabase);
    }
    if is_everywhere(r) {
        return About::Database;
    }
    no(r, "comment on")
}

fn granted(r: &mut Reader<'_>, first: &str) -> About {
    // Privileges may have columns in parentheses.
    while !r.done() && !r.take("on") {
        if !r.parens() {
            r.at += 1;
        }
    }
    if r.done() {
        return About::No(format!("{} of a role", first.to_ascii_uppercase()));
    }
    if r.is("all") || is_everywhere(r) {
        return About::Database;
    }
    if r.clone().take("database")
        || r.is("tablespace")
        || r.is("parameter")
        || r.is("foreign")
        || r.is("large")
    {
        return no(r, &format!("{first} on"));
    }
    let _ = r.take("table") || r.take("sequence");
    relations(r)
}

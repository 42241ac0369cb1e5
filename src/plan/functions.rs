//! What functions do that planning must know: aggregate or not, may they write, do they answer
//! differently on each node, do they leave something in the server's session.

use crate::model::catalog::{Catalog, Volatility};

use super::analyze::CallSite;
use super::fixed;
use super::lex::{self, Kind};

/// PostgreSQL's built-in aggregates; used where no catalog is loaded.
const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "rank",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

pub fn is_aggregate(name: &str, catalog: &Catalog) -> bool {
    match catalog.functions.get(name) {
        Some(f) => f.is_aggregate,
        None => AGGREGATES.contains(&name),
    }
}

/// Volatile by declaration, yet reading and writing nothing: fine on a replica.
const HARMLESS: &[&str] = &[
    "random",
    "clock_timestamp",
    "timeofday",
    "gen_random_uuid",
    "pg_sleep",
    "random_normal",
    "uuid_generate_v4",
    "setseed",
];

/// Leaves something behind in the server's session.
const SESSION: &[&str] = &[
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_unlock_all",
    "set_config",
    "currval",
    "lastval",
    "pg_export_snapshot",
    "setseed",
    "pg_notify_listen",
];

/// Expressions spelt like function calls that are no functions of the catalog.
const SYNTAX: &[&str] = &[
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "current_user",
    "session_user",
    "user",
    "current_role",
    "current_catalog",
    "current_schema",
    "extract",
    "overlay",
    "position",
    "substring",
    "trim",
    "array",
    "row",
    "grouping",
    "cast",
    "exists",
    "unnest",
    "xmlelement",
    "xmlforest",
    "xmlparse",
    "json_object",
    "json_array",
    "normalize",
    "collation",
];

/// What a call means for the choice of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Reads at most: a replica may run it.
    Reads,
    /// May write: primary only.
    MayWrite,
    /// Leaves state in the session.
    Session,
}

pub fn effect(name: &str, catalog: &Catalog) -> Effect {
    if SESSION.contains(&name) {
        return Effect::Session;
    }
    if HARMLESS.contains(&name) || SYNTAX.contains(&name) || fixed::named(name) {
        return Effect::Reads;
    }
    match catalog.functions.get(name) {
        Some(f) if f.volatility == Volatility::Volatile => Effect::MayWrite,
        Some(_) => Effect::Reads,
        // An aggregate or a plain built-in where no catalog is loaded; else it might do anything.
        None if is_aggregate(name, catalog) || !catalog.loaded => Effect::Reads,
        None => Effect::MayWrite,
    }
}

/// A function of a user's, whose body may read tables: what it reads isn't known.
pub fn hides_reads(name: &str, catalog: &Catalog) -> bool {
    catalog
        .functions
        .get(name)
        .is_some_and(|f| f.user_defined && f.volatility != Volatility::Immutable && !f.is_aggregate)
}

/// Runs or sizes what its arguments name by text.
pub fn runs_text(name: &str) -> bool {
    matches!(
        name,
        "query_to_xml"
            | "query_to_xmlschema"
            | "query_to_xml_and_xmlschema"
            | "table_to_xml"
            | "table_to_xmlschema"
            | "table_to_xml_and_xmlschema"
            | "schema_to_xml"
            | "schema_to_xmlschema"
            | "schema_to_xml_and_xmlschema"
            | "database_to_xml"
            | "database_to_xmlschema"
            | "database_to_xml_and_xmlschema"
            | "cursor_to_xml"
            | "ts_stat"
            | "pg_relation_size"
            | "pg_table_size"
            | "pg_total_relation_size"
            | "pg_indexes_size"
            | "pg_database_size"
    )
}

/// Must not run once per node: every node would give another value, and the values mean something.
pub fn differs_by_node(name: &str) -> bool {
    matches!(
        name,
        "nextval"
            | "currval"
            | "lastval"
            | "setval"
            | "txid_current"
            | "pg_current_xact_id"
            | "pg_backend_pid"
    ) || name.starts_with("inet_server")
        || (name.starts_with("pg_")
            && !matches!(
                name,
                "pg_sleep" | "pg_typeof" | "pg_column_size" | "pg_size_pretty"
            ))
}

/// Gives another value at each call: copies of a broadcast row would differ.
fn differs_by_call(name: &str, catalog: &Catalog) -> bool {
    HARMLESS.contains(&name)
        || name == "current_setting"
        || name.starts_with("to_reg")
        || differs_by_node(name)
        || catalog
            .functions
            .get(name)
            .is_some_and(|f| f.volatility == Volatility::Volatile)
}

/// Stable built-ins that depend on their arguments and on settings that Margay keeps alike on all nodes.
const ALIKE: &[&str] = &[
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "date",
    "date_bin",
    "date_part",
    "date_trunc",
    "format",
    "generate_series",
    "json_build_array",
    "json_build_object",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "make_timestamptz",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "timestamptz",
    "timezone",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_timestamp",
];

/// Gives the same value wherever it runs, or one that Margay puts in. The safe direction is no.
fn alike(name: &str, catalog: &Catalog) -> bool {
    if fixed::named(name) || ALIKE.contains(&name) {
        return true;
    }
    if SYNTAX.contains(&name) {
        return name != "current_schema";
    }
    match catalog.functions.get(name) {
        Some(f) => f.volatility == Volatility::Immutable && !f.is_aggregate,
        None => !catalog.loaded && !differs_by_call(name, catalog),
    }
}

/// A call whose value may go into each copy of a row.
pub fn copies_alike(call: &CallSite, catalog: &Catalog) -> bool {
    let name = call.name.last();
    if !is_aggregate(name, catalog) {
        return alike(name, catalog);
    }
    // The others depend on the order in which rows come: array_agg, and sums of floats.
    let ty = call.of_column.as_deref().unwrap_or("");
    let discrete = matches!(
        ty,
        "smallint"
            | "integer"
            | "bigint"
            | "date"
            | "timestamp without time zone"
            | "timestamp with time zone"
            | "uuid"
    );
    match name {
        "count" | "bool_and" | "bool_or" | "every" | "bit_and" | "bit_or" | "bit_xor" => true,
        "min" | "max" => discrete,
        "sum" | "avg" => discrete || ty == "numeric",
        _ => false,
    }
}

/// Looks roles, databases and other things up by the names that the server has for them.
pub fn takes_servers_names(name: &str) -> bool {
    name.starts_with("pg_") || (name.starts_with("has_") && name.ends_with("_privilege"))
}

/// A type whose values are read by the names of one server's catalog, or are its OIDs.
pub fn of_catalog(type_name: &str) -> bool {
    let base = type_name.trim_start_matches("pg_catalog.").trim_end_matches("[]");
    matches!(
        base,
        "regclass"
            | "regcollation"
            | "regconfig"
            | "regdictionary"
            | "regnamespace"
            | "regoper"
            | "regoperator"
            | "regproc"
            | "regprocedure"
            | "regrole"
            | "regtype"
    )
}

/// A name that DDL writes before a parenthesis as a type's.
fn is_type(name: &str) -> bool {
    matches!(
        name,
        "bit"
            | "bpchar"
            | "char"
            | "character"
            | "decimal"
            | "interval"
            | "numeric"
            | "time"
            | "timestamp"
            | "timestamptz"
            | "timetz"
            | "varbit"
            | "varchar"
    )
}

/// The first word of a text that each node may give a value of its own for: a call, or a type of its
/// catalog.
pub fn first_unlike(text: &str, catalog: &Catalog) -> Option<String> {
    let tokens = lex::tokens(text, true);
    let names = tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| matches!(t.kind, Kind::Word | Kind::QuotedIdent));
    names
        .map(|(i, t)| (i, lex::fold_ident(t.text(text))))
        .find(|(i, name)| {
            let called = tokens.get(i + 1).is_some_and(|t| t.is_punct(text, '('));
            let known = catalog.functions.contains_key(name) || differs_by_call(name, catalog);
            of_catalog(name) || (called && known && !is_type(name) && !alike(name, catalog))
        })
        .map(|(_, name)| name.into())
}

/// A default, as the server prints it, that is made of the transaction's time, the session's names and
/// functions that are alike everywhere. `stable`: it calls functions that aren't immutable.
pub fn is_of_session(text: &str, stable: bool) -> bool {
    let words = fixed::in_text(text);
    if words.is_empty() {
        return false;
    }
    let tokens = lex::tokens(text, true);
    let called = |i: usize| tokens.get(i + 1).is_some_and(|t| t.is_punct(text, '('));
    let names = tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| matches!(t.kind, Kind::Word | Kind::QuotedIdent));
    names
        .map(|(i, t)| (i, lex::fold_ident(t.text(text))))
        .all(|(i, name)| {
            let ours = fixed::named(&name) || ALIKE.contains(&&*name) || SYNTAX.contains(&&*name);
            !of_catalog(&name) && (!stable || !called(i) || ours || is_type(&name))
        })
}

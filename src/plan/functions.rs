//! What functions do that planning must know: aggregate or not, may they write, do they answer
//! differently on each node, do they leave something in the server's session.

use crate::model::catalog::{Catalog, Volatility};

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

/// The transaction's time: fixed by Margay where several servers must agree.
/// The text is the type that the function returns.
pub fn transaction_time(name: &str) -> Option<&'static str> {
    Some(match name {
        "now" | "transaction_timestamp" | "statement_timestamp" | "current_timestamp" => "timestamptz",
        "current_date" => "date",
        "localtimestamp" => "timestamp",
        "current_time" => "timetz",
        "localtime" => "time",
        _ => return None,
    })
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
    if HARMLESS.contains(&name) || SYNTAX.contains(&name) || transaction_time(name).is_some() {
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
pub fn differs_by_call(name: &str, catalog: &Catalog) -> bool {
    HARMLESS.contains(&name)
        || name == "current_setting"
        || name.starts_with("to_reg")
        || differs_by_node(name)
        || catalog
            .functions
            .get(name)
            .is_some_and(|f| f.volatility == Volatility::Volatile)
}

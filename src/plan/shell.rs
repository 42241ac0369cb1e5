//! Statements about the system catalogs. On a database of several nodes the shell answers them, where
//! the schema is the logical one; what it would tell of itself (its database's name) is spliced to what
//! is so of the logical database. Catalogs joined with rows of tables are refused: no server has both.

use crate::model::catalog::SystemRelation;
use crate::model::{Code, Fault, KeyType, TableName, identifier};

use super::analyze::Analysis;
use super::compile::{Compiler, Route};
use super::lex::{Kind, Token};
use super::scope::{Home, TableRef};
use super::sequences::moves_sequence;
use super::splice::Splice;

/// Types that name objects of the catalogs, as casts and as functions.
const REG: [&str; 11] = [
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

/// Built-in functions that look objects up in the catalogs.
fn reads_catalogs(name: &str) -> bool {
    matches!(
        name,
        "format_type"
            | "obj_description"
            | "col_description"
            | "shobj_description"
            | "row_security_active"
            | "current_schemas"
    ) || REG.contains(&name)
        || name.starts_with("to_reg")
        || name.starts_with("pg_get_")
        || name.starts_with("pg_identify_object")
        || name.starts_with("pg_describe_object")
        || name.starts_with("pg_index")
        || name.starts_with("pg_relation_is_")
        || name.starts_with("pg_partition_")
        || (name.starts_with("has_") && name.ends_with("_privilege"))
        || (name.starts_with("pg_") && name.ends_with("_is_visible"))
}

/// A relation of the catalogs whose rows are those of the server or the session, the same wherever it is asked.
fn is_of_the_session(name: &TableName) -> bool {
    matches!(
        &*name.table,
        "pg_settings"
            | "pg_timezone_names"
            | "pg_timezone_abbrevs"
            | "pg_cursors"
            | "pg_prepared_statements"
            | "pg_file_settings"
            | "pg_hba_file_rules"
    )
}

/// A relation of the catalogs that counts what one server has done or found in its own tables. The shell's
/// are empty.
fn counts_rows(name: &TableName) -> bool {
    let name = &*name.table;
    let of_tables = ["_tables", "_indexes", "_sequences", "_functions"];
    name.starts_with("pg_statio_")
        || name.starts_with("pg_stats")
        || matches!(
            name,
            "pg_statistic" | "pg_statistic_ext_data" | "pg_stat_database"
        )
        || (name.starts_with("pg_stat_") && of_tables.iter().any(|end| name.ends_with(end)))
}

/// Columns of `pg_stat_*` and `pg_statio_*` that count something, by their beginnings.
const COUNTERS: [&str; 16] = [
    "heap_",
    "idx_",
    "toast_",
    "tidx_",
    "blks_",
    "seq_",
    "n_",
    "last_",
    "vacuum_",
    "autovacuum_",
    "analyze_",
    "autoanalyze_",
    "calls",
    "total_time",
    "self_time",
    "newpage_",
];

/// Types with the same OID on every server. The safe direction is no.
pub(super) fn is_built_in(ty: &str) -> bool {
    let ty = ty.trim_start_matches("pg_catalog.");
    let base = ty.split(['(', '[']).next().unwrap_or(ty).trim().trim_matches('"');
    let first = base.split(' ').next().unwrap_or(base);
    KeyType::from_sql(base).is_some() || BUILT_IN.contains(&base) || BUILT_IN.contains(&first)
}

const BUILT_IN: [&str; 45] = [
    "bit",
    "box",
    "bytea",
    "char",
    "character",
    "cidr",
    "circle",
    "daterange",
    "dec",
    "decimal",
    "double",
    "float",
    "float4",
    "float8",
    "inet",
    "int4range",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "numrange",
    "oid",
    "path",
    "pg_lsn",
    "point",
    "polygon",
    "real",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsquery",
    "tsrange",
    "tstzrange",
    "tsvector",
    "varbit",
    "xml",
];

impl Compiler<'_> {
    /// Of a view that counts it is only asked which tables there are: ORMs join by its names. Where a word of the
    /// statement might be a counter, or all columns are asked for, the answer is no.
    fn only_names(&self, name: &TableName) -> bool {
        let lists = name.table.starts_with("pg_stat_") || name.table.starts_with("pg_statio_");
        let may_count = |token: &Token| {
            let text = token.text(self.sql).trim_matches('"').to_ascii_lowercase();
            text == "*" || COUNTERS.iter().any(|begin| text.starts_with(begin))
        };
        lists && !self.tokens.iter().any(may_count)
    }

    /// The route of a statement about the system catalogs. None: it is about something else, or the
    /// database's one node answers for itself.
    pub(super) fn catalogs(&self, analysis: &Analysis) -> Result<Option<Route>, Fault> {
        let Some(shell) = self.view.database.shell else {
            return Ok(None);
        };
        let refs = &analysis.facts.refs;
        let system = |t: &&TableRef| matches!(t.home, Home::System) && !is_of_the_session(&t.name);
        let first = refs.iter().find(system);
        let looks_up = analysis
            .calls
            .iter()
            .map(|c| c.name.last())
            .find(|name| reads_catalogs(name))
            .or_else(|| self.reg_cast())
            // The OID of a user's type is that of the shell.
            .or_else(|| {
                let casts = refs.is_empty().then_some(&analysis.casts);
                casts
                    .into_iter()
                    .flatten()
                    .map(|c| &**c)
                    .find(|ty| !is_built_in(ty))
            });
        let about = match (first, looks_up) {
            (Some(table), _) => table.name.table.to_string(),
            (None, Some(name)) => name.to_owned(),
            // The session's: as it is where statements go that name no table.
            (None, None) if !refs.is_empty() && refs.iter().all(|t| matches!(t.home, Home::System)) => {
                return Ok(Some(Route::Fixed(self.view.database.anywhere)));
            }
            (None, None) => return Ok(None),
        };
        if let Some(table) = refs
            .iter()
            .find(|t| matches!(t.home, Home::System) && counts_rows(&t.name) && !self.only_names(&t.name))
        {
            return Err(Fault::new(
                Code::CATALOG_ACROSS_NODES,
                format!(
                    "{} tells of the tables of one server, not of all nodes'",
                    table.name.table
                ),
            )
            .hint("Ask the servers of the nodes directly."));
        }
        if let Some(table) = refs.iter().find(|t| !matches!(t.home, Home::System)) {
            return Err(beside_rows(&about, &table.name));
        }
        if let Some(call) = analysis.calls.iter().find(|c| moves_sequence(c.name.last())) {
            return Err(Fault::new(
                Code::CATALOG_ACROSS_NODES,
                format!(
                    "{}() can't be in one statement with {about}: sequences aren't where the catalogs are",
                    call.name.last()
                ),
            )
            .hint("Ask the catalogs first, then name the sequence in a statement of its own."));
        }
        self.check_shell()?;
        let splices: Vec<Splice> = refs.iter().filter_map(|table| self.logical(table)).collect();
        // A derived table has no schema.
        if analysis.qualified_columns && !splices.is_empty() {
            return Err(Fault::new(
                Code::CATALOG_ACROSS_NODES,
                "columns of the system catalogs can't be qualified by a schema here",
            )
            .hint("Qualify the column by the relation's name or alias alone."));
        }
        Ok(Some(Route::Catalogs { node: shell, splices }))
    }

    /// A cast to a type such as regclass, other than of the name of a sequence as `nextval` takes it.
    fn reg_cast(&self) -> Option<&'static str> {
        let word = |at: usize, w: &str| self.tokens.get(at).is_some_and(|t| t.is_word(self.sql, w));
        let sequence = |at: usize| {
            at >= 4
                && (word(at - 4, "nextval") || word(at - 4, "currval") || word(at - 4, "setval"))
                && self.tokens[at - 3].is_punct(self.sql, '(')
        };
        (0..self.tokens.len()).find_map(|at| {
            let name = REG.into_iter().find(|name| word(at, name))?;
            (!sequence(at)).then_some(name)
        })
    }

    /// Why the shell can't answer at the moment.
    pub(super) fn check_shell(&self) -> Result<(), Fault> {
        match self.view.database.catalog.shell_behind.as_deref() {
            None => Ok(()),
            Some(why) => Err(Fault::new(
                Code::CATALOG_ACROSS_NODES,
                "the system catalogs can't be asked: the shell of this database isn't what its nodes hold",
            )
            .detail(why.to_owned())
            .hint("SHOW PROBLEMS on the database margay says what to do.")),
        }
    }

    /// The relation with the logical database's name where the shell's own would be.
    fn logical(&self, table: &TableRef) -> Option<Splice> {
        let database = &self.view.database;
        let relation = database.catalog.system.get(&system_name(table))?;
        let own = self.system_columns(table);
        let mut text = logical_relation(&database.name, &relation.own, &table.name.table, relation, &own);
        if !table.has_alias {
            text.push_str(&format!(" AS {}", identifier(&table.name.table)));
        }
        Some(Splice::replace(self.shape.range(table.span), text))
    }

    /// Columns that a derived table lacks unless it names them, as far as the statement does. A `*` would show them.
    fn system_columns(&self, table: &TableRef) -> String {
        let star = |at: usize| {
            let of_select = at.checked_sub(1).and_then(|i| self.tokens.get(i));
            self.tokens[at].text(self.sql) == "*" && !of_select.is_some_and(|t| t.is_punct(self.sql, '('))
        };
        if &*table.name.table != "pg_database" || (0..self.tokens.len()).any(star) {
            return String::new();
        }
        let all = ["tableoid", "ctid", "xmin", "xmax"];
        let named = |c: &&str| self.tokens.iter().any(|t| t.is_word(self.sql, c));
        all.iter()
            .filter(|c| named(c))
            .map(|c| format!("{c}, "))
            .collect()
    }

    /// A statement that can't be read and names no table: whether it is about the catalogs.
    pub(super) fn catalogs_by_words(&self) -> Result<Option<Route>, Fault> {
        let Some(shell) = self.view.database.shell else {
            return Ok(None);
        };
        let idents = self
            .tokens
            .iter()
            .filter(|t| matches!(t.kind, Kind::Word | Kind::QuotedIdent))
            .map(|t| super::lex::fold_ident(t.text(self.sql)));
        let mut about = None;
        for word in idents {
            let of_itself = &*word == "information_schema"
                || &*word == "current_database"
                || &*word == "current_catalog"
                || database_named(&word, self);
            if of_itself {
                return Err(Fault::new(
                    Code::CATALOG_ACROSS_NODES,
                    format!("this statement can't be read here and names {word}"),
                )
                .hint("Write it in plainer SQL."));
            }
            if word.starts_with("pg_") || reads_catalogs(&word) {
                about = Some(word);
            }
        }
        if about.is_none() {
            return Ok(None);
        }
        self.check_shell()?;
        Ok(Some(Route::Fixed(shell)))
    }
}

fn database_named(word: &str, compiler: &Compiler<'_>) -> bool {
    let name = TableName::new("pg_catalog", word);
    compiler.view.database.catalog.system.contains_key(&name)
}

/// `pg_class` without a schema is found in pg_catalog, whatever the search path.
fn system_name(table: &TableRef) -> TableName {
    match &*table.name.schema {
        "information_schema" => table.name.clone(),
        _ => TableName::new("pg_catalog", table.name.table.clone()),
    }
}

/// A derived table in the place of a relation of the catalogs.
fn logical_relation(
    database: &str,
    own: &str,
    table: &str,
    relation: &SystemRelation,
    system_columns: &str,
) -> String {
    let columns: Vec<String> = relation
        .columns
        .iter()
        .map(|column| {
            let name = identifier(&column.name);
            match &column.database_type {
                None => name,
                Some(ty) => format!(
                    "CASE {name} WHEN {} THEN {}::{ty} ELSE {name} END AS {name}",
                    literal(own),
                    literal(database)
                ),
            }
        })
        .collect();
    // The other databases of the shell's server are no databases of this proxy.
    let only = if table == "pg_database" {
        format!(
            " WHERE datname = {} OR datistemplate OR datname = 'postgres'",
            literal(own)
        )
    } else {
        String::new()
    };
    format!(
        "(SELECT {system_columns}{} FROM {}.{}{only})",
        columns.join(", "),
        relation.schema,
        identifier(table)
    )
}

pub(super) fn beside_rows(about: &str, table: &TableName) -> Fault {
    Fault::new(
        Code::CATALOG_ACROSS_NODES,
        format!("{about} is of the system catalogs, which no server has together with the rows of {table}"),
    )
    .hint("Ask the catalogs in a statement of its own.")
}

/// Means the same under any `standard_conforming_strings`.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

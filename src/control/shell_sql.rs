//! What a database holds, as the statements that would make it anew: asked of a node and of the shell
//! alike, so that equal objects give equal texts. Must not decide what belongs where: `shell` does.
//!
//! Names are printed with their schemas, since every connection of `control` has search_path = pg_catalog.

use super::connect::{Link, LinkError};

/// Schemas that hold objects of users.
const USER: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'margay') \
     AND n.nspname !~ '^pg_(toast|temp)'";

/// Not a member of an extension.
fn own(class: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{class}'::regclass \
            AND e.objid = {oid} AND e.deptype = 'e')"
    )
}

/// Options of a sequence `s` (pg_sequence).
const SEQUENCE: &str = "format('START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s', \
     s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' END)";

/// A comment on an object as a statement, or nothing. `what` and `name`: SQL expressions.
fn comment(what: &str, name: &str, description: &str) -> String {
    format!(
        "(SELECT format('COMMENT ON {what} %s IS %L;', {name}, x) FROM (SELECT {description} AS x) d WHERE x IS NOT NULL)"
    )
}

/// `class, schema, name, text`, in the order in which they can be made. A table's text has all that
/// belongs to it alone; foreign keys come after all tables.
fn definitions_sql() -> String {
    let schemas = format!(
        "SELECT 1, 'schema', n.nspname::text, '', concat_ws(' ', format('CREATE SCHEMA %I;', n.nspname), {comment}) \
         FROM pg_namespace n WHERE {USER} AND n.nspname <> 'public' AND {own}",
        comment = comment(
            "SCHEMA",
            "quote_ident(n.nspname)",
            "obj_description(n.oid, 'pg_namespace')"
        ),
        own = own("pg_namespace", "n.oid"),
    );
    let extensions = "SELECT 2, 'extension', n.nspname::text, e.extname::text, \
            format('CREATE EXTENSION %I WITH SCHEMA %I;', e.extname, n.nspname) \
         FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql'";
    let types = format!(
        "SELECT CASE t.typtype WHEN 'd' THEN 4 ELSE 3 END, 'type', n.nspname::text, t.typname::text, concat_ws(' ', CASE t.typtype \
            WHEN 'e' THEN format('CREATE TYPE %I.%I AS ENUM (%s);', n.nspname, t.typname, \
                (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid)) \
            WHEN 'd' THEN format('CREATE DOMAIN %I.%I AS %s%s%s%s%s;', n.nspname, t.typname, \
                format_type(t.typbasetype, t.typtypmod), \
                (SELECT format(' COLLATE %I.%I', cn.nspname, c.collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace \
                    JOIN pg_type b ON b.oid = t.typbasetype WHERE c.oid = t.typcollation AND t.typcollation <> b.typcollation), \
                ' DEFAULT ' || t.typdefault, CASE WHEN t.typnotnull THEN ' NOT NULL' END, \
                (SELECT string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.conname) \
                    FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')) \
            WHEN 'c' THEN format('CREATE TYPE %I.%I AS (%s);', n.nspname, t.typname, \
                (SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod), \
                    (SELECT format(' COLLATE %I.%I', cn.nspname, c.collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace \
                        JOIN pg_type b ON b.oid = a.atttypid WHERE c.oid = a.attcollation AND a.attcollation <> b.typcollation)), \
                    ', ' ORDER BY a.attnum) \
                    FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)) \
            END, {comment}) \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         WHERE {USER} AND (t.typtype IN ('e', 'd') OR t.typtype = 'c' \
            AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) AND {own}",
        comment = comment(
            "TYPE",
            "format('%I.%I', n.nspname, t.typname)",
            "obj_description(t.oid, 'pg_type')"
        ),
        own = own("pg_type", "t.oid"),
    );
    let sequences = format!(
        "SELECT 5, 'sequence', n.nspname::text, c.relname::text, concat_ws(' ', \
            format('CREATE SEQUENCE %I.%I AS %s %s;', n.nspname, c.relname, format_type(s.seqtypid, NULL), {SEQUENCE}), {comment}) \
         FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {USER} AND c.relpersistence <> 't' AND {own} \
            AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid \
                AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i'))",
        comment = comment(
            "SEQUENCE",
            "format('%I.%I', n.nspname, c.relname)",
            "obj_description(c.oid, 'pg_class')"
        ),
        own = own("pg_class", "c.oid"),
    );
    format!(
        "SELECT class, schema, name, text FROM ({schemas} UNION ALL {extensions} UNION ALL {types} \
            UNION ALL {sequences} UNION ALL {tables} UNION ALL {foreign_keys}) \
         o (place, class, schema, name, text) ORDER BY place, schema, name",
        tables = tables_sql(),
        foreign_keys = "SELECT 7, 'foreign key', n.nspname::text, format('%s %s', c.relname, k.conname), \
                format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s;', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)) \
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname <> 'margay'",
    )
}

/// Ordinary and partitioned tables; what is partitioned by Margay's rules is an ordinary table to users.
fn tables_sql() -> String {
    // A serial column's sequence comes and goes with its table.
    let owned = format!(
        "FROM pg_depend o JOIN pg_sequence s ON s.seqrelid = o.objid JOIN pg_class q ON q.oid = s.seqrelid \
            JOIN pg_namespace qn ON qn.oid = q.relnamespace \
            JOIN pg_attribute a ON a.attrelid = o.refobjid AND a.attnum = o.refobjsubid \
         WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass \
            AND o.refobjid = c.oid AND o.deptype = '{}'",
        'a'
    );
    let columns = format!(
        "SELECT string_agg(format('%I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), \
            CASE WHEN a.attcollation <> t.typcollation THEN (SELECT format(' COLLATE %I.%I', ln.nspname, l.collname) \
                FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = a.attcollation) END, \
            CASE WHEN a.attidentity <> '' THEN format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %s)', \
                    CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, \
                    (SELECT format('%I.%I %s', qn.nspname, q.relname, {SEQUENCE}) FROM pg_depend o \
                        JOIN pg_sequence s ON s.seqrelid = o.objid JOIN pg_class q ON q.oid = s.seqrelid \
                        JOIN pg_namespace qn ON qn.oid = q.relnamespace \
                        WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass \
                            AND o.refobjid = c.oid AND o.refobjsubid = a.attnum AND o.deptype = 'i')) \
                WHEN a.attgenerated <> '' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(d.adbin, d.adrelid)) \
                WHEN d.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END, \
            CASE WHEN a.attnotnull THEN ' NOT NULL' END), ', ' ORDER BY a.attnum) \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    );
    format!(
        "SELECT 6, 'table', n.nspname::text, c.relname::text, concat_ws(' ', \
            (SELECT string_agg(format('CREATE SEQUENCE %I.%I AS %s %s;', qn.nspname, q.relname, \
                format_type(s.seqtypid, NULL), {SEQUENCE}), ' ' ORDER BY q.relname) {owned}), \
            format('CREATE %sTABLE %I.%I (%s)%s;', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' END, n.nspname, c.relname, ({columns}), \
                CASE WHEN c.relkind <> 'p' THEN ' WITH (' || array_to_string(c.reloptions, ', ') || ')' END), \
            (SELECT string_agg(format('ALTER SEQUENCE %I.%I OWNED BY %I.%I.%I;', qn.nspname, q.relname, \
                n.nspname, c.relname, a.attname), ' ' ORDER BY q.relname) {owned}), \
            (SELECT string_agg(format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s;', n.nspname, c.relname, k.conname, \
                pg_get_constraintdef(k.oid)), ' ' ORDER BY k.contype, k.conname) \
                FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c', 'x') AND k.conislocal), \
            (SELECT string_agg(replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') || ';', ' ' ORDER BY x.relname) \
                FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid \
                AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))), \
            {table_comment}, \
            (SELECT string_agg(format('COMMENT ON COLUMN %I.%I.%I IS %L;', n.nspname, c.relname, a.attname, p.description), ' ' ORDER BY a.attnum) \
                FROM pg_description p JOIN pg_attribute a ON a.attrelid = p.objoid AND a.attnum = p.objsubid \
                WHERE p.classoid = 'pg_class'::regclass AND p.objoid = c.oid AND p.objsubid > 0), \
            (SELECT string_agg(format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L;', k.conname, n.nspname, c.relname, p.description), ' ' ORDER BY k.conname) \
                FROM pg_description p JOIN pg_constraint k ON k.oid = p.objoid \
                WHERE p.classoid = 'pg_constraint'::regclass AND k.conrelid = c.oid AND k.contype <> 'f'), \
            (SELECT string_agg(format('COMMENT ON INDEX %I.%I IS %L;', n.nspname, x.relname, p.description), ' ' ORDER BY x.relname) \
                FROM pg_description p JOIN pg_index i ON i.indexrelid = p.objoid JOIN pg_class x ON x.oid = i.indexrelid \
                WHERE p.classoid = 'pg_class'::regclass AND i.indrelid = c.oid)) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND {USER} AND {own}",
        table_comment = comment(
            "TABLE",
            "format('%I.%I', n.nspname, c.relname)",
            "obj_description(c.oid, 'pg_class')"
        ),
        own = own("pg_class", "c.oid"),
    )
}

/// Relations of the catalogs with columns that name databases: `schema, name, own name, column, type`.
pub const NAMES_DATABASES: &str = "SELECT n.nspname, c.relname, current_database(), a.attname, \
        CASE WHEN n.nspname = 'information_schema' AND (a.attname ~ '_catalog$' OR a.attname = 'catalog_name') \
                OR n.nspname = 'pg_catalog' AND (a.attname = 'datname' OR a.attname = 'database' AND a.atttypid = 'name'::regtype) \
            THEN format_type(a.atttypid, a.atttypmod) END \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped \
     ORDER BY n.nspname, c.relname, a.attnum";

/// The kinds of objects, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Schema,
    Extension,
    Type,
    Sequence,
    Table,
    ForeignKey,
}

impl Class {
    fn of(text: &str) -> Option<Class> {
        Some(match text {
            "schema" => Class::Schema,
            "extension" => Class::Extension,
            "type" => Class::Type,
            "sequence" => Class::Sequence,
            "table" => Class::Table,
            "foreign key" => Class::ForeignKey,
            _ => return None,
        })
    }
}

/// One object of a database and the statements that make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub class: Class,
    pub schema: String,
    pub name: String,
    pub text: String,
}

pub async fn definitions(link: &mut Link) -> Result<Vec<Definition>, LinkError> {
    let sets = link.ask(&definitions_sql()).await?;
    let rows = sets.into_iter().flatten();
    rows.map(|row| {
        let text = |at: usize| row.get(at).unwrap_or_default().to_owned();
        Ok(Definition {
            class: Class::of(&text(0))
                .ok_or_else(|| LinkError::Answer(format!("an object of class {}", text(0))))?,
            schema: text(1),
            name: text(2),
            text: text(3),
        })
    })
    .collect()
}

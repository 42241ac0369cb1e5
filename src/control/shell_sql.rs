//! What a database holds, as the statements that would make it anew: asked of a node and of the shell
//! alike, so that equal objects give equal texts. Must not decide what belongs where: `shell` does.
//!
//! Names are printed with their schemas, since every connection of `control` has search_path = pg_catalog.

use super::connect::{Link, LinkError};

/// Schemas that hold objects of users.
const USER: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'margay') \
     AND n.nspname !~ '^pg_(toast|temp)'";

/// The name of `c` (pg_class) in `n`.
const RELATION: &str = "format('%I.%I', n.nspname, c.relname)";

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

/// A comment on an object as a statement, or nothing. `name`: an SQL expression; `object`: its oid and catalog.
fn comment(what: &str, name: &str, object: &str) -> String {
    format!(
        "(SELECT format('COMMENT ON {what} %s IS %L;', {name}, x) \
            FROM (SELECT obj_description({object}) AS x) d WHERE x IS NOT NULL)"
    )
}

const RELATION_OID: &str = "c.oid, 'pg_class'";

const COLUMN_COMMENTS: &str = "(SELECT string_agg(format('COMMENT ON COLUMN %I.%I.%I IS %L;', n.nspname, c.relname, a.attname, \
     p.description), ' ' ORDER BY a.attnum) FROM pg_description p \
     JOIN pg_attribute a ON a.attrelid = p.objoid AND a.attnum = p.objsubid \
     WHERE p.classoid = 'pg_class'::regclass AND p.objoid = c.oid AND p.objsubid > 0)";

/// Those that no constraint makes.
const INDEXES: &str = "(SELECT string_agg(replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') || ';', ' ' \
     ORDER BY x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid \
     AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')))";

/// Who got what: `{}` is `PUBLIC` or a role.
const GRANTEE: &str = "CASE l.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(l.grantee)) END, \
     CASE WHEN l.is_grantable THEN ' WITH GRANT OPTION' END";

/// What was granted on an object to others than its owner. `on`: its kind; `name`: an SQL expression.
fn grants(acl: &str, owner: &str, on: &str, name: &str) -> String {
    format!(
        "(SELECT string_agg(format('GRANT %s ON {on} %s TO %s%s;', l.privileges, {name}, {GRANTEE}), ' ' \
            ORDER BY l.grantee, l.is_grantable) \
         FROM (SELECT grantee, is_grantable, string_agg(privilege_type, ', ' ORDER BY privilege_type) AS privileges \
            FROM aclexplode({acl}) WHERE grantee <> {owner} GROUP BY 1, 2) l)"
    )
}

/// The same on a relation and on its columns.
fn relation_grants() -> String {
    format!(
        "{whole}, (SELECT string_agg(format('GRANT %s (%I) ON %I.%I TO %s%s;', l.privilege_type, a.attname, n.nspname, \
            c.relname, {GRANTEE}), ' ' ORDER BY a.attnum, l.grantee, l.privilege_type, l.is_grantable) \
         FROM pg_attribute a, aclexplode(a.attacl) l WHERE a.attrelid = c.oid AND NOT a.attisdropped)",
        whole = grants("c.relacl", "c.relowner", "TABLE", RELATION),
    )
}

/// `class, schema, name, text`, within a class in the order in which they were made. A table's text has all
/// that belongs to it alone; foreign keys come after all tables.
fn definitions_sql() -> String {
    let schemas = format!(
        "SELECT n.oid, 'schema', n.nspname::text, '', concat_ws(' ', \
            format('CREATE SCHEMA %I;', n.nspname), {comment}, {grants}) \
         FROM pg_namespace n WHERE {USER} AND n.nspname <> 'public' AND {own}",
        comment = comment("SCHEMA", "quote_ident(n.nspname)", "n.oid, 'pg_namespace'"),
        grants = grants("n.nspacl", "n.nspowner", "SCHEMA", "quote_ident(n.nspname)"),
        own = own("pg_namespace", "n.oid"),
    );
    // It is everywhere from the beginning; who may create in it is for the users to say.
    let public = format!(
        "SELECT n.oid, 'public', n.nspname::text, '', concat_ws(' ', \
            'REVOKE ALL ON SCHEMA public FROM PUBLIC;', {grants}) \
         FROM pg_namespace n WHERE n.nspname = 'public'",
        grants = grants("n.nspacl", "n.nspowner", "SCHEMA", "quote_ident(n.nspname)"),
    );
    let extensions = "SELECT e.oid, 'extension', n.nspname::text, e.extname::text, \
            format('CREATE EXTENSION %I WITH SCHEMA %I;', e.extname, n.nspname) \
         FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql'";
    let sequences = format!(
        "SELECT c.oid, 'sequence', n.nspname::text, c.relname::text, {definition} \
         FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {USER} AND c.relpersistence <> 't' AND {own} \
            AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid \
                AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i'))",
        definition = sequence_definition(),
        own = own("pg_class", "c.oid"),
    );
    // A function of a table's row type needs the table; any other may be needed by one.
    let functions = format!(
        "SELECT p.oid, CASE WHEN EXISTS (SELECT FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid \
                WHERE t.oid = ANY (p.proargtypes::oid[] || p.prorettype) AND c.relkind <> 'c') \
            THEN 'row function' ELSE 'function' END, n.nspname::text, p.oid::regprocedure::text, concat_ws(' ', \
            pg_get_functiondef(p.oid) || ';', {comment}) \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE {USER} AND p.prokind IN ('f', 'p', 'w') AND {own}",
        comment = comment("ROUTINE", "p.oid::regprocedure", "p.oid, 'pg_proc'"),
        own = own("pg_proc", "p.oid"),
    );
    let view = |kind: &str, class: &str, text: &str| {
        format!(
            "SELECT c.oid, '{class}', n.nspname::text, c.relname::text, concat_ws(' ', {text}, {comment}, \
                {COLUMN_COMMENTS}, {grants}) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = '{kind}' AND c.relpersistence <> 't' AND {USER} AND {own}",
            comment = comment(&class.to_uppercase(), RELATION, RELATION_OID),
            grants = relation_grants(),
            own = own("pg_class", "c.oid"),
        )
    };
    let views = view(
        "v",
        "view",
        "format('CREATE VIEW %I.%I%s AS %s', n.nspname, c.relname, \
            ' WITH (' || array_to_string(c.reloptions, ', ') || ')', pg_get_viewdef(c.oid))",
    );
    let materialized = view(
        "m",
        "materialized view",
        &format!(
            "format('CREATE MATERIALIZED VIEW %I.%I%s AS %s%s;', n.nspname, c.relname, \
                ' WITH (' || array_to_string(c.reloptions, ', ') || ')', rtrim(pg_get_viewdef(c.oid), ';'), \
                CASE WHEN NOT c.relispopulated THEN ' WITH NO DATA' END), {INDEXES}"
        ),
    );
    let foreign_keys = "SELECT k.oid, 'foreign key', n.nspname::text, c.relname || chr(1) || k.conname, \
            format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s;', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)) \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname <> 'margay'";
    let all = [
        &*schemas,
        &public,
        extensions,
        &types_sql(),
        &sequences,
        &functions,
        &tables_sql(),
        &views,
        &materialized,
        foreign_keys,
    ];
    format!(
        "SELECT class, schema, name, text FROM ({}) o (made, class, schema, name, text) ORDER BY made",
        all.join(" UNION ALL ")
    )
}

fn types_sql() -> String {
    let collation = |own: &str, base: &str| {
        format!(
            "(SELECT format(' COLLATE %I.%I', cn.nspname, l.collname) FROM pg_collation l \
                JOIN pg_namespace cn ON cn.oid = l.collnamespace JOIN pg_type b ON b.oid = {base} \
                WHERE l.oid = {own} AND {own} <> b.typcollation)"
        )
    };
    format!(
        "SELECT t.oid, 'type', n.nspname::text, t.typname::text, concat_ws(' ', CASE t.typtype \
            WHEN 'e' THEN format('CREATE TYPE %I.%I AS ENUM (%s);', n.nspname, t.typname, \
                (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid)) \
            WHEN 'd' THEN format('CREATE DOMAIN %I.%I AS %s%s%s%s%s;', n.nspname, t.typname, \
                format_type(t.typbasetype, t.typtypmod), {of_domain}, \
                ' DEFAULT ' || t.typdefault, CASE WHEN t.typnotnull THEN ' NOT NULL' END, \
                (SELECT string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.conname) \
                    FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')) \
            WHEN 'c' THEN format('CREATE TYPE %I.%I AS (%s);', n.nspname, t.typname, \
                (SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod), {of_field}), \
                    ', ' ORDER BY a.attnum) \
                    FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)) \
            END, {comment}) \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         WHERE {USER} AND (t.typtype IN ('e', 'd') OR t.typtype = 'c' \
            AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) AND {own}",
        of_domain = collation("t.typcollation", "t.typbasetype"),
        of_field = collation("a.attcollation", "a.atttypid"),
        comment = comment(
            "TYPE",
            "format('%I.%I', n.nspname, t.typname)",
            "t.oid, 'pg_type'"
        ),
        own = own("pg_type", "t.oid"),
    )
}

/// Ordinary and partitioned tables; what is partitioned by Margay's rules is an ordinary table to users.
fn tables_sql() -> String {
    // A serial column's sequence comes and goes with its table.
    let owned = "FROM pg_depend o JOIN pg_sequence s ON s.seqrelid = o.objid JOIN pg_class q ON q.oid = s.seqrelid \
            JOIN pg_namespace qn ON qn.oid = q.relnamespace \
            JOIN pg_attribute a ON a.attrelid = o.refobjid AND a.attnum = o.refobjsubid \
         WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass \
            AND o.refobjid = c.oid AND o.deptype = 'a'";
    let identity = format!(
        "(SELECT format('%I.%I %s', qn.nspname, q.relname, {SEQUENCE}) FROM pg_depend o \
            JOIN pg_sequence s ON s.seqrelid = o.objid JOIN pg_class q ON q.oid = s.seqrelid \
            JOIN pg_namespace qn ON qn.oid = q.relnamespace \
            WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass \
                AND o.refobjid = c.oid AND o.refobjsubid = a.attnum AND o.deptype = 'i')"
    );
    let columns = format!(
        "SELECT string_agg(format('%I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), \
            CASE WHEN a.attcollation <> t.typcollation THEN (SELECT format(' COLLATE %I.%I', ln.nspname, l.collname) \
                FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = a.attcollation) END, \
            CASE WHEN a.attidentity <> '' THEN format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %s)', \
                    CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, {identity}) \
                WHEN a.attgenerated <> '' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(d.adbin, d.adrelid)) \
                WHEN d.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END, \
            CASE WHEN a.attnotnull THEN ' NOT NULL' END), ', ' ORDER BY a.attnum) \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    );
    let tuning = "(SELECT string_agg(concat(CASE WHEN a.attstattarget > 0 THEN \
                format('ALTER TABLE %I.%I ALTER %I SET STATISTICS %s;', n.nspname, c.relname, a.attname, a.attstattarget) END, \
            CASE WHEN a.attstorage <> t.typstorage THEN format('ALTER TABLE %I.%I ALTER %I SET STORAGE %s;', n.nspname, c.relname, \
                a.attname, CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END) END), \
            '' ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)";
    format!(
        "SELECT c.oid, 'table', n.nspname::text, c.relname::text, concat_ws(' ', \
            (SELECT string_agg(format('CREATE SEQUENCE %I.%I AS %s %s;', qn.nspname, q.relname, \
                format_type(s.seqtypid, NULL), {SEQUENCE}), ' ' ORDER BY q.relname) {owned}), \
            format('CREATE %sTABLE %I.%I (%s)%s;', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' END, n.nspname, c.relname, ({columns}), \
                CASE WHEN c.relkind <> 'p' THEN ' WITH (' || array_to_string(c.reloptions, ', ') || ')' END), \
            (SELECT string_agg(format('ALTER SEQUENCE %I.%I OWNED BY %I.%I.%I;', qn.nspname, q.relname, \
                n.nspname, c.relname, a.attname), ' ' ORDER BY q.relname) {owned}), \
            (SELECT string_agg(format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s;', n.nspname, c.relname, k.conname, \
                pg_get_constraintdef(k.oid)), ' ' ORDER BY k.contype, k.conname) \
                FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c', 'x') AND k.conislocal), \
            {INDEXES}, {table_comment}, {COLUMN_COMMENTS}, \
            (SELECT string_agg(format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L;', k.conname, n.nspname, c.relname, p.description), ' ' ORDER BY k.conname) \
                FROM pg_description p JOIN pg_constraint k ON k.oid = p.objoid \
                WHERE p.classoid = 'pg_constraint'::regclass AND k.conrelid = c.oid AND k.contype <> 'f'), \
            (SELECT string_agg(format('COMMENT ON INDEX %I.%I IS %L;', n.nspname, x.relname, p.description), ' ' ORDER BY x.relname) \
                FROM pg_description p JOIN pg_index i ON i.indexrelid = p.objoid JOIN pg_class x ON x.oid = i.indexrelid \
                WHERE p.classoid = 'pg_class'::regclass AND i.indrelid = c.oid), \
            (SELECT string_agg(pg_get_statisticsobjdef(s.oid) || ';', ' ' ORDER BY s.stxname) FROM pg_statistic_ext s WHERE s.stxrelid = c.oid), \
            (SELECT string_agg(pg_get_triggerdef(g.oid) || ';', ' ' ORDER BY g.tgname) FROM pg_trigger g \
                WHERE g.tgrelid = c.oid AND NOT g.tgisinternal), {tuning}, \
            CASE WHEN c.relowner <> current_user::regrole THEN format('ALTER TABLE %I.%I OWNER TO %I;', n.nspname, c.relname, \
                pg_get_userbyid(c.relowner)) END, {grants}) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND {USER} AND {own}",
        table_comment = comment("TABLE", RELATION, RELATION_OID),
        grants = relation_grants(),
        own = own("pg_class", "c.oid"),
    )
}

/// Views, and what they are made of.
pub const VIEWS: &str = "SELECT n.nspname, c.relname, pg_get_viewdef(c.oid) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// Sequences, the tables that own them, and what would make each anew.
pub fn sequences_sql() -> String {
    format!(
        "SELECT n.nspname, c.relname, tn.nspname, t.relname, {definition} \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid \
         LEFT JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = c.oid \
            AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i') \
         LEFT JOIN pg_class t ON t.oid = o.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         WHERE c.relpersistence <> 't'",
        definition = sequence_definition(),
    )
}

/// A sequence `s` of the relation `c` in `n`, without its owner.
fn sequence_definition() -> String {
    format!(
        "concat_ws(' ', format('CREATE SEQUENCE %I.%I AS %s %s;', n.nspname, c.relname, format_type(s.seqtypid, NULL), \
            {SEQUENCE}), {comment}, {grants})",
        comment = comment("SEQUENCE", RELATION, RELATION_OID),
        grants = grants("c.relacl", "c.relowner", "SEQUENCE", RELATION),
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
    /// Who may do what in schema public.
    Public,
    Extension,
    Type,
    Sequence,
    Function,
    Table,
    /// A function of a table's row type.
    RowFunction,
    MaterializedView,
    View,
    ForeignKey,
}

impl Class {
    fn of(text: &str) -> Option<Class> {
        Some(match text {
            "schema" => Class::Schema,
            "public" => Class::Public,
            "extension" => Class::Extension,
            "type" => Class::Type,
            "sequence" => Class::Sequence,
            "function" => Class::Function,
            "table" => Class::Table,
            "row function" => Class::RowFunction,
            "materialized view" => Class::MaterializedView,
            "view" => Class::View,
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
        let class = Class::of(&text(0));
        Ok(Definition {
            class: class.ok_or_else(|| LinkError::Answer(format!("an object of class {}", text(0))))?,
            schema: text(1),
            name: text(2),
            text: text(3),
        })
    })
    .collect()
}

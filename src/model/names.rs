//! Names of tables as the servers compare them.

use std::fmt;

/// A schema-qualified table name, already folded: on PostgreSQL unquoted identifiers are lower case.
/// On PostgreSQL `schema` is a schema; on MySQL it is a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub schema: Box<str>,
    pub table: Box<str>,
}

impl TableName {
    pub fn new(schema: impl Into<Box<str>>, table: impl Into<Box<str>>) -> Self {
        Self {
            schema: schema.into(),
            table: table.into(),
        }
    }
}

/// A name as an SQL identifier that PostgreSQL reads back unchanged.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl fmt::Display for TableName {
    /// `public.` is left out, as users write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if &*self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.table)
    }
}

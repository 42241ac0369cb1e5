//! A schema file (CREATE TABLE statements, as `pg_dump --schema-only` writes them) → Catalog, for
//! `margay explain` and golden tests, where no server can be asked.

use std::collections::HashMap;
use std::sync::Arc;

use sqlparser::ast::{
    AlterTableOperation, ColumnDef, ColumnOption, CreateTable, Expr, ForeignKeyConstraint, ObjectName,
    ReferentialAction, Statement, TableConstraint,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::Unreadable;
use super::expr::{fold, folded_parts};
use crate::model::catalog::{Catalog, Collation, ColumnDefault, ColumnInfo, TableInfo};
use crate::model::{Code, Fault, KeyType, TableName};
use crate::plan::{functions, lex};

/// Reads the tables of a schema file. Statements other than CREATE TABLE are passed over.
/// Text columns count as deterministic, not bytewise, unless COLLATE "C" or "POSIX" is written.
pub fn catalog_from_sql(sql: &str) -> Result<Catalog, Fault> {
    let mut tables = HashMap::new();
    for text in lex::split(sql, true) {
        let tokens = lex::tokens(text, true);
        let creates = tokens.first().is_some_and(|t| t.is_word(text, "create"))
            && tokens.iter().take(4).any(|t| t.is_word(text, "table"));
        if !creates {
            continue;
        }
        let parsed = Parser::new(&PostgreSqlDialect {})
            .try_with_sql(text)
            .and_then(|mut p| p.parse_statements());
        let statements = parsed.map_err(|e| {
            let start = text.trim().chars().take(60).collect::<String>();
            Fault::new(
                Code::UNREADABLE,
                format!("the schema file holds a CREATE TABLE that can't be read ({e}): {start} …"),
            )
        })?;
        for statement in statements {
            if let Statement::CreateTable(create) = statement
                && let Some((name, info)) = table(&create)
            {
                tables.insert(name, Arc::new(info));
            }
        }
    }
    // Functions are not in the file: built-ins are taken for what their names say.
    Ok(Catalog {
        epoch: 1,
        loaded: false,
        tables,
        functions: HashMap::new(),
        ..Catalog::default()
    })
}

fn table_name(name: &ObjectName) -> Option<TableName> {
    match folded_parts(name)?.as_slice() {
        [table] => Some(TableName::new("public", table.clone())),
        [.., schema, table] => Some(TableName::new(schema.clone(), table.clone())),
        [] => None,
    }
}

fn table(create: &CreateTable) -> Option<(TableName, TableInfo)> {
    let mut unique: Vec<Vec<Box<str>>> = Vec::new();
    let columns = create.columns.iter().map(|c| column(c, &mut unique)).collect();
    for constraint in &create.constraints {
        let list = match constraint {
            TableConstraint::PrimaryKey(c) => &c.columns,
            TableConstraint::Unique(c) => &c.columns,
            _ => continue,
        };
        unique.push(
            list.iter()
                .filter_map(|c| match &c.column.expr {
                    Expr::Identifier(i) => Some(fold(i)),
                    _ => None,
                })
                .collect(),
        );
    }
    Some((
        table_name(&create.name)?,
        TableInfo {
            columns,
            unique,
            ..TableInfo::default()
        },
    ))
}

fn column(def: &ColumnDef, unique: &mut Vec<Vec<Box<str>>>) -> ColumnInfo {
    let written = def.data_type.to_string();
    let key_type = KeyType::from_sql(&written);
    let mut info = ColumnInfo {
        name: fold(&def.name),
        type_name: key_type.map_or(written.to_ascii_lowercase().into(), |t| t.sql().into()),
        type_oid: 0,
        holds_oids: false,
        type_modifier: modifier(&written, key_type),
        not_null: false,
        collation: Collation::None,
        default: ColumnDefault::Null,
    };
    if matches!(key_type, Some(KeyType::Text | KeyType::Bpchar)) {
        info.collation = Collation::Deterministic;
    }
    if written.to_ascii_lowercase().contains("serial") {
        info.default = ColumnDefault::Volatile("nextval".into());
    }
    for option in &def.options {
        match &option.option {
            ColumnOption::NotNull => info.not_null = true,
            ColumnOption::Default(e) => info.default = default(e),
            ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) => unique.push(vec![info.name.clone()]),
            ColumnOption::Collation(c) => {
                let name = folded_parts(c)
                    .and_then(|p| p.last().cloned())
                    .unwrap_or_default();
                if matches!(&*name, "C" | "POSIX" | "ucs_basic") {
                    info.collation = Collation::Bytes;
                }
            }
            ColumnOption::Generated {
                generation_expr: Some(_),
                ..
            } => info.default = ColumnDefault::Generated,
            ColumnOption::Generated { .. } => info.default = ColumnDefault::Volatile("identity".into()),
            _ => {}
        }
    }
    info
}

/// `pg_attribute.atttypmod` of a type as written.
fn modifier(written: &str, key_type: Option<KeyType>) -> i32 {
    let number = written
        .split_once('(')
        .and_then(|(_, rest)| rest.split([')', ' ']).next()?.parse::<i32>().ok());
    match (key_type, number) {
        (Some(KeyType::Text | KeyType::Bpchar), Some(n)) => n + 4,
        (Some(KeyType::Timestamp | KeyType::Timestamptz), Some(n)) => n,
        (_, _) => -1,
    }
}

fn default(e: &Expr) -> ColumnDefault {
    let text = e.to_string();
    let lower = text.to_ascii_lowercase();
    if functions::is_of_session(&text, true) {
        ColumnDefault::OfSession(text.into())
    } else if lower.contains('(') {
        ColumnDefault::Volatile(text.into())
    } else {
        ColumnDefault::Constant(text.into())
    }
}

/// A foreign key that a statement adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    pub columns: Vec<Box<str>>,
    pub parent: Vec<Box<str>>,
    /// Empty: the parent's primary key.
    pub referred: Vec<Box<str>>,
    /// An action of it writes the child's columns.
    pub changes_child: bool,
}

/// The foreign keys of one CREATE or ALTER TABLE.
pub fn foreign_keys(sql: &str) -> Result<Vec<ForeignKey>, Unreadable> {
    let parsed = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(sql)
        .and_then(|mut p| p.parse_statements())
        .map_err(|e| Unreadable(e.to_string()))?;
    let mut out = Vec::new();
    for statement in parsed {
        match statement {
            Statement::CreateTable(create) => {
                create.columns.iter().for_each(|c| of_column(c, &mut out));
                create.constraints.iter().for_each(|c| of_constraint(c, &mut out));
            }
            Statement::AlterTable(alter) => {
                for operation in &alter.operations {
                    match operation {
                        AlterTableOperation::AddConstraint { constraint, .. } => {
                            of_constraint(constraint, &mut out);
                        }
                        AlterTableOperation::AddColumn { column_def, .. } => of_column(column_def, &mut out),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // Each `REFERENCES` must be one of them: what the parser passes over would go unchecked.
    let tokens = lex::tokens(sql, true);
    let named = tokens.iter().filter(|t| t.is_word(sql, "references")).count();
    if named == out.len() {
        Ok(out)
    } else {
        Err(Unreadable(format!(
            "it refers to {named} tables, of which {} are understood",
            out.len()
        )))
    }
}

fn of_column(column: &ColumnDef, out: &mut Vec<ForeignKey>) {
    for option in &column.options {
        if let ColumnOption::ForeignKey(key) = &option.option {
            out.extend(foreign_key(key, vec![fold(&column.name)]));
        }
    }
}

fn of_constraint(constraint: &TableConstraint, out: &mut Vec<ForeignKey>) {
    if let TableConstraint::ForeignKey(key) = constraint {
        out.extend(foreign_key(key, key.columns.iter().map(fold).collect()));
    }
}

fn foreign_key(key: &ForeignKeyConstraint, columns: Vec<Box<str>>) -> Option<ForeignKey> {
    let changes = |action: &Option<ReferentialAction>| {
        matches!(
            action,
            Some(ReferentialAction::SetNull | ReferentialAction::SetDefault)
        )
    };
    Some(ForeignKey {
        columns,
        parent: folded_parts(&key.foreign_table)?,
        referred: key.referred_columns.iter().map(fold).collect(),
        changes_child: changes(&key.on_delete)
            || changes(&key.on_update)
            || matches!(key.on_update, Some(ReferentialAction::Cascade)),
    })
}

//! INSERT … VALUES: each row to the node of its key; columns that Margay fills.

use crate::model::catalog::{ColumnDefault, TableInfo};
use crate::model::{Code, Fault, KeyType};
use crate::topology::Generator;

use super::fixed::is_plain_now;
use super::lex::Token;
use super::prune::key_type;
use super::query::{Expr, Insert, Span};
use super::scope::{Home, TableRef};
use super::value::is_constant;

/// What Margay puts into a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fill {
    NextId,
    /// The transaction's time, as the type of the key column.
    Now(KeyType),
    /// The column's default, an expression of the transaction's time and the session's names.
    Default(Box<str>),
}

/// A fill with when it is needed.
#[derive(Clone, Debug)]
pub struct Filled {
    pub fill: Fill,
    /// Whatever the moment. Else where the proxy has to give the values that the fill is made of.
    pub always: bool,
}

/// A cell that is replaced: DEFAULT or now(); in original coordinates.
#[derive(Clone, Debug)]
pub struct Replaced {
    pub at: Span,
    pub filled: Filled,
}

/// Where a row's value for a key column comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// An expression of the row.
    Cell(Expr),
    /// The transaction's time.
    Now,
    /// A generated id: which of the row's.
    NextId(usize),
}

/// A row of VALUES; spans in original coordinates.
#[derive(Clone, Debug)]
pub struct Row {
    /// With its parentheses.
    pub span: Span,
    /// One per key column.
    pub keys: Vec<KeySource>,
    pub replaced: Vec<Replaced>,
}

#[derive(Clone, Debug)]
pub struct Rows {
    pub rows: Vec<Row>,
    pub key_types: Vec<KeyType>,
    /// Columns appended to the list, with their fill.
    pub added: Vec<(Box<str>, Filled)>,
    /// Where the added column names go, and what must stand before them (a whole list if none is written).
    pub list_at: u32,
    pub list_prefix: String,
    pub list_suffix: &'static str,
    /// Per key column its type modifier. None: not known.
    pub modifiers: Vec<Option<i32>>,
}

/// Reads the rows of an INSERT into a sharded or broadcast table, or one with generated columns.
pub fn rows(
    insert: &Insert,
    values: &[Vec<Expr>],
    table: &TableRef,
    sql: &str,
    tokens: &[Token],
) -> Result<Rows, Fault> {
    let info = table.info.as_deref();
    let mut columns = column_names(insert, info).ok_or_else(|| {
        Fault::new(
            Code::KEY_MISSING,
            format!("INSERT INTO {} must name its columns", table.name),
        )
        .hint("Write INSERT INTO t (column, …) VALUES …, since the table's definition isn't known here.")
    })?;
    let (spans, list_end) = row_spans(sql, tokens, values.len()).ok_or_else(|| {
        Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            "the rows of this INSERT could not be located",
        )
    })?;
    if insert.columns.is_empty() {
        // The columns that the rows give no value for are left out like any others.
        columns.truncate(values.iter().map(Vec::len).max().unwrap_or(0));
    }
    refuse_sequences(table, &columns, values)?;
    let broadcast = matches!(table.home, Home::Everywhere(_));
    // Rows that may go to several nodes get one now().
    let together = values.len() > 1 && matches!(&table.home, Home::Sharded(s) if s.nodes.len() > 1);
    let fill_of =
        |column: &str| -> Result<Option<Filled>, Fault> { fill(table, info, column, broadcast, together) };
    let mut added = Vec::new();
    for column in wanted_columns(table, info, broadcast) {
        if !columns.contains(&column)
            && let Some(filled) = fill_of(&column)?
        {
            added.push((column, filled));
        }
    }
    let (keys, key_types) = key_columns(table)?;
    let mut out = Vec::new();
    for (cells, span) in values.iter().zip(&spans) {
        if cells.len() > columns.len() {
            // The server says it best.
            return Err(Fault::new(
                Code::KEY_MISSING,
                "INSERT has more expressions than target columns",
            )
            .sqlstate("42601"));
        }
        let cell_spans = cell_spans(sql, tokens, *span, cells.len());
        let mut row = Row {
            span: *span,
            keys: Vec::new(),
            replaced: Vec::new(),
        };
        for (i, cell) in cells.iter().enumerate() {
            // A now() in a column that isn't a key is spliced like any other, if nodes must agree.
            let filled = match cell {
                Expr::Column(n) if n.parts.len() == 1 && n.last() == "default" => fill_of(&columns[i])?,
                _ => now_fill(cell, &columns[i], table),
            };
            if let Some(filled) = filled {
                let spans = cell_spans.as_ref().ok_or_else(|| {
                    Fault::new(
                        Code::UNSUPPORTED_STATEMENT,
                        "the values of this INSERT could not be located",
                    )
                })?;
                row.replaced.push(Replaced { at: spans[i], filled });
            }
        }
        for key in &keys {
            row.keys.push(key_source(
                key,
                cells,
                &columns,
                &row,
                cell_spans.as_deref(),
                &added,
                table,
            )?);
        }
        out.push(row);
    }
    let written = !insert.columns.is_empty();
    let modifier = |k: &str| Some(info?.column(k)?.type_modifier);
    let modifiers = keys.iter().map(|k| modifier(k)).collect();
    let missing = !added.is_empty() && !written;
    Ok(Rows {
        rows: out,
        key_types,
        added,
        list_at: list_end,
        list_prefix: if missing {
            format!(
                " ({}",
                columns.iter().map(|c| quote(c)).collect::<Vec<_>>().join(", ")
            )
        } else {
            String::new()
        },
        list_suffix: if missing { ")" } else { "" },
        modifiers,
    })
}

/// A serial or identity column counts on each node by itself: two nodes would give one number twice.
pub fn refuse_sequences(table: &TableRef, columns: &[Box<str>], values: &[Vec<Expr>]) -> Result<(), Fault> {
    let several = matches!(&table.home, Home::Sharded(s) if s.place.len() > 1);
    let Some(info) = table.info.as_ref().filter(|_| several) else {
        return Ok(());
    };
    for column in &info.columns {
        let counts = matches!(&column.default, ColumnDefault::Volatile(text) if text.starts_with("nextval") || &**text == "identity");
        let generated = table
            .rule
            .iter()
            .flat_map(|r| &r.generate)
            .any(|g| g.column == column.name);
        if !counts || generated {
            continue;
        }
        let default =
            |cell: &Expr| matches!(cell, Expr::Column(n) if n.parts.len() == 1 && n.last() == "default");
        let given = columns.iter().position(|c| *c == column.name);
        if given.is_none_or(|i| values.iter().any(|row| row.get(i).is_none_or(default))) {
            return Err(Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                format!(
                    "the default of {}.{} counts on each node by itself",
                    table.name, column.name
                ),
            )
            .hint(format!(
                "Give the column's value, or let Margay make it: generate: {{{}: snowflake}}.",
                column.name
            )));
        }
    }
    Ok(())
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns that a statement without a list means. None: they aren't known.
pub fn column_names_of(table: &TableRef) -> Option<Vec<Box<str>>> {
    let columns = &table.info.as_ref()?.columns;
    let given = columns.iter().filter(|c| c.default != ColumnDefault::Generated);
    Some(given.map(|c| c.name.clone()).collect())
}

pub fn column_names(insert: &Insert, info: Option<&TableInfo>) -> Option<Vec<Box<str>>> {
    if insert.columns.is_empty() {
        return Some(info?.columns.iter().map(|c| c.name.clone()).collect());
    }
    Some(
        insert
            .columns
            .iter()
            .filter_map(|c| c.parts.first().cloned())
            .collect(),
    )
}

pub fn key_columns(table: &TableRef) -> Result<(Vec<Box<str>>, Vec<KeyType>), Fault> {
    let Home::Sharded(sharding) = &table.home else {
        return Ok((Vec::new(), Vec::new()));
    };
    let mut types = Vec::new();
    for key in &sharding.key {
        let (ty, _) = key_type(table, &key.column, key.ty);
        types.push(ty.ok_or_else(|| {
            Fault::new(
                Code::KEY_TYPE_UNKNOWN,
                format!(
                    "the type of {}.{} isn't known or can't be a sharding key",
                    table.name, key.column
                ),
            )
            .hint("Create the table first, or give the type in the rules: key: {column: …, type: bigint}.")
        })?);
    }
    Ok((sharding.key.iter().map(|k| k.column.clone()).collect(), types))
}

/// Columns that may need a fill when an INSERT leaves them out.
pub fn wanted_columns(table: &TableRef, info: Option<&TableInfo>, broadcast: bool) -> Vec<Box<str>> {
    let mut out: Vec<Box<str>> = table
        .rule
        .iter()
        .flat_map(|r| r.generate.iter().map(|g| g.column.clone()))
        .collect();
    if let Home::Sharded(s) = &table.home {
        out.extend(s.key.iter().map(|k| k.column.clone()));
    }
    let all = info.iter().flat_map(|i| &i.columns);
    let wanted = all.filter(|c| broadcast || matches!(c.default, ColumnDefault::OfSession(_)));
    out.extend(wanted.map(|c| c.name.clone()));
    let mut seen: Vec<Box<str>> = Vec::new();
    out.retain(|c| {
        let new = !seen.contains(c);
        seen.push(c.clone());
        new
    });
    out
}

/// What Margay puts into a column that is left out or DEFAULT. None: the server's default is right.
pub fn fill(
    table: &TableRef,
    info: Option<&TableInfo>,
    column: &str,
    broadcast: bool,
    together: bool,
) -> Result<Option<Filled>, Fault> {
    let generator = table
        .rule
        .iter()
        .flat_map(|r| &r.generate)
        .find(|g| &*g.column == column);
    if let Some(g) = generator {
        return Ok(match g.generator {
            Generator::Snowflake => Some(Filled {
                fill: Fill::NextId,
                always: true,
            }),
        });
    }
    let column_info = info.and_then(|i| i.column(column));
    let is_key = matches!(&table.home, Home::Sharded(s) if s.key.iter().any(|k| &*k.column == column));
    match column_info.map(|c| (&c.default, c.key_type())) {
        Some((ColumnDefault::OfSession(text), Some(ty))) if is_key => {
            Ok((ty.is_time() && is_plain_now(text)).then_some(Filled {
                fill: Fill::Now(ty),
                always: true,
            }))
        }
        Some((ColumnDefault::OfSession(text), _)) => Ok(Some(Filled {
            fill: Fill::Default(text.clone()),
            always: broadcast || together,
        })),
        Some((ColumnDefault::Volatile(_), _)) if broadcast => Err(Fault::new(
            Code::BROADCAST_DIVERGES,
            format!(
                "the default of {}.{column} would give each node's copy another value",
                table.name
            ),
        )
        .hint(
            "Give the column's value in the INSERT, or let Margay make it: generate: {column: snowflake}.",
        )),
        _ => Ok(None),
    }
}

/// `now()` and kin as a key's whole value.
fn now_fill(cell: &Expr, column: &str, table: &TableRef) -> Option<Filled> {
    let Expr::Call(call) = cell else { return None };
    let Home::Sharded(sharding) = &table.home else {
        return None;
    };
    let key = sharding.key.iter().find(|k| &*k.column == column)?;
    let now = matches!(
        call.name.last(),
        "now" | "transaction_timestamp" | "current_timestamp"
    );
    if !call.args.is_empty() || !now {
        return None;
    }
    let (ty, _) = key_type(table, column, key.ty);
    ty.filter(|t| t.is_time()).map(|ty| Filled {
        fill: Fill::Now(ty),
        always: true,
    })
}

#[allow(clippy::too_many_arguments)]
fn key_source(
    key: &str,
    cells: &[Expr],
    columns: &[Box<str>],
    row: &Row,
    spans: Option<&[Span]>,
    added: &[(Box<str>, Filled)],
    table: &TableRef,
) -> Result<KeySource, Fault> {
    let is_id = |filled: &Filled| filled.fill == Fill::NextId;
    // A row's ids go to its replaced cells first, then to the columns that are added.
    let of_fill = |filled: &Filled, before: usize| match filled.fill {
        Fill::NextId => KeySource::NextId(before),
        Fill::Now(_) | Fill::Default(_) => KeySource::Now,
    };
    if let Some(i) = columns.iter().position(|c| &**c == key)
        && let Some(cell) = cells.get(i)
    {
        if let Some(spans) = spans
            && let Some(at) = row.replaced.iter().position(|r| r.at == spans[i])
        {
            return Ok(of_fill(
                &row.replaced[at].filled,
                row.replaced[..at].iter().filter(|r| is_id(&r.filled)).count(),
            ));
        }
        if is_constant(cell) {
            return Ok(KeySource::Cell(cell.clone()));
        }
        return Err(Fault::new(
            Code::KEY_MISSING,
            format!(
                "the value of the sharding key {}.{key} isn't a constant",
                table.name
            ),
        )
        .hint("Write a literal or a parameter."));
    }
    if let Some(at) = added.iter().position(|(c, _)| &**c == key) {
        let replaced = row.replaced.iter().filter(|r| is_id(&r.filled)).count();
        return Ok(of_fill(
            &added[at].1,
            replaced + added[..at].iter().filter(|a| is_id(&a.1)).count(),
        ));
    }
    Err(Fault::new(
        Code::KEY_MISSING,
        format!(
            "INSERT INTO {} gives no value for its sharding key {key}",
            table.name
        ),
    )
    .hint(format!("Name the column {key} in the INSERT.")))
}

/// The row tuples behind VALUES, and where the column list ends (before its closing parenthesis, or
/// behind the table's name or alias if there is none).
fn row_spans(sql: &str, tokens: &[Token], count: usize) -> Option<(Vec<Span>, u32)> {
    let mut depth = 0;
    let mut values = None;
    let mut into = None;
    for (i, t) in tokens.iter().enumerate() {
        if t.is_punct(sql, '(') {
            depth += 1;
        } else if t.is_punct(sql, ')') {
            depth -= 1;
        } else if depth == 0 && into.is_none() && t.is_word(sql, "into") {
            into = Some(i);
        } else if depth == 0 && into.is_some() && t.is_word(sql, "values") {
            values = Some(i);
            break;
        }
    }
    let values = values?;
    let before = tokens.get(values.checked_sub(1)?)?;
    let list_end = if before.is_punct(sql, ')') {
        before.start
    } else {
        before.end
    };
    let mut spans = Vec::new();
    let mut start = None;
    for t in &tokens[values + 1..] {
        if t.is_punct(sql, '(') {
            if depth == 0 {
                start = Some(t.start);
            }
            depth += 1;
        } else if t.is_punct(sql, ')') {
            depth -= 1;
            if depth == 0 {
                spans.push(Span {
                    start: start?,
                    end: t.end,
                });
                if spans.len() == count {
                    return Some((spans, list_end));
                }
            }
        }
    }
    None
}

/// The cells of a row tuple.
fn cell_spans(sql: &str, tokens: &[Token], row: Span, count: usize) -> Option<Vec<Span>> {
    let from = tokens.partition_point(|t| t.start <= row.start);
    let inner = tokens[from..].iter().take_while(|t| t.end < row.end);
    let mut out = Vec::new();
    let mut depth = 0;
    let mut first: Option<u32> = None;
    let mut last = 0;
    for t in inner {
        if depth == 0 && t.is_punct(sql, ',') {
            out.push(Span {
                start: first?,
                end: last,
            });
            first = None;
            continue;
        }
        if t.is_punct(sql, '(') || t.is_punct(sql, '[') {
            depth += 1;
        } else if t.is_punct(sql, ')') || t.is_punct(sql, ']') {
            depth -= 1;
        }
        first.get_or_insert(t.start);
        last = t.end;
    }
    out.push(Span {
        start: first?,
        end: last,
    });
    (out.len() == count).then_some(out)
}

//! COPY: its statement in both syntaxes, and which nodes its rows come from or go to.
//!
//! What is on several nodes is copied out as the concatenation of their streams, and copied in row by
//! row, each to the node of its key (`rows` says which). `read` reads the statement. A form whose meaning over several nodes
//! isn't certain is refused; the safe direction is to refuse.

mod binary;
mod read;
mod rows;

use std::sync::Arc;

use crate::model::{Code, Fault, KeyType, NodeId};
use crate::topology::placement::physical_name;
use crate::topology::{Layout, Sharding, Table};

use super::analyze::locate;
use super::compile::{Compiled, Compiler, Route};
use super::ddl::{shards_at_start, unsupported};
use super::fixed::is_plain_now;
use super::insert::{Fill, column_names_of, fill, key_columns, refuse_sequences, wanted_columns};
use super::reader::Reader;
use super::scope::{Home, TableRef};
use read::{Options, Statement, read};
pub use rows::{CopyField, CopyKey, CopyRows, CopyTarget};

use super::types::{Merge, ReadHint, Role, RowMerge};

/// How the bytes of a COPY are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

/// COPY … TO STDOUT of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOut {
    pub format: CopyFormat,
    /// Each part's stream begins with a line of column names.
    pub header: bool,
}

/// COPY … FROM STDIN whose rows are looked at.
#[derive(Clone, Debug)]
pub struct CopyIn {
    pub rows: Arc<CopyRows>,
    /// What is appended to each row.
    pub filled: Vec<CopyFill>,
}

impl PartialEq for CopyIn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rows, &other.rows) && self.filled == other.filled
    }
}

/// A value that Margay appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFill {
    NextId,
    /// The same for all rows: in text, and in binary format.
    Value {
        text: Box<str>,
        binary: Box<[u8]>,
    },
}

impl Compiler<'_> {
    /// COPY. None: it is for the one server that serves the database, as it is.
    pub(super) fn copy(&self) -> Result<Option<Compiled>, Fault> {
        let several = self.view.database.nodes().len() > 1;
        let statement = match read(&mut Reader::new(self.sql, self.tokens)) {
            Some(statement) => statement,
            None if several => return Err(unsupported("this form of COPY")),
            None => return Ok(None),
        };
        if several && !statement.std {
            return Err(unsupported("COPY from or to a file or program of the server")
                .hint("Use COPY … FROM STDIN or TO STDOUT; psql's \\copy does."));
        }
        match &statement.table {
            _ if !statement.std => Ok(None),
            None if !statement.out => Ok(None),
            None if several => self.copy_query(&statement).map(Some),
            None => Ok(None),
            Some((name, columns)) => {
                let located = locate(name, self.view);
                let table = TableRef {
                    entity: 0,
                    name: located.name,
                    home: located.home,
                    rule: located.rule,
                    info: located.info,
                    span: name.span,
                    has_alias: false,
                    in_expression: false,
                };
                self.refuse_oids_of(&statement, &table, columns.as_deref())?;
                if statement.out {
                    self.copy_out(&statement, &table, columns.as_deref(), several)
                } else {
                    self.copy_in(&statement, &table, columns.as_deref(), several)
                }
            }
        }
    }

    /// It goes where its query goes, if no merge but concatenation is needed.
    fn copy_query(&self, statement: &Statement) -> Result<Compiled, Fault> {
        let (start, end) = (statement.query.start as usize, statement.query.end as usize);
        let body = format!(
            "{}{}{}",
            " ".repeat(start),
            self.sql.get(start..end).unwrap_or_default(),
            " ".repeat(self.sql.len() - end)
        );
        self.refuse_oids_in(statement, &body)?;
        let mut compiled = self.query(&body)?;
        compiled.copy_out = Some(statement.options.out());
        match &mut compiled.route {
            Route::Tables(t) => {
                if let Ok(s) = &t.scatter
                    && (s.scatter.merge != RowMerge::default()
                        || s.scatter.limit.is_some()
                        || s.scatter.offset.is_some())
                {
                    t.scatter = Err(unsupported(
                        "COPY of a query whose rows must be merged (ORDER BY, LIMIT, DISTINCT, aggregates)",
                    )
                    .hint("Run the query itself, or COPY it without these."));
                }
            }
            Route::Same { .. } | Route::Insert(_) => {
                compiled.route = Route::Refused(unsupported("COPY of a write that is split by node"));
            }
            Route::Fixed(_) | Route::Catalogs { .. } | Route::Parts(_) | Route::Refused(_) => {}
        }
        Ok(compiled)
    }

    fn copy_out(
        &self,
        statement: &Statement,
        table: &TableRef,
        columns: Option<&[Box<str>]>,
        several: bool,
    ) -> Result<Option<Compiled>, Fault> {
        let anywhere = self.view.database.anywhere;
        let route = match &table.home {
            Home::Node(node) if !several => return Ok(Some(self.passed_out(Route::Fixed(*node)))),
            Home::Node(node) => Route::Fixed(*node),
            Home::System => Route::Fixed(self.view.database.catalogs()),
            Home::Everywhere(nodes) if nodes.contains(&anywhere) => Route::Fixed(anywhere),
            Home::Everywhere(nodes) => Route::Fixed(nodes.first().copied().unwrap_or(anywhere)),
            Home::Sharded(sharding) => match sharding.layout {
                Layout::PerNode => Route::Same {
                    nodes: sharding.nodes.clone(),
                },
                Layout::Partitioned => {
                    let text = self.copied_as_query(statement, table, columns)?;
                    Route::Parts(sharding.nodes.iter().map(|n| (*n, text.clone())).collect())
                }
                Layout::Separate => Route::Parts(self.copied_by_shard(table, sharding)?),
            },
        };
        let mut compiled = self.passed_out(route);
        compiled.copy_out = Some(statement.options.out());
        Ok(Some(compiled))
    }

    fn passed_out(&self, route: Route) -> Compiled {
        let mut compiled = self.finish(route);
        compiled.writes = false;
        compiled.role = if self.hints.read.or(self.view.read_hint) == Some(ReadHint::Primary) {
            Role::Primary
        } else {
            Role::Any
        };
        compiled
    }

    /// The server doesn't copy a partitioned table, but its query.
    fn copied_as_query(
        &self,
        statement: &Statement,
        table: &TableRef,
        columns: Option<&[Box<str>]>,
    ) -> Result<String, Fault> {
        let columns = self.copied_columns(table, columns)?;
        let columns: Vec<String> = columns.iter().map(|c| quote(c)).collect();
        let end = match &statement.table {
            Some((_, Some(_))) => statement.list_end + 1,
            Some((_, None)) | None => statement.list_end,
        };
        let name = self.text(table.span.start, table.span.end);
        Ok(format!(
            "COPY (SELECT {} FROM {name}) {}",
            columns.join(", "),
            self.text(end, self.sql.len() as u32).trim_start()
        ))
    }

    fn copied_columns(&self, table: &TableRef, columns: Option<&[Box<str>]>) -> Result<Vec<Box<str>>, Fault> {
        let listed = columns.map(<[_]>::to_vec).or_else(|| column_names_of(table));
        listed.ok_or_else(|| {
            Fault::new(
                Code::KEY_TYPE_UNKNOWN,
                format!("the columns of {} aren't known", table.name),
            )
            .hint(format!("Name them: COPY {} (column, …).", table.name))
        })
    }

    fn copied_by_shard(&self, table: &TableRef, sharding: &Sharding) -> Result<Vec<(NodeId, String)>, Fault> {
        let rule = table
            .rule
            .as_ref()
            .ok_or_else(|| Fault::internal("a sharded table without a rule"))?;
        let copied = |shard| (sharding.node_of(shard), self.renamed(table, rule, shard));
        Ok(shards_at_start(sharding, self.view.now_us)
            .into_iter()
            .map(copied)
            .collect())
    }

    fn renamed(&self, table: &TableRef, rule: &Table, shard: crate::model::ShardId) -> String {
        format!(
            "{}{}.{}{}",
            self.text(0, table.span.start),
            quote(&table.name.schema),
            quote(&physical_name(rule, shard)),
            self.text(table.span.end, self.sql.len() as u32)
        )
    }

    fn text(&self, start: u32, end: u32) -> &str {
        self.sql.get(start as usize..end as usize).unwrap_or_default()
    }

    fn copy_in(
        &self,
        statement: &Statement,
        table: &TableRef,
        listed: Option<&[Box<str>]>,
        several: bool,
    ) -> Result<Option<Compiled>, Fault> {
        let generates = table.rule.as_ref().is_some_and(|r| !r.generate.is_empty());
        let (nodes, target) = match &table.home {
            Home::Node(_) | Home::System if !several && !generates => return Ok(None),
            Home::Node(node) if !generates => return Ok(Some(self.finish(Route::Fixed(*node)))),
            Home::Node(node) => (vec![*node], CopyTarget::All),
            Home::System => return Ok(Some(self.finish(Route::Fixed(self.view.database.anywhere)))),
            Home::Everywhere(nodes) => (nodes.clone(), CopyTarget::All),
            Home::Sharded(sharding) => {
                if sharding.layout == Layout::Separate {
                    return Err(Fault::new(
                        Code::UNSUPPORTED_STATEMENT,
                        format!(
                            "COPY into {}, whose shards are separate tables, isn't supported",
                            table.name
                        ),
                    )
                    .hint("Use INSERT with several rows of VALUES."));
                }
                let target = CopyTarget::ByKey {
                    sharding: Arc::clone(sharding),
                    nodes: sharding.nodes.clone(),
                };
                (sharding.nodes.clone(), target)
            }
        };
        let options = &statement.options;
        if options.filters && nodes.len() > 1 {
            return Err(unsupported("COPY … FROM … WHERE into several nodes")
                .hint("Filter the rows before, or delete them afterwards."));
        }
        let columns = self.copied_columns(table, listed)?;
        let (rows, added) = self.rows_in(options, table, &columns, target)?;
        let text = self.copied_in(statement, table, listed, &columns, &added);
        let mut compiled = self.finish(Route::Parts(
            nodes.into_iter().map(|n| (n, text.clone())).collect(),
        ));
        compiled.copy_in = Some(Arc::new(rows));
        Ok(Some(compiled))
    }

    /// How rows are read, and the columns that Margay fills.
    fn rows_in(
        &self,
        options: &Options,
        table: &TableRef,
        columns: &[Box<str>],
        target: CopyTarget,
    ) -> Result<(CopyRows, Vec<Box<str>>), Fault> {
        let info = table.info.as_deref();
        let broadcast = matches!(&table.home, Home::Everywhere(nodes) if nodes.len() > 1);
        let together = matches!(&table.home, Home::Sharded(s) if s.nodes.len() > 1);
        refuse_sequences(table, columns, &[])?;
        let (mut added, mut fills) = (Vec::new(), Vec::new());
        for column in wanted_columns(table, info, broadcast) {
            if columns.contains(&column) {
                continue;
            }
            let Some(filled) = fill(table, info, &column, broadcast, together)? else {
                continue;
            };
            let ty = info.and_then(|i| i.column(&column)).and_then(|c| c.key_type());
            fills.push(match (filled.fill, ty) {
                // The server's own default is right where there is one server.
                (Fill::Default(_), _) if !filled.always => continue,
                (Fill::Default(text), Some(ty)) if ty.is_time() && is_plain_now(&text) => Fill::Now(ty),
                (Fill::Default(_), _) => {
                    return Err(unsupported(&format!(
                        "COPY that leaves out {}.{column}, whose default is computed,",
                        table.name
                    ))
                    .hint("Name the column in the COPY, and give its values."));
                }
                (fill, _) => fill,
            });
            added.push(column);
        }
        let format = options.format.unwrap_or(CopyFormat::Text);
        let one = |given: &Option<String>, default: u8| match given.as_deref().map(str::as_bytes) {
            None => Some(default),
            Some([byte]) => Some(*byte),
            Some(_) => None,
        };
        let csv = format == CopyFormat::Csv;
        let quote = one(&options.quote, b'"');
        let read = || {
            let delimiter = one(&options.delimiter, if csv { b',' } else { b'\t' })?;
            let quote = quote?;
            Some((delimiter, quote, one(&options.escape, quote)?))
        };
        // PostgreSQL refuses it too, and says why: one of the parts may.
        let (delimiter, quote, escape) =
            read().ok_or_else(|| unsupported("a COPY delimiter, quote or escape of several bytes"))?;
        let null = options
            .null
            .clone()
            .unwrap_or_else(|| if csv { String::new() } else { "\\N".into() });
        let looks_like_a_value = |c: char| c.is_ascii_digit() || "+-:. ".contains(c);
        if !fills.is_empty() && !csv && !null.is_empty() && null.chars().all(looks_like_a_value) {
            return Err(unsupported("a NULL marker that a generated value may equal"));
        }
        let (names, types) = key_columns(table)?;
        let mut keys = Vec::new();
        for (name, ty) in names.into_iter().zip(types) {
            let place = columns.iter().position(|c| *c == name);
            let filled = || Some(columns.len() + added.iter().position(|c| *c == name)?);
            let field = place.or_else(filled).ok_or_else(|| {
                Fault::new(
                    Code::KEY_MISSING,
                    format!("COPY {} gives no value for its sharding key {name}", table.name),
                )
                .hint(format!(
                    "Name the column {name} in the COPY, and give its values."
                ))
            })?;
            let varchar = info
                .and_then(|i| i.column(&name))
                .is_none_or(|c| c.type_name.starts_with("character varying"));
            keys.push(CopyKey {
                ty,
                field,
                force_null: options.force_null.holds(&name),
                force_not_null: options.force_not_null.holds(&name),
                cut_blanks: ty == KeyType::Text && varchar,
                name,
            });
        }
        let rows = CopyRows {
            table: table.name.clone(),
            format,
            header: options.header,
            delimiter,
            null: null.into_bytes().into(),
            quote,
            escape,
            encoding: options.encoding.clone(),
            columns: columns.len(),
            keys,
            fills,
            target,
            time_zone: self.view.time_zone.clone(),
        };
        Ok((rows, added))
    }

    /// The statement with the filled columns in its list, and without FREEZE on a partitioned table,
    /// which the server can't do there.
    fn copied_in(
        &self,
        statement: &Statement,
        table: &TableRef,
        listed: Option<&[Box<str>]>,
        columns: &[Box<str>],
        added: &[Box<str>],
    ) -> String {
        let mut text = self.sql.to_owned();
        let partitioned = matches!(&table.home, Home::Sharded(s) if s.layout == Layout::Partitioned);
        if let (true, Some((at, takes_value))) = (partitioned, statement.options.freeze) {
            let with = if takes_value { "freeze off" } else { "" };
            text.replace_range(at.start as usize..at.end as usize, with);
        }
        if !added.is_empty() {
            let names = |list: &[Box<str>]| list.iter().map(|c| quote(c)).collect::<Vec<_>>().join(", ");
            let list = match listed {
                Some(_) => format!(", {}", names(added)),
                None => format!(" ({}, {})", names(columns), names(added)),
            };
            text.insert_str(statement.list_end as usize, &list);
        }
        text
    }
}

/// What COPY OUT of a plan needs, once its parts are known.
pub(super) fn merged_out(merge: &Merge, parts: usize, out: CopyOut) -> Result<Merge, Fault> {
    match merge {
        Merge::Relay => Ok(Merge::Relay),
        Merge::Rows(rule) if *rule == RowMerge::default() => Ok(if parts == 1 {
            Merge::Relay
        } else {
            Merge::CopyOut(out)
        }),
        Merge::Same => Ok(Merge::CopyOut(out)),
        Merge::Rows(_) | Merge::Sum | Merge::CopyOut(_) | Merge::CopyIn(_) => {
            Err(unsupported("COPY of a statement whose rows must be merged"))
        }
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

//! The planner with its cache of compiled shapes.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use quick_cache::sync::Cache;

use crate::model::{ClientText, Code, Fault, NodeId};
use crate::topology::{Database, Layout};

use super::bind::Binder;
use super::command::Command;
use super::compile::{Compiled, Compiler, Route};
use super::hints;
use super::lex;
use super::prepared;
use super::reader::Reader;
use super::shape::{Slot, shape};
use super::stack;
use super::types::{LogicalNames, Moment, Params, Planned, SessionView, Text};
use super::utility;

/// Shapes kept. A shape with its plan is a few kilobytes.
const CACHED_SHAPES: usize = 10_000;

/// Compiled variants of one shape, which differ in the values of pinned literals (ORDER BY 1, 2 …).
const MAX_VARIANTS: usize = 16;

/// Longer texts are planned anew each time: bulk INSERTs would push everything else out.
const MAX_CACHED_BYTES: usize = 16 * 1024;

/// One compiled statement with the pinned literals it holds for.
#[derive(Clone, Debug)]
struct Variant {
    /// The rules and catalog it was compiled for. While it is held, their address can't become another's,
    /// so that the fingerprint, which has the address in it, means what it meant.
    database: Weak<Database>,
    pinned: Vec<(usize, Box<str>)>,
    command: Command,
}

type Key = (u64, Box<str>);

/// The planner. Shared by all sessions.
#[derive(Debug)]
pub struct Planner {
    cache: Cache<Key, Arc<Vec<Variant>>>,
}

impl Default for Planner {
    fn default() -> Self {
        Self {
            cache: Cache::new(CACHED_SHAPES),
        }
    }
}

/// A statement read for one session view: its command and its own literals.
#[derive(Clone, Debug)]
pub struct Statement {
    pub command: Command,
    /// The text, as the client sent it, without the terminating semicolon.
    pub text: Arc<str>,
    slots: Vec<Slot>,
}

/// Where to ask for the parameter types and row description of a statement, and with which text.
#[derive(Clone, Debug)]
pub struct Describe {
    pub node: NodeId,
    pub text: Text,
}

#[derive(Hash, PartialEq, Eq)]
struct KeyRef<'a>(u64, &'a str);

impl quick_cache::Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

fn literal<'a>(sql: &'a str, slot: &Slot) -> &'a str {
    sql.get(slot.span.start as usize..slot.span.end as usize)
        .unwrap_or("")
}

impl Planner {
    /// Reads one statement (without `;`). An error here is what PostgreSQL would report at Parse.
    pub fn read(&self, sql: &str, view: &SessionView) -> Result<Statement, Fault> {
        let shape = shape(sql, view.standard_conforming_strings);
        let cacheable = !shape.unreadable && sql.len() <= MAX_CACHED_BYTES;
        if cacheable && let Some(variants) = self.cache.get(&KeyRef(view.fingerprint, &shape.text)) {
            let hit = variants.iter().find(|v| {
                std::ptr::eq(v.database.as_ptr(), Arc::as_ptr(&view.database))
                    && v.pinned.iter().all(|(slot, value)| {
                        shape
                            .slots
                            .get(*slot)
                            .is_some_and(|s| literal(sql, s) == &**value)
                    })
            });
            if let Some(hit) = hit {
                return Ok(Statement {
                    command: hit.command.clone(),
                    text: sql.into(),
                    slots: shape.slots,
                });
            }
        }
        let tokens = lex::tokens(sql, view.standard_conforming_strings);
        let command = stack::enough(sql, &tokens, || compile(sql, &shape, &tokens, view))??;
        // DDL is rare, and what it makes of time shards depends on the time.
        let cacheable = cacheable && !matches!(&command, Command::Query(c) if c.is_utility);
        if let (true, Command::Query(compiled)) = (cacheable, &command) {
            let pinned = compiled
                .pinned
                .iter()
                .filter_map(|i| Some((*i, literal(sql, shape.slots.get(*i)?).into())))
                .collect();
            self.keep(
                view.fingerprint,
                &shape.text,
                Variant {
                    database: Arc::downgrade(&view.database),
                    pinned,
                    command: command.clone(),
                },
            );
        }
        Ok(Statement {
            command,
            text: sql.into(),
            slots: shape.slots,
        })
    }

    fn keep(&self, fingerprint: u64, shape: &str, variant: Variant) {
        let mut variants = match self.cache.peek(&KeyRef(fingerprint, shape)) {
            Some(before) => before.as_ref().clone(),
            None => Vec::new(),
        };
        if variants.len() >= MAX_VARIANTS {
            variants.remove(0);
        }
        variants.push(variant);
        self.cache.insert((fingerprint, shape.into()), Arc::new(variants));
    }
}

fn compile(
    sql: &str,
    shape: &super::shape::Shape,
    tokens: &[lex::Token],
    view: &SessionView,
) -> Result<Command, Fault> {
    if let Some(command) = utility::read(&mut Reader::new(sql, tokens))? {
        return Ok(command);
    }
    if view.database.nodes().len() > 1
        && let Some(command) = prepared::read(&mut Reader::new(sql, tokens))
    {
        return Ok(command);
    }
    let compiler = Compiler {
        sql,
        shape,
        tokens,
        view,
        hints: hints::read(sql, view.standard_conforming_strings)?,
    };
    compiler.refuse_misplaced()?;
    if let Some(mut compiled) = compiler.utility(view.now_us)? {
        compiled.is_utility = true;
        compiler.refuse_absent(&compiled)?;
        return Ok(Command::Query(compiled.shared()));
    }
    let compiled = compiler.query(sql)?;
    compiler.refuse_absent(&compiled)?;
    Ok(Command::Query(compiled.shared()))
}

impl SessionView {
    /// The view of a session that has set nothing, sealed: for EXPLAIN without a server, tests and benches.
    pub fn fresh(database: Arc<Database>, now_us: i64) -> SessionView {
        let mut view = SessionView {
            database,
            search_path: vec!["public".into()],
            time_zone: Some(jiff::tz::TimeZone::UTC),
            standard_conforming_strings: true,
            text: ClientText::default(),
            read_hint: None,
            key_hint: None,
            read_only: false,
            names: LogicalNames::default(),
            now_us,
            fingerprint: 0,
        };
        view.seal();
        view
    }

    /// Computes the fingerprint; call it after any other field has changed.
    pub fn seal(&mut self) {
        let mut hash = DefaultHasher::new();
        self.database.name.hash(&mut hash);
        // The Arc's address tells one version of the rules or the catalog from the next; the caller
        // keeps the Arc, so the address isn't used again while the view lives.
        (Arc::as_ptr(&self.database) as usize).hash(&mut hash);
        self.database.catalog.epoch.hash(&mut hash);
        self.search_path.hash(&mut hash);
        self.time_zone
            .as_ref()
            .map(jiff::tz::TimeZone::iana_name)
            .hash(&mut hash);
        (self.standard_conforming_strings, self.text).hash(&mut hash);
        self.read_hint.hash(&mut hash);
        self.key_hint.hash(&mut hash);
        self.read_only.hash(&mut hash);
        self.fingerprint = hash.finish();
    }
}

/// As PostgreSQL says it, where the statement's first word is its name.
fn read_only(text: &str) -> Fault {
    let first = lex::tokens(text, true)
        .first()
        .map_or("", |t| t.text(text))
        .to_ascii_uppercase();
    let what = match first.as_str() {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => first.as_str(),
        "TRUNCATE" => "TRUNCATE TABLE",
        "COPY" => "COPY FROM",
        _ => "this statement",
    };
    Fault::new(
        Code::READ_ONLY_TXN,
        format!("cannot execute {what} in a read-only transaction"),
    )
}

impl Statement {
    fn compiled(&self) -> Result<&Compiled, Fault> {
        match &self.command {
            Command::Query(compiled) => Ok(compiled),
            _ => Err(Fault::internal("only a query can be planned")),
        }
    }

    /// For `Command::Query` only.
    pub fn bind(&self, view: &SessionView, params: &Params<'_>, moment: &mut Moment<'_>) -> Planned {
        let compiled = self.compiled()?;
        let literals = self
            .slots
            .iter()
            .map(|s| (s.kind, literal(&self.text, s)))
            .collect();
        let plan = Binder {
            compiled,
            literals,
            view,
            params,
            moment,
            once: Cell::new(false),
        }
        .bind()?;
        // One server says so itself, and after it has read the statement.
        if view.read_only && plan.writes && plan.parts.len() > 1 {
            return Err(read_only(&self.text));
        }
        Ok(plan)
    }

    /// Where the statement can be described. For `Command::Query` only.
    pub fn describe(&self, view: &SessionView) -> Result<Describe, Fault> {
        let compiled = self.compiled()?;
        let original = |node: NodeId| Describe {
            node,
            text: Text::Original,
        };
        Ok(match &compiled.route {
            Route::Refused(fault) => return Err(fault.clone()),
            Route::Fixed(node) => original(*node),
            Route::Same { nodes } => original(nodes.first().copied().unwrap_or(view.database.anywhere)),
            Route::Parts(parts) => match parts.first() {
                Some((node, text)) => Describe {
                    node: *node,
                    text: Text::Spliced(text.as_str().into()),
                },
                None => original(view.database.anywhere),
            },
            Route::Tables(_) | Route::Insert(_) | Route::Catalogs { .. } => {
                let separate = match &compiled.route {
                    Route::Tables(t) => t.tables.iter().any(|t| {
                        t.pruning
                            .as_ref()
                            .is_some_and(|p| p.sharding.layout == Layout::Separate)
                    }),
                    Route::Insert(i) => i
                        .table
                        .pruning
                        .as_ref()
                        .is_some_and(|p| p.sharding.layout == Layout::Separate),
                    Route::Fixed(_)
                    | Route::Catalogs { .. }
                    | Route::Same { .. }
                    | Route::Parts(_)
                    | Route::Refused(_) => false,
                };
                let literals = self
                    .slots
                    .iter()
                    .map(|s| (s.kind, literal(&self.text, s)))
                    .collect();
                let params = Params::default();
                let mut no_ids = || Ok(0);
                let mut moment = Moment {
                    now_us: view.now_us,
                    statement_us: view.now_us,
                    in_transaction: false,
                    next_id: &mut no_ids,
                };
                let binder = Binder {
                    compiled,
                    literals,
                    view,
                    params: &params,
                    moment: &mut moment,
                    once: Cell::new(false),
                };
                binder.describe(separate)?
            }
        })
    }
}

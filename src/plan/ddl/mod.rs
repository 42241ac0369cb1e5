//! DDL and other utility statements on logical tables: on every node that holds the table, and for
//! a sharded table with the partitioning that its rules ask for.

mod about;
mod concurrently;
mod create;
mod functions;
mod guard;
mod keys;
mod only;
mod relations;
mod sequences;
mod views;

use crate::model::{Code, Fault, KeyType, NodeId, ShardId};
use crate::topology::placement::Scheme;
use crate::topology::{Layout, Sharding};

use about::{About, about};

use super::analyze::locate;
use super::compile::{Compiled, Compiler, Route};
use super::query::Name;
use super::reader::Reader;
use super::scope::Home;
use super::splice::{Splice, splice};

pub(super) fn unsupported(what: &str) -> Fault {
    Fault::new(
        Code::UNSUPPORTED_STATEMENT,
        format!("{what} isn't supported on a database of several nodes"),
    )
}

impl Compiler<'_> {
    /// Compiles a statement that isn't a query. None: read it as one.
    pub fn utility(&self, now_us: i64) -> Result<Option<Compiled>, Fault> {
        let mut r = Reader::new(self.sql, self.tokens);
        let first = r.text().to_ascii_lowercase();
        let known = matches!(
            first.as_str(),
            "create"
                | "alter"
                | "drop"
                | "truncate"
                | "vacuum"
                | "analyze"
                | "analyse"
                | "reindex"
                | "cluster"
                | "comment"
                | "grant"
                | "revoke"
                | "lock"
                | "copy"
                | "listen"
                | "unlisten"
                | "notify"
                | "declare"
                | "fetch"
                | "move"
                | "close"
                | "do"
                | "call"
                | "prepare"
                | "execute"
                | "load"
                | "checkpoint"
                | "refresh"
                | "security"
                | "import"
                | "reassign"
                | "merge"
                | "show"
                | "explain"
        );
        if !known {
            return Ok(None);
        }
        if let Some(compiled) = self.utility_of_all(&first, now_us)? {
            return Ok(Some(compiled));
        }
        let single = match self.view.database.nodes().as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        if first == "explain" {
            return self.explain(r).map(Some);
        }
        if first == "create" && r.take("create") && is_create_table(&mut r) {
            return self.create_table(r, now_us).map(Some);
        }
        let mut r = Reader::new(self.sql, self.tokens);
        if single.is_none()
            && let Some(compiled) = self.cursor(&first)?
        {
            return Ok(Some(compiled));
        }
        if first == "copy" {
            self.refuse_shards_named()?;
        }
        if first == "copy"
            && let Some(mut compiled) = self.copy()?
        {
            // What Margay fills is left to no default.
            if compiled.copy_in.as_ref().is_none_or(|rows| rows.fills.is_empty()) {
                self.fix_copy(&mut compiled);
            }
            return Ok(Some(compiled));
        }
        let about = about(&mut r, &first);
        self.refuse_shards(&about)?;
        if let Some(node) = single {
            let sharded =
                matches!(&about, About::Relations(list) if list.iter().any(|n| self.is_separate(n)));
            if !sharded {
                return Ok(Some(self.pass(node, &first)));
            }
        }
        let route = match about {
            About::Query => return Ok(None),
            About::No(what) => return Err(unsupported(&what)),
            About::Anywhere => Route::Fixed(self.view.database.anywhere),
            About::EveryNode => Route::Same {
                nodes: self.view.database.nodes(),
            },
            About::Database => {
                self.guard_schema(&first)?;
                Route::Same {
                    nodes: self.with_shell(self.view.database.nodes()),
                }
            }
            About::View => return self.create_view(r).map(Some),
            About::Function => self.create_function(),
            About::Trigger(table) => {
                self.guard_trigger()?;
                self.on_relations(&[table], &first)?
            }
            About::Sequence => self.create_sequence(),
            About::OwnDatabase(name) => self.on_own_database(&name)?,
            About::Relations(names) => {
                self.check_unique(&names, &first)?;
                match self.index_concurrently(&names, &first)? {
                    Some(route) => route,
                    None => match self.moved_sequence(&names)? {
                        Some(route) => route,
                        None => self.on_relations(&names, &first)?,
                    },
                }
            }
            About::Indexes { names, if_exists } => self.on_indexes(&names, if_exists, &first)?,
        };
        let mut compiled = self.finish(route);
        self.utility_effects(&first, &mut compiled);
        compiled.pins = first == "listen";
        Ok(Some(compiled))
    }

    /// `DROP TABLE IF EXISTS` of what no node has: the servers of the other tables say so. Names that
    /// might be a shard's are none of these.
    fn is_nothing(&self, name: &Name) -> bool {
        let located = locate(name, self.view);
        let database = &self.view.database;
        let like_shard = |table: &str| {
            let rest = located.name.table.strip_prefix(table);
            rest.and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let mut r = Reader::new(self.sql, self.tokens);
        r.take_all(&["drop", "table", "if", "exists"])
            && database.catalog.loaded
            && located.rule.is_none()
            && located.info.is_none()
            && !database.tables.keys().any(|t| like_shard(&t.table))
    }

    /// Shards aren't there for a client: neither is what a statement is about one, nor does it name one.
    fn refuse_shards(&self, about: &About) -> Result<(), Fault> {
        let word = |w: &str| self.tokens.iter().any(|t| t.is_word(self.sql, w));
        match about {
            About::Query => return Ok(()),
            // IF EXISTS would have to succeed: it is refused below.
            About::Relations(names) if !word("exists") => {
                names.iter().try_for_each(|n| self.refuse_shard(n))?;
            }
            About::Trigger(name) => self.refuse_shard(name)?,
            About::Relations(_)
            | About::Indexes { .. }
            | About::View
            | About::Function
            | About::Sequence
            | About::OwnDatabase(_)
            | About::Database
            | About::EveryNode
            | About::Anywhere
            | About::No(_) => {}
        }
        self.refuse_shards_named()
    }

    fn is_separate(&self, name: &Name) -> bool {
        matches!(locate(name, self.view).home, Home::Sharded(s) if s.layout == Layout::Separate)
    }

    /// One node serves the whole database: whatever it is, it goes there.
    fn pass(&self, node: NodeId, first: &str) -> Compiled {
        let mut compiled = self.finish(Route::Fixed(node));
        self.utility_effects(first, &mut compiled);
        if first == "copy" {
            self.fix_copy(&mut compiled);
        }
        let word = |w: &str| self.tokens.iter().any(|t| t.is_word(self.sql, w));
        compiled.pins = match first {
            "prepare" | "listen" | "load" | "execute" => true,
            "declare" => word("hold"),
            "create" => word("temp") || word("temporary"),
            _ => false,
        };
        compiled
    }

    fn utility_effects(&self, first: &str, compiled: &mut Compiled) {
        let word = |w: &str| self.tokens.iter().any(|t| t.is_word(self.sql, w));
        compiled.changes_catalog = matches!(
            first,
            "create"
                | "alter"
                | "drop"
                | "comment"
                | "grant"
                | "revoke"
                | "do"
                | "call"
                | "import"
                | "refresh"
        );
        compiled.outside_txn = match first {
            "vacuum" | "checkpoint" => true,
            // Of a partitioned table it is several transactions.
            "reindex" => true,
            "create" | "drop" => word("concurrently") || word("database") || word("tablespace"),
            _ => false,
        };
        compiled.needs_block = first == "lock";
        compiled.writes = !matches!(
            first,
            "unlisten" | "show" | "fetch" | "move" | "close" | "declare" | "lock"
        );
    }

    /// EXPLAIN goes where its statement goes, if that is one node.
    fn explain(&self, mut r: Reader<'_>) -> Result<Compiled, Fault> {
        r.take("explain");
        let mut runs = false;
        if r.peek().is_some_and(|t| t.is_punct(self.sql, '(')) {
            let mut options = r.clone();
            r.parens();
            while options.at < r.at {
                runs |= options.is("analyze") || options.is("analyse");
                options.at += 1;
            }
        } else {
            loop {
                if r.take("analyze") || r.take("analyse") {
                    runs = true;
                } else if !r.take("verbose") {
                    break;
                }
            }
        }
        let start = r.peek().map_or(self.sql.len(), |t| t.start as usize);
        let body = format!("{}{}", " ".repeat(start), &self.sql[start..]);
        let mut compiled = self.query(&body)?;
        if !runs {
            compiled.writes = false;
        }
        let scatter = |fault: Fault| fault.hint("EXPLAIN ROUTE shows how Margay runs it.");
        match &mut compiled.route {
            Route::Tables(t) => {
                t.scatter = Err(scatter(unsupported(
                    "EXPLAIN of a statement that runs on several nodes",
                )));
            }
            Route::Same { .. } | Route::Insert(_) => {
                compiled.route =
                    Route::Refused(scatter(unsupported("EXPLAIN of a write that is split by node")));
            }
            Route::Fixed(_) | Route::Catalogs { .. } | Route::Parts(_) | Route::Refused(_) => {}
        }
        Ok(compiled)
    }

    /// Tables whose shards are tables of their own: the statement once per shard, names replaced.
    fn on_separate(&self, names: &[Name], shown: &str) -> Result<Route, Fault> {
        let [name] = names else {
            return Err(unsupported("a statement about several tables at once").hint("Write one per table."));
        };
        let located = locate(name, self.view);
        let (Home::Sharded(sharding), Some(rule)) = (&located.home, &located.rule) else {
            return Err(unsupported(shown));
        };
        let index = self.created_index();
        let mut parts: Vec<(NodeId, String)> = self.shell_part().into_iter().collect();
        for shard in shards_at_start(sharding, 0) {
            let mut splices = vec![self.rename(name, rule, shard)];
            splices.extend(self.constraint_names(rule, shard));
            if let Some(index) = &index {
                splices.push(Splice::replace(
                    self.shape.range(index.span),
                    format!("\"{}_{}\"", index.last(), shard.0),
                ));
            }
            parts.push((sharding.node_of(shard), self.splice(splices)));
        }
        Ok(Route::Parts(parts))
    }

    /// DDL goes to the shell too, and there first: its errors speak of logical tables.
    pub(super) fn with_shell(&self, nodes: Vec<NodeId>) -> Vec<NodeId> {
        let mut all: Vec<NodeId> = self.view.database.shell.into_iter().collect();
        all.extend(nodes);
        all
    }

    /// The user's own text for the shell.
    pub(super) fn shell_part(&self) -> Option<(NodeId, String)> {
        Some((self.view.database.shell?, self.sql.to_owned()))
    }

    /// The name in `CREATE INDEX name ON …`.
    fn created_index(&self) -> Option<Name> {
        let mut r = Reader::new(self.sql, self.tokens);
        if !r.take("create") {
            return None;
        }
        r.take("unique");
        if !r.take("index") {
            return None;
        }
        r.take("concurrently");
        r.take_all(&["if", "not", "exists"]);
        if r.is("on") { None } else { r.name() }
    }

    pub(super) fn splice(&self, splices: Vec<Splice>) -> String {
        let literals: Vec<_> = self
            .shape
            .slots
            .iter()
            .map(|s| {
                (
                    s.kind,
                    self.sql
                        .get(s.span.start as usize..s.span.end as usize)
                        .unwrap_or(""),
                )
            })
            .collect();
        splice(&self.shape.text, &self.shape.slots, &literals, splices)
    }
}

/// The type written behind a column's name in a column list.
fn declared_type(sql: &str, mut r: Reader<'_>, column: &str) -> Option<KeyType> {
    r.take_punct('(');
    let mut depth = 0;
    let mut first = true;
    while let Some(t) = r.peek() {
        if first && r.clone().ident().as_deref() == Some(column) {
            r.at += 1;
            let mut words = Vec::new();
            while let Some(t) = r.peek() {
                let word = t.text(sql).to_ascii_lowercase();
                if t.is_punct(sql, ',') || t.is_punct(sql, ')') {
                    break;
                }
                words.push(word);
                r.at += 1;
                if t.is_punct(sql, '(') {
                    while r.peek().is_some_and(|t| !t.is_punct(sql, ')')) {
                        r.at += 1;
                    }
                    r.at += 1;
                    words.pop();
                }
            }
            // The longest run of words that is a type.
            return (1..=words.len().min(4))
                .rev()
                .find_map(|n| KeyType::from_sql(&words[..n].join(" ")));
        }
        first = false;
        if t.is_punct(sql, '(') {
            depth += 1;
        } else if t.is_punct(sql, ')') {
            depth -= 1;
        } else if depth == 0 && t.is_punct(sql, ',') {
            first = true;
        }
        r.at += 1;
    }
    None
}

/// The shards that exist from the beginning; of time shards those from the first period to `ahead`
/// of now.
pub(super) fn shards_at_start(sharding: &Sharding, now_us: i64) -> Vec<ShardId> {
    match &sharding.scheme {
        Scheme::Time(time) => time.wanted(now_us).map(ShardId).collect(),
        Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => {
            (0..sharding.place.len() as i32).map(ShardId).collect()
        }
    }
}

fn is_create_table(r: &mut Reader<'_>) -> bool {
    let _ = r.take("global") || r.take("local");
    let _ = r.take("temp") || r.take("temporary") || r.take("unlogged");
    r.take("table")
}

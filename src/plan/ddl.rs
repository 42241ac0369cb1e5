//! DDL and other utility statements on logical tables: on every node that holds the table, and for
//! a sharded table with the partitioning that its rules ask for.

use crate::model::{Code, Fault, KeyType, NodeId, ShardId};
use crate::topology::placement::{Scheme, partition_by, physical_name, shard_bounds};
use crate::topology::{Layout, Sharding, Table};

use super::analyze::locate;
use super::compile::{Compiled, Compiler, Route};
use super::query::{Name, Span};
use super::reader::Reader;
use super::scope::Home;
use super::splice::{Splice, splice};

fn unsupported(what: &str) -> Fault {
    Fault::new(Code::UNSUPPORTED_STATEMENT, format!("{what} isn't supported on a database of several nodes"))
}

/// What a utility statement is about.
enum About {
    Tables(Vec<Name>),
    /// The whole database: every node.
    Database,
    /// One server may say it for all.
    Shell,
    /// Can't be done over several nodes.
    No(String),
    /// Not one of ours: it is read as a query.
    Query,
}

impl Compiler<'_> {
    /// Compiles a statement that isn't a query. None: read it as one.
    pub fn utility(&self, now_us: i64) -> Result<Option<Compiled>, Fault> {
        let mut r = Reader::new(self.sql, self.tokens);
        let first = r.text().to_ascii_lowercase();
        let known = matches!(
            first.as_str(),
            "create" | "alter" | "drop" | "truncate" | "vacuum" | "analyze" | "analyse" | "reindex" | "cluster" | "comment"
                | "grant" | "revoke" | "lock" | "copy" | "listen" | "unlisten" | "notify" | "declare" | "fetch" | "move"
                | "close" | "do" | "call" | "prepare" | "execute" | "load" | "checkpoint" | "refresh" | "security" | "import"
                | "reassign" | "merge" | "show" | "explain"
        );
        if !known {
            return Ok(None);
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
        let about = if self.ends_nothing(&first) { About::Shell } else { about(&mut r, &first) };
        if let Some(node) = single {
            let sharded = matches!(&about, About::Tables(list) if list.iter().any(|n| self.is_separate(n)));
            if !sharded {
                return Ok(Some(self.pass(node, &first)));
            }
        }
        let route = match about {
            About::Query => return Ok(None),
            About::No(what) => return Err(unsupported(&what)),
            About::Shell => Route::Fixed(self.view.database.shell),
            About::Database => Route::Same { nodes: self.view.database.nodes(), now: Vec::new() },
            About::Tables(names) => self.on_tables(&names, &first)?,
        };
        let mut compiled = self.finish(route);
        self.utility_effects(&first, &mut compiled);
        Ok(Some(compiled))
    }

    /// Ends what can't have begun over several nodes, where LISTEN and cursors are refused. Drivers
    /// send it before a connection goes to its next user.
    fn ends_nothing(&self, first: &str) -> bool {
        let second = |word: &str| self.tokens.get(1).is_some_and(|t| t.is_word(self.sql, word));
        match first {
            "unlisten" => true,
            "close" => second("all"),
            _ => false,
        }
    }

    fn is_separate(&self, name: &Name) -> bool {
        matches!(locate(name, self.view).home, Home::Sharded(s) if s.layout == Layout::Separate)
    }

    /// One node serves the whole database: whatever it is, it goes there.
    fn pass(&self, node: NodeId, first: &str) -> Compiled {
        let mut compiled = self.finish(Route::Fixed(node));
        self.utility_effects(first, &mut compiled);
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
        compiled.changes_catalog =
            matches!(first, "create" | "alter" | "drop" | "comment" | "do" | "call" | "import" | "refresh");
        compiled.outside_txn = match first {
            "vacuum" | "checkpoint" => true,
            "create" | "drop" | "reindex" => word("concurrently") || word("database") || word("tablespace"),
            _ => false,
        };
        compiled.writes = !matches!(first, "unlisten" | "show" | "fetch" | "move" | "close" | "declare");
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
                t.scatter = Err(scatter(unsupported("EXPLAIN of a statement that runs on several nodes")));
            }
            Route::Same { .. } | Route::Insert(_) => {
                compiled.route = Route::Refused(scatter(unsupported("EXPLAIN of a write that is split by node")));
            }
            Route::Fixed(_) | Route::Parts(_) | Route::Refused(_) => {}
        }
        Ok(compiled)
    }

    fn on_tables(&self, names: &[Name], first: &str) -> Result<Route, Fault> {
        let mut nodes: Vec<NodeId> = Vec::new();
        let mut separate = None;
        for name in names {
            let located = locate(name, self.view);
            let on = match &located.home {
                Home::Node(n) => vec![*n],
                Home::Everywhere(list) => list.clone(),
                Home::Sharded(s) => {
                    if s.layout == Layout::Separate {
                        separate = Some(located.name.clone());
                    }
                    s.nodes.clone()
                }
                Home::System => vec![self.view.database.shell],
            };
            if first == "copy" && on.len() > 1 {
                return Err(unsupported(&format!("COPY of {}, which is on several nodes,", located.name))
                    .hint("Use INSERT with several rows of VALUES, or SELECT."));
            }
            if !nodes.is_empty() && on != nodes && !matches!(first, "truncate" | "vacuum" | "analyze" | "lock" | "drop") {
                return Err(unsupported("a statement about tables of different nodes").hint("Write one statement per table."));
            }
            if nodes.is_empty() {
                nodes = on;
            } else if on != nodes {
                return Err(unsupported("a statement about tables of different nodes").hint("Write one statement per table."));
            }
        }
        if let Some(name) = separate {
            return self.on_separate(names, &name.to_string());
        }
        if nodes.is_empty() {
            nodes = self.view.database.nodes();
        }
        Ok(Route::Same { nodes, now: Vec::new() })
    }

    /// Tables whose shards are tables of their own: the statement once per shard, names replaced.
    fn on_separate(&self, names: &[Name], shown: &str) -> Result<Route, Fault> {
        let [name] = names else { return Err(unsupported("a statement about several tables at once").hint("Write one per table.")) };
        let located = locate(name, self.view);
        let (Home::Sharded(sharding), Some(rule)) = (&located.home, &located.rule) else {
            return Err(unsupported(shown));
        };
        let index = self.created_index();
        let mut parts = Vec::new();
        for shard in shards_at_start(sharding, 0) {
            let mut splices = vec![self.rename(name, rule, shard)];
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

    fn splice(&self, splices: Vec<Splice>) -> String {
        let literals: Vec<_> = self
            .shape
            .slots
            .iter()
            .map(|s| (s.kind, self.sql.get(s.span.start as usize..s.span.end as usize).unwrap_or("")))
            .collect();
        splice(&self.shape.text, &self.shape.slots, &literals, splices)
    }

    fn rename(&self, name: &Name, rule: &Table, shard: ShardId) -> Splice {
        Splice::replace(
            self.shape.range(name.span),
            format!("\"{}\".\"{}\"", rule.name.schema, physical_name(rule, shard)),
        )
    }

    fn create_table(&self, mut r: Reader<'_>, now_us: i64) -> Result<Compiled, Fault> {
        let if_not_exists = r.take_all(&["if", "not", "exists"]);
        let Some(name) = r.name() else { return Ok(self.finish(Route::Fixed(self.view.database.shell))) };
        let located = locate(&name, self.view);
        let temporary = self.tokens.iter().take_while(|t| t.start < name.span.start).any(|t| {
            t.is_word(self.sql, "temp") || t.is_word(self.sql, "temporary")
        });
        let several = self.view.database.nodes().len() > 1;
        if temporary && several {
            return Err(Fault::new(Code::SESSION_STATE, "temporary tables can't be kept over several nodes")
                .hint("Use an ordinary table, or a WITH query."));
        }
        let mut probe = r.clone();
        probe.parens();
        let as_query = (probe.at..self.tokens.len()).any(|i| self.tokens[i].is_word(self.sql, "as"));
        let route = match &located.home {
            Home::Node(n) if as_query => {
                let homes = self.homes_by_names();
                let here = |h: &Home| match h {
                    Home::Node(m) => m == n,
                    Home::Everywhere(list) => list.contains(n),
                    Home::Sharded(_) => false,
                    Home::System => true,
                };
                if !homes.iter().all(|(_, h)| here(h)) {
                    return Err(unsupported("CREATE TABLE AS over tables of other nodes"));
                }
                Route::Fixed(*n)
            }
            Home::Node(n) => Route::Fixed(*n),
            Home::System => Route::Fixed(self.view.database.shell),
            Home::Everywhere(_) | Home::Sharded(_) if as_query && several => {
                return Err(unsupported("CREATE TABLE AS of a table that is on several nodes")
                    .hint("Create the table first, then insert its rows."));
            }
            Home::Everywhere(nodes) => Route::Same { nodes: nodes.clone(), now: Vec::new() },
            Home::Sharded(s) if s.layout == Layout::PerNode => Route::Same { nodes: s.nodes.clone(), now: Vec::new() },
            Home::Sharded(s) => {
                let Some(rule) = located.rule.as_deref() else { return Err(Fault::internal("a sharded table without rules")) };
                let mut body = r.clone();
                if !body.parens() {
                    return Err(unsupported("CREATE TABLE of a sharded table without a column list"));
                }
                Route::Parts(self.create_parts(&name, rule, s, &r, if_not_exists, now_us)?)
            }
        };
        let mut compiled = self.finish(route);
        compiled.changes_catalog = true;
        compiled.pins = temporary;
        Ok(compiled)
    }

    fn create_parts(
        &self,
        name: &Name,
        rule: &Table,
        sharding: &Sharding,
        columns: &Reader<'_>,
        if_not_exists: bool,
        now_us: i64,
    ) -> Result<Vec<(NodeId, String)>, Fault> {
        let shards = shards_at_start(sharding, now_us);
        let mut parts = Vec::new();
        if sharding.layout == Layout::Separate {
            for shard in shards {
                parts.push((sharding.node_of(shard), self.splice(vec![self.rename(name, rule, shard)])));
            }
            return Ok(parts);
        }
        let types = self.key_types(rule, sharding, columns)?;
        let clause = partition_by(sharding, &types)
            .ok_or_else(|| Fault::new(Code::RULES, format!("{} can't be partitioned by its rules", rule.name)))?;
        let mut end = columns.clone();
        end.parens();
        let close = self.tokens[end.at - 1].end;
        if (end.at..self.tokens.len()).any(|i| self.tokens[i].is_word(self.sql, "partition")) {
            return Err(Fault::new(Code::UNSUPPORTED_STATEMENT, format!("{} is partitioned by Margay's rules", rule.name))
                .hint("Leave PARTITION BY out; the rules say how the table is split."));
        }
        let parent = self.splice(vec![Splice::insert(self.shape.position(close - 1) + 1, format!(" {clause}"))]);
        let exists = if if_not_exists { "IF NOT EXISTS " } else { "" };
        for &node in &sharding.nodes {
            parts.push((node, parent.clone()));
            for shard in shards.iter().filter(|s| sharding.node_of(**s) == node) {
                let Some(bounds) = shard_bounds(sharding, *shard, &types) else { continue };
                parts.push((
                    node,
                    format!(
                        "CREATE TABLE {exists}\"{}\".\"{}\" PARTITION OF \"{}\".\"{}\" {bounds}",
                        rule.name.schema,
                        physical_name(rule, *shard),
                        rule.name.schema,
                        rule.name.table
                    ),
                ));
            }
        }
        Ok(parts)
    }

    /// The key columns' types, as the statement itself declares them.
    fn key_types(&self, rule: &Table, sharding: &Sharding, columns: &Reader<'_>) -> Result<Vec<KeyType>, Fault> {
        sharding
            .key
            .iter()
            .map(|key| {
                let ty = declared_type(self.sql, columns.clone(), &key.column).or(key.ty);
                ty.ok_or_else(|| {
                    Fault::new(
                        Code::KEY_TYPE_UNKNOWN,
                        format!("{} has no column {} of a type that can be a sharding key", rule.name, key.column),
                    )
                    .hint("Its rules name that column as the key: declare it as an integer, text, uuid, date or timestamp.")
                })
            })
            .collect()
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
            return (1..=words.len().min(4)).rev().find_map(|n| KeyType::from_sql(&words[..n].join(" ")));
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
fn shards_at_start(sharding: &Sharding, now_us: i64) -> Vec<ShardId> {
    match &sharding.scheme {
        Scheme::Time(time) => time.wanted(now_us).map(ShardId).collect(),
        Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => (0..sharding.place.len() as i32).map(ShardId).collect(),
    }
}

fn is_create_table(r: &mut Reader<'_>) -> bool {
    let _ = r.take("global") || r.take("local");
    let _ = r.take("temp") || r.take("temporary") || r.take("unlogged");
    r.take("table")
}

fn about(r: &mut Reader<'_>, first: &str) -> About {
    r.at = 1;
    let names = |r: &mut Reader<'_>| {
        let mut out = Vec::new();
        r.take("only");
        while let Some(name) = r.name() {
            out.push(name);
            r.parens();
            if !r.take_punct(',') {
                break;
            }
            r.take("only");
        }
        About::Tables(out)
    };
    match first {
        "truncate" => {
            r.take("table");
            names(r)
        }
        "alter" if r.take("table") => {
            r.take_all(&["if", "exists"]);
            let tables = names(r);
            if r.is("rename") && !r.clone().take_all(&["rename", "column"]) && r.clone().take_all(&["rename", "to"]) {
                return About::No("renaming a table".into());
            }
            tables
        }
        "drop" if r.take("table") => {
            r.take_all(&["if", "exists"]);
            names(r)
        }
        "drop" | "alter" if r.take("index") => {
            r.take("concurrently");
            // Which table an index belongs to isn't known here: every node, which must all have it.
            r.take_all(&["if", "exists"]);
            About::No("DROP or ALTER INDEX without IF EXISTS".into()).or_index(r)
        }
        "create" if { r.take("unique"); r.take("index") } => {
            while !r.done() && !r.is("on") {
                r.at += 1;
            }
            r.take("on");
            r.take("only");
            match r.name() {
                Some(name) => About::Tables(vec![name]),
                None => About::No("this CREATE INDEX".into()),
            }
        }
        "comment" if r.take("on") => {
            if r.take("table") {
                return r.name().map_or(About::Database, |n| About::Tables(vec![n]));
            }
            if r.take("column") {
                let Some(mut name) = r.name() else { return About::Database };
                name.parts.pop();
                return About::Tables(vec![name]);
            }
            About::Database
        }
        "vacuum" | "analyze" | "analyse" => {
            r.parens();
            while r.take("full") || r.take("freeze") || r.take("verbose") || r.take("analyze") {}
            if r.done() { About::Database } else { names(r) }
        }
        "lock" => {
            r.take("table");
            names(r)
        }
        "copy" => {
            if r.peek().is_some_and(|t| t.is_punct(r.sql, '(')) {
                return About::No("COPY of a query".into());
            }
            r.name().map_or(About::No("this COPY".into()), |n| About::Tables(vec![n]))
        }
        "create" | "drop" | "alter" => {
            let word = r.text().to_ascii_lowercase();
            match word.as_str() {
                "schema" | "extension" | "type" | "domain" => About::Database,
                _ => About::No(format!("{} {}", first.to_ascii_uppercase(), word.to_ascii_uppercase())),
            }
        }
        "grant" | "revoke" => About::Database,
        "checkpoint" => About::Database,
        "show" | "notify" => About::Tables(vec![Name { parts: vec!["pg_catalog".into(), "pg_settings".into()], span: Span::default() }]),
        "merge" => About::Query,
        other => About::No(other.to_ascii_uppercase()),
    }
}

impl About {
    /// DROP INDEX: all the indexes named, on every node; sound only with IF EXISTS.
    fn or_index(self, r: &Reader<'_>) -> About {
        let exists = r.tokens.iter().any(|t| t.is_word(r.sql, "exists"));
        if exists { About::Database } else { self }
    }
}

//! The tables of a database: whose they are, how each is spread, who is like whom.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{DomainId, KeyType, NodeId, ShardId, TableName};

use super::super::file::{self, Generator as WrittenGenerator, Like, Named, Shard};
use super::super::placement::{Every, Scheme, physical_name};
use super::super::problem::suggest;
use super::super::snapshot::{Domain, Engine, Generate, Generator, Layout, Sharding, Spread, Table};
use super::keys::{fold, longest_name, table_name};
use super::places::DomainNodes;
use super::{Check, first_of, join};

/// A table on its way: what `like` needs to look at.
struct Draft<'f> {
    name: TableName,
    written: &'f str,
    path: Vec<&'f str>,
    domain: DomainId,
    generate: Vec<Generate>,
    spread: Option<Spread>,
    like: Option<&'f Like>,
}

/// A database as far as its tables need to know it.
pub(super) struct Frame<'f> {
    pub name: &'f str,
    pub engine: Engine,
    pub domains: &'f [Domain],
    pub written: &'f Named<file::Domain>,
}

impl Check<'_> {
    pub(super) fn tables(&mut self, frame: &Frame<'_>) -> HashMap<TableName, Arc<Table>> {
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        let mut index: HashMap<TableName, usize> = HashMap::new();
        for (d, (domain_name, domain)) in frame.written.iter().enumerate() {
            let ids = frame
                .domains
                .get(d)
                .map(|d| d.nodes.as_slice())
                .unwrap_or_default();
            let nodes = DomainNodes {
                domain: domain_name,
                names: &domain.nodes,
                ids,
            };
            for (written, table) in domain.tables.iter() {
                let path = vec!["databases", frame.name, "domains", domain_name, "tables", written];
                let Some(name) = table_name(written, frame.engine, frame.name) else {
                    let fix = "write `table` or `schema.table`, each at most 63 bytes";
                    self.wrong_key(&path, format!("`{written}` is no name of a table"), fix);
                    continue;
                };
                if let Some(first) = first_of(&mut index, name.clone(), drafts.len()) {
                    let first = drafts[*first].path.clone();
                    let message = format!(
                        "the table `{name}` is here twice: first at {}",
                        self.place_text(self.key_pos(&first))
                    );
                    self.wrong_key(&path, message, "keep it in one domain");
                    continue;
                }
                let draft = self.draft(
                    frame,
                    DomainId(d as u16),
                    name,
                    written,
                    table,
                    &nodes,
                    path,
                    drafts.len(),
                );
                drafts.push(draft);
            }
        }
        self.resolve_likes(frame, &mut drafts, &index);
        self.physical_names(frame, &drafts);
        drafts
            .into_iter()
            .filter_map(|d| {
                let table = Table {
                    name: d.name.clone(),
                    domain: d.domain,
                    spread: d.spread?,
                    generate: d.generate,
                };
                Some((d.name, Arc::new(table)))
            })
            .collect()
    }

    #[allow(clippy::too_many_arguments)]
    fn draft<'f>(
        &mut self,
        frame: &Frame<'f>,
        domain: DomainId,
        name: TableName,
        written: &'f str,
        table: &'f file::Table,
        nodes: &DomainNodes<'_>,
        path: Vec<&'f str>,
        number: usize,
    ) -> Draft<'f> {
        let broadcast = table.broadcast.unwrap_or(false);
        let ways = [
            ("shard", table.shard.is_some()),
            ("broadcast", broadcast),
            ("node", table.node.is_some()),
        ];
        let ways: Vec<&str> = ways.iter().filter(|(_, is)| *is).map(|(way, _)| *way).collect();
        if let [first, second, ..] = ways.as_slice() {
            let message = format!("`{second}` does not go together with `{first}`");
            self.wrong_key(
                &join(&path, &[second]),
                message,
                "a table is sharded, or broadcast, or on one node",
            );
        }
        let mut like = None;
        let spread = match (&table.shard, broadcast, &table.node) {
            (Some(Shard::By(by)), _, _) => {
                let sharding =
                    self.sharding(by, frame.engine, nodes, number as u32, &join(&path, &["shard"]));
                sharding.map(|s| Spread::Sharded(Arc::new(s)))
            }
            (Some(Shard::Like(other)), _, _) => {
                like = Some(other);
                None
            }
            (None, true, _) => Some(Spread::Broadcast),
            (None, false, Some(node)) => self
                .domain_node(node, nodes, &join(&path, &["node"]))
                .map(Spread::Whole),
            (None, false, None) => {
                if nodes.ids.len() > 1 {
                    let message = format!(
                        "the table `{name}` is on a domain of {} nodes, and nothing says how it is spread",
                        nodes.ids.len()
                    );
                    self.wrong_key(
                        &path,
                        message,
                        "write `shard: …`, `broadcast: true`, or `node: …`",
                    );
                }
                nodes.ids.first().copied().map(Spread::Whole)
            }
        };
        let generate = self.generate(frame.engine, &table.generate, &path);
        Draft {
            name,
            written,
            path,
            domain,
            generate,
            spread,
            like,
        }
    }

    fn generate(
        &mut self,
        engine: Engine,
        written: &Named<WrittenGenerator>,
        path: &[&str],
    ) -> Vec<Generate> {
        let mut all: Vec<Generate> = Vec::new();
        for (column, generator) in written.iter() {
            let generator = match generator {
                WrittenGenerator::Snowflake => Generator::Snowflake,
            };
            match fold(column, engine) {
                Some(column) if all.iter().all(|g| *g.column != *column) => {
                    all.push(Generate {
                        column: column.into(),
                        generator,
                    });
                }
                Some(_) | None => {
                    let path = join(path, &["generate", column]);
                    self.wrong_key(
                        &path,
                        format!("`{column}` is no name of a column, or is here twice"),
                        "name each column once",
                    );
                }
            }
        }
        all
    }

    fn resolve_likes(
        &mut self,
        frame: &Frame<'_>,
        drafts: &mut [Draft<'_>],
        index: &HashMap<TableName, usize>,
    ) {
        for i in 0..drafts.len() {
            let Some(like) = drafts[i].like else { continue };
            let path = join(&drafts[i].path, &["shard", "like"]);
            let Some(root) = self.root_of(frame, drafts, index, i) else {
                continue;
            };
            let Some(spread) = drafts[root].spread.clone() else {
                continue;
            };
            let Spread::Sharded(model) = spread else {
                let message = format!("`{}` is not sharded", drafts[root].written);
                self.wrong(
                    &path,
                    message,
                    "name a sharded table, or write `broadcast: true` or `node: …`",
                );
                continue;
            };
            let nodes_of = |d: DomainId| frame.domains.get(d.index()).map(|d| d.nodes.as_slice());
            if nodes_of(drafts[i].domain) != nodes_of(drafts[root].domain) {
                let message = format!("`{}` is in a domain with other nodes", drafts[root].written);
                self.wrong(&path, message, "put both tables into one domain");
                continue;
            }
            let key = match &like.key {
                None => model.key.clone(),
                Some(key) => {
                    let key_path = join(&drafts[i].path, &["shard", "key"]);
                    let mut key = self.key(key, frame.engine, &key_path);
                    if key.len() != model.key.len() {
                        let message = format!(
                            "a key of {} columns, but `{}` has {}",
                            key.len(),
                            drafts[root].written,
                            model.key.len()
                        );
                        self.wrong(&key_path, message, "name as many columns, in the same order");
                    }
                    for (mine, other) in key.iter_mut().zip(&model.key) {
                        match (mine.ty, other.ty) {
                            (Some(a), Some(b)) if !alike(a, b) => {
                                let message = format!(
                                    "`{}` is of type {}, but `{}` of `{}` of type {}",
                                    mine.column,
                                    a.sql(),
                                    other.column,
                                    drafts[root].written,
                                    b.sql()
                                );
                                self.wrong(&key_path, message, "give both keys the same type");
                            }
                            (None, Some(b)) => mine.ty = Some(b),
                            (Some(_), _) | (None, None) => {}
                        }
                    }
                    key
                }
            };
            drafts[i].spread = Some(Spread::Sharded(Arc::new(Sharding {
                key,
                ..(*model).clone()
            })));
        }
    }

    /// The table at the end of a chain of `like`.
    fn root_of(
        &mut self,
        frame: &Frame<'_>,
        drafts: &[Draft<'_>],
        index: &HashMap<TableName, usize>,
        start: usize,
    ) -> Option<usize> {
        let (mut at, mut passed) = (start, HashSet::new());
        while let Some(like) = drafts[at].like {
            if !passed.insert(at) {
                // Each table of the ring reports it; those that only lead into it don't.
                if at == start {
                    let path = join(&drafts[start].path, &["shard", "like"]);
                    let message = format!(
                        "`{}` is like itself, by way of other tables",
                        drafts[start].written
                    );
                    self.wrong(&path, message, "let one of them say `by: …`");
                }
                return None;
            }
            let name = table_name(&like.like, frame.engine, frame.name);
            match name.and_then(|n| index.get(&n)) {
                Some(next) => at = *next,
                None => {
                    // Reported where it stands, not where the chain began.
                    if at == start && !self.cut_out(frame, &like.like) {
                        let fix = suggest(
                            &like.like,
                            drafts.iter().filter(|d| d.like.is_none()).map(|d| d.written),
                        );
                        let path = join(&drafts[at].path, &["shard", "like"]);
                        self.wrong(&path, format!("there is no table `{}`", like.like), fix);
                    }
                    return None;
                }
            }
        }
        Some(at)
    }

    /// The table stands in the file, but its rule is broken and was reported.
    fn cut_out(&self, frame: &Frame<'_>, table: &str) -> bool {
        let domains = self
            .original
            .get("databases")
            .and_then(|d| d.get(frame.name))
            .and_then(|d| d.get("domains"));
        domains.is_some_and(|all| {
            all.entries()
                .iter()
                .any(|d| d.value.get("tables").is_some_and(|t| t.get(table).is_some()))
        })
    }

    /// Shards' tables must have names of their own that the server takes.
    fn physical_names(&mut self, frame: &Frame<'_>, drafts: &[Draft<'_>]) {
        let mut taken: HashMap<(Box<str>, String), usize> = drafts
            .iter()
            .enumerate()
            .map(|(i, d)| ((d.name.schema.clone(), d.name.table.to_string()), i))
            .collect();
        for (i, draft) in drafts.iter().enumerate() {
            let Some(Spread::Sharded(sharding)) = &draft.spread else {
                continue;
            };
            if sharding.layout == Layout::PerNode {
                continue;
            }
            let table = Table {
                name: draft.name.clone(),
                domain: draft.domain,
                spread: Spread::Sharded(sharding.clone()),
                generate: Vec::new(),
            };
            let last = match &sharding.scheme {
                Scheme::Time(time) => format!("{}_{}", draft.name.table, "0".repeat(suffix_len(time.every))),
                Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => {
                    physical_name(&table, ShardId(sharding.place.len() as i32 - 1))
                }
            };
            if last.len() > longest_name(frame.engine) {
                let message = format!("the shards' tables would have names of {} bytes", last.len());
                self.wrong_key(&draft.path, message, "give the table a shorter name");
            }
            for shard in 0..sharding.fixed_shards().unwrap_or(0) {
                let name = physical_name(&table, ShardId(shard as i32));
                if let Some(other) = first_of(&mut taken, (draft.name.schema.clone(), name.clone()), i) {
                    let message = format!(
                        "shard {shard} of `{}` and the table `{}` would share the name `{name}`",
                        draft.written, drafts[*other].written
                    );
                    self.wrong_key(&draft.path, message, "rename one of them");
                    break;
                }
            }
        }
    }
}

/// Types whose equal values are the same key.
fn alike(a: KeyType, b: KeyType) -> bool {
    a == b || (a.is_integer() && b.is_integer())
}

fn suffix_len(every: Every) -> usize {
    match every {
        Every::Hour => 13,
        Every::Day => 10,
        Every::Week => 8,
        Every::Month => 7,
        Every::Year => 4,
    }
}

/// A table's nodes, each once: for what `check` prints.
pub(crate) fn table_nodes(table: &Table, domain: &Domain) -> Vec<NodeId> {
    match &table.spread {
        Spread::Whole(node) => vec![*node],
        Spread::Broadcast => domain.nodes.clone(),
        Spread::Sharded(sharding) => sharding.nodes.clone(),
    }
}

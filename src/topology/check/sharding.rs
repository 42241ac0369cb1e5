//! One table's `shard:` → its scheme, placement and layout.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use crate::model::{KeyType, NodeId, ShardId, Value};

use super::super::file::{self, By, ByHash, ByList, ByRange, ByTime};
use super::super::placement::{
    Every, Hash, HashFunction, List, Range, Retire, RetireAction, Scheme, Time, ring,
};
use super::super::snapshot::{Engine, KeyColumn, Layout, Sharding};
use super::keys::{first_period, show};
use super::places::DomainNodes;
use super::{Check, first_of, join};

/// More shards than this are a slip of the finger; PostgreSQL's planner alone would take seconds.
pub(super) const MOST_SHARDS: u32 = 65_536;

impl Check<'_> {
    /// `path` is that of `shard`. `group` numbers the tables that others may be like.
    pub(super) fn sharding(
        &mut self,
        by: &By,
        engine: Engine,
        nodes: &DomainNodes<'_>,
        group: u32,
        path: &[&str],
    ) -> Option<Sharding> {
        if nodes.ids.is_empty() {
            return None;
        }
        let (key, scheme, layout, place) = match by {
            By::Hash(hash) => self.by_hash(hash, engine, nodes, path)?,
            By::Time(time) => self.by_time(time, engine, nodes, path)?,
            By::Range(range) => self.by_range(range, engine, nodes, path)?,
            By::List(list) => self.by_list(list, engine, nodes, path)?,
        };
        let mut used = place.clone();
        used.sort_unstable();
        used.dedup();
        Some(Sharding {
            key,
            scheme,
            group,
            layout,
            place,
            nodes: used,
        })
    }

    fn by_hash(&mut self, by: &ByHash, engine: Engine, nodes: &DomainNodes<'_>, path: &[&str]) -> Parts {
        let key_path = join(path, &["key"]);
        let key = self.key(&by.key, engine, &key_path);
        let function = match by.function {
            Some(file::Function::Postgres) => HashFunction::Postgres,
            Some(file::Function::Modulo) => HashFunction::Modulo,
            Some(file::Function::Crc32) => HashFunction::Crc32,
            Some(file::Function::Murmur3) => HashFunction::Murmur3,
            Some(file::Function::Ring) => HashFunction::Ring,
            None => match engine {
                Engine::Postgres => HashFunction::Postgres,
                Engine::Mysql => HashFunction::Crc32,
            },
        };
        if function == HashFunction::Modulo
            && (key.len() > 1 || key.iter().any(|k| k.ty.is_some_and(|t| !t.is_integer())))
        {
            self.wrong(
                &key_path,
                "`function: modulo` needs a key of one integer column",
                "write `function: murmur3`, or another key",
            );
        }
        let node_count = nodes.ids.len() as u32;
        let count = by.count.unwrap_or(node_count);
        let most = if function == HashFunction::Ring {
            ring::MOST_SHARDS
        } else {
            MOST_SHARDS
        };
        if count == 0 || count > most {
            self.wrong(
                &join(path, &["count"]),
                format!("{count} shards with `function: {}`", function.name()),
                format!("write a number from 1 to {most}"),
            );
            return None;
        }
        if count < node_count {
            let message = format!("{count} shards for {node_count} nodes: some would stay empty");
            self.wrong(
                &join(path, &["count"]),
                message,
                format!("write a count of {node_count} or more, better several times that"),
            );
        }
        let place = self.place(by.place.as_ref(), count, nodes, path);
        let one_each = {
            let mut nodes: Vec<NodeId> = place.clone();
            nodes.sort_unstable();
            nodes.windows(2).all(|w| w[0] != w[1])
        };
        let usual = match (engine, function, by.count) {
            (_, _, None) if one_each => Layout::PerNode,
            (Engine::Postgres, HashFunction::Postgres, _) => Layout::Partitioned,
            (_, _, _) if one_each && by.layout.is_none() => Layout::PerNode,
            (_, _, _) => Layout::Separate,
        };
        let layout = self.layout(by.layout, usual, engine, Some(function), path);
        Some((key, Scheme::Hash(Hash::new(function, count)), layout, place))
    }

    fn by_time(&mut self, by: &ByTime, engine: Engine, nodes: &DomainNodes<'_>, path: &[&str]) -> Parts {
        let key = self.one_column(&by.key, engine, "time", path);
        let every = match by.every {
            file::Every::Hour => Every::Hour,
            file::Every::Day => Every::Day,
            file::Every::Week => Every::Week,
            file::Every::Month => Every::Month,
            file::Every::Year => Every::Year,
        };
        let key_path = join(path, &["key"]);
        match key.first().and_then(|k| k.ty) {
            Some(KeyType::Date) if every == Every::Hour => {
                self.wrong(
                    &key_path,
                    "a date can't be cut into hours",
                    "write `every: day`, or a key of type timestamptz",
                );
            }
            Some(ty) if !ty.is_time() => {
                let message = format!("a key of type {} has no periods of time", ty.sql());
                self.wrong(
                    &key_path,
                    message,
                    "name a column of type date, timestamp or timestamptz",
                );
            }
            Some(_) | None => {}
        }
        let zone = match by.zone.as_deref() {
            None | Some("UTC") => TimeZone::UTC,
            Some(name) => TimeZone::get(name).unwrap_or_else(|_| {
                self.wrong(
                    &join(path, &["zone"]),
                    format!("the time zone `{name}` is not known"),
                    "write a name of the IANA data base, as `Europe/Berlin`",
                );
                TimeZone::UTC
            }),
        };
        let from = first_period(&by.from, every).unwrap_or_else(|fix| {
            let message = format!("{} is no start of a {}", show(&by.from), every.name());
            self.wrong(&join(path, &["from"]), message, fix);
            0
        });
        let retire = by.retire.map(|retire| Retire {
            after: retire.after,
            action: match retire.action {
                file::RetireAction::Detach => RetireAction::Detach,
                file::RetireAction::Drop => RetireAction::Drop,
            },
        });
        let place = match &by.place {
            None => nodes.ids.to_vec(),
            Some(names) => {
                if names.is_empty() {
                    self.wrong(
                        &join(path, &["place"]),
                        "`place` is empty",
                        "name the nodes that take periods in turn",
                    );
                }
                let mut place = Vec::new();
                for (i, name) in names.iter().enumerate() {
                    let id = self.domain_node(name, nodes, &join(path, &["place", &i.to_string()]));
                    place.push(id.unwrap_or(NodeId(0)));
                }
                if place.is_empty() {
                    nodes.ids.to_vec()
                } else {
                    place
                }
            }
        };
        let usual = partitioned_where_possible(engine);
        let layout = self.layout(by.layout, usual, engine, None, path);
        let create_outside = match by.outside {
            None | Some(file::Outside::Refuse) => false,
            Some(file::Outside::Create) => true,
        };
        let time = Time {
            every,
            zone,
            from,
            ahead: by.ahead.unwrap_or(2),
            create_outside,
            retire,
        };
        Some((key, Scheme::Time(time), layout, place))
    }

    fn by_range(&mut self, by: &ByRange, engine: Engine, nodes: &DomainNodes<'_>, path: &[&str]) -> Parts {
        let key = self.one_column(&by.key, engine, "range", path);
        let ty = key.first().and_then(|k| k.ty);
        let path_of = |i: usize| i.to_string();
        if by.bounds.is_empty() || by.bounds.len() >= MOST_SHARDS as usize {
            let message = format!("{} bounds", by.bounds.len());
            self.wrong(
                &join(path, &["bounds"]),
                message,
                format!("write 1 to {} rising bounds", MOST_SHARDS - 1),
            );
            return None;
        }
        let mut bounds: Vec<Value> = Vec::with_capacity(by.bounds.len());
        for (i, bound) in by.bounds.iter().enumerate() {
            let index = path_of(i);
            let path = join(path, &["bounds", &index]);
            let Some(value) = self.value(bound, ty, &path) else {
                continue;
            };
            if let Some(last) = bounds.last() {
                if std::mem::discriminant(last) != std::mem::discriminant(&value) {
                    self.wrong(
                        &path,
                        format!("{} is of another type than {last}", show(bound)),
                        "write all bounds in the key's type",
                    );
                    continue;
                }
                if *last >= value {
                    self.wrong(
                        &path,
                        format!("{} does not come after {last}", show(bound)),
                        "write the bounds in rising order, each once",
                    );
                    continue;
                }
            }
            bounds.push(value);
        }
        let count = by.bounds.len() as u32 + 1;
        let place = self.place(by.place.as_ref(), count, nodes, path);
        let layout = self.layout(by.layout, partitioned_where_possible(engine), engine, None, path);
        Some((key, Scheme::Range(Range { bounds }), layout, place))
    }

    fn by_list(&mut self, by: &ByList, engine: Engine, nodes: &DomainNodes<'_>, path: &[&str]) -> Parts {
        let key = self.one_column(&by.key, engine, "list", path);
        let ty = key.first().and_then(|k| k.ty);
        if by.values.is_empty() {
            self.wrong(
                &join(path, &["values"]),
                "`values` is empty",
                "write `values: {node: [value, …]}`",
            );
            return None;
        }
        let mut place = Vec::new();
        let mut values: HashMap<Value, ShardId> = HashMap::new();
        let mut seen: HashMap<Value, (String, usize)> = HashMap::new();
        let mut kind: Option<(std::mem::Discriminant<Value>, String)> = None;
        for (shard, (name, listed)) in by.values.iter().enumerate() {
            let node_path = join(path, &["values", name]);
            let known = nodes
                .names
                .iter()
                .position(|n| n == name)
                .and_then(|i| nodes.ids.get(i))
                .copied();
            if known.is_none() {
                let fix = super::suggest(name, nodes.names.iter().map(String::as_str));
                self.wrong_key(
                    &node_path,
                    format!("`{name}` is no node of the domain `{}`", nodes.domain),
                    fix,
                );
            }
            place.push(known.unwrap_or(NodeId(0)));
            if listed.is_empty() {
                self.wrong(
                    &node_path,
                    format!("no values for `{name}`"),
                    "list values, or leave the node out",
                );
            }
            for (i, scalar) in listed.iter().enumerate() {
                let index = i.to_string();
                let path = join(&node_path, &[&index]);
                let Some(value) = self.value(scalar, ty, &path) else {
                    continue;
                };
                let this = (std::mem::discriminant(&value), value.to_string());
                if kind.get_or_insert_with(|| this.clone()).0 != this.0 {
                    self.wrong(
                        &path,
                        format!("{} is of another type than the values before", show(scalar)),
                        "write all values in the key's type",
                    );
                    continue;
                }
                if let Some((node, at)) = first_of(&mut seen, value.clone(), (name.to_owned(), i)).cloned() {
                    let first = self.value_pos(&join(
                        &join(&node_path[..node_path.len() - 1], &[&node]),
                        &[&at.to_string()],
                    ));
                    let message = format!(
                        "{} is listed twice: first for `{node}` in line {}",
                        show(scalar),
                        first.line
                    );
                    self.wrong(&path, message, "list each value once");
                }
                values.insert(value, ShardId(shard as i32));
            }
        }
        let layout = self.layout(by.layout, partitioned_where_possible(engine), engine, None, path);
        Some((key, Scheme::List(List { values }), layout, place))
    }

    fn one_column(&mut self, key: &file::Key, engine: Engine, by: &str, path: &[&str]) -> Vec<KeyColumn> {
        let path = join(path, &["key"]);
        let key = self.key(key, engine, &path);
        if key.len() > 1 {
            self.wrong(
                &path,
                format!("`by: {by}` takes a key of one column"),
                "name one column, or write `by: hash`",
            );
        }
        key
    }

    /// The layout as written, where it is possible; else the usual one.
    fn layout(
        &mut self,
        written: Option<file::Layout>,
        usual: Layout,
        engine: Engine,
        function: Option<HashFunction>,
        path: &[&str],
    ) -> Layout {
        match written {
            None => usual,
            Some(file::Layout::Separate) => Layout::Separate,
            Some(file::Layout::Partitioned) => {
                let why = match (engine, function) {
                    (Engine::Mysql, _) => {
                        Some("MySQL has no partitioned tables that Margay could use".to_owned())
                    }
                    (Engine::Postgres, None | Some(HashFunction::Postgres)) => None,
                    (Engine::Postgres, Some(other)) => Some(format!(
                        "PostgreSQL can't partition by `function: {}`",
                        other.name()
                    )),
                };
                if let Some(why) = why {
                    self.wrong(
                        &join(path, &["layout"]),
                        why,
                        "write `layout: separate`, or leave it out",
                    );
                }
                Layout::Partitioned
            }
        }
    }
}

type Parts = Option<(Vec<KeyColumn>, Scheme, Layout, Vec<NodeId>)>;

fn partitioned_where_possible(engine: Engine) -> Layout {
    match engine {
        Engine::Postgres => Layout::Partitioned,
        Engine::Mysql => Layout::Separate,
    }
}

//! Logical databases, their domains and where their reads go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::catalog::Catalog;
use crate::model::{DomainId, NodeId};

use super::super::file::{self, Named};
use super::super::problem::suggest;
use super::super::snapshot::{
    Balance, Consistency, Database, Domain, Engine, Node, ReadFrom, Reads, Routine,
};
use super::keys::table_name;
use super::tables::Frame;
use super::{Check, first_of, join};

impl Check<'_> {
    pub(super) fn databases(&mut self, written: &Named<file::Database>, nodes: &[Node]) -> Vec<Database> {
        if written.is_empty() {
            self.wrong(
                &["databases"],
                "there are no databases",
                "write `databases: {name: {engine: postgres, domains: …}}`",
            );
        }
        let all: Vec<Database> = written
            .iter()
            .map(|(name, database)| self.database(name, database, nodes))
            .collect();
        self.apart(&all, nodes);
        let names: Vec<Vec<String>> = written
            .iter()
            .flat_map(|(_, d)| d.domains.iter().map(|(_, d)| d.nodes.clone()))
            .collect();
        let used: std::collections::HashSet<&String> = names.iter().flatten().collect();
        for name in self.node_names.clone() {
            if !used.contains(&name) && self.broken.is_empty() {
                self.warn(&["nodes", &name], format!("no domain uses the node `{name}`"), "");
            }
        }
        all
    }

    /// A node is one database on its server: two logical databases on it would share their tables.
    fn apart(&mut self, all: &[Database], nodes: &[Node]) {
        for (i, database) in all.iter().enumerate() {
            let earlier = |id| {
                all[..i]
                    .iter()
                    .find(|other| other.domains.iter().any(|d| d.nodes.contains(&id)))
            };
            let mut ids: Vec<NodeId> = database
                .domains
                .iter()
                .flat_map(|d| d.nodes.iter().copied())
                .collect();
            ids.sort_unstable();
            ids.dedup();
            for id in ids {
                let (Some(other), Some(node)) = (earlier(id), nodes.get(id.index())) else {
                    continue;
                };
                self.wrong_key(
                    &["databases", &database.name],
                    format!(
                        "`{}` and `{}` both use the node `{}`: they would share its tables",
                        other.name, database.name, node.name
                    ),
                    "give each database nodes of its own, which may be other databases on the same servers",
                );
            }
        }
    }

    fn database(&mut self, name: &str, written: &file::Database, nodes: &[Node]) -> Database {
        let path = ["databases", name];
        if name.is_empty() || name.len() > 63 || name.contains('\0') {
            self.wrong_key(&path, "a database's name has 1 to 63 bytes", "write another name");
        }
        if name == "margay" {
            self.wrong_key(
                &path,
                "`margay` is the admin console's name",
                "give the database another name",
            );
        }
        let engine = match written.engine {
            file::Engine::Postgres => Engine::Postgres,
            file::Engine::Mysql => Engine::Mysql,
        };
        if written.domains.is_empty() {
            let fix = "write `domains: {name: {nodes: [node], tables: {…}}}`";
            self.wrong(
                &join(&path, &["domains"]),
                format!("the database `{name}` has no domains"),
                fix,
            );
        }
        let mut domains = Vec::with_capacity(written.domains.0.len());
        for (domain_name, domain) in written.domains.iter() {
            domains.push(self.domain(name, domain_name, domain, engine, nodes));
        }
        let default_domain = self.default_domain(written, &path);
        let first = domains
            .get(default_domain.index())
            .and_then(|d: &Domain| d.nodes.first())
            .copied();
        let tables = self.tables(&Frame {
            name,
            engine,
            domains: &domains,
            written: &written.domains,
        });
        Database {
            name: name.into(),
            engine,
            default_domain,
            anywhere: first.unwrap_or(NodeId(0)),
            // Made once all nodes and databases are known.
            shell: None,
            reads: self.reads(written.reads.as_ref(), &path),
            domains,
            functions: self.functions(written, engine, name),
            tables,
            catalog: Arc::new(Catalog::default()),
        }
    }

    fn functions(
        &mut self,
        written: &file::Database,
        engine: Engine,
        database: &str,
    ) -> HashMap<Box<str>, Routine> {
        let mut out = HashMap::new();
        for (name, routine) in written.functions.iter() {
            let path = ["databases", database, "functions", name];
            if name.is_empty() || name.contains('.') {
                self.wrong_key(
                    &path,
                    format!("`{name}` is no name of a function"),
                    "write its name alone: what is said holds for all functions of the name, in any schema",
                );
            }
            let mut tables = |which: &str, list: &[String]| {
                let mut names = Vec::with_capacity(list.len());
                for (i, text) in list.iter().enumerate() {
                    match table_name(text, engine, database) {
                        Some(name) => names.push(name),
                        None => self.wrong(
                            &join(&path, &[which, &i.to_string()]),
                            format!("`{text}` is no name of a table"),
                            "write `table` or `schema.table`, each at most 63 bytes",
                        ),
                    }
                }
                names
            };
            let routine = Routine {
                reads: tables("reads", &routine.reads),
                writes: tables("writes", &routine.writes),
                by_key: match routine.runs {
                    Some(file::Runs::Node) => true,
                    Some(file::Runs::Everywhere) | None => false,
                },
            };
            out.insert(name.into(), routine);
        }
        out
    }

    fn default_domain(&mut self, written: &file::Database, path: &[&str]) -> DomainId {
        let names: Vec<&str> = written.domains.iter().map(|(n, _)| n).collect();
        match &written.default_domain {
            Some(name) => match names.iter().position(|n| n == name) {
                Some(i) => DomainId(i as u16),
                None => {
                    let domains = self
                        .original
                        .get("databases")
                        .and_then(|d| d.get(path.last()?)?.get("domains"));
                    if domains.is_none_or(|d| d.get(name).is_none()) {
                        let fix = suggest(name, names.iter().copied());
                        self.wrong(
                            &join(path, &["default_domain"]),
                            format!("there is no domain `{name}`"),
                            fix,
                        );
                    }
                    DomainId(0)
                }
            },
            None => {
                if names.len() > 1 {
                    let message = "`default_domain` is missing in a database of several domains";
                    let fix = format!(
                        "write `default_domain:` {}, where tables live that no rule names",
                        names.join(" or ")
                    );
                    self.wrong_key(path, message, fix);
                }
                DomainId(0)
            }
        }
    }

    fn domain(
        &mut self,
        database: &str,
        name: &str,
        written: &file::Domain,
        engine: Engine,
        nodes: &[Node],
    ) -> Domain {
        let path = ["databases", database, "domains", name, "nodes"];
        if written.nodes.is_empty() {
            self.wrong(
                &path,
                format!("the domain `{name}` has no nodes"),
                "write `nodes: [node]`",
            );
        }
        let mut ids = Vec::with_capacity(written.nodes.len());
        let mut seen = HashMap::new();
        for (i, node) in written.nodes.iter().enumerate() {
            let index = i.to_string();
            let path = join(&path, &[&index]);
            if first_of(&mut seen, node, ()).is_some() {
                self.wrong(
                    &path,
                    format!("the node `{node}` is in the domain twice"),
                    "name it once",
                );
            }
            let id = self.resolve_node(node, &path);
            if let Some(id) = id {
                self.engine_fits(id, node, engine, database, nodes, &path);
            }
            // A dangling name was reported; the ids stay in step with the names.
            ids.push(id.unwrap_or(NodeId(0)));
        }
        Domain {
            name: name.into(),
            nodes: ids,
        }
    }

    pub(super) fn engine_fits(
        &mut self,
        id: NodeId,
        node: &str,
        engine: Engine,
        database: &str,
        nodes: &[Node],
        path: &[&str],
    ) {
        let Some(its) = nodes
            .get(id.index())
            .filter(|n| !n.servers.is_empty())
            .map(|n| n.engine)
        else {
            return;
        };
        let is_known = !self.follows_from_broken(&["databases", database, "engine"]);
        if its != engine && is_known {
            let (want, is) = (engine_name(engine), engine_name(its));
            let message = format!("the database `{database}` is of engine {want}, the node `{node}` of {is}");
            self.wrong(
                path,
                message,
                format!("name a node with `{want}://` servers, or write `engine: {is}`"),
            );
        }
    }

    fn reads(&mut self, written: Option<&file::Reads>, path: &[&str]) -> Reads {
        let none = file::Reads::default();
        let reads = written.unwrap_or(&none);
        Reads {
            from: match reads.from {
                None | Some(file::ReadFrom::Primary) => ReadFrom::Primary,
                Some(file::ReadFrom::Replicas) => ReadFrom::Replicas,
            },
            max_lag: self.span_at(
                &reads.max_lag,
                &join(path, &["reads", "max_lag"]),
                Duration::from_secs(1),
            ),
            consistency: match reads.consistency {
                None | Some(file::Consistency::Session) => Consistency::Session,
                Some(file::Consistency::Eventual) => Consistency::Eventual,
            },
            balance: match reads.balance {
                None | Some(file::Balance::LeastConnections) => Balance::LeastConnections,
                Some(file::Balance::RoundRobin) => Balance::RoundRobin,
                Some(file::Balance::Random) => Balance::Random,
            },
        }
    }
}

pub(crate) fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres",
        Engine::Mysql => "mysql",
    }
}

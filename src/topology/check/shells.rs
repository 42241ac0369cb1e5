//! The shells: each logical PostgreSQL database of several nodes gets one more node, which stands in no
//! rules file: the same servers as one of its nodes, but a database of Margay's own on them. Physical
//! replication carries it to the replicas, so it has the same ones.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::NodeId;

use super::super::file::{self, Named};
use super::super::snapshot::{Database, Engine, Node, Server, ShellOf};
use super::{Check, join};

/// Numbers of nodes are given out in steps of so many. A node that is added while the proxy runs takes a
/// free number, so that no shell has to change its own, which statements under way still carry.
const ROOM: usize = 64;

/// PostgreSQL cuts longer names off in silence.
const LONGEST_NAME: usize = 63;

impl Check<'_> {
    pub(super) fn shells(
        &mut self,
        written: &Named<file::Database>,
        databases: &mut [Database],
        nodes: &mut Vec<Node>,
    ) {
        let mut taken: HashMap<(Box<str>, u16, Box<str>), String> = nodes
            .iter()
            .flat_map(|node| {
                node.servers
                    .iter()
                    .map(move |s| (address(s), node.name.to_string()))
            })
            .collect();
        let room = (nodes.len() / ROOM + 1) * ROOM;
        let several = |d: &Database| d.engine == Engine::Postgres && d.nodes().len() > 1;
        if databases.iter().any(several) {
            while nodes.len() < room {
                nodes.push(nobody(NodeId(nodes.len() as u16)));
            }
        }
        for database in databases {
            let name = database.name.to_string();
            let rules = written
                .iter()
                .find(|(n, _)| *n == name)
                .and_then(|(_, d)| d.shell.as_ref());
            let (node, own) = match rules {
                None => (None, None),
                Some(file::Shell::Node(node)) => (Some((node, vec!["shell"])), None),
                Some(file::Shell::Detailed(detail)) => (
                    detail.node.as_ref().map(|node| (node, vec!["shell", "node"])),
                    detail.database.as_ref(),
                ),
            };
            let mut host = database.anywhere;
            if let Some((node, at)) = node {
                let path = join(&["databases", &name], &at);
                if let Some(id) = self.resolve_node(node, &path) {
                    self.engine_fits(id, node, database.engine, &name, nodes, &path);
                    host = id;
                }
            }
            let path = ["databases", &name, "shell", "database"];
            let own = match own {
                Some(own) => own.clone(),
                None => cut(&format!("margay_shell_{name}")),
            };
            if own.is_empty() || own.len() > LONGEST_NAME || own.contains('\0') {
                self.wrong(&path, "a database's name has 1 to 63 bytes", "write another name");
            }
            let wanted = several(database);
            let Some(model) = nodes.get(host.index()).filter(|_| wanted) else {
                // It may need one later on.
                if nodes.len() >= room {
                    nodes.push(nobody(NodeId(nodes.len() as u16)));
                }
                continue;
            };
            let servers: Vec<Server> = model
                .servers
                .iter()
                .map(|server| Server {
                    database: own.as_str().into(),
                    ..(**server).clone()
                })
                .collect();
            let id = NodeId(nodes.len() as u16);
            for server in &servers {
                if let Some(other) = taken.insert(address(server), format!("shell of `{name}`")) {
                    self.wrong(
                        &path,
                        format!("the shell of `{name}` would be the database `{own}` of {other}"),
                        "give it a name of its own: `shell: {database: …}`",
                    );
                }
            }
            nodes.push(Node {
                id,
                // No node of the rules can have this name.
                name: format!("{name}.shell").into(),
                engine: database.engine,
                servers: servers.into_iter().map(Arc::new).collect(),
                shell_of: Some(ShellOf {
                    database: name.as_str().into(),
                    host,
                }),
            });
            database.shell = Some(id);
        }
    }
}

/// A number without a node.
fn nobody(id: NodeId) -> Node {
    Node {
        id,
        name: "".into(),
        engine: Engine::Postgres,
        servers: Vec::new(),
        shell_of: None,
    }
}

fn address(server: &Server) -> (Box<str>, u16, Box<str>) {
    (server.host.clone(), server.port, server.database.clone())
}

/// At most as long as a name may be, at a character's end.
fn cut(name: &str) -> String {
    let mut end = name.len().min(LONGEST_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

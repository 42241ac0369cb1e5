//! `margay check RULES --live`: compares the rules with what the servers are and hold, and says of
//! everything that doesn't fit what to do. It only reads: nothing is created, noted or repaired here.

mod facts;
mod replication;
mod rights;
mod schema;
mod servers;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

use crate::model::NodeId;
use crate::topology::{Engine, Node, Server, Snapshot};

use super::connect::Link;
use super::health::server_name;
use facts::Facts;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Margay can't serve something, or would refuse it.
    Error,
    /// It works now, and may not later, or not as one database would.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// Something that doesn't fit. Ordered by severity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub severity: Severity,
    /// A server, a node, a table.
    pub subject: String,
    pub text: String,
    /// What to do about it.
    pub fix: String,
}

fn finding(
    severity: Severity,
    subject: impl Into<String>,
    text: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        subject: subject.into(),
        text: text.into(),
        fix: fix.into(),
    }
}

fn error(subject: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
    finding(Severity::Error, subject, text, fix)
}

fn warning(subject: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
    finding(Severity::Warning, subject, text, fix)
}

fn note(subject: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
    finding(Severity::Note, subject, text, fix)
}

/// What a check found.
pub struct Report {
    pub servers: usize,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }

    /// For a terminal, worst first.
    pub fn text(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut out = format!("live: {} asked\n\n", count(self.servers, "server"));
        // The same of several servers is said once.
        let mut said: Vec<(&Finding, Vec<&str>)> = Vec::new();
        for f in &self.findings {
            match said
                .iter_mut()
                .find(|(g, _)| (g.severity, &g.text, &g.fix) == (f.severity, &f.text, &f.fix))
            {
                Some((_, subjects)) => subjects.push(&f.subject),
                None => said.push((f, vec![&f.subject])),
            }
        }
        for (f, subjects) in said {
            let _ = writeln!(
                out,
                "{:7}  {}: {}",
                f.severity.name(),
                subjects.join(", "),
                f.text
            );
            let _ = writeln!(out, "         → {}", f.fix);
        }
        let of = |severity| self.findings.iter().filter(|f| f.severity == severity).count();
        let _ = match self.findings.len() {
            0 => writeln!(out, "the servers fit the rules"),
            _ => writeln!(
                out,
                "\n{}, {}, {}",
                count(of(Severity::Error), "error"),
                count(of(Severity::Warning), "warning"),
                count(of(Severity::Note), "note")
            ),
        };
        out
    }
}

/// A server that answered.
struct Asked<'a> {
    node: &'a Node,
    /// In the order of the rules: 0 is the one that they call the primary.
    index: usize,
    server: &'a Server,
    facts: Facts,
    link: Link,
}

impl Asked<'_> {
    /// `n_user/primary`, `n_user/replica0`.
    fn name(&self) -> String {
        format!("{}/{}", self.node.name, server_name(self.index))
    }

    fn is_primary(&self) -> bool {
        !self.facts.is("recovery")
    }
}

/// The shortest time that a server is given to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Who hasn't answered yet is told this often.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Asks every server of the rules. `tell`: a line about what is going on, for whoever waits.
pub async fn check(snapshot: &Snapshot, tell: &dyn Fn(&str)) -> Report {
    let mut findings = Vec::new();
    let nodes: Vec<&Node> = snapshot
        .rule_nodes()
        .map(|node| &**node)
        .filter(|node| node.engine == Engine::Postgres)
        .collect();
    let servers = nodes.iter().map(|node| node.servers.len()).sum();
    tell(&format!("asking {servers} servers of {} nodes", nodes.len()));
    let mut asked = ask_all(snapshot, &nodes, tell, &mut findings).await;
    findings.extend(servers::check(snapshot, &asked));
    findings.extend(replication::check(snapshot, &mut asked, tell).await);
    // The node's data are on whichever server is its primary now.
    let mut primaries: BTreeMap<NodeId, Asked<'_>> = BTreeMap::new();
    for one in asked.into_iter().filter(Asked::is_primary) {
        primaries.entry(one.node.id).or_insert(one);
    }
    findings.extend(rights::check(snapshot, &mut primaries, tell).await);
    for database in snapshot.databases.iter().filter(|d| d.engine == Engine::Postgres) {
        tell(&format!(
            "comparing what the nodes of database {} hold",
            database.name
        ));
        findings.extend(schema::check(snapshot, database, &mut primaries).await);
    }
    findings.sort();
    findings.dedup();
    Report { servers, findings }
}

async fn ask_all<'a>(
    snapshot: &Snapshot,
    nodes: &[&'a Node],
    tell: &dyn Fn(&str),
    findings: &mut Vec<Finding>,
) -> Vec<Asked<'a>> {
    let limit = snapshot.pool.connect_timeout.max(ANSWER_WITHIN);
    let all = nodes
        .iter()
        .flat_map(|node| node.servers.iter().enumerate().map(|(i, s)| (*node, i, &**s)));
    let mut open: FuturesUnordered<_> = all
        .map(|(node, index, server)| async move { (node, index, server, facts::ask(server, limit).await) })
        .collect();
    let label = |node: &Node, index| format!("{}/{}", node.name, server_name(index));
    let mut waiting: Vec<String> = nodes
        .iter()
        .flat_map(|node| (0..node.servers.len()).map(|i| label(node, i)))
        .collect();
    let mut asked = Vec::new();
    loop {
        let (node, index, server, answer) = match timeout(TELL_EVERY, open.next()).await {
            Ok(Some(one)) => one,
            Ok(None) => break,
            Err(_) => {
                tell(&format!("still waiting for {}", waiting.join(", ")));
                continue;
            }
        };
        waiting.retain(|name| *name != label(node, index));
        match answer {
            Ok((link, facts)) => asked.push(Asked {
                node,
                index,
                server,
                facts,
                link,
            }),
            Err(why) => findings.push(error(
                label(node, index),
                format!("it can't be asked: {why}"),
                format!("start it, or check address, user, password, `tls` and pg_hba.conf ({server:?})"),
            )),
        }
    }
    asked.sort_by_key(|one| (one.node.id, one.index));
    asked
}

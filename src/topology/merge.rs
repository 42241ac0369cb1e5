//! Several files into one tree. What has names (nodes, users, databases, domains, tables) merges by
//! name; the same key twice, in one file or in two, is an error that names both places.

use std::path::PathBuf;

use super::problem::{Finding, Pos};
use super::tree::{Data, Entry, Node};

/// Maps that may be continued in another file, as paths in which `*` stands for any name.
const CONTINUED: &[&[&str]] = &[
    &[],
    &["listen"],
    &["pool"],
    &["limits"],
    &["nodes"],
    &["databases"],
    &["databases", "*"],
    &["databases", "*", "reads"],
    &["databases", "*", "domains"],
    &["databases", "*", "domains", "*"],
    &["databases", "*", "domains", "*", "tables"],
];

/// One tree of all files. Keys of a later file follow those of an earlier one.
pub(crate) fn merge(trees: Vec<Node>, files: &[PathBuf], findings: &mut Vec<Finding>) -> Node {
    let mut whole = Node {
        pos: Pos {
            file: 0,
            line: 1,
            column: 1,
        },
        data: Data::Map(Vec::new()),
    };
    let mut path = Vec::new();
    for mut tree in trees {
        once(&mut tree, files, findings);
        match tree.data {
            Data::Map(entries) => add(&mut whole, entries, &mut path, files, findings),
            // An empty file, or one of comments only.
            Data::Null => {}
            _ => findings.push(Finding::new(
                tree.pos,
                format!("a rules file is a map, this is {}", tree.kind()),
                "begin with `version: 1`",
            )),
        }
    }
    whole
}

/// Drops the second of two equal keys within one file.
fn once(node: &mut Node, files: &[PathBuf], findings: &mut Vec<Finding>) {
    match &mut node.data {
        Data::Map(entries) => {
            let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
            let mut seen: std::collections::HashMap<String, Pos> = std::collections::HashMap::new();
            for mut entry in entries.drain(..) {
                match seen.get(&entry.key) {
                    Some(first) => findings.push(twice(&entry, *first, files)),
                    None => {
                        once(&mut entry.value, files, findings);
                        seen.insert(entry.key.clone(), entry.key_pos);
                        kept.push(entry);
                    }
                }
            }
            *entries = kept;
        }
        Data::List(items) => items.iter_mut().for_each(|i| once(i, files, findings)),
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => {}
    }
}

fn add(
    into: &mut Node,
    entries: Vec<Entry>,
    path: &mut Vec<String>,
    files: &[PathBuf],
    findings: &mut Vec<Finding>,
) {
    let Data::Map(present) = &mut into.data else {
        return;
    };
    for entry in entries {
        let Some(old) = present.iter_mut().find(|p| p.key == entry.key) else {
            present.push(entry);
            continue;
        };
        path.push(entry.key.clone());
        let both_maps = matches!((&old.value.data, &entry.value.data), (Data::Map(_), Data::Map(_)));
        let same_version =
            path.len() == 1 && entry.key == "version" && text(&old.value) == text(&entry.value);
        if both_maps && continued(path) {
            if let Data::Map(more) = entry.value.data {
                add(&mut old.value, more, path, files, findings);
            }
        } else if path.len() == 1 && entry.key == "users" {
            match (&mut old.value.data, entry.value.data) {
                (Data::List(users), Data::List(more)) => users.extend(more),
                (_, data) => {
                    findings.push(Finding::new(
                        entry.value.pos,
                        format!(
                            "`users` is a list, this is {}",
                            Node {
                                pos: entry.value.pos,
                                data
                            }
                            .kind()
                        ),
                        "write `- {name: …}` per user",
                    ));
                }
            }
        } else if !same_version {
            findings.push(twice(&entry, old.key_pos, files));
        }
        path.pop();
    }
}

fn continued(path: &[String]) -> bool {
    CONTINUED
        .iter()
        .any(|c| c.len() == path.len() && c.iter().zip(path).all(|(want, is)| *want == "*" || want == is))
}

fn text(node: &Node) -> String {
    format!("{:?}", node.data)
}

fn twice(entry: &Entry, first: Pos, files: &[PathBuf]) -> Finding {
    let file = files
        .get(first.file)
        .map(|f| f.display().to_string())
        .unwrap_or_default();
    Finding::new(
        entry.key_pos,
        format!(
            "`{}` is here twice: first at {file}:{}:{}",
            entry.key, first.line, first.column
        ),
        "keep one of them",
    )
}

//! Checks the shape of a rules tree against the JSON Schema of the typed structs: unknown keys,
//! missing keys, wrong kinds of values, unknown words, numbers out of bounds: all of them at once,
//! each at its place. What is broken is cut out, so that the rest can still be read and checked
//! for meaning. Knows nothing of what the keys mean.

use serde_json::Value;

use super::problem::{Finding, nearest, suggest};
use super::tree::{Data, Entry, Node};

/// Names and list indexes from the root.
pub(crate) type Path = Vec<String>;

pub(crate) struct Shape<'s> {
    root: &'s Value,
    pub findings: Vec<Finding>,
    /// Where something was cut out.
    pub broken: Vec<Path>,
    path: Path,
}

/// The part can't be used; it has been reported.
struct Broken;

impl<'s> Shape<'s> {
    pub fn new(root: &'s Value) -> Self {
        Self {
            root,
            findings: Vec::new(),
            broken: Vec::new(),
            path: Vec::new(),
        }
    }

    /// The tree without its broken parts; None if the root itself is broken.
    pub fn check(&mut self, tree: &Node) -> Option<Node> {
        self.node(tree, self.root, "the file").ok()
    }

    fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.broken.push(self.path.clone());
    }

    fn node(&mut self, node: &Node, schema: &'s Value, what: &str) -> Result<Node, Broken> {
        let branches = self.branches(schema);
        let fitting: Vec<&'s Value> = branches.iter().copied().filter(|b| fits(node, b)).collect();
        let Some(branch) = self.choose(node, &fitting)? else {
            let expected = expectation(&branches);
            self.report(Finding::new(
                node.pos,
                format!("{what} is {}", node.kind()),
                format!("write {expected}"),
            ));
            return Err(Broken);
        };
        match &node.data {
            Data::Map(entries) => self.map(node, entries, branch, &fitting, what),
            Data::List(items) => {
                let Some(item_schema) = branch.get("items") else {
                    return Ok(node.clone());
                };
                let mut kept = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    self.path.push(i.to_string());
                    if let Ok(item) = self.node(item, item_schema, &format!("an item of {what}")) {
                        kept.push(item);
                    }
                    self.path.pop();
                }
                // Users and replicas stand for themselves; any other list with a broken item would
                // mean something else without it.
                let apart = items.iter().all(|i| matches!(i.data, Data::Map(_)));
                if apart || kept.len() == items.len() {
                    Ok(Node {
                        pos: node.pos,
                        data: Data::List(kept),
                    })
                } else {
                    Err(Broken)
                }
            }
            Data::Text(word) => self.word(node, word, branch, what),
            Data::Int(number) => self.number(node, *number, branch, what),
            Data::Null | Data::Bool(_) | Data::Float(_) => Ok(node.clone()),
        }
    }

    fn map(
        &mut self,
        node: &Node,
        entries: &[Entry],
        branch: &'s Value,
        siblings: &[&'s Value],
        what: &str,
    ) -> Result<Node, Broken> {
        let properties = branch.get("properties").and_then(Value::as_object);
        let rest = branch.get("additionalProperties").filter(|r| r.is_object());
        let required: Vec<&str> = branch
            .get("required")
            .and_then(Value::as_array)
            .map(|r| r.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut kept = Vec::with_capacity(entries.len());
        let mut lost = false;
        for entry in entries {
            self.path.push(entry.key.clone());
            let known = properties.and_then(|p| p.get(&entry.key));
            match known.or(rest) {
                Some(schema) => {
                    let what = format!("`{}`", entry.key);
                    match self.node(&entry.value, schema, &what) {
                        Ok(value) => kept.push(Entry {
                            value,
                            ..entry.clone()
                        }),
                        Err(Broken) => lost |= required.contains(&entry.key.as_str()),
                    }
                }
                None => {
                    let names = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    let elsewhere = siblings.iter().any(|s| {
                        s.pointer("/properties")
                            .is_some_and(|p| p.get(&entry.key).is_some())
                    });
                    let finding = if elsewhere {
                        let others: Vec<&str> = entries
                            .iter()
                            .map(|e| e.key.as_str())
                            .filter(|k| *k != entry.key && properties.is_some_and(|p| p.contains_key(*k)))
                            .collect();
                        Finding::new(
                            entry.key_pos,
                            format!(
                                "`{}` does not go together with `{}`",
                                entry.key,
                                others.join("`, `")
                            ),
                            "leave one of them out",
                        )
                    } else {
                        let fix = suggest(&entry.key, names.clone());
                        Finding::new(entry.key_pos, format!("unknown key `{}`", entry.key), fix)
                    };
                    self.report(finding);
                    // What was meant isn't missing either: it is misspelt.
                    if let Some(meant) = nearest(&entry.key, names) {
                        let mut path = self.path.clone();
                        path.pop();
                        path.push(meant.to_owned());
                        self.broken.push(path);
                    }
                }
            }
            self.path.pop();
        }
        for name in required {
            if !entries.iter().any(|e| e.key == name) {
                lost = true;
                let mut missing = self.path.clone();
                missing.push(name.to_owned());
                if self.broken.contains(&missing) {
                    continue;
                }
                let about = properties
                    .and_then(|p| p.get(name))
                    .and_then(|s| s.get("description"))
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let fix = format!(
                    "write `{name}:`{}{}",
                    if about.is_empty() { "" } else { ": " },
                    about
                );
                self.report(Finding::new(
                    node.pos,
                    format!("`{name}` is missing in {what}"),
                    fix,
                ));
                lost = true;
            }
        }
        if lost {
            Err(Broken)
        } else {
            Ok(Node {
                pos: node.pos,
                data: Data::Map(kept),
            })
        }
    }

    fn word(&mut self, node: &Node, word: &str, branch: &'s Value, what: &str) -> Result<Node, Broken> {
        let allowed = words(branch);
        if !allowed.is_empty() && !allowed.contains(&word) {
            let near = nearest(word, allowed.iter().copied());
            let fix = match near {
                Some(near) => format!("did you mean `{near}`? Allowed are: {}", allowed.join(", ")),
                None => format!("write one of: {}", allowed.join(", ")),
            };
            self.report(Finding::new(
                node.pos,
                format!("`{word}` is no value of {what}"),
                fix,
            ));
            // What stands around it is checked as if it were right.
            let assumed = near.or(allowed.first().copied()).unwrap_or_default();
            return Ok(Node {
                pos: node.pos,
                data: Data::Text(assumed.to_owned()),
            });
        }
        Ok(node.clone())
    }

    fn number(&mut self, node: &Node, number: i128, branch: &'s Value, what: &str) -> Result<Node, Broken> {
        let format = branch.get("format").and_then(Value::as_str).unwrap_or("int64");
        let (lowest, highest) = match format {
            "uint32" => (0, i128::from(u32::MAX)),
            _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
        };
        let bound = |name: &str| branch.get(name).and_then(Value::as_i64).map(i128::from);
        let lowest = bound("minimum").unwrap_or(lowest);
        let highest = bound("maximum").unwrap_or(highest);
        if number < lowest || number > highest {
            self.report(Finding::new(
                node.pos,
                format!("{what} is {number}"),
                format!("write a number from {lowest} to {highest}"),
            ));
            return Err(Broken);
        }
        Ok(node.clone())
    }

    /// A schema's alternatives, with references followed.
    fn branches(&self, schema: &'s Value) -> Vec<&'s Value> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            return target.map(|t| self.branches(t)).unwrap_or_default();
        }
        for list in ["anyOf", "oneOf"] {
            if let Some(list) = schema.get(list).and_then(Value::as_array) {
                return list.iter().flat_map(|s| self.branches(s)).collect();
            }
        }
        vec![schema]
    }

    /// The alternative that the writer most likely meant. None: none fits the kind of value.
    fn choose(&mut self, node: &Node, fitting: &[&'s Value]) -> Result<Option<&'s Value>, Broken> {
        let Data::Map(entries) = &node.data else {
            // Several alternatives for one kind are words: `word` must see all of them.
            if let Data::Text(word) = &node.data
                && let Some(exact) = fitting.iter().find(|b| words(b).contains(&word.as_str()))
            {
                return Ok(Some(exact));
            }
            if fitting.len() > 1 && fitting.iter().all(|b| !words(b).is_empty()) {
                let allowed: Vec<&str> = fitting.iter().flat_map(|b| words(b)).collect();
                if let Data::Text(word) = &node.data {
                    let near = nearest(word, allowed.iter().copied());
                    let start = near.map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
                    let key = self.path.last().cloned().unwrap_or_default();
                    self.report(Finding::new(
                        node.pos,
                        format!("`{word}` is no value of `{key}`"),
                        format!("{start}allowed are: {}", allowed.join(", ")),
                    ));
                }
                return Err(Broken);
            }
            return Ok(fitting.first().copied());
        };
        if fitting.len() < 2 {
            return Ok(fitting.first().copied());
        }
        // `by: hash` and its like: one key's word decides.
        for entry in entries {
            let constant = |b: &Value| {
                b.pointer(&format!("/properties/{}/const", entry.key))
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            };
            let allowed: Vec<String> = fitting.iter().filter_map(|b| constant(b)).collect();
            if allowed.is_empty() {
                continue;
            }
            if let Data::Text(word) = &entry.value.data
                && let Some(hit) = fitting.iter().find(|b| constant(b).as_deref() == Some(word))
            {
                return Ok(Some(hit));
            }
            self.path.push(entry.key.clone());
            let is = match &entry.value.data {
                Data::Text(word) => format!("`{word}`"),
                _ => entry.value.kind().to_owned(),
            };
            self.report(Finding::new(
                entry.value.pos,
                format!("{is} is no value of `{}`", entry.key),
                format!("write one of: {}", allowed.join(", ")),
            ));
            self.path.pop();
            return Err(Broken);
        }
        // Else the one that knows most of the keys here and misses least.
        let score = |b: &&Value| {
            let known = entries
                .iter()
                .filter(|e| b.pointer("/properties").is_some_and(|p| p.get(&e.key).is_some()));
            let missing = b.get("required").and_then(Value::as_array).map_or(0, |r| {
                r.iter()
                    .filter_map(Value::as_str)
                    .filter(|n| !entries.iter().any(|e| e.key == *n))
                    .count()
            });
            (known.count(), std::cmp::Reverse(missing))
        };
        let mut best = fitting[0];
        for branch in &fitting[1..] {
            if score(branch) > score(&best) {
                best = branch;
            }
        }
        let absent = |b: &&'s Value| -> Option<&'s str> {
            let required = b.get("required").and_then(Value::as_array)?;
            required
                .iter()
                .filter_map(Value::as_str)
                .find(|n| !entries.iter().any(|e| e.key == *n))
        };
        let ties: Vec<&str> = fitting
            .iter()
            .filter(|b| score(b).0 == score(&best).0)
            .filter_map(absent)
            .collect();
        if absent(&best).is_some() && ties.iter().any(|t| *t != ties[0]) && score(&best).0 > 0 {
            let mut keys: Vec<&str> = Vec::new();
            ties.iter().for_each(|t| {
                if !keys.contains(t) {
                    keys.push(t)
                }
            });
            let key = self.path.last().cloned().unwrap_or_default();
            let message = format!("`{}` is missing in `{key}`", keys.join("` or `"));
            self.report(Finding::new(
                node.pos,
                message,
                format!("write one of the keys: {}", keys.join(", ")),
            ));
            return Err(Broken);
        }
        if score(&best).0 == 0 {
            let key = self.path.last().cloned().unwrap_or_default();
            let mut firsts: Vec<&str> = Vec::new();
            for branch in fitting {
                let required = branch.get("required").and_then(Value::as_array);
                let decider = required.and_then(|r| r.iter().filter_map(Value::as_str).find(|n| *n != "key"));
                firsts.extend(decider.filter(|d| !firsts.contains(d)).iter());
            }
            let (pos, is) = match entries.first() {
                Some(entry) => (
                    entry.key_pos,
                    format!("`{}` is no way to write `{key}`", entry.key),
                ),
                None => (node.pos, format!("`{key}` is empty")),
            };
            self.report(Finding::new(
                pos,
                is,
                format!("write one of the keys: {}", firsts.join(", ")),
            ));
            return Err(Broken);
        }
        Ok(Some(best))
    }
}

/// The words a schema of text allows; empty: any text.
fn words(schema: &Value) -> Vec<&str> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![word];
    }
    let list = schema.get("enum").and_then(Value::as_array);
    list.map(|l| l.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ if schema.get("const").is_some() || schema.get("enum").is_some() => vec!["string"],
        _ => vec![],
    }
}

fn fits(node: &Node, schema: &Value) -> bool {
    let name = match node.data {
        Data::Null => "null",
        Data::Bool(_) => "boolean",
        Data::Int(_) => "integer",
        Data::Float(_) => "number",
        Data::Text(_) => "string",
        Data::List(_) => "array",
        Data::Map(_) => "object",
    };
    types(schema).contains(&name)
}

fn expectation(branches: &[&Value]) -> String {
    let mut names: Vec<String> = Vec::new();
    for branch in branches {
        for ty in types(branch) {
            let name = match ty {
                "boolean" => "true or false".to_owned(),
                "integer" => "a whole number".to_owned(),
                "number" => "a number".to_owned(),
                "string" => match words(branch).as_slice() {
                    [] if branch.get("pattern").is_some() => {
                        "a number with its unit, as 100ms, 5s, 1m".to_owned()
                    }
                    [] => "text (in quotes, if it looks like a number)".to_owned(),
                    words => words.join(" or "),
                },
                "array" => "a list, as `[a, b]`".to_owned(),
                "object" => "a map, as `{key: value}`".to_owned(),
                _ => continue,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(" or ")
}

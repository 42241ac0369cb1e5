//! Rules on disk → Snapshot, or every problem at once. Reads files and, through a function handed
//! in, the environment; opens no connection.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::check::Check;
use super::file::Rules;
use super::problem::{Finding, Problem};
use super::shape::Shape;
use super::snapshot::{Listen, Server, Snapshot, Source};
use super::tree::{Data, Entry, Node};
use super::{merge, schema, tree};

/// Rules that hold.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub snapshot: Snapshot,
    pub source: Source,
    /// What is allowed but hardly meant.
    pub warnings: Vec<Problem>,
}

/// What a sandbox puts in the place of the rules' addresses. Serialisable, to hand to a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// Node's name → its servers, the primary first. Secrets that the rules name for these nodes are
    /// not looked up.
    pub nodes: HashMap<String, Vec<Server>>,
    pub listen: Option<Listen>,
    /// Password of client users whose own is in a variable or file that isn't there.
    pub default_password: Option<String>,
}

/// Reads a rules file, or a folder of `*.yaml` and `*.yml` files merged into one.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Problem>> {
    load_with_overrides(path, env, &Overrides::default())
}

/// `load`, with addresses replaced.
pub fn load_with_overrides(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Result<Loaded, Vec<Problem>> {
    let files = list(path)?;
    let mut texts = Vec::with_capacity(files.len());
    let mut problems = Vec::new();
    for file in files {
        match std::fs::read(&file)
            .map_err(|e| e.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()))
        {
            Ok(text) => texts.push((file, text)),
            Err(why) => problems.push(unreadable(&file, &format!("the file can't be read: {why}"))),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    load_texts(texts, env, overrides)
}

/// Rules from texts in place of files; the paths are only names.
pub fn load_texts(
    texts: Vec<(PathBuf, String)>,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Result<Loaded, Vec<Problem>> {
    let files: Vec<PathBuf> = texts.iter().map(|(file, _)| file.clone()).collect();
    let mut findings = Vec::new();
    let mut trees = Vec::new();
    for (i, (_, text)) in texts.iter().enumerate() {
        match tree::read(text, i) {
            Ok(tree) => trees.push(tree),
            Err(finding) => findings.push(finding),
        }
    }
    // A file that can't be read may define whatever the others miss: only what is wrong with the
    // shape of the others is certain then.
    let readable = findings.is_empty();
    let mut whole = merge::merge(trees, &files, &mut findings);
    if let Some(finding) = version(&mut whole)
        && readable
    {
        findings.push(finding);
    }
    let schema = schema::json_schema();
    let mut shape = Shape::new(&schema);
    let sound = shape.check(&whole);
    findings.append(&mut shape.findings);
    let Some(sound) = sound.filter(|_| readable) else {
        return Err(finish(findings, &files));
    };
    let rules = match <Rules as serde::Deserialize>::deserialize(&sound) {
        Ok(rules) => rules,
        Err(error) => {
            findings.push(Finding::new(whole.pos, error.to_string(), "see docs/rules.md"));
            return Err(finish(findings, &files));
        }
    };
    let mut check = Check {
        tree: &sound,
        original: &whole,
        broken: &shape.broken,
        files: &files,
        env,
        overrides,
        findings,
        warnings: Vec::new(),
        node_names: Vec::new(),
        zone: None,
    };
    let snapshot = check.run(&rules);
    let (findings, warnings) = (check.findings, check.warnings);
    if !findings.is_empty() {
        return Err(finish(findings, &files));
    }
    Ok(Loaded {
        snapshot,
        warnings: finish(warnings, &files),
        source: Source { files },
    })
}

/// Sees that there is a version. One that is missing must not hide what else is wrong, so it is put in.
fn version(whole: &mut Node) -> Option<Finding> {
    let pos = whole.entry("version").map_or(whole.pos, |e| e.value.pos);
    let message = match whole.get("version").map(|v| &v.data) {
        Some(Data::Int(_)) => return None,
        Some(_) => "`version` is not a number",
        None => "`version` is missing",
    };
    if let Data::Map(entries) = &mut whole.data {
        entries.retain(|e| e.key != "version");
        entries.push(Entry {
            key: "version".into(),
            key_pos: pos,
            value: Node {
                pos,
                data: Data::Int(1),
            },
        });
    }
    Some(Finding::new(pos, message, "write `version: 1`"))
}

/// In the order of the files, each once.
fn finish(mut findings: Vec<Finding>, files: &[PathBuf]) -> Vec<Problem> {
    findings.sort_by_key(|f| (f.pos.file, f.pos.line, f.pos.column));
    let mut problems: Vec<Problem> = findings.into_iter().map(|f| f.into_problem(files)).collect();
    problems.dedup();
    problems
}

fn unreadable(file: &Path, message: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line: 1,
        column: 1,
        message: message.to_owned(),
        fix: "name a rules file, or a folder of *.yaml files".to_owned(),
    }
}

/// The files of `path`, sorted by name.
fn list(path: &Path) -> Result<Vec<PathBuf>, Vec<Problem>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path)
        .and_then(|entries| {
            entries
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(|error| vec![unreadable(path, &format!("the folder can't be read: {error}"))])?;
    let is_rules = |p: &PathBuf| {
        let hidden = p
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        !hidden && p.is_file() && p.extension().is_some_and(|e| e == "yaml" || e == "yml")
    };
    let mut files: Vec<PathBuf> = entries.into_iter().filter(is_rules).collect();
    files.sort();
    if files.is_empty() {
        return Err(vec![unreadable(path, "the folder has no rules in it")]);
    }
    Ok(files)
}

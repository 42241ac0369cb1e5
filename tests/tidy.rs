//! Rules of style that hold because this test fails otherwise: which room may import which
//! (DESIGN.md §3), that planning is pure, that every file says what it is for, that files stay
//! short, and that no code panics on what it is given.
//!
//! Exceptions are listed here with a limit and a reason, and only shrink: an exception that is no
//! longer needed fails too. The test reads tokens, not a syntax tree: comments, strings and tests inside
//! files are told apart, macros are not expanded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files that put the rooms together: they may import all, and no room may import them.
const MAIN: &[&str] = &["main", "lib", "cli"];

/// Room → rooms that it may import.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("topology", &["model"]),
    ("wire", &["model"]),
    ("plan", &["model", "topology"]),
    ("merge", &["model", "plan", "wire"]),
    ("backend", &["model", "topology", "wire"]),
    (
        "execute",
        &["model", "topology", "plan", "merge", "backend", "wire"],
    ),
    ("pipeline", &["model", "topology", "plan", "execute", "merge"]),
    (
        "session",
        &["model", "topology", "wire", "plan", "pipeline", "backend"],
    ),
    ("control", &["model", "topology", "backend", "plan", "execute"]),
    ("sandbox", &["model", "topology"]),
];

/// What `plan` must not name: the runtime, sockets, clocks, chance. `now` is an argument.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["socket2"],
    &["rand"],
    &["std", "::", "net"],
    &["SystemTime"],
    &["Instant"],
    &["::", "now", "("],
];

/// What code outside tests must not do.
const PANICS: &[&[&str]] = &[
    &[".", "unwrap", "(", ")"],
    &["panic", "!"],
    &["todo", "!"],
    &["unimplemented", "!"],
];

const LONGEST_FILE_LINES: usize = 600;

/// Files that may be longer, how long, and why. Limits only shrink.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Files that may panic, how often, and why. Limits only shrink.
const PANICKING_FILES: &[(&str, usize, &str)] = &[];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let Some(room) = room_of(&file.path) else { continue };
        for broken in forbidden_imports(room, &module_of(&file.path), &file.tokens) {
            wrong.push(format!("{}:{broken}", file.path));
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "see the table of DESIGN.md §3");
}

#[test]
fn every_room_is_in_the_table() {
    let known: BTreeSet<&str> = IMPORTS.iter().map(|(room, _)| *room).collect();
    let found: BTreeSet<String> = sources("src")
        .iter()
        .filter_map(|file| Some(room_of(&file.path)?.to_string()))
        .collect();
    let unknown: Vec<&String> = found
        .iter()
        .filter(|room| !known.contains(room.as_str()))
        .collect();
    assert_eq!(
        unknown,
        Vec::<&String>::new(),
        "a room that the table does not know"
    );
}

#[test]
fn table_orders_the_rooms_without_a_circle() {
    let table: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < table.len() {
        let next = table
            .iter()
            .find(|(room, may)| !placed.contains(*room) && may.iter().all(|m| placed.contains(m)));
        placed.insert(next.expect("the remaining rooms import each other").0);
    }
}

#[test]
fn planning_knows_no_runtime_socket_clock_or_chance() {
    let mut wrong = Vec::new();
    for file in sources("src")
        .into_iter()
        .filter(|file| room_of(&file.path) == Some("plan"))
    {
        for (line, what) in occurrences(&without_tests(&file.tokens), IMPURE) {
            wrong.push(format!("{}:{line}: {what}", file.path));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let mut all = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        all.extend(sources(folder));
    }
    assert!(all.len() > 10, "the files are found");
    let silent: Vec<String> = all
        .into_iter()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.path)
        .collect();
    assert_eq!(silent, Vec::<String>::new(), "these do not begin with `//!`");
}

#[test]
fn files_stay_short() {
    let mut lengths = BTreeMap::new();
    for file in sources("src").into_iter().chain(sources("examples")) {
        let lines = file.text.lines().count();
        if lines > LONGEST_FILE_LINES {
            lengths.insert(file.path, lines);
        }
    }
    assert_ratchet("longer than 600 lines", &lengths, LONG_FILES);
}

#[test]
fn code_outside_tests_does_not_panic() {
    let mut found = BTreeMap::new();
    for file in sources("src") {
        let count = occurrences(&without_tests(&file.tokens), PANICS).len();
        if count > 0 {
            found.insert(file.path, count);
        }
    }
    assert_ratchet(
        "`.unwrap()`, `panic!`, `todo!` or `unimplemented!` outside tests",
        &found,
        PANICKING_FILES,
    );
}

// --- The rules' own tests: what must be found is found, what is harmless is not. ---

#[test]
fn forbidden_imports_are_found_in_every_way_to_write_them() {
    let module = ["plan", "route"].map(String::from);
    for bad in [
        "use crate::backend::Pool;",
        "use crate::{model::NodeId, backend::Pool};",
        "use crate::{\n    model::{NodeId, names::{TableName}},\n    backend,\n};",
        "pub use crate::backend;",
        "fn f() { crate::backend::connect() }",
        "fn f(x: &crate :: backend::Pool) {}",
        "use super::super::backend::Pool;",
        "use super::super::{model, backend as b};",
        "mod inner { use super::super::super::backend; }",
        "use margay::backend::Pool;",
        "use crate::*;",
        "use crate::r#backend::Pool;",
    ] {
        let found = forbidden_imports("plan", &module, &tokens(bad));
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
    }
    for good in [
        "use crate::model::NodeId;",
        "use crate::{model::backend, topology::{Snapshot, backend::X}};",
        "use crate::plan::route;",
        "// use crate::backend::Pool;",
        "/* use crate::backend /* nested */ use crate::backend */",
        "const S: &str = \"crate::backend\"; const R: &str = r#\"\"crate::backend\"#;",
        "use super::backend;",
        "use super::super::model;",
        "mod inner { use super::super::backend; }",
        "pub(crate) fn f() {}",
        "fn f<'a>(x: &'a str) -> char { '\"' }",
    ] {
        let found = forbidden_imports("plan", &module, &tokens(good));
        assert_eq!(found, Vec::<String>::new(), "{good}");
    }
}

#[test]
fn impure_words_are_found() {
    for bad in [
        "use tokio::net::TcpStream;",
        "let x = rand::random();",
        "use std::net::IpAddr;",
        "use std::{net, fmt};",
        "use std::time::{Duration, Instant};",
        "std::time::SystemTime::now()",
        "jiff::Timestamp::now()",
    ] {
        assert!(!occurrences(&tokens(bad), IMPURE).is_empty(), "{bad}");
    }
    for good in [
        "let operand = rand_max;",
        "// tokio",
        "fn f(now: i64) { g(now) }",
        "\"rand::random\"",
    ] {
        assert!(occurrences(&tokens(good), IMPURE).is_empty(), "{good}");
    }
}

#[test]
fn panics_count_outside_tests_only() {
    let count = |text: &str| occurrences(&without_tests(&tokens(text)), PANICS).len();
    assert_eq!(count("fn f() { x.unwrap(); panic!(\"…\"); todo!() }"), 3);
    assert_eq!(count("fn f() { x\n    .unwrap() }"), 1);
    assert_eq!(
        count("fn f() { x.unwrap_or(1); x.expect(\"why\"); catch_panic() }"),
        0
    );
    assert_eq!(
        count("#[cfg(test)]\nmod tests { fn f() { x.unwrap() } }\nfn g() { y.unwrap() }"),
        1
    );
    assert_eq!(
        count("#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nfn g() { y.unwrap() }"),
        1
    );
    assert_eq!(count("#[cfg(not(test))]\nfn g() { y.unwrap() }"), 1);
    assert_eq!(count("#[cfg(all(test, unix))]\nfn g() { y.unwrap() }"), 0);
    assert_eq!(count("#[test]\nfn g() { y.unwrap() }"), 0);
}

#[test]
fn ratchet_refuses_growth_and_stale_exceptions() {
    let found = BTreeMap::from([("a.rs".to_string(), 3)]);
    let complaints = |list: &[(&str, usize, &str)]| ratchet(&found, list).len();
    assert_eq!(complaints(&[("a.rs", 3, "why")]), 0);
    assert_eq!(complaints(&[]), 1, "not listed");
    assert_eq!(complaints(&[("a.rs", 2, "why")]), 1, "grown");
    assert_eq!(complaints(&[("a.rs", 4, "why")]), 0);
    assert_eq!(
        complaints(&[("a.rs", 3, "why"), ("b.rs", 1, "why")]),
        1,
        "no longer needed"
    );
    assert_eq!(complaints(&[("a.rs", 3, " ")]), 1, "no reason");
}

// --- Reading ---

struct Source {
    /// From the repository's root, with slashes.
    path: String,
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// The Rust files below a folder. A file that is a test module of its own has no tokens outside tests.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    rust_files(&root.join(folder), &mut paths);
    paths.sort();
    let mut sources: Vec<Source> = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let tokens = tokens(&text);
        let path = path
            .strip_prefix(root)
            .expect("below the root")
            .display()
            .to_string();
        sources.push(Source { path, text, tokens });
    }
    let tests: BTreeSet<String> = sources
        .iter()
        .flat_map(|s| test_modules(&s.path, &s.tokens))
        .collect();
    sources.retain(|s| {
        !tests
            .iter()
            .any(|t| s.path == format!("{t}.rs") || s.path.starts_with(&format!("{t}/")))
    });
    sources
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// `src/plan/route/hash.rs` → `plan`; none for the files of `MAIN`.
fn room_of(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!MAIN.contains(&room)).then_some(room)
}

/// `src/plan/route/hash.rs` → plan, route, hash; `src/plan/mod.rs` → plan.
fn module_of(path: &str) -> Vec<String> {
    let path = path
        .strip_prefix("src/")
        .unwrap_or(path)
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    path.split('/').map(String::from).collect()
}

/// Identifiers, `::`, and single other characters; no comments, strings, characters, lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let end = token_end(&chars, at);
        let text: String = chars[at..end].iter().collect();
        let kept = !chars[at].is_whitespace() && !text.starts_with("//") && !text.starts_with("/*");
        let literal = text.contains('"') || (text.starts_with('\'') && text != "'");
        if kept && !literal {
            let name = text.strip_prefix("r#").unwrap_or(&text).to_string();
            found.push(Token { text: name, line });
        }
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

fn token_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => position(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => comment_end(chars, at),
        '"' => string_end(chars, at),
        '\'' => quote_end(chars, at),
        ':' if next == Some(':') => at + 2,
        c if is_name(c) => {
            let end = position(chars, at, |c| !is_name(c));
            let name: String = chars[at..end].iter().collect();
            match name.as_str() {
                "b" | "c" if chars.get(end) == Some(&'"') => string_end(chars, end),
                "b" if chars.get(end) == Some(&'\'') => quote_end(chars, end),
                "r" | "br" | "cr" => raw_end(chars, end),
                _ => end,
            }
        }
        _ => at + 1,
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn position(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len())
        .find(|i| stop(chars[*i]))
        .unwrap_or(chars.len())
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string_end(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A character literal or, if no quote closes it, a lifetime.
fn quote_end(chars: &[char], quote: usize) -> usize {
    if chars.get(quote + 1) == Some(&'\\') {
        return (position(chars, quote + 3, |c| c == '\'') + 1).min(chars.len());
    }
    if chars.get(quote + 2) == Some(&'\'') {
        return quote + 3;
    }
    position(chars, quote + 1, |c| !is_name(c))
}

/// After `r`: a raw string, a raw identifier (`r#type`), or nothing of the kind.
fn raw_end(chars: &[char], after: usize) -> usize {
    let quote = position(chars, after, |c| c != '#');
    let hashes = quote - after;
    if chars.get(quote) == Some(&'"') {
        let mut at = quote + 1;
        while at < chars.len() {
            let closing = chars[at] == '"'
                && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
            if closing {
                return at + 1 + hashes;
            }
            at += 1;
        }
        return chars.len();
    }
    if hashes == 1 {
        position(chars, quote, |c| !is_name(c))
    } else {
        after
    }
}

// --- Judging ---

/// `line: room` for each import that the table does not allow.
fn forbidden_imports(room: &str, module: &[String], tokens: &[Token]) -> Vec<String> {
    let allowed = IMPORTS
        .iter()
        .find(|(name, _)| *name == room)
        .map_or(&[][..], |(_, may)| may);
    imports(module, tokens)
        .into_iter()
        .filter(|(_, target)| target != room && !allowed.contains(&target.as_str()))
        .map(|(line, target)| format!("{line}: {room} imports {target}"))
        .collect()
}

/// Rooms that a file names by a path from the crate's root, with the line.
fn imports(module: &[String], tokens: &[Token]) -> Vec<(usize, String)> {
    let text = |i: usize| tokens.get(i).map_or("", |token: &Token| token.text.as_str());
    let mut found = Vec::new();
    // One entry per open brace: whether it opened a module.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => braces.push(at >= 2 && text(at - 2) == "mod"),
            "}" => drop(braces.pop()),
            // A path may only begin here if nothing leads to it.
            "crate" | "margay" if text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") => {
                heads(tokens, at + 2, &mut found);
            }
            "super" if text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") => {
                let mut up = 1;
                while text(at + 2 * up) == "super" && text(at + 2 * up + 1) == "::" {
                    up += 1;
                }
                let depth = module.len() + braces.iter().filter(|opened| **opened).count();
                if up >= depth {
                    heads(tokens, at + 2 * up, &mut found);
                }
                at += 2 * up - 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The first names of a path or of a group of paths that begins at `at`.
fn heads(tokens: &[Token], at: usize, found: &mut Vec<(usize, String)>) {
    let Some(first) = tokens.get(at) else { return };
    if first.text != "{" {
        found.push((first.line, first.text.clone()));
        return;
    }
    let mut depth = 0;
    let mut begins = false;
    for token in &tokens[at..] {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                begins = depth == 1;
            }
            "}" => depth -= 1,
            "," => begins = depth == 1,
            name if begins && depth == 1 => {
                found.push((token.line, name.to_string()));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// Where one of the patterns occurs. `std::{net, …}` counts as `std::net`.
fn occurrences(tokens: &[Token], patterns: &[&[&str]]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        for pattern in patterns {
            let window = tokens.get(at..at + pattern.len());
            if window.is_some_and(|window| {
                window
                    .iter()
                    .zip(*pattern)
                    .all(|(token, text)| token.text == *text)
            }) {
                found.push((tokens[at].line, pattern.concat()));
            }
            let grouped = pattern.len() == 3
                && pattern[1] == "::"
                && tokens[at].text == pattern[0]
                && tokens.get(at + 1).is_some_and(|token| token.text == "::")
                && tokens.get(at + 2).is_some_and(|token| token.text == "{");
            if grouped {
                let mut names = Vec::new();
                heads(tokens, at + 2, &mut names);
                found.extend(
                    names
                        .into_iter()
                        .filter(|(_, n)| n == pattern[2])
                        .map(|(line, _)| (line, pattern.concat())),
                );
            }
        }
    }
    found
}

/// The tokens without items under `#[test]` or `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match test_attribute_end(tokens, at) {
            Some(end) => at = item_end(tokens, end),
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// Paths (without `.rs`) of modules that a file declares as `#[cfg(test)] mod name;`.
fn test_modules(path: &str, tokens: &[Token]) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"]
        .iter()
        .find_map(|end| stem.strip_suffix(end))
        .unwrap_or(stem);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let Some(end) = test_attribute_end(tokens, at) else {
            continue;
        };
        let item = &tokens[end..item_end(tokens, end)];
        if let [.., keyword, name, semicolon] = item
            && keyword.text == "mod"
            && semicolon.text == ";"
        {
            found.push(format!("{folder}/{}", name.text));
        }
    }
    found
}

/// If a test attribute begins at `at`, the place after it.
fn test_attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text.as_str());
    if text(at) != "#" || text(at + 1) != "[" {
        return None;
    }
    let end = closing(tokens, at + 1);
    let inside: Vec<&str> = tokens[at + 2..end.saturating_sub(1)]
        .iter()
        .map(|token| token.text.as_str())
        .collect();
    let plain = inside.last() == Some(&"test") && !inside.contains(&"(");
    let configured = inside.first() == Some(&"cfg") && inside.contains(&"test") && !inside.contains(&"not");
    (plain || configured).then_some(end)
}

/// The end of the item at `at`: its closing brace or its semicolon. Further attributes belong to it.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "{" => return closing(tokens, at),
            "[" | "(" => at = closing(tokens, at),
            ";" => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The place after the bracket that closes the one at `at`.
fn closing(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" | "[" | "(" => depth += 1,
            "}" | "]" | ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

fn assert_ratchet(rule: &str, found: &BTreeMap<String, usize>, exceptions: &[(&str, usize, &str)]) {
    assert_eq!(ratchet(found, exceptions), Vec::<String>::new(), "{rule}");
}

/// What is wrong between what was found and what is excepted.
fn ratchet(found: &BTreeMap<String, usize>, exceptions: &[(&str, usize, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, count) in found {
        match exceptions.iter().find(|(name, ..)| name == path) {
            None => wrong.push(format!("{path}: {count}")),
            Some((_, limit, _)) if count > limit => wrong.push(format!("{path}: {count}, {limit} allowed")),
            Some((_, _, reason)) if reason.trim().is_empty() => {
                wrong.push(format!("{path}: no reason given"))
            }
            Some(_) => {}
        }
    }
    for (path, ..) in exceptions {
        if !found.contains_key(*path) {
            wrong.push(format!("{path}: no exception needed any more; remove it"));
        }
    }
    wrong
}

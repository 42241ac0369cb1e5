//! A moment of fuzzing on every run: the entries of `fuzz/` get texts of the repository's own, broken at random.
//! `make fuzz` runs the same entries for long, led by coverage.
//!
//! The seed is fixed; MARGAY_SEED takes another, MARGAY_CASES more texts. A text that fails is printed.

#[path = "../fuzz/entries.rs"]
mod entries;

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SHORT: usize = 3000;
const FIXED_SEED: u64 = 20_261_122;

/// Pieces that matter to the grammars at hand.
const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "$$",
    "$a$",
    "E'",
    "\\",
    "--",
    "/*",
    "*/",
    "(",
    ")",
    "((((",
    "[",
    "]",
    ";",
    ",",
    ".",
    "::",
    "=",
    "=-",
    "$1",
    "0x",
    "1e",
    "é",
    "\u{0}",
    "\n",
    " AND ",
    " OR ",
    " NOT ",
    " IN (1, 2)",
    " ONLY ",
    " WHERE CURRENT OF c",
    " FOR UPDATE",
    " LIMIT 1",
    " UNION ",
    "TABLE orders",
    "SELECT ",
    ".*",
    " AS (",
    " EXCLUDE TIES",
    " ROWS FROM (",
    " user_id = 42",
    "WITH RECURSIVE ",
    " MERGE INTO orders o USING ",
    "- ",
    ": ",
    "{",
    "}",
    "&a ",
    "*a ",
    "? ",
    "\t",
];

struct Breaker {
    random: StdRng,
    texts: Vec<Vec<u8>>,
}

impl Breaker {
    fn pick(&mut self) -> Vec<u8> {
        self.texts[self.random.random_range(0..self.texts.len())].clone()
    }

    fn broken(&mut self) -> Vec<u8> {
        let mut text = self.pick();
        for _ in 0..self.random.random_range(0..4) {
            let at = self.random.random_range(0..=text.len());
            let to = (at + self.random.random_range(0..12)).min(text.len());
            match self.random.random_range(0..6) {
                0 => drop(text.drain(at..to)),
                1 => {
                    let other = self.pick();
                    let from = self.random.random_range(0..=other.len());
                    text.splice(at..to, other[from..].iter().copied().take(60));
                }
                2 => {
                    let copy = text[at..to].to_vec();
                    text.splice(at..at, copy);
                }
                3 => text.truncate(at),
                4 if at < text.len() => text[at] = self.random.random(),
                _ => {
                    let piece = PIECES[self.random.random_range(0..PIECES.len())];
                    text.splice(at..at, piece.bytes());
                }
            }
        }
        text
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

fn run(entry: fn(&[u8]), texts: Vec<Vec<u8>>, share: usize) {
    assert!(!texts.is_empty(), "there is something to break");
    let seed = number("MARGAY_SEED").unwrap_or(FIXED_SEED);
    let count = number("MARGAY_CASES").map_or(SHORT, |n| n as usize) / share;
    println!("MARGAY_SEED={seed}, {count} texts");
    let mut breaker = Breaker {
        random: StdRng::seed_from_u64(seed),
        texts,
    };
    for _ in 0..count {
        let text = breaker.broken();
        if std::panic::catch_unwind(|| entry(&text)).is_err() {
            panic!("MARGAY_SEED={seed}: {:?}", String::from_utf8_lossy(&text));
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Golden cases and what drivers send.
fn statements() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (folder, extension) in [
        ("tests/golden", "txt"),
        ("tests/corpus", "sql"),
        ("tests/differential", "sql"),
    ] {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder of the repository");
        let mut files: Vec<_> = entries.map(|e| e.expect("a readable folder").path()).collect();
        files.sort();
        for file in files
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == extension))
        {
            let text = read(file);
            out.extend(text.split("\n\n").map(|case| {
                let sql = case.split("\n----").next().unwrap_or_default();
                sql.as_bytes().to_vec()
            }));
        }
    }
    out
}

#[test]
fn messages_decode_or_are_refused() {
    let mut texts: Vec<Vec<u8>> = vec![
        b"Q\0\0\0\x0dSELECT 1\0".to_vec(),
        b"P\0\0\0\x13s\0SELECT $1\0\0\x01\0\0\0\x17".to_vec(),
        b"B\0\0\0\x17p\0s\0\0\x01\0\x01\0\x01\0\0\0\x011\0\x01\0\x01".to_vec(),
        b"T\0\0\0\x1b\0\x01id\0\0\0\x40\x01\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0".to_vec(),
        b"D\0\0\0\x0f\0\x02\0\0\0\x01a\xff\xff\xff\xff".to_vec(),
        b"E\0\0\0\x12SERROR\0C42601\0\0".to_vec(),
        b"\0\0\0\x10\0\x03\0\0user\0a\0\0".to_vec(),
        b"p\0\0\0\x12SCRAM-SHA-256\0\0\0\0\x03n,,".to_vec(),
        b"F\0\0\0\x12\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0".to_vec(),
    ];
    texts.push(texts.concat());
    run(entries::codec, texts, 1);
}

#[test]
fn texts_are_cut_into_statements() {
    run(entries::lexer, statements(), 1);
}

#[test]
fn statements_are_planned_or_refused() {
    run(entries::lowering, statements(), 1);
}

#[test]
fn rules_are_read_or_refused() {
    let mut texts = vec![read(&root().join("tests/golden/rules.yaml")).into_bytes()];
    texts.push(read(&root().join("tests/differential/rules.yaml")).into_bytes());
    // Each is a whole check of a file against the schema.
    run(entries::rules, texts, 10);
}

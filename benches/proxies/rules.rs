//! How long rules of ten thousand tables take to load and check.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};

const TABLES: usize = 10_000;

pub fn measure(folder: &Path) -> Result<String> {
    let mut text = String::from(
        "version: 1\nusers: [{name: bench, password: {plain: bench}}]\nnodes:\n  n0: {primary: \"postgres://app@10.0.0.1/x\"}\n  \
         n1: {primary: \"postgres://app@10.0.0.2/x\"}\ndatabases:\n  x:\n    engine: postgres\n    domains:\n      d:\n        \
         nodes: [n0, n1]\n        tables:\n",
    );
    for table in 0..TABLES {
        let _ = writeln!(
            text,
            "          table_{table}: {{shard: {{by: hash, key: {{column: id, type: bigint}}, count: 16}}}}"
        );
    }
    let file = folder.join("many.yaml");
    std::fs::write(&file, text)?;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let begun = Instant::now();
        let out = Command::new(super::margay())
            .arg("check")
            .arg(&file)
            .stdin(Stdio::null())
            .output()?;
        best = best.min(begun.elapsed().as_secs_f64());
        if !out.status.success() {
            bail!("margay check: {}", String::from_utf8_lossy(&out.stderr));
        }
    }
    Ok(format!(
        "rules of {TABLES} tables: checked in {:.0} ms (best of 3)",
        best * 1e3
    ))
}

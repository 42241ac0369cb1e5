//! A sandbox for an integration test: real servers and the proxy, gone when the value is dropped.
//! It speaks the sandbox's `--print-env` protocol (`src/sandbox/protocol.rs`).

// Each test program uses a part of this.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program under test.
pub const MARGAY: &str = env!("CARGO_BIN_EXE_margay");

pub struct Sandbox {
    /// CMD's environment (DESIGN.md §2), kept up to date by `start_again`.
    pub env: HashMap<String, String>,
    child: Child,
    out: BufReader<ChildStdout>,
    /// The rules file lives as long as the sandbox.
    _rules: Option<tempfile::NamedTempFile>,
}

impl Sandbox {
    /// Starts servers, an oracle and the proxy for rules given as YAML.
    pub fn start(rules: &str) -> Sandbox {
        Sandbox::with(rules, &["--oracle"])
    }

    /// Starts servers and an oracle, but no proxy.
    pub fn servers_only(rules: &str) -> Sandbox {
        Sandbox::with(rules, &["--oracle", "--no-proxy"])
    }

    pub fn with(rules: &str, options: &[&str]) -> Sandbox {
        let file = rules_file(rules);
        let mut sandbox = Sandbox::at(file.path(), options);
        sandbox._rules = Some(file);
        sandbox
    }

    /// For rules of the caller's own, which may change while the proxy runs (RELOAD).
    pub fn at(rules: &std::path::Path, options: &[&str]) -> Sandbox {
        let mut child = Command::new(MARGAY)
            .arg("sandbox")
            .arg(rules)
            .arg("--print-env")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("margay runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        let mut sandbox = Sandbox {
            env: HashMap::new(),
            child,
            out,
            _rules: None,
        };
        sandbox
            .read_variables()
            .expect("the sandbox starts (it says above why not)");
        sandbox
    }

    /// A variable that must be there, such as `MARGAY_NODE_N_USER_URL`.
    pub fn var(&self, name: &str) -> &str {
        self.env
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.env.keys()))
    }

    /// The proxy's URL.
    pub fn proxy(&self) -> &str {
        self.var("MARGAY_POSTGRES_URL")
    }

    pub fn oracle(&self) -> &str {
        self.var("MARGAY_ORACLE_URL")
    }

    /// The process id of `MARGAY_…_PID`.
    pub fn pid(&self, name: &str) -> u32 {
        self.var(name).parse().expect("a process id")
    }

    /// Sends a signal (`KILL`, `STOP`, `CONT`, …) to the process of `MARGAY_…_PID`.
    pub fn signal(&self, name: &str, signal: &str) {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.var(name).to_string()])
            .status();
        assert!(
            status.expect("kill runs").success(),
            "can't send {signal} to {name}"
        );
    }

    /// Starts a killed process again and waits until it is ready: `proxy`, `n_user`,
    /// `n_user replica 0`, `oracle`. Its port stays, its `_PID` changes.
    pub fn start_again(&mut self, what: &str) -> Result<(), String> {
        let stdin = self.child.stdin.as_mut().expect("a pipe was asked for");
        writeln!(stdin, "start {what}").expect("the sandbox reads");
        self.read_variables()
    }

    /// The sandbox's own process id.
    pub fn own_pid(&self) -> u32 {
        self.child.id()
    }

    fn read_variables(&mut self) -> Result<(), String> {
        loop {
            let mut line = String::new();
            if self
                .out
                .read_line(&mut line)
                .expect("the sandbox's output is text")
                == 0
            {
                return Err("the sandbox ended".to_string());
            }
            let line = line.trim_end_matches('\n');
            if line == "READY" {
                return Ok(());
            }
            if let Some(why) = line.strip_prefix("ERROR ") {
                return Err(why.to_string());
            }
            let (name, value) = line.split_once('=').expect("KEY=VALUE");
            self.env.insert(name.to_string(), value.to_string());
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // End of input is the request to end.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A rules file that goes when it is dropped.
pub fn rules_file(rules: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a temporary file");
    file.write_all(rules.as_bytes())
        .expect("a temporary file can be written");
    file
}

/// The Python with psycopg and asyncpg that `make setup` made; without it a test prints SKIP.
pub fn python() -> Option<std::path::PathBuf> {
    // Beside the programs: target/debug/margay → target/venv.
    let target = std::path::Path::new(MARGAY).parent()?.parent()?;
    let python = target.join("venv/bin/python");
    if !python.exists() {
        eprintln!("SKIP: no {} (make setup)", python.display());
        return None;
    }
    Some(python)
}

/// The folder of a language's drivers that `make setup` fetched; without it a test prints SKIP.
pub fn drivers(language: &str) -> Option<std::path::PathBuf> {
    let target = std::path::Path::new(MARGAY).parent()?.parent()?;
    let folder = target.join("drivers").join(language);
    if !folder.exists() {
        eprintln!("SKIP: no {} (make setup)", folder.display());
        return None;
    }
    Some(folder)
}

/// Connects a `tokio_postgres` client and drives it in the background.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("the server lets us in");
    tokio::spawn(connection);
    client
}

//! Data folders, fast: `initdb` once, roles and databases once per kind of node in single-user mode, then
//! plain copies of the stopped folder. A replica is a copy too: it has its primary's system identifier and
//! begins to stream where the copy ends, which saves a base backup per replica.
//!
//! `fsync` is off: what tests kill are processes, and what a process wrote survives it in the page cache.
//! Only a crash of the machine would lose it, and then the sandbox is gone anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::account::Account;
use super::binaries::Binaries;
use super::process::MARK;

/// The superuser of every server of a sandbox. The rules' own roles are ordinary ones, as on real servers.
pub const SUPERUSER: &str = "margay_sandbox";

/// Databases that `initdb` makes.
const BUILT_IN: [&str; 3] = ["postgres", "template0", "template1"];

/// Settings that all servers share. Ports, names and the primary's address are in `sandbox.conf`.
const SETTINGS: &str = "
# --- margay sandbox ---
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 32MB
fsync = off
full_page_writes = off
synchronous_commit = on
wal_level = replica
max_wal_senders = 10
wal_keep_size = 512MB
wal_retrieve_retry_interval = 100ms
wal_receiver_status_interval = 1s
hot_standby = on
max_prepared_transactions = 100
password_encryption = 'scram-sha-256'
# Nothing outside the data folder that a killed server could leave behind.
dynamic_shared_memory_type = mmap
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
include_if_exists = 'sandbox.conf'
";

const ACCESS: &str = "# Passwords everywhere, so that the login code of every client is exercised.
host all         all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
local all        all scram-sha-256
";

/// What a server holds when it starts first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    /// Login roles and their passwords.
    pub roles: BTreeMap<String, String>,
    /// Databases and their owners.
    pub databases: BTreeMap<String, String>,
}

/// Where the programs are, whom they run as and in which folder.
#[derive(Clone, Debug)]
pub struct Workshop {
    pub binaries: Binaries,
    pub account: Account,
    /// The sandbox's folder.
    pub folder: PathBuf,
}

impl Workshop {
    /// A command that runs a server program as the servers' account.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.path(program));
        for (name, _) in std::env::vars_os() {
            // PGDATA and its kin would steer our servers to the user's own.
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .env(MARK, &self.folder)
            .current_dir(&self.folder);
        self.account.apply(&mut command);
        command
    }
}

/// Makes a stopped data folder for each kind of server. Blocks.
pub fn grow(
    workshop: &Workshop,
    superuser_password: &str,
    seeds: BTreeSet<Seed>,
) -> Result<BTreeMap<Seed, PathBuf>> {
    let bare = workshop.folder.join("template");
    init(workshop, &bare, superuser_password)?;
    let mut grown = BTreeMap::new();
    let last = seeds.len().saturating_sub(1);
    for (i, seed) in seeds.into_iter().enumerate() {
        let data = if i == last {
            bare.clone()
        } else {
            let data = workshop.folder.join(format!("template-{i}"));
            copy(workshop.account, &bare, &data)?;
            data
        };
        sow(workshop, &data, &seed)?;
        grown.insert(seed, data);
    }
    Ok(grown)
}

fn init(workshop: &Workshop, data: &Path, superuser_password: &str) -> Result<()> {
    let password_file = workshop.folder.join("password");
    std::fs::write(&password_file, superuser_password)?;
    workshop.account.own(&password_file)?;
    let mut command = workshop.command("initdb");
    command
        .arg("--pgdata")
        .arg(data)
        .arg("--pwfile")
        .arg(&password_file);
    command.args([
        "--username",
        SUPERUSER,
        "--auth",
        "scram-sha-256",
        "--encoding",
        "UTF8",
        "--no-sync",
    ]);
    command.args(["--no-instructions", "--locale", "C.UTF-8"]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("can't run initdb")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "initdb ({}): {}",
            workshop.binaries.folder().display(),
            said.trim()
        );
    }
    std::fs::remove_file(&password_file)?;
    std::fs::OpenOptions::new()
        .append(true)
        .open(data.join("postgresql.conf"))?
        .write_all(SETTINGS.as_bytes())?;
    std::fs::write(data.join("pg_hba.conf"), ACCESS)?;
    Ok(())
}

/// Makes roles and databases in single-user mode, which is quicker than a start and a stop.
fn sow(workshop: &Workshop, data: &Path, seed: &Seed) -> Result<()> {
    let mut statements = String::new();
    for (role, password) in &seed.roles {
        // The shell database is made by Margay (CREATEDB); positions of replicas are read by it (pg_monitor).
        let role = identifier(role)?;
        statements += &format!(
            "CREATE ROLE {role} LOGIN CREATEDB PASSWORD {}\n",
            literal(password)?
        );
        statements += &format!("GRANT pg_monitor TO {role}\n");
    }
    for (database, owner) in &seed.databases {
        if !BUILT_IN.contains(&database.as_str()) {
            let (database, owner) = (identifier(database)?, identifier(owner)?);
            statements += &format!("CREATE DATABASE {database} OWNER {owner}\n");
        }
    }
    let mut child = workshop
        .command("postgres")
        .args(["--single", "-D"])
        .arg(data)
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't run postgres --single")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(statements.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // A failed statement does not fail the program.
    let complaint = said
        .lines()
        .find(|line| ["ERROR:", "FATAL:", "PANIC:"].iter().any(|w| line.contains(w)));
    match complaint {
        Some(line) => bail!("the server refuses the sandbox's roles and databases: {line}"),
        None if !output.status.success() => bail!("postgres --single: {}", said.trim()),
        None => Ok(()),
    }
}

/// Copies a stopped data folder; shares its blocks where the file system can (`std::fs::copy`).
pub fn copy(account: Account, from: &Path, to: &Path) -> Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .create(to)
        .with_context(|| format!("can't make {}", to.display()))?;
    account.own(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(account, &entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("can't copy to {}", target.display()))?;
            account.own(&target)?;
        }
    }
    Ok(())
}

/// In single-user mode a statement ends with its line.
fn identifier(name: &str) -> Result<String> {
    one_line(name)?;
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// `standard_conforming_strings` is on: only quotes need care.
pub fn literal(text: &str) -> Result<String> {
    one_line(text)?;
    Ok(format!("'{}'", text.replace('\'', "''")))
}

fn one_line(text: &str) -> Result<()> {
    if text.is_empty() || text.contains(['\n', '\r', '\0']) {
        bail!("{text:?} can't be a name or password in a sandbox");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_quoted_and_keep_to_one_line() {
        assert_eq!(identifier("a\"b").expect("a name"), "\"a\"\"b\"");
        assert_eq!(literal("it's").expect("a text"), "'it''s'");
        assert!(identifier("a\nDROP").is_err());
        assert!(literal("").is_err());
    }
}

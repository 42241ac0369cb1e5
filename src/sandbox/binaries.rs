//! Finds the machine's own PostgreSQL server binaries. It installs nothing (`scripts/setup.sh` does).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The oldest PostgreSQL whose settings the sandbox writes (`wal_keep_size` came with 13).
const OLDEST_MAJOR: u32 = 13;

/// A folder with `postgres` and `initdb`.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
    /// As the server prints it, such as `15.8`.
    pub version: String,
}

impl Binaries {
    /// Looks in `$MARGAY_PG_BIN`, where `pg_config` points, in Debian's folders (the newest
    /// first), and in `PATH`.
    pub fn find() -> Result<Binaries> {
        if let Some(folder) = std::env::var_os("MARGAY_PG_BIN") {
            let folder = PathBuf::from(folder);
            return Binaries::in_folder(&folder)
                .with_context(|| format!("MARGAY_PG_BIN={} is of no use", folder.display()));
        }
        let mut why = Vec::new();
        for folder in candidates() {
            if !has_both(&folder) {
                continue;
            }
            match Binaries::in_folder(&folder) {
                Ok(found) => return Ok(found),
                Err(error) => why.push(format!("\n  {}: {error:#}", folder.display())),
            }
        }
        bail!(
            "no PostgreSQL server found on this machine{}\n\
             Install one (Debian, Ubuntu: apt-get install postgresql), or set MARGAY_PG_BIN to the \
             folder that holds `postgres` and `initdb`",
            why.concat()
        )
    }

    fn in_folder(folder: &Path) -> Result<Binaries> {
        if !has_both(folder) {
            bail!("`postgres` and `initdb` are not both there");
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .context("`postgres --version` does not run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version_of(&text).with_context(|| format!("`postgres --version` says {text:?}"))?;
        let major: u32 = version
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or("")
            .parse()?;
        if major < OLDEST_MAJOR {
            bail!("PostgreSQL {version} is too old, {OLDEST_MAJOR} is the oldest that will do");
        }
        Ok(Binaries {
            folder: folder.to_path_buf(),
            version,
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn has_both(folder: &Path) -> bool {
    folder.join("postgres").is_file() && folder.join("initdb").is_file()
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
        && output.status.success()
    {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    debian.sort();
    folders.extend(debian.into_iter().rev().map(|(_, folder)| folder));
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    folders
}

/// `postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)` → `15.8`.
fn version_of(text: &str) -> Option<String> {
    let word = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(word.to_string())
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn version_is_the_first_word_that_begins_with_a_digit() {
        assert_eq!(
            version_of("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)").as_deref(),
            Some("15.8")
        );
        assert_eq!(
            version_of("postgres (PostgreSQL) 18beta1\n").as_deref(),
            Some("18beta1")
        );
        assert_eq!(version_of("postgres"), None);
    }
}

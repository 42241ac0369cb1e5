//! Which user of the operating system the servers run as: PostgreSQL refuses to run as root, so
//! a sandbox of root's uses an unprivileged account. It changes no account of this process.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Accounts that serve, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The account of the servers; nothing to change for an ordinary user.
#[derive(Clone, Copy, Debug)]
pub struct Account(Option<Ids>);

#[derive(Clone, Copy, Debug)]
struct Ids {
    uid: u32,
    gid: u32,
}

impl Account {
    pub fn for_servers() -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account(None));
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("can't read /etc/passwd")?;
        UNPRIVILEGED
            .iter()
            .find_map(|name| ids_of(&passwd, name))
            .map(|ids| Account(Some(ids)))
            .with_context(|| {
                format!("PostgreSQL refuses to run as root, and none of the users {UNPRIVILEGED:?} exists")
            })
    }

    /// Makes `command` run as this account.
    pub fn apply(self, command: &mut Command) {
        if let Some(ids) = self.0 {
            command.uid(ids.uid).gid(ids.gid);
        }
    }

    /// Gives a file or folder to this account.
    pub fn own(self, path: &Path) -> Result<()> {
        if let Some(ids) = self.0 {
            std::os::unix::fs::lchown(path, Some(ids.uid), Some(ids.gid))
                .with_context(|| format!("can't hand over {}", path.display()))?;
        }
        Ok(())
    }
}

fn ids_of(passwd: &str, name: &str) -> Option<Ids> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let ids = Ids {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    };
    (ids.uid != 0).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::ids_of;

    #[test]
    fn account_is_found_by_its_whole_name_and_root_is_none() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\ntoor:x:0:0::/:/\n";
        let ids = ids_of(passwd, "postgres").map(|ids| (ids.uid, ids.gid));
        assert_eq!(ids, Some((101, 104)));
        assert!(ids_of(passwd, "toor").is_none());
        assert!(ids_of(passwd, "nobody").is_none());
    }
}

//! The throw-away folder of a sandbox, and the registry by which a later start finds what a
//! killed sandbox left behind.
//!
//! ```text
//! <temporary folder>/margay-sandbox-<uid>/
//!   registry       locked while folders are made or dead ones are cleared
//!   4f2a90c1.lock  locked as long as its sandbox lives
//!   4f2a90c1/      everything of that sandbox
//! ```
//! The kernel drops a lock with the process that held it: a lock that can be taken is a sandbox
//! that died. The lock file goes last, so that an interrupted clearing is taken up again.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::Rng;
use rustix::fs::{FlockOperation, flock};

use super::account::Account;
use super::process::{self, Kin};

const REGISTRY: &str = "registry";

/// How long an interrupted start may go on making files while its folder is removed.
const LAST_FILES: Duration = Duration::from_secs(10);

/// A living sandbox's folder.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    lock_path: PathBuf,
    /// Never read: holding it open is what says that this sandbox lives.
    _lock: File,
}

impl Folder {
    /// Clears what dead sandboxes left, then makes a folder for this one.
    pub fn create(account: Account) -> Result<Folder> {
        // Held until this sandbox's own lock is taken.
        let (base, _registry) = enter()?;
        clear_dead(&base);
        let id = format!("{:08x}", rand::rng().random::<u32>());
        let lock_path = base.join(format!("{id}.lock"));
        let lock = open_lock(&lock_path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context("the new sandbox's lock is taken")?;
        let path = base.join(id);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("can't make {}", path.display()))?;
        account.own(&path)?;
        Ok(Folder {
            path,
            lock_path,
            _lock: lock,
        })
    }

    pub fn lock_path(&self) -> &Path {
        &self.lock_path
    }

    /// Ends all processes of this sandbox but its guard, and removes its folder.
    pub fn clear(&self, guard: u32) -> Result<()> {
        clear(&self.lock_path, Kin::Descendants { guard })?;
        leave()
    }
}

/// Waits until the sandbox that holds `lock_path` is gone, then clears what it left, if anything.
pub fn clear_after_death(lock_path: &Path) -> Result<()> {
    let Ok(lock) = File::open(lock_path) else {
        return Ok(());
    };
    flock(&lock, FlockOperation::LockExclusive)?;
    clear(lock_path, Kin::None)?;
    leave()
}

fn clear_dead(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_none_or(|ext| ext != "lock") {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match clear(&path, Kin::None) {
            Ok(()) => eprintln!("sandbox  cleared what a killed sandbox left behind"),
            Err(error) => eprintln!("sandbox  {error:#}"),
        }
    }
}

fn clear(lock_path: &Path, kin: Kin) -> Result<()> {
    let folder = lock_path.with_extension("");
    let begun = Instant::now();
    loop {
        let left = process::end_all(&folder, kin);
        if left > 0 {
            bail!("{left} processes of {} did not end", folder.display());
        }
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Ok(()) => break,
            // A start that was interrupted is still copying a data folder, or has begun one more program.
            // Without the folder neither gets far.
            Err(_) if begun.elapsed() < LAST_FILES => {}
            Err(error) => {
                return Err(error).with_context(|| format!("can't remove {}", folder.display()));
            }
        }
    }
    if lock_path.exists() {
        std::fs::remove_file(lock_path).with_context(|| format!("can't remove {}", lock_path.display()))?;
    }
    Ok(())
}

fn open_lock(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("can't open {}", path.display()))
}

/// The folder of all sandboxes, and its registry, locked.
fn enter() -> Result<(PathBuf, File)> {
    loop {
        let base = base()?;
        let path = base.join(REGISTRY);
        let registry = match open_lock(&path) {
            Ok(registry) => registry,
            // Another sandbox has just removed the empty folder.
            Err(_) if !base.exists() => continue,
            Err(error) => return Err(error),
        };
        flock(&registry, FlockOperation::LockExclusive).context("can't lock the sandbox registry")?;
        if registry.metadata()?.nlink() > 0 {
            return Ok((base, registry));
        }
    }
}

/// Removes the folder of all sandboxes if this one was the last.
fn leave() -> Result<()> {
    let (base, _registry) = enter()?;
    if std::fs::read_dir(&base)?.count() == 1 {
        std::fs::remove_file(base.join(REGISTRY))?;
        std::fs::remove_dir(&base)?;
    }
    Ok(())
}

/// The folder of all sandboxes of this user. In a shared `/tmp` somebody else may have put
/// something of that name there, which must not be trusted.
fn base() -> Result<PathBuf> {
    let uid = rustix::process::geteuid();
    // Absolute, because servers and later starts have other working directories.
    let temporary = std::path::absolute(std::env::temp_dir()).context("no temporary folder")?;
    let base = temporary.join(format!("margay-sandbox-{}", uid.as_raw()));
    // Root's servers run as another user, who must be able to pass through to the folder within.
    let mode = if uid.is_root() { 0o711 } else { 0o700 };
    match DirBuilder::new().create(&base) {
        // Set apart from making it, since a umask may have taken bits away.
        Ok(()) => std::fs::set_permissions(&base, Permissions::from_mode(mode))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("can't make {}", base.display())),
    }
    let found = match std::fs::symlink_metadata(&base) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self::base(),
        Err(error) => return Err(error).with_context(|| format!("can't look at {}", base.display())),
    };
    if !found.is_dir() || found.uid() != uid.as_raw() || found.mode() & 0o022 != 0 {
        bail!(
            "{} is not a folder of this user's alone; remove it",
            base.display()
        );
    }
    Ok(base)
}

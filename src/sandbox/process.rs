//! Finds and ends the processes of one sandbox.
//!
//! A process belongs to a sandbox if it is a PostgreSQL process that works inside the sandbox's
//! folder, or if it inherited the sandbox's mark in its environment. Folder and mark are random
//! and never used twice, so a recycled process id can't be mistaken for one of ours; a pidfd
//! makes sure that the signal reaches the process that was looked at. A living sandbox also knows
//! its descendants, even such as cleared their environment. Nothing else is killed.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper};

/// The environment variable that marks every process of a sandbox; its value is the folder.
pub const MARK: &str = "MARGAY_SANDBOX_MARK";

/// Time for CMD's descendants and the servers to end by themselves.
const GRACE: Duration = Duration::from_secs(4);
/// After SIGKILL only the kernel is still busy.
const LAST_WAIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(15);

struct Found {
    pid: i32,
    handle: OwnedFd,
    server: bool,
}

/// Which processes belong to a sandbox besides those that its folder and mark tell.
#[derive(Clone, Copy, Debug)]
pub enum Kin {
    /// The sandbox is another process, or dead.
    None,
    /// The sandbox is this process: all its descendants, but not its guard.
    Descendants { guard: u32 },
}

/// From here on a descendant whose parent ends becomes a child of this process, not of init.
pub fn adopt_orphans() -> Result<()> {
    set_child_subreaper(Some(getpid())).context("can't adopt orphaned processes")
}

/// Ends every process of the sandbox in `folder`; returns how many would not go.
pub fn end_all(folder: &Path, kin: Kin) -> usize {
    let memory = shared_memory_of(folder);
    let begun = Instant::now();
    let mut asked = HashSet::new();
    let left = loop {
        let found = belonging_to(folder, kin);
        if found.is_empty() {
            break 0;
        }
        if begun.elapsed() > GRACE + LAST_WAIT {
            break found.len();
        }
        let servers: HashSet<i32> = found.iter().filter(|f| f.server).map(|f| f.pid).collect();
        for process in &found {
            if begun.elapsed() > GRACE {
                send(process, Signal::KILL);
            } else if asked.insert(process.pid) {
                ask(process, &servers);
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    for segment in memory {
        segment.remove();
    }
    left
}

/// Immediate shutdown for a postmaster (which ends its children and frees its shared memory),
/// SIGTERM for what is no server. SIGCONT, because a frozen process takes no signal.
fn ask(process: &Found, servers: &HashSet<i32>) {
    if !process.server {
        send(process, Signal::TERM);
    } else if parent_of(process.pid).is_none_or(|parent| !servers.contains(&parent)) {
        send(process, Signal::QUIT);
    }
    send(process, Signal::CONT);
}

fn send(process: &Found, signal: Signal) {
    // An error means that it is gone already, which is what we want.
    let _ = pidfd_send_signal(&process.handle, signal);
}

/// Whether a server process still works in `data`. After a postmaster was killed, its children
/// linger for a moment, and the data folder must not be served again before they are gone.
pub fn is_served(data: &Path) -> bool {
    belonging_to(data, Kin::None).iter().any(|process| process.server)
}

fn belonging_to(folder: &Path, kin: Kin) -> Vec<Found> {
    let own = std::process::id() as i32;
    let mark = format!("{MARK}={}", folder.display());
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            let server = is_server(pid) && link(pid, "cwd").is_some_and(|cwd| cwd.starts_with(folder));
            let ours = server || has_mark(pid, &mark) || is_kin(pid, own, kin);
            ours.then_some(Found { pid, handle, server })
        })
        .collect()
}

fn is_kin(pid: i32, own: i32, kin: Kin) -> bool {
    let guard = match kin {
        Kin::None => return false,
        Kin::Descendants { guard } => guard,
    };
    let mut ancestor = pid;
    loop {
        if ancestor.unsigned_abs() == guard {
            return false;
        }
        match parent_of(ancestor) {
            Some(parent) if parent == own => return true,
            Some(parent) if parent > 1 => ancestor = parent,
            _ => return false,
        }
    }
}

fn is_server(pid: i32) -> bool {
    // The name ends in " (deleted)" where the package was upgraded under a running server.
    link(pid, "exe").is_some_and(|exe| {
        exe.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("postgres"))
    })
}

fn link(pid: i32, name: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/{name}")).ok()
}

fn has_mark(pid: i32, mark: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| {
        text.split(|b| *b == 0)
            .any(|variable| variable == mark.as_bytes())
    })
}

/// None if the process is gone, or a zombie, which nobody needs to end.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold blanks and parentheses; what follows the last one does not.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z" && state != "X").then_some(parent)
}

/// A System V segment of a server. A killed postmaster leaves it behind, unlike one that was
/// asked to shut down.
struct Segment {
    key: String,
    id: String,
}

impl Segment {
    /// Removes the segment if it is still there under the same key and nobody is attached.
    fn remove(&self) {
        let listed = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        // key shmid perms size cpid lpid nattch …
        let orphaned = listed.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.len() > 6 && fields[0] == self.key && fields[1] == self.id && fields[6] == "0"
        });
        if orphaned {
            let _ = Command::new("ipcrm").args(["-m", &self.id]).status();
        }
    }
}

/// Line 7 of `postmaster.pid` names the segment: key and id.
fn shared_memory_of(folder: &Path) -> Vec<Segment> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.ok()?.path().join("postmaster.pid")).ok()?;
            let mut fields = text.lines().nth(6)?.split_whitespace();
            Some(Segment {
                key: fields.next()?.to_string(),
                id: fields.next()?.to_string(),
            })
        })
        .collect()
}

//! The guard: a small process that outlives a killed sandbox and clears up after it.
//!
//! It sits in a process group of its own, out of reach of Ctrl-C, and reads a pipe whose other end only the
//! sandbox holds. End of file means that the sandbox ended, in whatever way. If the guard is killed too, the
//! next start clears up (`folder`). It does nothing while the sandbox lives.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::folder::{self, Folder};
use super::process::MARK;

/// The sandbox's hold on its guard.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    pub fn start(folder: &Folder) -> Result<Guard> {
        // This very program, even if a build has replaced its file meanwhile.
        let child = Command::new("/proc/self/exe")
            .arg0("margay")
            .args(["sandbox", "--guard"])
            .arg(folder.lock_path())
            // The guard of a sandbox inside a sandbox outlives both.
            .env_remove(MARK)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("can't start the sandbox's guard")?;
        Ok(Guard(child))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Lets the guard go, after the sandbox has cleared up itself.
    pub fn dismiss(mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The guard's own life.
pub fn watch(lock_path: &Path) -> Result<()> {
    // Nothing is ever written to the pipe; reading ends when the sandbox does.
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .context("can't watch the sandbox")?;
    folder::clear_after_death(lock_path)
}

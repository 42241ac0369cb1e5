//! One private PostgreSQL server on a socket in a throw-away folder, shared by the tests of this
//! binary and gone with the last of them.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::raw::Connection;

pub struct Server {
    child: Child,
    dir: TempDir,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    pub fn shared() -> Arc<Server> {
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn start() -> Server {
        let dir = tempfile::Builder::new()
            .prefix("margay-merge-")
            .tempdir()
            .expect("a temporary folder");
        own(dir.path());
        let data = dir.path().join("data");
        let mut initdb = Command::new(bin().join("initdb"));
        initdb
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
                "-D",
            ])
            .arg(&data);
        let out = unprivileged(&mut initdb).output().expect("initdb starts");
        assert!(
            out.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let mut postgres = Command::new(bin().join("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(dir.path());
        postgres.args([
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "shared_buffers=16MB",
        ]);
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let child = unprivileged(&mut postgres)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        let server = Server { child, dir };
        let give_up = Instant::now() + Duration::from_secs(60);
        while Connection::open(&server.socket()).is_none() {
            let log = std::fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < give_up, "postgres doesn't come up: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.socket()).expect("the server is up")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: immediate shutdown, the children too.
        if let Some(pid) = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

impl Connection {
    fn open(socket: &Path) -> Option<Connection> {
        Connection::start(UnixStream::connect(socket).ok()?)
    }
}

/// The newest version's programs.
fn bin() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql")
        .map(|all| all.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    let bins = folders
        .iter()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists());
    let version = |bin: &PathBuf| {
        bin.parent()
            .and_then(|p| p.file_name()?.to_str()?.parse::<u32>().ok())
            .unwrap_or_default()
    };
    bins.max_by_key(version)
        .expect("PostgreSQL's server programs (Debian: apt-get install postgresql)")
}

/// PostgreSQL refuses to run as root.
fn account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("a list of users");
    let user = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
        Some((ids.next()??, ids.next()??))
    };
    Some(
        user("postgres")
            .or_else(|| user("nobody"))
            .expect("an unprivileged user"),
    )
}

fn unprivileged(command: &mut Command) -> &mut Command {
    if let Some((uid, gid)) = account() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/").stdin(Stdio::null())
}

fn own(path: &Path) {
    if let Some((uid, gid)) = account() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may give a folder away");
    }
}

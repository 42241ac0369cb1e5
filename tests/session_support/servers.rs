//! Real, private PostgreSQL servers for the session tests: one `initdb` per test binary, copied for
//! each server, on free loopback ports, gone when the value is dropped.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The servers of one test.
pub struct Servers {
    pub ports: Vec<u16>,
    children: Vec<Child>,
    _dir: TempDir,
}

/// Folder of the server programs, newest version first.
fn bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|all| {
            all.flatten()
                .map(|e| e.path().join("bin"))
                .filter(|p| p.join("initdb").exists())
                .collect()
        })
        .unwrap_or_default();
    found.sort();
    found
        .pop()
        .expect("PostgreSQL's server programs are installed (Debian: apt-get install postgresql)")
}

/// PostgreSQL refuses to run as root: then its own user runs it.
fn unprivileged(command: &mut Command) -> &mut Command {
    if let Some((uid, gid)) = postgres_ids() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/")
}

fn postgres_ids() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users
        .lines()
        .find(|l| l.starts_with("postgres:"))
        .expect("a user named postgres exists");
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn owned(path: &Path) {
    if let Some((uid, gid)) = postgres_ids() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may chown");
    }
}

fn run(command: &mut Command) {
    let out = unprivileged(command)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert!(
        out.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

impl Servers {
    /// Starts `count` empty servers, with a superuser `postgres` that needs no password.
    pub fn start(count: usize) -> Servers {
        let dir = tempfile::Builder::new()
            .prefix("margay-session-")
            .tempdir()
            .expect("a temporary folder");
        owned(dir.path());
        let template = dir.path().join("0");
        run(Command::new(bin().join("initdb"))
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
            .arg(&template));
        for i in 1..count {
            run(Command::new("cp")
                .arg("-a")
                .arg(&template)
                .arg(dir.path().join(i.to_string())));
        }
        let mut servers = Servers {
            ports: Vec::new(),
            children: Vec::new(),
            _dir: dir,
        };
        for i in 0..count {
            servers.launch(i);
        }
        servers.ports.iter().for_each(|port| wait_for(*port));
        servers
    }

    fn launch(&mut self, i: usize) {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a free port")
            .port();
        let data = self._dir.path().join(i.to_string());
        let log = std::fs::File::create(self._dir.path().join(format!("{i}.log"))).expect("a log file");
        let mut command = Command::new(bin().join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "max_prepared_transactions=50",
            "max_connections=80",
            "shared_buffers=16MB",
        ] {
            command.args(["-c", setting]);
        }
        let child = unprivileged(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.children.push(child.expect("postgres starts"));
        self.ports.push(port);
    }

    /// Shuts server `i` down at once, as a crash would.
    pub fn stop(&self, i: usize) {
        let pid = rustix::process::Pid::from_raw(self.children[i].id() as i32).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).expect("it runs");
        let port = self.ports[i];
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A connection straight to server `i`.
    pub async fn direct(&self, i: usize, database: &str) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.ports[i])
            .user("postgres")
            .dbname(database);
        let (client, connection) = config
            .connect(tokio_postgres::NoTls)
            .await
            .expect("the server is up");
        tokio::spawn(connection);
        client
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // SIGQUIT: immediate shutdown; its children go with it.
        for child in &mut self.children {
            if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            }
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

fn wait_for(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let up = runtime.block_on(async {
            let mut config = tokio_postgres::Config::new();
            config
                .host("127.0.0.1")
                .port(port)
                .user("postgres")
                .dbname("postgres");
            config.connect(tokio_postgres::NoTls).await.is_ok()
        });
        if up {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "PostgreSQL on port {port} did not come up"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

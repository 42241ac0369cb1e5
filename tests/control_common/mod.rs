//! Real PostgreSQL servers for the tests of `control`: private, on free loopback ports, in a
//! folder of their own, run by an unprivileged user, gone with the test.
#![allow(dead_code)] // Each test binary uses its own part.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use margay::model::{DomainId, NodeId};
use margay::topology::{
    Balance, Consistency, Database, Domain, Engine, Limits, Listen, Node, PoolLimits, ReadFrom, Reads,
    Server, Snapshot, Table,
};

pub const LIMIT: Duration = Duration::from_secs(20);

/// A started server; stopped and removed when dropped.
pub struct TestServer {
    pub port: u16,
    pub dir: PathBuf,
    process: Option<Child>,
}

fn bin(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|dir| dir.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort();
    match versions.last() {
        Some(path) => path.join("bin").join(name),
        None => PathBuf::from(name),
    }
}

/// PostgreSQL refuses to run as root; then the packaged user `postgres` runs it.
fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    // The server must not outlive a test process that was killed.
    command.args(["--pdeathsig", "QUIT"]).arg(bin(program));
    command
        .env("LC_ALL", "C.UTF-8")
        .env_remove("PGOPTIONS")
        .env_remove("PGDATA")
        .current_dir("/");
    command.stdin(Stdio::null());
    command
}

/// Linux sends the parent-death signal when the *thread* that forked ends, so all processes are
/// started from one thread that lives as long as the test process.
fn spawn(command: Command) -> Child {
    type Job = (Command, mpsc::Sender<Child>);
    static STARTER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, back) in jobs {
                let _ = back.send(
                    command
                        .spawn()
                        .expect("start a PostgreSQL program through setpriv"),
                );
            }
        });
        sender
    });
    let (back, child) = mpsc::channel();
    starter
        .send((command, back))
        .expect("the starter lives as long as the process");
    child.recv().expect("the program was started")
}

fn run(mut command: Command) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let output = spawn(command)
        .wait_with_output()
        .expect("wait for a program of PostgreSQL");
    assert!(
        output.status.success(),
        "{shown}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn folder() -> PathBuf {
    let dir = tempfile::Builder::new()
        .prefix("margay-control-")
        .tempdir()
        .expect("a temporary folder")
        .keep();
    if rustix::process::geteuid().is_root() {
        let mut chown = Command::new("chown");
        chown.arg("postgres:").arg(&dir);
        run(chown);
    }
    dir
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

const SETTINGS: &str = "fsync=off\nmax_connections=60\nshared_buffers=16MB\nwal_level=replica\nhot_standby=on\n\
    max_prepared_transactions=20\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\n\
    max_wal_senders=5\nwal_receiver_status_interval=1s\nwal_retrieve_retry_interval=200ms\n";

impl TestServer {
    /// A fresh primary. Its superuser is `app`; everyone on loopback is trusted.
    pub fn primary() -> TestServer {
        Self::primary_with(&[])
    }

    /// With files in its data folder: replaced, or, for `postgresql.conf`, appended to.
    pub fn primary_with(files: &[(&str, &str)]) -> TestServer {
        let dir = folder();
        let mut initdb = command("initdb");
        initdb.args(["-D"]).arg(dir.join("data"));
        initdb.args(["-U", "app", "-A", "trust", "--no-sync", "-E", "UTF8"]);
        run(initdb);
        Self::append(&dir, "postgresql.conf", SETTINGS);
        for (file, text) in files {
            let path = dir.join("data").join(file);
            if *file == "postgresql.conf" {
                Self::append(&dir, file, text);
                continue;
            }
            std::fs::write(&path, text).expect("the server's folder");
            let mut chmod = Command::new("chmod");
            chmod.arg("600").arg(&path);
            run(chmod);
            if rustix::process::geteuid().is_root() {
                let mut chown = Command::new("chown");
                chown.arg("postgres:").arg(&path);
                run(chown);
            }
        }
        let mut server = TestServer {
            port: free_port(),
            dir,
            process: None,
        };
        server.start();
        server
    }

    /// A streaming replica of `primary`.
    pub fn replica(primary: &TestServer) -> TestServer {
        let dir = folder();
        let mut backup = command("pg_basebackup");
        backup.args([
            "-h",
            "127.0.0.1",
            "-U",
            "app",
            "-p",
            &primary.port.to_string(),
            "-R",
            "-c",
            "fast",
            "-X",
            "stream",
        ]);
        backup.arg("-D").arg(dir.join("data"));
        run(backup);
        let mut server = TestServer {
            port: free_port(),
            dir,
            process: None,
        };
        server.start();
        server
    }

    fn append(dir: &Path, file: &str, text: &str) {
        use std::io::Write;
        let path = dir.join("data").join(file);
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(path)
            .expect("the server's folder");
        file.write_all(text.as_bytes()).expect("write a setting");
    }

    /// Starts it (again) and waits until it takes connections.
    pub fn start(&mut self) {
        let mut postgres = command("postgres");
        postgres
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-p", &self.port.to_string()]);
        let log = std::fs::File::create(self.dir.join("log")).expect("a log file");
        postgres
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log);
        self.process = Some(spawn(postgres));
        let begun = Instant::now();
        loop {
            let mut ready = command("pg_isready");
            ready.args([
                "-q",
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-d",
                "postgres",
            ]);
            if spawn(ready).wait().is_ok_and(|status| status.success()) {
                return;
            }
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the server does not start: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Stops it at once, as a crash would.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            if let Some(pid) = rustix::process::Pid::from_raw(process.id() as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            }
            let _ = process.wait();
        }
    }

    pub fn address(&self) -> Server {
        self.address_of("postgres")
    }

    pub fn address_of(&self, database: &str) -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: self.port,
            user: "app".into(),
            password: None,
            database: database.into(),
            weight: 1,
            near: true,
            tls: None,
            protocol_minor: 0,
        }
    }

    /// An ordinary connection, as a user would have.
    pub async fn client(&self, database: &str) -> tokio_postgres::Client {
        let text = format!("host=127.0.0.1 port={} user=app dbname={database}", self.port);
        let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
            .await
            .expect("connect to the test server");
        tokio::spawn(connection);
        client
    }

    /// Runs statements in `database`.
    pub async fn sql(&self, database: &str, sql: &str) {
        self.client(database)
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The first column of each row.
    pub async fn column(&self, database: &str, sql: &str) -> Vec<String> {
        let messages = self
            .client(database)
            .await
            .simple_query(sql)
            .await
            .expect("a query");
        messages
            .iter()
            .filter_map(|m| match m {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
                _ => None,
            })
            .collect()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Waits for a condition; the name says for what.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let begun = Instant::now();
    while !condition().await {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited a minute for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn node(id: u16, name: &str, servers: Vec<Server>) -> Arc<Node> {
    Arc::new(Node {
        id: NodeId(id),
        name: name.into(),
        shell_of: None,
        engine: Engine::Postgres,
        servers: servers.into_iter().map(Arc::new).collect(),
    })
}

/// A database `shop` with one domain over all of the nodes.
pub fn database(nodes: &[Arc<Node>], tables: Vec<Table>) -> Database {
    Database {
        name: "shop".into(),
        engine: Engine::Postgres,
        default_domain: DomainId(0),
        anywhere: NodeId(0),
        shell: None,
        reads: Reads {
            from: ReadFrom::Replicas,
            max_lag: Duration::from_secs(5),
            consistency: Consistency::Session,
            balance: Balance::RoundRobin,
        },
        domains: vec![Domain {
            name: "all".into(),
            nodes: nodes.iter().map(|n| n.id).collect(),
        }],
        tables: tables
            .into_iter()
            .map(|t| (t.name.clone(), Arc::new(t)))
            .collect(),
        functions: Default::default(),
        catalog: Arc::default(),
    }
}

pub fn snapshot(nodes: Vec<Arc<Node>>, databases: Vec<Database>) -> Snapshot {
    Snapshot {
        postgres_tls: None,
        epoch: 1,
        listen: Listen::default(),
        users: Vec::new(),
        nodes,
        databases: databases.into_iter().map(Arc::new).collect(),
        pool: PoolLimits {
            max_connections: 10,
            acquire_timeout: LIMIT,
            connect_timeout: LIMIT,
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(600),
        },
        limits: Limits {
            max_clients: 100,
            max_message_bytes: 1 << 20,
            login_timeout: LIMIT,
            health_interval: Duration::from_millis(100),
            health_timeout: Duration::from_secs(5),
        },
    }
}

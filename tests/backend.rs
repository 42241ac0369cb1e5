//! Connections, pools and the choice of a server against a real PostgreSQL. One private server is
//! shared by the tests that run at the same time and stopped with the last of them.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use margay::backend::{Conn, Fleet, Health, Lease, Relay, Role, RunError, Settings, Stop, TxStatus, Want};
use margay::model::{Code, NodeId, ServerId};
use margay::topology::{
    Balance, Consistency, Engine, Limits, Listen, Node, PoolLimits, ReadFrom, Reads, Server, Snapshot,
};
use margay::wire::postgres::frontend;
use tokio::io::AsyncWriteExt;

const BIN: [&str; 4] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/14/bin",
];

const LONG: Duration = Duration::from_secs(30);
const N: NodeId = NodeId(0);

/// A private server; stopped, and its folder removed, when dropped.
struct Postgres {
    folder: tempfile::TempDir,
    port: u16,
    process: std::process::Child,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// One of PostgreSQL's programs, as an unprivileged user: it refuses to run as root.
fn command(program: &str) -> Command {
    let found = BIN
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists());
    let program = found.unwrap_or_else(|| program.into());
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("a bound listener has an address").port()
}

impl Postgres {
    fn shared() -> Arc<Postgres> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Postgres::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Postgres {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_root() {
            let done = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status()
                .expect("chown runs");
            assert!(done.success());
        }
        let data = folder.path().join("data");
        let done = command("initdb")
            .args([
                "--auth=trust",
                "--username=owner",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .expect("initdb runs");
        assert!(done.success());
        let hba = "local all all trust\n\
                   host all owner 127.0.0.1/32 trust\n\
                   host all u_plain 127.0.0.1/32 password\n\
                   host all u_md5 127.0.0.1/32 md5\n\
                   host all u_scram 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), hba).expect("the data folder is writable");
        let port = free_port();
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres starts");
        let server = Postgres {
            folder,
            port,
            process,
        };
        server.wait_until_ready();
        server.sql("SET password_encryption = 'md5'; CREATE ROLE u_md5 LOGIN PASSWORD 'five'");
        server.sql(
            "CREATE ROLE u_scram LOGIN PASSWORD 'geheim-ſ-Ⅸ'; CREATE ROLE u_plain LOGIN PASSWORD 'plain'",
        );
        server
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let ready = || {
            let mut ask = command("pg_isready");
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            ask.status().expect("pg_isready runs").success()
        };
        while !ready() {
            assert!(Instant::now() < deadline, "the server didn't come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn sql(&self, sql: &str) {
        let port = self.port.to_string();
        let mut psql = command("psql");
        psql.args([
            "-q",
            "-X",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "owner",
            "-c",
            sql,
            "postgres",
        ]);
        let done = psql
            .env("PGCLIENTENCODING", "UTF8")
            .stdout(Stdio::null())
            .status()
            .expect("psql runs");
        assert!(done.success());
    }

    fn server(&self, user: &str, password: Option<&str>) -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: self.port,
            user: user.into(),
            password: password.map(Into::into),
            database: "postgres".into(),
            weight: 1,
            near: true,
            tls: None,
            protocol_minor: 0,
        }
    }

    async fn conn(&self) -> Conn {
        Conn::connect(&self.server("owner", None), LONG)
            .await
            .expect("trust lets everybody in")
    }

    /// One node of one server.
    fn fleet(&self, max_connections: u32, acquire_timeout: Duration) -> Arc<Fleet> {
        let server = Arc::new(self.server("owner", None));
        Fleet::new(&snapshot(
            &[("n", vec![server])],
            max_connections,
            acquire_timeout,
        ))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // pg_ctl signals the process by its pid file; it runs as another user than a root test.
        let data = self.folder.path().join("data");
        let _ = command("pg_ctl")
            .args(["stop", "-m", "immediate", "-s", "-D"])
            .arg(&data)
            .status();
        let _ = self.process.wait();
    }
}

fn snapshot(nodes: &[(&str, Vec<Arc<Server>>)], max_connections: u32, acquire_timeout: Duration) -> Snapshot {
    let node = |(i, (name, servers)): (usize, &(&str, Vec<Arc<Server>>))| {
        let servers = servers.clone();
        Arc::new(Node {
            id: NodeId(i as u16),
            name: (*name).into(),
            shell_of: None,
            engine: Engine::Postgres,
            servers,
        })
    };
    Snapshot {
        epoch: 0,
        listen: Listen::default(),
        users: Vec::new(),
        nodes: nodes.iter().enumerate().map(node).collect(),
        databases: Vec::new(),
        postgres_tls: None,
        pool: PoolLimits {
            max_connections,
            acquire_timeout,
            connect_timeout: LONG,
            idle_timeout: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3600),
        },
        limits: Limits {
            max_clients: 1,
            max_message_bytes: 1 << 20,
            login_timeout: LONG,
            health_interval: LONG,
            health_timeout: LONG,
        },
    }
}

async fn one(conn: &mut Conn, sql: &str) -> String {
    let rows = conn.run(sql).await.expect("the statement is valid");
    rows.text(0, 0).expect("one value").to_string()
}

/// Waits for a condition that another task or process brings about.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// Login.

#[tokio::test]
async fn each_way_of_login_works() {
    let pg = Postgres::shared();
    let ways = [
        ("owner", None),
        ("u_plain", Some("plain")),
        ("u_md5", Some("five")),
        ("u_scram", Some("geheim-ſ-Ⅸ")),
    ];
    for (user, password) in ways {
        let mut conn = Conn::connect(&pg.server(user, password), LONG).await.expect(user);
        assert_eq!(one(&mut conn, "SELECT current_user").await, user);
        assert!(conn.is_reusable());
        assert_eq!(conn.parameter("application_name"), Some(&b"margay"[..]));
        let pid = one(&mut conn, "SELECT pg_backend_pid()").await;
        assert_eq!(conn.backend_pid().to_string(), pid);
    }
    let folder = pg.folder.path().to_str().expect("the folder's name is UTF-8");
    let socket = Server {
        host: folder.into(),
        ..pg.server("u_md5", None)
    };
    let mut conn = Conn::connect(&socket, LONG).await.expect("the socket trusts");
    assert_eq!(one(&mut conn, "SELECT inet_server_addr() IS NULL").await, "t");
    conn.cancel_key().send().await.expect("the socket takes a cancel");
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_a_login_fault_that_names_no_secret() {
    let pg = Postgres::shared();
    for user in ["u_plain", "u_md5", "u_scram"] {
        for password in [Some("wrong-secret"), None] {
            let fault = Conn::connect(&pg.server(user, password), LONG)
                .await
                .err()
                .expect("refused");
            assert_eq!(fault.code, Code::SERVER_LOGIN, "{user} {fault}");
            let text = format!("{fault:?}");
            assert!(
                !text.contains("wrong-secret") && !text.contains("127.0.0.1") && !text.contains(user),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_node_down() {
    let pg = Postgres::shared();
    let nobody = Server {
        port: free_port(),
        ..pg.server("owner", None)
    };
    let fault = Conn::connect(&nobody, LONG).await.err().expect("refused");
    assert_eq!(fault.code, Code::NODE_DOWN);
}

/// Listens once and answers any login with these bytes, then keeps the connection or closes it.
async fn impostor(answer: &'static [u8], close: bool, timeout: Duration) -> Code {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let serve = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("one comes");
        let _ = stream.readable().await;
        let _ = stream.try_read(&mut [0; 1000]);
        stream.write_all(answer).await.expect("it reads");
        if !close {
            std::future::pending::<()>().await;
        }
    });
    let server = Server {
        host: "127.0.0.1".into(),
        port,
        user: "u".into(),
        password: Some("p".into()),
        database: "d".into(),
        weight: 1,
        near: true,
        tls: None,
        protocol_minor: 0,
    };
    let fault = Conn::connect(&server, timeout)
        .await
        .err()
        .expect("it is no server");
    serve.abort();
    fault.code
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_or_vanishes_during_login_is_a_fault() {
    for (answer, code) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], Code::SERVER_PROTOCOL),
        (b"R\0\0\0\x05\0", Code::SERVER_PROTOCOL),
        (b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05?", Code::SERVER_PROTOCOL),
        (b"R\0\0\0\x08\0\0\0\x07", Code::SERVER_LOGIN),
        (b"R\0\0\0\x0c\0\0\0\x0bx=y,", Code::SERVER_LOGIN),
        (b"R\0\0\0\x11\0\0\0\x0aUNHEARD\0\0", Code::SERVER_LOGIN),
    ] {
        assert_eq!(
            impostor(answer, false, LONG).await,
            code,
            "{}",
            answer.escape_ascii()
        );
    }
    for answer in [&b""[..], b"R\0\0\0\x08\0\0\0\0", b"R\0\0\0\x08\0\0\0\0Z\0\0"] {
        assert_eq!(
            impostor(answer, true, LONG).await,
            Code::NODE_DOWN,
            "{}",
            answer.escape_ascii()
        );
        let soon = Duration::from_millis(100);
        assert_eq!(
            impostor(answer, false, soon).await,
            Code::NODE_DOWN,
            "{}",
            answer.escape_ascii()
        );
    }
}

// The connection.

#[tokio::test]
async fn a_failed_statement_leaves_the_connection_in_sync() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    match conn.run("SELECT 1; SELECT 1/0; SELECT 2").await {
        Err(RunError::Server(error)) => assert_eq!(error.sqlstate(), "22012"),
        other => panic!("{other:?}"),
    }
    assert!(conn.is_reusable());
    conn.run("BEGIN").await.expect("valid");
    assert_eq!(conn.tx_status(), TxStatus::InTxn);
    assert!(!conn.is_reusable());
    assert!(conn.run("SELECT 1/0").await.is_err());
    assert_eq!(conn.tx_status(), TxStatus::Failed);
    assert_eq!(conn.run("ROLLBACK").await.expect("valid").tag, "ROLLBACK");
    assert!(conn.is_reusable());
}

#[tokio::test]
async fn ready_for_query_is_counted_over_a_pipeline() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    for _ in 0..3 {
        frontend::parse(conn.write_buf(), b"", b"SELECT 7", []);
        frontend::bind(conn.write_buf(), b"", b"", &[], std::iter::empty(), &[]);
        frontend::execute(conn.write_buf(), b"", 0);
        frontend::sync(conn.write_buf());
    }
    frontend::query(conn.write_buf(), b"SELECT 8");
    conn.flush().await.expect("the server reads");
    assert_eq!(conn.pending_syncs(), 4);
    let mut tags = String::new();
    while conn.pending_syncs() > 0 {
        tags.push(char::from(
            conn.next_frame().await.expect("the server answers").tag,
        ));
    }
    assert_eq!(tags, "12DCZ12DCZ12DCZTDCZ");
    assert!(conn.is_reusable());
}

#[tokio::test]
async fn relayed_chunks_are_the_bytes_of_the_answer_also_of_rows_larger_than_any_buffer() {
    let pg = Postgres::shared();
    let sql = b"SELECT repeat(chr(65 + i % 26), i * 997) FROM generate_series(1, 1500) i";
    let mut conn = pg.conn().await;
    frontend::query(conn.write_buf(), sql);
    let mut whole = Vec::new();
    loop {
        let frame = conn.next_frame().await.expect("the server answers");
        if frame.tag == b'Z' {
            break;
        }
        whole.extend_from_slice(&frame.bytes);
    }
    frontend::query(conn.write_buf(), sql);
    let (mut relayed, mut chunks, mut parts) = (BytesMut::new(), 0, 0);
    let mut tags = Vec::new();
    loop {
        let stop = relay(&mut conn, &mut relayed, |tag, body| {
            tags.push((tag, body.len()));
            if tag == b'Z' {
                Relay::StopBefore
            } else {
                Relay::Pass
            }
        });
        let stop = stop.await;
        chunks += 1;
        parts += u32::from(conn.is_mid_frame());
        if stop == Some(Stop::Before(b'Z')) {
            break;
        }
    }
    assert!(
        whole == relayed,
        "{} bytes, {} relayed",
        whole.len(),
        relayed.len()
    );
    assert!(parts > 0 && chunks > 10, "{parts} {chunks}");
    assert_eq!(tags.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), b"TCZ");
    assert_eq!(conn.pending_syncs(), 1);
    assert_eq!(conn.next_frame().await.expect("it is in the buffer").tag, b'Z');
    assert!(conn.is_reusable());
}

/// Passes on what there is, reading first if that is nothing.
async fn relay(
    conn: &mut Conn,
    out: &mut BytesMut,
    mut watch: impl FnMut(u8, &[u8]) -> Relay,
) -> Option<Stop> {
    loop {
        let relayed = conn
            .relay(out, &mut watch)
            .expect("the server keeps to the protocol");
        if relayed.bytes > 0 || relayed.stop.is_some() {
            return relayed.stop;
        }
        conn.fill().await.expect("the server answers");
    }
}

#[tokio::test]
async fn a_relay_stops_before_or_after_the_frame_that_its_watcher_says() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    frontend::query(conn.write_buf(), b"SELECT 1; SELECT 1/0");
    let mut relayed = BytesMut::new();
    let stop = relay(&mut conn, &mut relayed, |tag, _| match tag {
        b'C' => Relay::StopAfter,
        _ => Relay::Pass,
    });
    assert_eq!(stop.await, Some(Stop::After(b'C')));
    assert!(relayed.ends_with(b"C\0\0\0\x0dSELECT 1\0"));
    let mut stop = None;
    while stop.is_none() {
        let watch = |tag, _: &[u8]| match tag {
            b'E' => Relay::StopBefore,
            _ => Relay::Pass,
        };
        stop = relay(&mut conn, &mut relayed, watch).await;
    }
    assert_eq!(stop, Some(Stop::Before(b'E')));
    assert!(!conn.is_reusable());
    conn.drain().await.expect("the server answers");
    assert!(conn.is_reusable());
}

#[tokio::test]
async fn a_frame_that_its_watcher_drops_is_noted_and_not_passed_on() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    frontend::query(conn.write_buf(), b"SELECT 1");
    let mut relayed = BytesMut::new();
    let mut stop = None;
    while stop.is_none() {
        let watch = |tag, _: &[u8]| match tag {
            b'Z' => Relay::Drop,
            _ => Relay::Pass,
        };
        stop = relay(&mut conn, &mut relayed, watch).await;
    }
    assert_eq!(stop, Some(Stop::After(b'Z')));
    assert!(relayed.ends_with(b"C\0\0\0\x0dSELECT 1\0"));
    assert!(conn.is_reusable());
}

#[tokio::test]
async fn a_long_pipeline_with_long_answers_does_not_lock_up() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    let sql = format!("SELECT repeat('x', 100000) /*{}*/", "y".repeat(100_000));
    for _ in 0..300 {
        frontend::query(conn.write_buf(), sql.as_bytes());
    }
    let mut rows = 0;
    conn.fill().await.expect("the server answers");
    while conn.pending_syncs() > 0 {
        rows += u32::from(conn.next_frame().await.expect("the server answers").tag == b'D');
    }
    assert_eq!(rows, 300);
}

#[tokio::test]
async fn text_in_latin1_goes_through_as_it_is() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    conn.run("SET client_encoding = 'LATIN1'").await.expect("valid");
    assert_eq!(conn.parameter("client_encoding"), Some(&b"LATIN1"[..]));
    frontend::query(conn.write_buf(), b"SELECT '\xe4'");
    let rows = conn.collect().await.expect("valid");
    assert_eq!(rows.rows[0][0].as_deref(), Some(&b"\xe4"[..]));
}

#[tokio::test]
async fn a_copy_that_waits_for_data_is_ended_by_drain_and_swallows_the_sync_before_it() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    conn.run("CREATE TEMP TABLE t (a int)").await.expect("valid");
    frontend::query(conn.write_buf(), b"COPY t FROM STDIN");
    while conn.next_frame().await.expect("the server answers").tag != b'G' {}
    conn.drain().await.expect("the server answers");
    assert!(conn.is_reusable());

    frontend::parse(conn.write_buf(), b"", b"COPY t FROM STDIN", []);
    frontend::bind(conn.write_buf(), b"", b"", &[], std::iter::empty(), &[]);
    frontend::execute(conn.write_buf(), b"", 0);
    frontend::sync(conn.write_buf());
    while conn.next_frame().await.expect("the server answers").tag != b'G' {}
    frontend::copy_data(conn.write_buf(), b"1\n2\n");
    frontend::copy_done(conn.write_buf());
    conn.flush().await.expect("the server reads");
    assert_eq!(conn.pending_syncs(), 0);
    assert!(!conn.is_reusable(), "a Sync is missing");
    frontend::sync(conn.write_buf());
    conn.flush().await.expect("the server reads");
    assert_eq!(conn.pending_syncs(), 1);
    conn.drain().await.expect("the server answers");
    assert!(conn.is_reusable());
    assert_eq!(one(&mut conn, "SELECT count(*) FROM t").await, "2");
}

#[tokio::test]
async fn settings_are_brought_to_a_target_as_a_whole_or_not_at_all() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    let zone = conn.parameter("TimeZone").map(<[u8]>::to_vec);
    let mut wanted = Settings::default();
    wanted.set("TimeZone", "'Asia/Shanghai'");
    wanted.set("search_path", "a, \"$user\", public");
    wanted.set("my.var", "'it''s'");
    let wanted = Arc::new(wanted);
    conn.apply_settings(&wanted).await.expect("valid");
    assert_eq!(one(&mut conn, "SHOW search_path").await, "a, \"$user\", public");
    assert_eq!(one(&mut conn, "SHOW my.var").await, "it's");
    assert_eq!(conn.parameter("TimeZone"), Some(&b"Asia/Shanghai"[..]));
    let mut wrong = (*wanted).clone();
    wrong.set("datestyle", "'German'");
    wrong.set("work_mem", "'nonsense'");
    let refused = conn.apply_settings(&Arc::new(wrong)).await;
    assert!(matches!(refused, Err(RunError::Server(error)) if error.sqlstate() == "22023"));
    assert_eq!(conn.settings, wanted);
    assert_eq!(one(&mut conn, "SHOW datestyle").await, "ISO, MDY");
    conn.apply_settings(&Arc::default()).await.expect("valid");
    assert_eq!(one(&mut conn, "SHOW search_path").await, "\"$user\", public");
    assert_eq!(conn.parameter("TimeZone"), zone.as_deref());
}

async fn execute_prepared(conn: &mut Conn, key: u64, sql: &str) -> Result<(), RunError> {
    let (name, fresh) = conn.prepare(key);
    if fresh {
        frontend::parse(conn.write_buf(), name.as_bytes(), sql.as_bytes(), []);
    }
    frontend::bind(
        conn.write_buf(),
        b"",
        name.as_bytes(),
        &[],
        std::iter::empty(),
        &[],
    );
    frontend::execute(conn.write_buf(), b"", 0);
    frontend::sync(conn.write_buf());
    conn.collect().await.map(|_| ())
}

#[tokio::test]
async fn prepared_statements_are_bounded_and_evicted_ones_closed_on_the_server() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    for key in 0..700 {
        execute_prepared(&mut conn, key, &format!("SELECT {key}"))
            .await
            .expect("valid");
    }
    conn.close_evicted().await.expect("the server answers");
    assert!(conn.is_reusable());
    assert_eq!(
        one(&mut conn, "SELECT count(*) FROM pg_prepared_statements").await,
        "500"
    );
    assert!(conn.prepared(699).is_some() && conn.prepared(199).is_none());
    // A batch that fails leaves no name behind that isn't there.
    assert!(
        execute_prepared(&mut conn, 9000, "SELECT nonsense")
            .await
            .is_err()
    );
    assert!(conn.prepared(9000).is_none());
    assert!(execute_prepared(&mut conn, 9000, "SELECT 1").await.is_ok());
    assert!(conn.prepared(9000).is_some() && conn.prepared(699).is_some());
}

#[tokio::test]
async fn a_cancel_stops_the_running_statement() {
    let pg = Postgres::shared();
    let mut conn = pg.conn().await;
    let cancel = conn.cancel_key();
    frontend::query(conn.write_buf(), b"SELECT pg_sleep(600)");
    conn.flush().await.expect("the server reads");
    let mut other = pg.conn().await;
    let pid = conn.backend_pid();
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
    while one(&mut other, &sql).await != "1" {}
    cancel.send().await.expect("the server takes it");
    match conn.collect().await {
        Err(RunError::Server(error)) => assert_eq!(error.sqlstate(), "57014"),
        other => panic!("{other:?}"),
    }
    assert!(conn.is_reusable());
}

// The pool.

async fn primary(fleet: &Fleet) -> Lease {
    fleet.checkout(N, &Want::Primary).await.expect("the server is up")
}

#[tokio::test]
async fn a_clean_connection_is_used_again_and_an_unclean_one_never() {
    let pg = Postgres::shared();
    let fleet = pg.fleet(2, LONG);
    let mut lease = primary(&fleet).await;
    let mut before = lease.backend_pid();
    lease.run("SELECT 1").await.expect("valid");
    drop(lease);
    let lease = primary(&fleet).await;
    assert_eq!(lease.backend_pid(), before);
    assert_eq!(&**lease.server_label(), "n/primary");
    assert_eq!(
        (lease.node(), lease.server_id(), lease.server().active()),
        (N, ServerId(0), 1)
    );
    drop(lease);
    for unclean in [
        "in a transaction",
        "an answer unread",
        "a message unsent",
        "poisoned",
        "detached",
    ] {
        let mut lease = primary(&fleet).await;
        assert_eq!(lease.backend_pid(), before, "before: {unclean}");
        match unclean {
            "in a transaction" => drop(lease.run("BEGIN").await.expect("valid")),
            "an answer unread" => {
                frontend::query(lease.write_buf(), b"SELECT 1");
                lease.flush().await.expect("the server reads");
            }
            "a message unsent" => frontend::query(lease.write_buf(), b"SELECT 1"),
            "poisoned" => lease.poison(),
            _ => lease.detach(),
        }
        drop(lease);
        let lease = primary(&fleet).await;
        assert_ne!(lease.backend_pid(), before, "{unclean}");
        before = lease.backend_pid();
    }
    let server = &fleet.nodes()[0].servers[0];
    assert_eq!((server.active(), server.open_connections()), (0, 1));
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_not_handed_out() {
    let pg = Postgres::shared();
    let fleet = pg.fleet(4, LONG);
    let lease = primary(&fleet).await;
    let pid = lease.backend_pid();
    drop(lease);
    let mut other = pg.conn().await;
    assert_eq!(
        one(&mut other, &format!("SELECT pg_terminate_backend({pid}, 10000)")).await,
        "t"
    );
    let mut lease = primary(&fleet).await;
    assert_ne!(lease.backend_pid(), pid);
    assert_eq!(one(&mut lease, "SELECT 1").await, "1");

    // In the middle of a statement it is a fault, and the connection is gone.
    let pid = lease.backend_pid();
    frontend::query(lease.write_buf(), b"SELECT pg_sleep(600)");
    lease.flush().await.expect("the server reads");
    one(&mut other, &format!("SELECT pg_terminate_backend({pid}, 10000)")).await;
    match lease.collect().await {
        Err(RunError::Fault(fault)) => assert_eq!(fault.code, Code::SERVER_LOST),
        other => panic!("{other:?}"),
    }
    assert!(lease.is_broken());
    drop(lease);
    assert_eq!(fleet.nodes()[0].servers[0].open_connections(), 0);
}

#[tokio::test]
async fn what_a_server_tells_an_idle_connection_does_not_cost_it() {
    let pg = Postgres::shared();
    let fleet = pg.fleet(1, LONG);
    let mut lease = primary(&fleet).await;
    let pid = lease.backend_pid();
    lease.run("LISTEN news").await.expect("valid");
    drop(lease);
    // Each round finds what came of the rounds before in the idle connection.
    let mut other = pg.conn().await;
    for _ in 0..100 {
        other.run("NOTIFY news").await.expect("valid");
        assert_eq!(primary(&fleet).await.backend_pid(), pid);
    }
}

#[tokio::test]
async fn a_full_pool_is_a_timeout_that_says_so() {
    let pg = Postgres::shared();
    let fleet = pg.fleet(1, Duration::from_millis(50));
    let held = primary(&fleet).await;
    let fault = fleet
        .checkout(N, &Want::Primary)
        .await
        .err()
        .expect("none is free");
    assert_eq!(fault.code, Code::POOL_TIMEOUT);
    drop(held);
    primary(&fleet).await;
}

#[tokio::test]
async fn who_waits_first_is_served_first() {
    let pg = Postgres::shared();
    let fleet = pg.fleet(1, LONG);
    let held = primary(&fleet).await;
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    let server = fleet.nodes()[0].servers[0].clone();
    for i in 0..20 {
        let (fleet, served) = (fleet.clone(), served.clone());
        tasks.push(tokio::spawn(async move {
            let mut lease = primary(&fleet).await;
            served.lock().expect("nobody panics").push(i);
            lease.run("SELECT 1").await.expect("valid");
        }));
        until("it waits", || async { server.waiting() == i + 1 }).await;
    }
    drop(held);
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(
        *served.lock().expect("nobody panics"),
        (0..20).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn two_scatters_that_need_all_connections_do_not_starve_each_other() {
    let pg = Postgres::shared();
    let server = Arc::new(pg.server("owner", None));
    let fleet = Fleet::new(&snapshot(
        &[("a", vec![server.clone()]), ("b", vec![server])],
        1,
        LONG,
    ));
    let scatter = |nodes: [NodeId; 2]| {
        let fleet = fleet.clone();
        tokio::spawn(async move {
            let wants = nodes.map(|node| (node, Want::Primary));
            for _ in 0..200 {
                let mut leases = fleet.checkout_many(&wants).await.expect("both are up");
                assert_eq!([leases[0].node(), leases[1].node()], nodes);
                leases[0].run("SELECT 1").await.expect("valid");
            }
        })
    };
    let (one, two) = (scatter([N, NodeId(1)]), scatter([NodeId(1), N]));
    one.await.expect("no panic");
    two.await.expect("no panic");
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let pg = Postgres::shared();
    let server = Arc::new(pg.server("owner", None));
    let mut rules = snapshot(&[("n", vec![server])], 4, LONG);
    rules.pool.idle_timeout = Duration::from_millis(50);
    let fleet = Fleet::new(&rules);
    drop(primary(&fleet).await);
    until("it is closed", || async {
        fleet.nodes()[0].servers[0].open_connections() == 0
    })
    .await;
}

// The choice of a server.

/// A node whose three servers are the same real one.
fn trio(pg: &Postgres) -> Arc<Fleet> {
    let server = Arc::new(pg.server("owner", None));
    Fleet::new(&snapshot(
        &[("n", vec![server.clone(), server.clone(), server])],
        8,
        LONG,
    ))
}

fn reads(consistency: Consistency, balance: Balance) -> Reads {
    Reads {
        from: ReadFrom::Replicas,
        max_lag: Duration::from_secs(3600),
        consistency,
        balance,
    }
}

async fn chosen(fleet: &Fleet, policy: &Reads, after: Option<Instant>) -> String {
    let lease = fleet
        .checkout(N, &Want::Read { policy, after })
        .await
        .expect("a server is up");
    lease.server_label().to_string()
}

#[tokio::test]
async fn before_any_measurement_reads_go_to_the_primary_of_the_rules() {
    let pg = Postgres::shared();
    let policy = reads(Consistency::Session, Balance::RoundRobin);
    assert_eq!(chosen(&trio(&pg), &policy, None).await, "n/primary");
}

#[tokio::test]
async fn a_replica_takes_reads_once_it_has_replayed_past_the_sessions_last_commit() {
    let pg = Postgres::shared();
    let fleet = trio(&pg);
    let node = fleet.node(N).expect("it is there");
    let policy = reads(Consistency::Session, Balance::LeastConnections);
    node.record_primary_sample(ServerId(0), Instant::now(), 100);
    node.record_replica(ServerId(1), 100);
    let committed = Instant::now();
    assert_eq!(chosen(&fleet, &policy, Some(committed)).await, "n/primary");
    assert_eq!(chosen(&fleet, &policy, None).await, "n/replica0");
    let eventual = reads(Consistency::Eventual, Balance::LeastConnections);
    assert_eq!(chosen(&fleet, &eventual, Some(committed)).await, "n/replica0");

    // A sample begun after the commit: not replayed, then replayed.
    node.record_primary_sample(ServerId(0), Instant::now(), 200);
    node.record_replica(ServerId(1), 199);
    assert_eq!(chosen(&fleet, &policy, Some(committed)).await, "n/primary");
    node.record_replica(ServerId(1), 200);
    assert_eq!(chosen(&fleet, &policy, Some(committed)).await, "n/replica0");
    assert_eq!(&**primary(&fleet).await.server_label(), "n/primary");
}

#[tokio::test]
async fn a_replica_is_skipped_when_its_lag_exceeds_the_limit_or_it_is_down_or_has_no_weight() {
    let pg = Postgres::shared();
    let some = Arc::new(pg.server("owner", None));
    let spare = Arc::new(Server {
        weight: 0,
        ..pg.server("owner", None)
    });
    let fleet = Fleet::new(&snapshot(&[("n", vec![some.clone(), some, spare])], 8, LONG));
    let node = fleet.node(N).expect("it is there");
    node.record_primary_sample(ServerId(0), Instant::now(), 100);
    node.record_replica(ServerId(1), 100);
    node.record_replica(ServerId(2), 100);
    let mut policy = reads(Consistency::Eventual, Balance::Random);
    for _ in 0..20 {
        assert_eq!(chosen(&fleet, &policy, None).await, "n/replica0");
    }
    policy.max_lag = Duration::ZERO;
    assert_eq!(chosen(&fleet, &policy, None).await, "n/primary");
    policy.max_lag = Duration::from_secs(3600);
    node.mark_down(ServerId(1), "for this test");
    assert_eq!(chosen(&fleet, &policy, None).await, "n/primary");
    node.record_replica(ServerId(1), 100);
    assert_eq!(chosen(&fleet, &policy, None).await, "n/replica0");
    policy.from = ReadFrom::Primary;
    assert_eq!(chosen(&fleet, &policy, None).await, "n/primary");
}

#[tokio::test]
async fn a_replica_of_the_proxys_zone_takes_the_read_while_one_is_fit() {
    let pg = Postgres::shared();
    let near = Arc::new(pg.server("owner", None));
    let far = Arc::new(Server {
        near: false,
        ..pg.server("owner", None)
    });
    let fleet = Fleet::new(&snapshot(&[("n", vec![near.clone(), far, near])], 8, LONG));
    let node = fleet.node(N).expect("it is there");
    node.record_primary_sample(ServerId(0), Instant::now(), 1);
    node.record_replica(ServerId(1), 1);
    node.record_replica(ServerId(2), 1);
    for balance in [Balance::LeastConnections, Balance::RoundRobin, Balance::Random] {
        let policy = reads(Consistency::Eventual, balance);
        for _ in 0..8 {
            assert_eq!(chosen(&fleet, &policy, None).await, "n/replica1", "{balance:?}");
        }
        node.mark_down(ServerId(2), "for this test");
        assert_eq!(chosen(&fleet, &policy, None).await, "n/replica0", "{balance:?}");
        node.record_replica(ServerId(2), 1);
    }
}

#[tokio::test]
async fn each_balance_spreads_reads_over_the_replicas() {
    let pg = Postgres::shared();
    let fleet = trio(&pg);
    let node = fleet.node(N).expect("it is there");
    node.record_primary_sample(ServerId(0), Instant::now(), 1);
    node.record_replica(ServerId(1), 1);
    node.record_replica(ServerId(2), 1);
    for balance in [Balance::LeastConnections, Balance::RoundRobin, Balance::Random] {
        let policy = reads(Consistency::Eventual, balance);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..64 {
            seen.insert(chosen(&fleet, &policy, None).await);
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            ["n/replica0", "n/replica1"],
            "{balance:?}"
        );
    }
    // Least connections prefers the less busy one.
    let policy = reads(Consistency::Eventual, Balance::LeastConnections);
    let busy = fleet.checkout_server(N, ServerId(1)).await.expect("up");
    for _ in 0..8 {
        assert_eq!(chosen(&fleet, &policy, None).await, "n/replica1");
    }
    drop(busy);
}

#[tokio::test]
async fn a_replica_that_can_not_be_reached_is_suspected_and_the_next_one_takes_the_read() {
    let pg = Postgres::shared();
    let some = Arc::new(pg.server("owner", None));
    let gone = Arc::new(Server {
        port: free_port(),
        ..pg.server("owner", None)
    });
    let fleet = Fleet::new(&snapshot(&[("n", vec![some, gone.clone(), gone])], 8, LONG));
    let node = fleet.node(N).expect("it is there");
    node.record_primary_sample(ServerId(0), Instant::now(), 1);
    node.record_replica(ServerId(1), 1);
    node.record_replica(ServerId(2), 1);
    let policy = reads(Consistency::Session, Balance::RoundRobin);
    assert_eq!(chosen(&fleet, &policy, None).await, "n/primary");
    for server in &node.servers[1..] {
        assert_eq!(server.health(), Health::Down);
        assert!(server.last_error().is_some());
    }
}

#[tokio::test]
async fn a_promoted_replica_is_the_primary_and_an_old_primary_that_returns_is_not() {
    let pg = Postgres::shared();
    let fleet = trio(&pg);
    let node = fleet.node(N).expect("it is there");
    let policy = reads(Consistency::Eventual, Balance::RoundRobin);
    // At the start the one of the rules is waited for, even if another claims to be it.
    node.record_primary_sample(ServerId(2), Instant::now(), 50);
    assert_eq!(node.primary(), Some(ServerId(0)));
    node.record_replica(ServerId(2), 50);
    node.record_primary_sample(ServerId(0), Instant::now(), 100);
    node.record_replica(ServerId(1), 100);
    node.mark_down(ServerId(0), "killed");
    node.record_primary_sample(ServerId(1), Instant::now(), 110);
    assert_eq!(node.primary(), Some(ServerId(1)));
    assert_eq!(&**primary(&fleet).await.server_label(), "n/replica0");
    node.record_primary_sample(ServerId(0), Instant::now(), 105);
    assert_eq!(node.primary(), Some(ServerId(1)));
    // What a replica had of the old primary's positions doesn't count for the new one.
    node.record_replica(ServerId(2), 109);
    assert_eq!(chosen(&fleet, &policy, None).await, "n/replica0");
    node.record_replica(ServerId(2), 110);
    assert_eq!(chosen(&fleet, &policy, None).await, "n/replica1");
    // Nobody is primary: that is said, and nothing is written elsewhere.
    node.record_replica(ServerId(0), 110);
    node.record_replica(ServerId(1), 110);
    assert_eq!(node.servers[1].role(), Role::Replica);
    assert_eq!(
        fleet
            .checkout(N, &Want::Primary)
            .await
            .err()
            .expect("no primary")
            .code,
        Code::NODE_DOWN
    );
}

#[tokio::test]
async fn new_rules_keep_the_pools_of_servers_that_did_not_change() {
    let pg = Postgres::shared();
    let (a, b) = (
        Arc::new(pg.server("owner", None)),
        Arc::new(pg.server("u_plain", Some("plain"))),
    );
    let fleet = Fleet::new(&snapshot(
        &[("a", vec![a.clone()]), ("b", vec![b.clone()])],
        8,
        LONG,
    ));
    let pid = async |fleet: &Fleet, node| {
        fleet
            .checkout(node, &Want::Primary)
            .await
            .expect("up")
            .backend_pid()
    };
    let (pid_a, pid_b) = (pid(&fleet, N).await, pid(&fleet, NodeId(1)).await);
    let changed = Arc::new(Server {
        database: "template1".into(),
        ..pg.server("owner", None)
    });
    fleet
        .apply(&snapshot(
            &[("a", vec![a.clone()]), ("b", vec![changed])],
            8,
            LONG,
        ))
        .expect("same names");
    assert_eq!(pid(&fleet, N).await, pid_a);
    assert_ne!(pid(&fleet, NodeId(1)).await, pid_b);
    let mut lease = fleet.checkout(NodeId(1), &Want::Primary).await.expect("up");
    assert_eq!(one(&mut lease, "SELECT current_database()").await, "template1");
    // Statements planned before carry the old ids: an id never comes to mean another node.
    let swapped = snapshot(&[("b", vec![b]), ("a", vec![a])], 8, LONG);
    assert_eq!(fleet.apply(&swapped).expect_err("refused").code, Code::RULES);
    let renewed = fleet.renewed(&swapped);
    assert_eq!(pid(&renewed, NodeId(1)).await, pid_a);
}

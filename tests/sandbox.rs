//! The sandbox as its users see it: ready, telling where everything is, exiting with CMD's status,
//! and leaving nothing behind however it ends.

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{MARGAY, Sandbox, connect, rules_file};

const RULES: &str = "
version: 1
listen: {postgres: 127.0.0.1:6432, http: 127.0.0.1:9630}
users: [{name: shop, password: {plain: 'a p@ss/word'}}]
nodes:
  n_user:  {primary: 'postgres://app@10.0.0.1/shop', replicas: ['postgres://app@10.0.0.2/shop']}
  n-trade: {primary: 'postgres://app@10.0.0.3/trade'}
databases:
  shop:
    engine: postgres
    default_domain: user
    domains:
      user:  {nodes: [n_user],  tables: {users: {}}}
      trade: {nodes: [n-trade], tables: {orders: {}}}
";

/// What a waiting test waits for always comes within this, or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox without a proxy, whose temporary folder is the test's own, so that what it leaves
/// behind can be seen whatever other tests do.
struct Scene {
    temporary: tempfile::TempDir,
    rules: tempfile::NamedTempFile,
}

impl Scene {
    fn new() -> Scene {
        // Servers of a sandbox of root's run as another user, who must be able to pass.
        let temporary = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .expect("a temporary folder");
        Scene {
            temporary,
            rules: rules_file(RULES),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MARGAY);
        command
            .arg("sandbox")
            .arg(self.rules.path())
            .arg("--no-proxy")
            .args(arguments);
        command.env("TMPDIR", self.temporary.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("margay runs")
    }

    /// Starts a sandbox whose CMD says where it is and stays until it is killed.
    fn stay(&self) -> Staying {
        let script = "echo $MARGAY_SANDBOX; echo $MARGAY_NODE_N_USER_PID; exec sleep 1000";
        let mut child = self
            .command(&["--", "sh", "-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("margay runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe was asked for")).lines();
        let mut line = || lines.next().expect("the sandbox gets ready").expect("text");
        let folder = PathBuf::from(line());
        let server = line().parse().expect("a process id");
        Staying {
            child,
            folder,
            server,
        }
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files_below(self.temporary.path(), &mut found);
        found
    }
}

struct Staying {
    child: Child,
    folder: PathBuf,
    /// Process id of a primary.
    server: u32,
}

impl Staying {
    fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    fn status(mut self) -> Option<i32> {
        self.child.wait().expect("margay can be waited for").code()
    }
}

fn send(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    // What vanishes while it is looked at is not left behind.
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let Ok(path) = entry.map(|e| e.path()) else {
            continue;
        };
        if path.is_dir() && !path.is_symlink() {
            files_below(&path, found);
        }
        found.push(path);
    }
}

/// Processes that work in `folder` or name it in their arguments or environment.
fn processes_of(folder: &Path) -> Vec<String> {
    let text = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|b| b.is_ascii_digit()) || pid == std::process::id().to_string() {
            continue;
        }
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let read = |name| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (arguments, environment) = (read("cmdline"), read("environ"));
        if cwd.starts_with(folder) || arguments.contains(&text) || environment.contains(&text) {
            found.push(format!("{pid} {}", arguments.replace('\0', " ")));
        }
    }
    found
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn variables(output: &Output) -> HashMap<String, String> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

#[test]
fn command_finds_every_server_in_its_environment() {
    let scene = Scene::new();
    let output = scene.run(&["--oracle", "--", "env"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let env = variables(&output);
    for server in ["NODE_N_USER", "NODE_N_USER_REPLICA_0", "NODE_N_TRADE", "ORACLE"] {
        let url: tokio_postgres::Config = env[&format!("MARGAY_{server}_URL")].parse().expect("a URL");
        assert!(url.get_password().is_some());
        let _: u32 = env[&format!("MARGAY_{server}_PID")]
            .parse()
            .expect("a process id");
    }
    assert!(
        env["MARGAY_NODE_N_TRADE_URL"].ends_with("/trade"),
        "the database of the rules' URL"
    );
    let oracle: tokio_postgres::Config = env["MARGAY_ORACLE_URL"].parse().expect("a URL");
    assert_eq!(
        oracle.get_user(),
        Some("shop"),
        "the oracle lets in whom the proxy lets in"
    );
    assert_eq!(oracle.get_password(), Some("a p@ss/word".as_bytes()));
    assert_eq!(
        oracle.get_dbname(),
        Some("shop"),
        "the oracle's database is the logical one's namesake"
    );
    assert!(
        !env.contains_key("MARGAY_NODE_N_TRADE_REPLICA_0_URL"),
        "the rules give it no replica"
    );
}

#[test]
fn sandbox_exits_with_the_status_of_its_command() {
    let scene = Scene::new();
    assert_eq!(scene.run(&["--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(
        scene.run(&["--", "sh", "-c", "kill -KILL $$"]).status.code(),
        Some(128 + 9)
    );
    assert_eq!(scene.run(&["--", "/no/such/program"]).status.code(), Some(127));
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn command_takes_its_own_descendants_along() {
    let scene = Scene::new();
    let output = scene.run(&[
        "--",
        "sh",
        "-c",
        "(setsid sleep 1000 >/dev/null 2>&1 &) ; echo $MARGAY_SANDBOX",
    ]);
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(output.status.success() && folder.starts_with(scene.temporary.path()));
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn signal_ends_command_servers_and_folder() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let scene = Scene::new();
        let staying = scene.stay();
        let folder = staying.folder.clone();
        assert!(processes_of(&folder).len() > 3, "servers run");
        staying.signal(signal);
        assert_eq!(
            staying.status(),
            Some(128 + number),
            "{signal} reaches the command"
        );
        assert_eq!(processes_of(&folder), Vec::<String>::new());
        assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
    }
}

#[test]
fn signal_at_any_moment_of_the_start_leaves_nothing() {
    // The files there are when the signal comes: within initdb, between it and the copies, within them.
    for files in [1, 10, 100, 500, 900, 1000, 1100, 2000, 3000] {
        let scene = Scene::new();
        let mut child = scene
            .command(&["--", "sleep", "1000"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("margay runs");
        wait_for("the start makes files", || scene.leftovers().len() >= files);
        send(child.id(), "TERM");
        let status = child.wait().expect("margay can be waited for");
        assert_eq!(status.code(), Some(128 + 15), "at {files} files");
        assert_eq!(processes_of(scene.temporary.path()).len(), 0, "at {files} files");
        assert_eq!(scene.leftovers(), Vec::<PathBuf>::new(), "at {files} files");
    }
}

#[test]
fn frozen_and_killed_servers_do_not_stop_the_clearing() {
    let scene = Scene::new();
    let script =
        "kill -STOP $MARGAY_NODE_N_USER_PID; kill -KILL $MARGAY_NODE_N_TRADE_PID; echo $MARGAY_SANDBOX";
    let output = scene.run(&["--", "sh", "-c", script]);
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(output.status.success() && folder.starts_with(scene.temporary.path()));
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn guard_clears_after_a_killed_sandbox() {
    let scene = Scene::new();
    let staying = scene.stay();
    let folder = staying.folder.clone();
    staying.signal("KILL");
    assert_eq!(staying.status(), None);
    wait_for("the guard clears up", || {
        processes_of(&folder).is_empty() && scene.leftovers().is_empty()
    });
}

#[test]
fn next_start_clears_after_a_killed_sandbox_and_its_killed_guard() {
    let scene = Scene::new();
    let staying = scene.stay();
    let folder = staying.folder.clone();
    let lock = folder.with_extension("lock").display().to_string();
    let guard = processes_of(&folder)
        .into_iter()
        .find(|process| process.contains("--guard") && process.contains(&lock))
        .expect("a guard");
    // Frozen, the sandbox can't do anything about its guard's end.
    staying.signal("STOP");
    send(
        guard
            .split(' ')
            .next()
            .expect("a process id")
            .parse()
            .expect("a process id"),
        "KILL",
    );
    staying.signal("KILL");
    let server = staying.server;
    assert_eq!(staying.status(), None);
    let served =
        |pid: u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&folder));
    assert!(served(server), "the servers outlive a sandbox that has no guard");
    let output = scene.run(&["--", "true"]);
    assert!(output.status.success());
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn two_sandboxes_live_side_by_side() {
    let scene = Scene::new();
    let one = scene.stay();
    let two = scene.stay();
    assert_ne!(one.folder, two.folder);
    let folder = one.folder.clone();
    one.signal("TERM");
    one.status();
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert!(processes_of(&two.folder).len() > 3, "the other sandbox goes on");
    two.signal("TERM");
    two.status();
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

/// Rules with one domain on the given nodes.
fn rules_with(engine: &str, secret: &str, nodes: &str, names: &str) -> String {
    format!(
        "version: 1\nusers: [{{name: shop, password: {secret}}}]\nnodes: {nodes}\n\
         databases: {{d: {{engine: {engine}, domains: {{x: {{nodes: {names}}}}}}}}}"
    )
}

fn refusal(rules: &str) -> String {
    let file = rules_file(rules);
    let output = Command::new(MARGAY)
        .args(["sandbox", "--no-proxy"])
        .arg(file.path())
        .args(["--", "true"])
        .output()
        .expect("margay runs");
    assert!(!output.status.success(), "{rules}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn rules_that_no_sandbox_can_serve_are_refused_by_name() {
    let plain = "{plain: p}";
    let mysql = rules_with("mysql", plain, "{m: {primary: 'mysql://a@h/d'}}", "[m]");
    assert!(
        refusal(&mysql).contains("MySQL servers are not supported yet"),
        "{}",
        refusal(&mysql)
    );
    let alike = "{a_b: {primary: 'postgres://u@h/d'}, a-b: {primary: 'postgres://u@i/d'}}";
    let alike = rules_with("postgres", plain, alike, "[a_b, a-b]");
    assert!(
        refusal(&alike).contains("environment variables"),
        "{}",
        refusal(&alike)
    );
    // As `margay check` says it: all of it, with its place.
    let wrong = refusal("version: 1\nusers: [{name: a}]\n");
    assert!(wrong.contains(".yaml:1:1: there are no nodes"), "{wrong}");
    assert!(
        wrong.contains(".yaml:2:9: the user `a` has no password"),
        "{wrong}"
    );
}

#[test]
fn secrets_that_this_machine_does_not_hold_are_made_up() {
    let node = "{n: {primary: {url: 'postgres://app@h/d', password: {file: /no/such/file}}, \
                replicas: [{url: 'postgres://app@i/d', password: {env: NO_SUCH_VARIABLE}}]}}";
    let rules = rules_with("postgres", "{env: NO_SUCH_VARIABLE}", node, "[n]");
    let file = rules_file(&rules);
    let output = Command::new(MARGAY)
        .args(["sandbox", "--no-proxy", "--oracle"])
        .arg(file.path())
        .args(["--", "env"])
        .output()
        .expect("margay runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let env = variables(&output);
    for server in ["NODE_N", "NODE_N_REPLICA_0", "ORACLE"] {
        let url: tokio_postgres::Config = env[&format!("MARGAY_{server}_URL")].parse().expect("a URL");
        assert!(
            url.get_password().is_some_and(|password| password.len() > 10),
            "{server}"
        );
    }
}

#[test]
fn logs_are_kept_where_asked_for() {
    let scene = Scene::new();
    let kept = tempfile::tempdir().expect("a temporary folder");
    let folder = kept.path().join("logs").display().to_string();
    assert!(
        scene
            .run(&["--keep-logs", &folder, "--", "true"])
            .status
            .success()
    );
    let log = std::fs::read_to_string(kept.path().join("logs/node_n_user_replica_0.log")).expect("a log");
    assert!(log.contains("started streaming WAL"), "{log}");
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn without_command_it_prints_lines_to_paste_and_stays() {
    let scene = Scene::new();
    let mut child = scene
        .command(&["--oracle"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("margay runs");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        assert!(out.read_line(&mut text).expect("text") > 0, "it ended: {text}");
    }
    for server in ["n_user primary", "n_user replica 0", "n-trade primary", "oracle"] {
        assert!(text.contains(server), "{server} is missing in {text}");
    }
    send(child.id(), "INT");
    assert!(
        child.wait().expect("margay can be waited for").success(),
        "Ctrl-C is its ordinary end"
    );
    out.read_to_string(&mut text).expect("text");
    assert_eq!(scene.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn row_written_on_the_primary_appears_on_its_replica() {
    let sandbox = Sandbox::servers_only(RULES);
    let primary = connect(sandbox.var("MARGAY_NODE_N_USER_URL")).await;
    let replica = connect(sandbox.var("MARGAY_NODE_N_USER_REPLICA_0_URL")).await;
    primary
        .batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (42)")
        .await
        .expect("it writes");
    let begun = Instant::now();
    let found = loop {
        match replica.query_one("SELECT a FROM t", &[]).await {
            Ok(row) => break row.get::<_, i32>(0),
            Err(why) => assert!(begun.elapsed() < PATIENCE, "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(found, 42);
    let refused = replica
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .expect_err("a standby");
    assert_eq!(refused.code().map(|code| code.code()), Some("25006"));
}

#[tokio::test]
async fn role_of_the_rules_may_do_what_margay_needs() {
    let sandbox = Sandbox::servers_only(RULES);
    let client = connect(sandbox.var("MARGAY_NODE_N_TRADE_URL")).await;
    client
        .batch_execute("CREATE TABLE t (a int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'x'")
        .await
        .expect("two phases are on");
    client
        .batch_execute("COMMIT PREPARED 'x'")
        .await
        .expect("and can be ended");
    client
        .batch_execute("CREATE DATABASE shell")
        .await
        .expect("the shell can be made");
    let row = client
        .query_one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[])
        .await
        .expect("a role");
    assert!(
        !row.get::<_, bool>(0),
        "a superuser would hide missing privileges"
    );
}

#[tokio::test]
async fn wrong_password_is_refused() {
    let sandbox = Sandbox::servers_only(RULES);
    let mut config: tokio_postgres::Config = sandbox.oracle().parse().expect("a URL");
    config.password("wrong");
    let error = config
        .connect(tokio_postgres::NoTls)
        .await
        .err()
        .expect("refused");
    assert_eq!(error.code().map(|code| code.code()), Some("28P01"));
}

#[tokio::test]
async fn killed_server_starts_again_on_its_port_with_what_it_acknowledged() {
    let mut sandbox = Sandbox::servers_only(RULES);
    let url = sandbox.var("MARGAY_NODE_N_USER_URL").to_string();
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .await
        .expect("it writes");
    let before = sandbox.pid("MARGAY_NODE_N_USER_PID");
    sandbox.signal("MARGAY_NODE_N_USER_PID", "KILL");
    sandbox.start_again("n_user").expect("it starts again");
    assert_ne!(sandbox.pid("MARGAY_NODE_N_USER_PID"), before);
    assert_eq!(sandbox.var("MARGAY_NODE_N_USER_URL"), url);
    let row = connect(&url)
        .await
        .query_one("SELECT a FROM t", &[])
        .await
        .expect("the row is there");
    assert_eq!(row.get::<_, i32>(0), 1);
    let error = sandbox.start_again("n_nowhere").expect_err("no such node");
    assert!(error.contains("no n_nowhere primary"), "{error}");
}

#[tokio::test]
async fn proxy_serves_the_logical_database_and_starts_again_after_it_was_killed() {
    let mut sandbox = Sandbox::start(RULES);
    assert!(sandbox.var("MARGAY_HTTP_URL").starts_with("http://127.0.0.1:"));
    let url = sandbox.proxy().to_string();
    let config: tokio_postgres::Config = url.parse().expect("a URL");
    assert_eq!(
        (config.get_user(), config.get_dbname()),
        (Some("shop"), Some("shop"))
    );
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE users (id int PRIMARY KEY)")
        .await
        .expect("it carries DDL");
    client
        .batch_execute("INSERT INTO users VALUES (7)")
        .await
        .expect("it writes");
    // The node of the rules has the row: the proxy works on the sandbox's servers.
    let node = connect(sandbox.var("MARGAY_NODE_N_USER_URL")).await;
    let row = node
        .query_one("SELECT id FROM users", &[])
        .await
        .expect("the row is there");
    assert_eq!(row.get::<_, i32>(0), 7);
    let before = sandbox.pid("MARGAY_PROXY_PID");
    sandbox.signal("MARGAY_PROXY_PID", "KILL");
    sandbox.start_again("proxy").expect("it starts again on its port");
    assert_ne!(sandbox.pid("MARGAY_PROXY_PID"), before);
    let row = connect(&url)
        .await
        .query_one("SELECT id FROM users", &[])
        .await
        .expect("it serves again");
    assert_eq!(row.get::<_, i32>(0), 7);
}

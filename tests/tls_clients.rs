//! TLS of the listener, by real clients: libpq's sslmodes, channel binding, client certificates, direct
//! negotiation, drivers; and hostile bytes. A client that this machine lacks is skipped with a printed line.

#[path = "support/mod.rs"]
mod support;
#[path = "tls_support/mod.rs"]
mod tls_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use support::Sandbox;
use tls_support::Authority;

struct Proxy {
    ca: Authority,
    sandbox: Sandbox,
}

/// The rules with the listener's `tls` as given, where `CA/` stands for the folder of the certificates.
fn write_rules(ca: &Authority, tls: &str) {
    let rules = include_str!("tls_clients/rules.yaml").replace("TLS", tls);
    std::fs::write(ca.path("rules.yaml"), rules.replace("CA/", &ca.text(""))).expect("a file");
}

const OPTIONAL: &str = "{certificate: CA/server.crt, key: CA/server.key, client_ca: CA/ca.crt}";
const REQUIRED: &str = "{certificate: CA/server.crt, key: CA/server.key, client_ca: CA/ca.crt, mode: required, client_certificates: required}";

fn proxy() -> Proxy {
    let ca = Authority::new();
    ca.sign("server", "localhost", &["localhost", "127.0.0.1"]);
    ca.sign("alice", "alice", &[]);
    ca.sign("mallory", "mallory", &[]);
    write_rules(&ca, OPTIONAL);
    let sandbox = Sandbox::at(&ca.path("rules.yaml"), &[]);
    Proxy { ca, sandbox }
}

impl Proxy {
    fn port(&self) -> u16 {
        let after = self.sandbox.proxy().rsplit_once(':').expect("a port").1;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a port")
    }

    /// A connection string of libpq.
    fn to(&self, more: &str) -> String {
        let user = if more.contains("user=") {
            ""
        } else {
            "user=shop password=secret"
        };
        format!(
            "host=localhost port={} dbname=shop {user} {}",
            self.port(),
            more.replace("CA/", &self.ca.text(""))
        )
    }

    fn psql(&self, more: &str) -> Output {
        let mut command = Command::new("psql");
        command.args([
            "-X",
            "-At",
            &self.to(more),
            "-c",
            "SELECT 41 + 1",
            "-c",
            "\\conninfo",
        ]);
        command.output().expect("psql runs")
    }

    /// What psql printed; it got in.
    fn gets_in(&self, more: &str) -> String {
        let out = self.psql(more);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success() && text.starts_with("42\n"),
            "{more}: {text}{error}"
        );
        text
    }

    /// What psql complained of; it didn't get in.
    fn stays_out(&self, more: &str) -> String {
        let out = self.psql(more);
        assert!(!out.status.success(), "{more}: got in");
        String::from_utf8_lossy(&out.stderr).into_owned()
    }

    fn reload(&self, more: &str) {
        let console = self.to(more).replace("dbname=shop", "dbname=margay");
        let out = Command::new("psql")
            .args(["-X", &console, "-c", "RELOAD"])
            .output();
        let out = out.expect("psql runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn libpq_connects_in_each_sslmode_and_verifies() {
    let proxy = proxy();
    for mode in ["disable", "allow"] {
        let text = proxy.gets_in(&format!("sslmode={mode}"));
        assert!(!text.contains("SSL connection"), "{mode}: {text}");
    }
    for more in [
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=require channel_binding=require",
        "sslmode=verify-ca sslrootcert=CA/ca.crt",
        "sslmode=verify-full sslrootcert=CA/ca.crt channel_binding=require",
        "sslmode=verify-full sslrootcert=CA/ca.crt ssl_max_protocol_version=TLSv1.2",
        // GSSENC is asked for first where libpq can; it's answered, and SSL comes next.
        "sslmode=require gssencmode=prefer",
    ] {
        let text = proxy.gets_in(more);
        assert!(text.contains("SSL connection"), "{more}: {text}");
    }
    let other = Authority::named("another CA");
    let stranger = format!("sslmode=verify-ca sslrootcert={}", other.text("ca.crt"));
    let error = proxy.stays_out(&stranger);
    assert!(error.contains("certificate verify failed"), "{error}");
}

#[test]
fn certificates_of_clients_are_asked_for_matched_and_renewed() {
    let proxy = proxy();
    let with = |who: &str| format!("user=alice sslmode=require sslcert=CA/{who}.crt sslkey=CA/{who}.key");
    proxy.gets_in(&with("alice"));
    let error = proxy.stays_out(&with("mallory"));
    assert!(
        error.contains("certificate authentication failed for user \"alice\""),
        "{error}"
    );
    let error = proxy.stays_out("user=alice sslmode=require");
    assert!(error.contains("requires a valid client certificate"), "{error}");
    let error = proxy.stays_out("user=alice sslmode=disable");
    assert!(error.contains("requires a valid client certificate"), "{error}");
    // Signed by nobody that the rules trust.
    let other = Authority::named("another CA");
    other.sign("alice", "alice", &[]);
    let (cert, key) = (other.text("alice.crt"), other.text("alice.key"));
    proxy.stays_out(&format!("user=alice sslmode=require sslcert={cert} sslkey={key}"));
    // A password that is right isn't enough where the rules want a certificate too, nor the other way round.
    let both = |who: &str, password: &str| {
        format!("user=both password={password} sslmode=require sslcert=CA/{who}.crt sslkey=CA/{who}.key")
    };
    proxy.ca.sign("both", "both", &[]);
    proxy.gets_in(&both("both", "secret"));
    proxy.stays_out(&both("alice", "secret"));
    proxy.stays_out(&both("both", "wrong"));

    // RELOAD takes the new certificate and the new terms for clients that come after it.
    proxy.ca.sign("fresh", "renewed", &["localhost"]);
    proxy.ca.replace("fresh.crt", "server.crt");
    proxy.ca.replace("fresh.key", "server.key");
    write_rules(&proxy.ca, REQUIRED);
    proxy.reload("sslmode=require");
    let error = proxy.stays_out("sslmode=disable");
    assert!(error.contains("without TLS are not accepted"), "{error}");
    let error = proxy.stays_out("sslmode=require");
    assert!(error.contains("requires a valid client certificate"), "{error}");
    proxy.gets_in("sslmode=verify-full sslrootcert=CA/ca.crt sslcert=CA/alice.crt sslkey=CA/alice.key");
    let subject = openssl(&proxy, &["-starttls", "postgres"]).expect("openssl is there");
    assert!(subject.contains("CN = renewed"), "{subject}");
}

/// What `openssl s_client` prints of the listener; None: this machine has none.
fn openssl(proxy: &Proxy, options: &[&str]) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{}", proxy.port())]);
    let out = command.args(options).stdin(std::process::Stdio::null()).output();
    let Ok(out) = out else {
        println!("SKIP: no openssl");
        return None;
    };
    Some(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
}

#[test]
fn direct_negotiation_needs_the_protocols_name() {
    let proxy = proxy();
    if let Some(text) = openssl(&proxy, &["-alpn", "postgresql"]) {
        assert!(text.contains("ALPN protocol: postgresql"), "{text}");
    }
    if let Some(text) = openssl(&proxy, &["-alpn", "http/1.1"]) {
        assert!(text.contains("alert no application protocol"), "{text}");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls_clients/direct.py");
    python(&proxy, script);
}

fn python(proxy: &Proxy, script: &str) {
    let Some(python) = support::python() else { return };
    let mut command = Command::new(python);
    command.arg(script).env("TLS_CA", proxy.ca.text("ca.crt"));
    command.env("TLS_PORT", proxy.port().to_string());
    println!("{}", run(command));
}

fn run(mut command: Command) -> String {
    let out = command.output().expect("the client runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?} failed:\n{text}");
    text
}

#[test]
fn drivers_connect_by_tls() {
    let proxy = proxy();
    python(
        &proxy,
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls_clients/drivers.py"),
    );
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls_clients");
    if let Some(jars) = support::drivers("java") {
        let mut java = Command::new("java");
        java.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"]);
        java.arg(format!("{}/*", jars.display()))
            .arg(clients.join("Tls.java"));
        java.env("TLS_CA", proxy.ca.text("ca.crt"));
        java.env("TLS_PORT", proxy.port().to_string());
        println!("{}", run(java));
    }
    if let Some(modules) = support::drivers("node") {
        let mut node = Command::new("node");
        node.env("NODE_PATH", modules.join("node_modules"));
        node.env("TLS_CA", proxy.ca.text("ca.crt"));
        node.env("TLS_PORT", proxy.port().to_string());
        println!("{}", run(node_script(node, &clients)));
    }
}

fn node_script(mut node: Command, clients: &Path) -> Command {
    node.arg(clients.join("tls.js"));
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_behind_a_proxy_is_a_server_like_any_other() {
    use margay::backend::{Fleet, Want};
    let proxy = proxy();
    let url = format!(
        "postgres://shop:secret@localhost:{}/shop?sslmode=verify-full&sslrootcert={}&channel_binding=require&max_protocol_version=3.2",
        proxy.port(),
        proxy.ca.text("ca.crt"),
    );
    let rules = include_str!("tls_clients/rules.yaml").replace("    tls: TLS\n", "");
    let rules = rules.replace("certificate: true", "trust: true");
    let rules = rules.replace("{plain: secret}, trust: true", "{plain: secret}");
    let rules = rules.replace("postgres://app@10.0.0.1/shop", &url);
    let texts = vec![(std::path::PathBuf::from("rules.yaml"), rules)];
    let loaded = margay::topology::load_texts(texts, &|_| None, &Default::default());
    let fleet = Fleet::new(&loaded.expect("the rules hold").snapshot);
    let mut lease = fleet
        .checkout(margay::model::NodeId(0), &Want::Primary)
        .await
        .expect("the proxy lets us in");
    assert_eq!(
        lease.run("SELECT 42").await.expect("an answer").text(0, 0),
        Some("42")
    );
    // The key has 32 bytes here; the request goes by TLS as the session does. It counts only while
    // something runs, so it is sent until it does.
    let key = lease.cancel_key();
    let mut sleeping = std::pin::pin!(lease.run("SELECT pg_sleep(60)"));
    let cancelled = loop {
        tokio::select! {
            slept = &mut sleeping => break slept,
            sent = key.send() => sent.expect("the request is taken"),
        }
    };
    let error = cancelled.expect_err("it is cancelled");
    assert!(format!("{error:?}").contains("57014"), "{error:?}");
}

#[test]
fn a_certificate_without_a_hash_to_bind_to_offers_no_channel_binding() {
    let ca = Authority::new();
    ca.sign_ed25519("server", "localhost", &["localhost"]);
    write_rules(&ca, OPTIONAL);
    let sandbox = Sandbox::at(&ca.path("rules.yaml"), &[]);
    let proxy = Proxy { ca, sandbox };
    proxy.gets_in("sslmode=verify-full sslrootcert=CA/ca.crt");
    let error = proxy.stays_out("sslmode=require channel_binding=require");
    assert!(error.contains("channel binding"), "{error}");
}

#[test]
fn who_dawdles_before_the_login_is_let_go_and_a_full_house_says_so_inside_of_tls() {
    let ca = Authority::new();
    ca.sign("server", "localhost", &["localhost"]);
    write_rules(&ca, OPTIONAL);
    let rules = std::fs::read_to_string(ca.path("rules.yaml")).expect("a file");
    let limits = "version: 1\nlimits: {max_clients: 1, login_timeout: 2s}";
    std::fs::write(ca.path("rules.yaml"), rules.replace("version: 1", limits)).expect("a file");
    let sandbox = Sandbox::at(&ca.path("rules.yaml"), &[]);
    let proxy = Proxy { ca, sandbox };
    // Each stage of the way to a session, and then nothing more.
    for sent in [&b""[..], &[0x16], &[0, 0, 0], &SSL_REQUEST, &GSSENC_REQUEST] {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
        stream.write_all(sent).expect("it takes bytes");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(said.len() <= 1, "{sent:?}: {said:?}");
    }
    let mut first = Command::new("psql")
        .args([
            "-X",
            "-At",
            &proxy.to("sslmode=require"),
            "-c",
            "SELECT 1",
            "-c",
            "SELECT pg_sleep(60)",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("psql runs");
    let mut answer = [0];
    let mut out = first.stdout.take().expect("a pipe");
    out.read_exact(&mut answer).expect("the first client is in");
    let error = proxy.stays_out("sslmode=require");
    assert!(error.contains("sorry, too many clients already"), "{error}");
    let _ = first.kill();
    let _ = first.wait();
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// All that comes until the proxy closes.
fn answer(proxy: &Proxy, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
    stream.write_all(sent).expect("it takes bytes");
    stream.shutdown(std::net::Shutdown::Write).expect("no more");
    let mut all = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut all);
    all
}

#[test]
fn bytes_in_clear_after_a_request_for_encryption_are_refused() {
    let proxy = proxy();
    let startup = b"\0\0\0\x13\0\x03\0\0user\0shop\0\0\0";
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        let said = answer(&proxy, &[&request[..], startup].concat());
        let text = String::from_utf8_lossy(&said);
        // Neither an S (the bytes would count as said inside of TLS) nor a login in clear.
        assert!(said.starts_with(b"E"), "{text}");
        assert!(text.contains("unencrypted data after a request"), "{text}");
    }
    // Each request once, as PostgreSQL has it; GSSENC, then SSL is the usual order.
    assert_eq!(answer(&proxy, &GSSENC_REQUEST), b"N");
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
    for (request, expected) in [(GSSENC_REQUEST, b'N'), (SSL_REQUEST, b'S')] {
        stream.write_all(&request).expect("it takes bytes");
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        assert_eq!(byte, [expected]);
    }
}

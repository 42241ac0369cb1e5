//! The whole shop on a private plain PostgreSQL: seed, load, verify, and the pages over HTTP. The
//! server lives in a folder of its own on a free loopback port and is gone afterwards.
//! Where the machine has no PostgreSQL server, the tests say so and pass.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// The newest server's folder of programs.
fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<PathBuf>>());
    let found = versions.into_iter().rev().map(|(_, path)| path).chain(on_path);
    found
        .into_iter()
        .find(|path| path.join("initdb").exists() && path.join("postgres").exists())
}

/// PostgreSQL refuses to run as root: then it runs as the user that packages make for it, or nobody.
fn unprivileged() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_whitespace()
        .nth(1)?;
    if uid != "0" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|wanted| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

struct Postgres {
    folder: PathBuf,
    server: Child,
    port: u16,
}

impl Postgres {
    /// None, with a line that says why, where there is no server to start.
    fn start(name: &str) -> Option<Postgres> {
        let Some(binaries) = binaries() else {
            println!("skipped: no PostgreSQL server programs on this machine");
            return None;
        };
        let folder = std::env::temp_dir().join(format!("shop-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder can be made");
        let owner = unprivileged();
        if let Some((uid, gid)) = owner {
            chown(&folder, Some(uid), Some(gid)).expect("root may give its folder away");
        }
        let data = folder.join("data");
        let as_owner = |program: &Path| {
            let mut command = Command::new(program);
            command
                .current_dir(&folder)
                .env("HOME", &folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command
        };
        let mut initdb = as_owner(&binaries.join("initdb"));
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", "shop", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]);
        assert!(
            initdb.status().expect("initdb can be started").success(),
            "initdb failed"
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port")
            .port();
        let mut postgres = as_owner(&binaries.join("postgres"));
        postgres
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k"])
            .arg(&folder);
        // A zone other than UTC: months must be counted in UTC all the same.
        for setting in [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "timezone=Asia/Shanghai",
        ] {
            postgres.args(["-c", setting]);
        }
        let server = postgres.spawn().expect("postgres can be started");
        let mut started = Postgres { folder, server, port };
        started.wait_until_ready();
        Some(started)
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.server.try_wait() {
                panic!("postgres ended with {status}");
            }
            if self.answers() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("postgres was not ready in time");
    }

    /// Whether the server takes logins: it answers a startup packet with authentication, not an error.
    fn answers(&self) -> bool {
        let Ok(mut socket) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let body = b"user\0shop\0database\0postgres\0\0";
        let mut packet = Vec::new();
        packet.extend_from_slice(&u32::try_from(body.len() + 8).expect("small").to_be_bytes());
        packet.extend_from_slice(&196_608_u32.to_be_bytes());
        packet.extend_from_slice(body);
        let mut first = [0];
        socket.write_all(&packet).is_ok() && socket.read_exact(&mut first).is_ok() && first == *b"R"
    }

    fn url(&self) -> String {
        format!("postgres://shop@127.0.0.1:{}/postgres", self.port)
    }

    fn shop(&self, arguments: &[&str]) -> Output {
        let mut shop = shop(&self.url());
        shop.args(arguments).output().expect("the shop can be started")
    }

    /// Changes something behind the shop's back.
    fn psql(&self, sql: &str) {
        let binaries = binaries().expect("they were found before");
        let status = Command::new(binaries.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()])
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("psql can be started").success(), "{sql}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT ends the server and its children at once.
        let _ = Command::new("kill")
            .args(["-QUIT", &self.server.id().to_string()])
            .status();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn shop(url: &str) -> Command {
    let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
    shop.env_remove("DATABASE_URL")
        .env_remove("MARGAY_POSTGRES_URL")
        .args(["--url", url]);
    shop
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn books_balance_after_seed_and_load_and_a_lost_row_is_seen() {
    let Some(postgres) = Postgres::start("books") else {
        return;
    };
    let check = postgres.shop(&["check", "--seconds", "2", "--clients", "4"]);
    assert!(check.status.success(), "{}", text(&check));
    assert!(text(&check).contains("no errors"), "{}", text(&check));
    assert!(
        text(&check).contains("verify: every check holds"),
        "{}",
        text(&check)
    );

    let again = postgres.shop(&["seed"]);
    assert!(
        again.status.success() && text(&again).contains("already filled"),
        "{}",
        text(&again)
    );

    let one = "(SELECT user_id, id FROM payments ORDER BY id DESC LIMIT 1)";
    postgres.psql(&format!("DELETE FROM payments WHERE (user_id, id) = {one}"));
    let broken = postgres.shop(&["verify"]);
    assert!(!broken.status.success(), "{}", text(&broken));
    assert!(
        text(&broken).contains("BROKEN   payments equal orders"),
        "{}",
        text(&broken)
    );
}

#[test]
fn a_visitor_can_buy_through_the_pages() {
    let Some(postgres) = Postgres::start("pages") else {
        return;
    };
    let seed = postgres.shop(&["seed"]);
    assert!(seed.status.success(), "{}", text(&seed));
    let mut serving = shop(&postgres.url());
    serving
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped());
    let mut serving = serving.spawn().expect("the shop can be started");
    let mut line = String::new();
    let out = serving.stdout.take().expect("it is piped");
    BufReader::new(out)
        .read_line(&mut line)
        .expect("the shop says where it is");
    let address = line
        .rsplit("http://")
        .next()
        .expect("an address")
        .trim()
        .trim_end_matches('/')
        .to_owned();

    for path in [
        "/",
        "/category/3",
        "/search?q=oak",
        "/product/5",
        "/views",
        "/operator",
        "/signin",
    ] {
        let page = get(&address, path);
        assert!(page.starts_with("HTTP/1.1 200"), "{path}: {page}");
    }
    assert!(get(&address, "/product/999999").starts_with("HTTP/1.1 404"));
    assert!(get(&address, "/search?q=%27%3B%20drop%20%25_%5C").starts_with("HTTP/1.1 200"));
    assert!(post(&address, "/cart/add", "product_id=5&qty=2").contains("location: /cart"));
    assert!(get(&address, "/cart").contains("2 pieces"));

    let checkout = get(&address, "/checkout");
    let mark = "name=\"address_id\" value=\"";
    let at = checkout.find(mark).expect("the user has an address") + mark.len();
    let id: String = checkout[at..].chars().take_while(char::is_ascii_digit).collect();
    let placed = post(&address, "/checkout", &format!("address_id={id}&method=Card"));
    let order = placed
        .split("location: ")
        .nth(1)
        .expect("a redirect")
        .lines()
        .next()
        .expect("a line")
        .trim();
    assert!(order.starts_with("/orders/"), "{placed}");
    assert!(get(&address, order).contains("Thank you!"));
    assert!(get(&address, "/cart").contains("Your cart is empty"));

    // More than there is: nothing is ordered, and the cart stays as it was.
    postgres.psql("UPDATE stock SET initial_qty = initial_qty - qty + 1, qty = 1 WHERE product_id = 6");
    assert!(post(&address, "/cart/add", "product_id=6&qty=2").contains("location: /cart"));
    let refused = post(&address, "/checkout", &format!("address_id={id}&method=Card"));
    assert!(refused.starts_with("HTTP/1.1 409"), "{refused}");
    assert!(refused.contains("There is not enough of"), "{refused}");
    assert!(get(&address, "/cart").contains("2 pieces"));

    let _ = Command::new("kill")
        .args(["-TERM", &serving.id().to_string()])
        .status();
    assert!(serving.wait().expect("it was started").success());
    let verified = postgres.shop(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified));
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let output = shop(&format!("postgres://shop:secret@127.0.0.1:{port}/shop"))
        .arg("verify")
        .output();
    let output = output.expect("the shop can be started");
    assert!(!output.status.success());
    assert!(
        text(&output).contains(&format!("no database at 127.0.0.1:{port}/shop")),
        "{}",
        text(&output)
    );
    assert!(!text(&output).contains("secret"), "{}", text(&output));
}

fn get(address: &str, path: &str) -> String {
    request(address, &format!("GET {path} HTTP/1.1\r\n"), "")
}

fn post(address: &str, path: &str, form: &str) -> String {
    let length = form.len();
    let kind = "application/x-www-form-urlencoded";
    let head = format!("POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
    request(address, &head, form)
}

/// One request as the seventh user, on a connection of its own.
fn request(address: &str, head: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("the shop listens");
    let request = format!("{head}Host: shop\r\nCookie: shop_user=7\r\nConnection: close\r\n\r\n{body}");
    socket.write_all(request.as_bytes()).expect("the shop reads");
    let mut answer = String::new();
    socket
        .read_to_string(&mut answer)
        .expect("the shop answers in UTF-8");
    answer
}

//! Who is compared: the server itself, HAProxy, PgBouncer and Margay, each behind a URL for pgbench.
//! One that isn't installed is left out, and that is said.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A connection URL, taken apart as far as peers need it.
pub struct Url {
    pub user: String,
    pub password: String,
    pub port: u16,
    pub database: String,
}

impl Url {
    /// `postgres://user:password@127.0.0.1:port/database`, as the sandbox gives it.
    fn of(variable: &str) -> Result<Url> {
        let url = std::env::var(variable).with_context(|| format!("{variable} is not set"))?;
        let config: tokio_postgres::Config = url.parse()?;
        Ok(Url {
            user: config.get_user().context("no user")?.into(),
            password: String::from_utf8(config.get_password().context("no password")?.to_vec())?,
            port: *config.get_ports().first().context("no port")?,
            database: config.get_dbname().context("no database")?.into(),
        })
    }

    pub fn text(&self) -> String {
        let Url {
            user,
            password,
            port,
            database,
        } = self;
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
    }
}

pub struct Contestant {
    pub name: &'static str,
    pub url: Url,
    /// None: the server itself.
    pub pid: Option<u32>,
    /// It keeps prepared statements apart between clients.
    prepares: bool,
    child: Option<Child>,
    pub version: String,
}

impl Contestant {
    pub fn takes(&self, mode: &str) -> bool {
        self.prepares || mode != "prepared"
    }

    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        self.end();
    }
}

/// All that are there, in the order of the table.
pub fn start(folder: &Path) -> Result<Vec<Contestant>> {
    // PgBouncer gives up being root before it reads its file again.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let server = Url::of("MARGAY_NODE_N_ONE_URL")?;
    let mut all = Vec::new();
    if let Some(haproxy) = haproxy(&server, folder)? {
        all.push(haproxy);
    }
    if let Some(pgbouncer) = pgbouncer(&server, folder)? {
        all.push(pgbouncer);
    }
    all.insert(
        0,
        Contestant {
            name: "direct",
            url: server,
            pid: None,
            prepares: true,
            child: None,
            version: "PostgreSQL directly".into(),
        },
    );
    let pid = std::env::var("MARGAY_PROXY_PID")
        .context("MARGAY_PROXY_PID")?
        .parse()?;
    for (name, database, version) in [
        ("margay", "one", "Margay, one node"),
        (
            "margay/4",
            "four",
            "Margay, accounts cut by hash of their key over four nodes",
        ),
    ] {
        let url = Url {
            database: database.into(),
            ..Url::of("MARGAY_POSTGRES_URL")?
        };
        all.push(Contestant {
            name,
            url,
            pid: Some(pid),
            prepares: true,
            child: None,
            version: version.into(),
        });
    }
    Ok(all)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The first line of what it says of its version; None: it isn't installed.
fn version(program: &str, argument: &str) -> Option<String> {
    let out = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout);
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Where distributions put what isn't in a user's PATH.
fn program(name: &str) -> Option<String> {
    let candidates = [
        name.to_owned(),
        format!("/usr/sbin/{name}"),
        format!("/usr/local/sbin/{name}"),
    ];
    let found = candidates
        .into_iter()
        .find(|path| Command::new(path).arg("--version").output().is_ok());
    if found.is_none() {
        println!("bench: SKIP {name}: it is not installed (scripts/setup.sh bench installs it)");
    }
    found
}

/// Waits until the port takes connections.
fn wait_for(name: &str, port: u16, child: &mut Child) -> Result<()> {
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended: {status}");
        }
        if begun.elapsed() > Duration::from_secs(10) {
            bail!("{name} takes no connections");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn haproxy(server: &Url, folder: &Path) -> Result<Option<Contestant>> {
    let Some(program) = program("haproxy") else {
        return Ok(None);
    };
    let version = version(&program, "-v").unwrap_or_default();
    let port = free_port()?;
    let config = folder.join("haproxy.cfg");
    fs::write(
        &config,
        format!(
            "global\n  maxconn 2000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             listen bench\n  bind 127.0.0.1:{port}\n  server one 127.0.0.1:{}\n",
            server.port
        ),
    )?;
    let mut child = Command::new(&program)
        .arg("-db")
        .arg("-f")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait_for("haproxy", port, &mut child)?;
    Ok(Some(Contestant {
        name: "haproxy",
        url: Url {
            port,
            user: server.user.clone(),
            password: server.password.clone(),
            database: server.database.clone(),
        },
        pid: Some(child.id()),
        prepares: true,
        child: Some(child),
        version,
    }))
}

fn pgbouncer(server: &Url, folder: &Path) -> Result<Option<Contestant>> {
    let Some(program) = program("pgbouncer") else {
        return Ok(None);
    };
    let version = version(&program, "--version").unwrap_or_default();
    let prepares = knows_prepared_statements(&version);
    let port = free_port()?;
    let config = folder.join("pgbouncer.ini");
    let Url {
        user,
        password,
        port: server_port,
        database,
    } = server;
    fs::write(
        &config,
        format!(
            "[databases]\nbench = host=127.0.0.1 port={server_port} dbname={database} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 50\nmax_client_conn = 12000\n\
             ignore_startup_parameters = extra_float_digits\n{}",
            if prepares {
                "max_prepared_statements = 200\n"
            } else {
                ""
            }
        ),
    )?;
    let mut command = Command::new(&program);
    command.arg("-q").arg(&config);
    if rustix::process::geteuid().is_root() {
        // It refuses to be root.
        command.args(["-u", "nobody"]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait_for("pgbouncer", port, &mut child)?;
    Ok(Some(Contestant {
        name: "pgbouncer",
        url: Url {
            port,
            user: "bench".into(),
            password: "bench".into(),
            database: "bench".into(),
        },
        pid: Some(child.id()),
        prepares,
        child: Some(child),
        version,
    }))
}

/// Since 1.21 it keeps them in transaction pooling.
fn knows_prepared_statements(version: &str) -> bool {
    let number = version
        .split_whitespace()
        .find(|w| w.starts_with(|c: char| c.is_ascii_digit()));
    let mut parts = number
        .unwrap_or_default()
        .split('.')
        .map(|p| p.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(1), Some(21))
}

//! One real PostgreSQL server: configure its data folder, start it, wait until it serves (a
//! replica: until it streams), start it again after somebody killed it. It never stops one
//! (`process` ends them all at once).

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::process::Child;
use tokio_postgres::NoTls;

use super::ports::Held;
use super::process;
use super::template::{self, SUPERUSER, Workshop};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// What a killed server's children take to notice.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(25);
/// How much of a log an error shows.
const LOG_TAIL_LINES: usize = 15;

/// What a server is for. Names its folder, its log and its environment variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Primary { node: String },
    Replica { node: String, index: usize },
    Oracle,
}

impl Role {
    /// `MARGAY_NODE_X`, `MARGAY_NODE_X_REPLICA_0`, `MARGAY_ORACLE`.
    pub fn variable(&self) -> String {
        match self {
            Role::Primary { node } => format!("MARGAY_NODE_{}", shout(node)),
            Role::Replica { node, index } => format!("MARGAY_NODE_{}_REPLICA_{index}", shout(node)),
            Role::Oracle => "MARGAY_ORACLE".to_string(),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Role::Primary { node } => format!("{node} primary"),
            Role::Replica { node, index } => format!("{node} replica {index}"),
            Role::Oracle => "oracle".to_string(),
        }
    }
}

/// The name of a node as a part of an environment variable's.
pub fn shout(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// A server that was started, and how to reach it.
#[derive(Debug)]
pub struct Server {
    pub role: Role,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
    pub weight: u32,
    pub superuser_password: String,
    /// A replica's primary.
    pub follows: Option<u16>,
    data: PathBuf,
    log: PathBuf,
    pub pid: u32,
}

/// What a server is made from.
pub struct Blueprint {
    pub role: Role,
    pub held: Held,
    pub user: String,
    pub password: String,
    pub database: String,
    pub weight: u32,
    pub superuser_password: String,
    pub follows: Option<u16>,
    /// The stopped data folder to copy.
    pub template: PathBuf,
}

impl Server {
    /// Copies and configures the data folder. Blocks.
    pub fn furnish(workshop: &Workshop, from: Blueprint) -> Result<(Server, Held)> {
        let name = from
            .role
            .variable()
            .trim_start_matches("MARGAY_")
            .to_ascii_lowercase();
        let data = workshop.folder.join(&name);
        template::copy(workshop.account, &from.template, &data)?;
        let server = Server {
            role: from.role,
            port: from.held.port(),
            user: from.user,
            password: from.password,
            database: from.database,
            weight: from.weight,
            superuser_password: from.superuser_password,
            follows: from.follows,
            log: workshop.folder.join(format!("{name}.log")),
            data,
            pid: 0,
        };
        server.configure(workshop)?;
        Ok((server, from.held))
    }

    fn configure(&self, workshop: &Workshop) -> Result<()> {
        let mut settings = format!(
            "port = {}\ncluster_name = {}\nunix_socket_directories = {}\n",
            self.port,
            template::literal(&self.role.describe())?,
            quoted(&socket_folder(&workshop.folder)),
        );
        if let Some(primary) = self.follows {
            let connection = format!(
                "host=127.0.0.1 port={primary} user={SUPERUSER} password={} application_name={}",
                self.superuser_password,
                shout(&self.role.describe()).to_ascii_lowercase(),
            );
            settings += &format!("primary_conninfo = {}\n", template::literal(&connection)?);
            self.write(workshop, "standby.signal", "")?;
        }
        self.write(workshop, "sandbox.conf", &settings)
    }

    fn write(&self, workshop: &Workshop, name: &str, text: &str) -> Result<()> {
        let path = self.data.join(name);
        std::fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        workshop.account.own(&path)
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(&mut self, workshop: &Workshop, held: Option<Held>) -> Result<Child> {
        let begun = Instant::now();
        while process::is_served(&self.data) {
            if begun.elapsed() > GONE_WITHIN {
                bail!("{} still runs", self.role.describe());
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = workshop.command("postgres");
        command
            .arg("-D")
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // Out of reach of Ctrl-C: CMD may need the servers to finish in good order.
        command.process_group(0);
        held.map(Held::release);
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .context("can't start postgres")?;
        self.pid = child.id().unwrap_or_default();
        self.ready(&mut child)
            .await
            .with_context(|| format!("{} did not start", self.role.describe()))?;
        Ok(child)
    }

    async fn ready(&self, child: &mut Child) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("{status}; the end of its log:\n{}", tail(&self.log));
            }
            let why = match self.serves().await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            if begun.elapsed() > READY_WITHIN {
                return Err(why.context(format!(
                    "not ready in time; the end of its log:\n{}",
                    tail(&self.log)
                )));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn serves(&self) -> Result<()> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(SUPERUSER)
            .password(&self.superuser_password);
        config.dbname("postgres").connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        let question = match self.follows {
            None => "SELECT NOT pg_is_in_recovery()",
            Some(_) => "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')",
        };
        let ready: bool = client.query_one(question, &[]).await?.try_get(0)?;
        drop(client);
        // The connection's last word reaches the server before the next question is asked.
        let _ = connection.await;
        if ready {
            Ok(())
        } else {
            Err(anyhow!("it does not serve its role yet"))
        }
    }

    /// A URL for psql, psycopg, tokio-postgres and their like.
    pub fn url(&self) -> String {
        url(&self.user, &self.password, self.port, &self.database)
    }
}

/// `postgres://user:password@127.0.0.1:port/database` with everything quoted that a URL needs quoted.
pub fn url(user: &str, password: &str, port: u16, database: &str) -> String {
    format!(
        "postgres://{}:{}@127.0.0.1:{port}/{}",
        percent_encoded(user),
        percent_encoded(password),
        percent_encoded(database)
    )
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// Sockets stay in the sandbox; none where the path is longer than a socket address can hold (107 bytes,
/// of which the file's own name takes some).
fn socket_folder(folder: &Path) -> String {
    let path = folder.display().to_string();
    if path.len() <= 85 { path } else { String::new() }
}

/// A setting's value; it may be empty, unlike names and passwords.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_quotes_what_would_end_a_part_of_it() {
        let url = url("a@b", "p:/?#%é", 5432, "d b");
        assert_eq!(
            url,
            "postgres://a%40b:p%3A%2F%3F%23%25%C3%A9@127.0.0.1:5432/d%20b"
        );
        let config: tokio_postgres::Config = url.parse().expect("a URL");
        assert_eq!(config.get_user(), Some("a@b"));
        assert_eq!(config.get_password(), Some("p:/?#%é".as_bytes()));
        assert_eq!(config.get_dbname(), Some("d b"));
    }

    #[test]
    fn variables_are_named_after_node_and_replica() {
        let node = "n-user".to_string();
        assert_eq!(
            Role::Primary { node: node.clone() }.variable(),
            "MARGAY_NODE_N_USER"
        );
        assert_eq!(
            Role::Replica { node, index: 1 }.variable(),
            "MARGAY_NODE_N_USER_REPLICA_1"
        );
    }
}

//! The proxy of a sandbox: this very program with `serve`, told by a file of overrides where the
//! sandbox's servers are and where to listen.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::topology::{self, Listen, Overrides};

use super::ports::{self, Held};
use super::process::MARK;
use super::server::{Role, Server, tail};

const READY_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(25);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More than a status line has.
const STATUS_LINE_BYTES: u64 = 64;

/// A proxy that can be started, and started again after somebody killed it.
#[derive(Debug)]
pub struct Proxy {
    rules: PathBuf,
    overrides: PathBuf,
    pub log: PathBuf,
    mark: PathBuf,
    pub port: u16,
    pub http_port: u16,
    pub pid: u32,
    held: Vec<Held>,
}

impl Proxy {
    /// Writes the overrides; starts nothing yet.
    pub fn prepare(rules: &Path, folder: &Path, servers: &[Server], default_password: &str) -> Result<Proxy> {
        let (postgres, http) = (ports::hold()?, ports::hold()?);
        let loopback = |held: &Held| SocketAddr::from((Ipv4Addr::LOCALHOST, held.port()));
        let said = Overrides {
            nodes: addresses(servers),
            listen: Some(Listen {
                postgres: Some(loopback(&postgres)),
                mysql: None,
                http: Some(loopback(&http)),
            }),
            default_password: Some(default_password.to_string()),
        };
        let overrides = folder.join("overrides.json");
        let text = serde_json::to_vec_pretty(&said)?;
        // It holds passwords.
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&overrides)?
            .write_all(&text)?;
        Ok(Proxy {
            rules: rules.to_path_buf(),
            overrides,
            log: folder.join("proxy.log"),
            mark: folder.to_path_buf(),
            port: postgres.port(),
            http_port: http.port(),
            pid: 0,
            held: vec![postgres, http],
        })
    }

    /// Starts the proxy and waits until it accepts clients.
    pub async fn start(&mut self) -> Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        // This very program, even if a build has replaced its file meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("margay")
            .arg("serve")
            .arg(&self.rules)
            .arg("--sandbox-overrides")
            .arg(&self.overrides);
        command
            .env(MARK, &self.mark)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command.process_group(0);
        for held in self.held.drain(..) {
            held.release();
        }
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .context("can't start the proxy")?;
        self.pid = child.id().unwrap_or_default();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                bail!(
                    "the proxy ended ({status}); the end of its log:\n{}",
                    tail(&self.log)
                );
            }
            let why = match self.serves().await {
                Ok(()) => return Ok(child),
                Err(why) => why,
            };
            if begun.elapsed() > READY_WITHIN {
                let log = tail(&self.log);
                return Err(why.context(format!("the proxy is not ready; the end of its log:\n{log}")));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn serves(&self) -> Result<()> {
        TcpStream::connect(("127.0.0.1", self.port))
            .await
            .context("it does not accept clients")?;
        tokio::time::timeout(ANSWER_WITHIN, self.is_healthy())
            .await
            .context("/healthz does not answer")?
    }

    async fn is_healthy(&self) -> Result<()> {
        let mut http = TcpStream::connect(("127.0.0.1", self.http_port))
            .await
            .context("no HTTP")?;
        http.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        http.take(STATUS_LINE_BYTES).read_to_string(&mut answer).await?;
        match answer.split_whitespace().nth(1) {
            Some("200") => Ok(()),
            _ => bail!("/healthz says {:?}", answer.lines().next().unwrap_or_default()),
        }
    }
}

/// Node → its servers, the primary first.
fn addresses(servers: &[Server]) -> HashMap<String, Vec<topology::Server>> {
    let mut nodes: HashMap<String, Vec<topology::Server>> = HashMap::new();
    for server in servers {
        let node = match &server.role {
            Role::Primary { node } | Role::Replica { node, .. } => node,
            Role::Oracle => continue,
        };
        nodes.entry(node.clone()).or_default().push(topology::Server {
            host: "127.0.0.1".into(),
            port: server.port,
            user: server.user.as_str().into(),
            password: Some(server.password.as_str().into()),
            database: server.database.as_str().into(),
            weight: server.weight,
            near: true,
            tls: None,
            protocol_minor: 0,
        });
    }
    nodes
}

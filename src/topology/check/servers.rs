//! Nodes and their servers: URLs, passwords, engines.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::NodeId;

use super::super::file::{self, Named, ServerSecret};
use super::super::snapshot::{Engine, Node, Server};
use super::super::tls::ServerTls;
use super::{Check, first_of, join};

/// Host, port and database of each server → where it stands in the rules.
type Addresses = HashMap<(Box<str>, u16, Box<str>), Vec<String>>;

impl Check<'_> {
    /// All nodes, in the order of `node_names`: one that is broken or missing has no servers.
    pub(super) fn nodes(&mut self, nodes: &Named<file::Node>) -> Vec<Node> {
        for name in self.overrides.nodes.keys() {
            if self.node_id(name).is_none() {
                let message = format!("the overrides name a node `{name}` that the rules don't have");
                self.wrong(&["nodes"], message, "override only nodes of the rules");
            }
        }
        let mut addresses = Addresses::new();
        let names = self.node_names.clone();
        let mut all = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let mut node = Node {
                id: NodeId(i as u16),
                name: name.as_str().into(),
                engine: Engine::Postgres,
                servers: Vec::new(),
                shell_of: None,
            };
            if let Some((_, written)) = nodes.iter().find(|(n, _)| n == name) {
                self.node(&mut node, written, &mut addresses);
            }
            if !valid_name(name) {
                self.wrong_key(
                    &["nodes", name],
                    format!("`{name}` can't be the name of a node"),
                    "write letters, digits, `_` and `-`",
                );
            }
            all.push(node);
        }
        all
    }

    fn node(&mut self, node: &mut Node, written: &file::Node, addresses: &mut Addresses) {
        let overridden = self.overrides.nodes.get(&*node.name).cloned();
        let mut engine = None;
        let indexes: Vec<String> = (0..written.replicas.len()).map(|i| i.to_string()).collect();
        let name = node.name.clone();
        let primary = (vec!["nodes", &name, "primary"], &written.primary);
        let replicas = written
            .replicas
            .iter()
            .zip(&indexes)
            .map(|(r, i)| (vec!["nodes", &name, "replicas", i.as_str()], r));
        for (path, server) in std::iter::once(primary).chain(replicas) {
            let tls = written.tls.as_ref();
            let Some((its_engine, server)) = self.server(server, &path, overridden.is_some(), tls) else {
                continue;
            };
            if *engine.get_or_insert(its_engine) != its_engine {
                let message = format!("node `{name}` has servers of both engines");
                self.wrong(
                    &path,
                    message,
                    "write `postgres://` or `mysql://` for all servers of a node",
                );
            }
            let address = (server.host.clone(), server.port, server.database.clone());
            let here: Vec<String> = path.iter().map(|s| s.to_string()).collect();
            let first = first_of(addresses, address, here).cloned();
            if let Some(first) = first {
                let first: Vec<&str> = first.iter().map(String::as_str).collect();
                let message = format!(
                    "the server {}:{}/{} is here twice: first at {}",
                    server.host,
                    server.port,
                    server.database,
                    self.place_text(self.value_pos(&first))
                );
                self.wrong(
                    &path,
                    message,
                    "give each server of each node a database of its own",
                );
            }
            node.servers.push(Arc::new(server));
        }
        if let Some(engine) = engine {
            node.engine = engine;
        }
        if let Some(servers) = overridden {
            if servers.is_empty() {
                self.wrong_key(
                    &["nodes", &name],
                    format!("the overrides give node `{name}` no server"),
                    "give it a primary",
                );
            }
            node.servers = servers.into_iter().map(Arc::new).collect();
        }
    }

    fn server(
        &mut self,
        written: &file::Server,
        path: &[&str],
        overridden: bool,
        node_tls: Option<&file::ServerTls>,
    ) -> Option<(Engine, Server)> {
        let (url, detail) = match written {
            file::Server::Url(url) => (url, None),
            file::Server::Detailed(detail) => (&detail.url, Some(detail)),
        };
        let url_path = if detail.is_some() {
            join(path, &["url"])
        } else {
            path.to_vec()
        };
        let parsed = match parse_url(url) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.wrong(
                    &url_path,
                    why,
                    "write `postgres://user@host:5432/database` or `mysql://user@host:3306/database`",
                );
                None
            }
        };
        let parsed = parsed.map(|(engine, mut server, in_url)| {
            server.tls = self.tls_of(&server, in_url, detail, node_tls, path, &url_path);
            (engine, server)
        });
        let Some(detail) = detail else { return parsed };
        let password = match &detail.password {
            None => None,
            // A sandbox stands in for secrets that this machine doesn't hold, also before it knows addresses.
            Some(secret) if overridden || self.overrides.default_password.is_some() => match secret {
                ServerSecret::Plain(text) => Some(text.clone()),
                ServerSecret::Env(_) | ServerSecret::File(_) => None,
            },
            Some(secret) => {
                let path = join(path, &["password"]);
                match secret {
                    ServerSecret::Plain(text) => Some(text.clone()),
                    ServerSecret::Env(name) => self.secret_env(name, &path),
                    ServerSecret::File(name) => self.secret_file(name, &path),
                }
            }
        };
        let (engine, mut server) = parsed?;
        if server.password.is_some() && detail.password.is_some() {
            let message = "the server has two passwords: in its URL and in `password`";
            self.wrong(&join(path, &["password"]), message, "take it out of the URL");
        }
        server.password = password.map(Into::into).or(server.password);
        server.weight = detail.weight.unwrap_or(1);
        server.near = self.zone.is_none() || detail.zone == self.zone;
        if detail.zone.is_some() && self.original.get("zone").is_none() {
            self.warn(
                &join(path, &["zone"]),
                "`zone` has no effect as long as the proxy has none itself",
                "write `zone: NAME` or `zone: {env: NAME}` at the top",
            );
        }
        Some((engine, server))
    }

    /// TLS as the server's map says it, else as its URL does, else as the node does.
    fn tls_of(
        &mut self,
        server: &Server,
        in_url: Option<file::ServerTls>,
        detail: Option<&file::DetailedServer>,
        node_tls: Option<&file::ServerTls>,
        path: &[&str],
        url_path: &[&str],
    ) -> Option<Arc<ServerTls>> {
        // A sandbox's servers are others, in clear.
        if self.overrides.default_password.is_some() || server.host.starts_with('/') {
            return None;
        }
        let own = detail.and_then(|d| d.tls.as_ref());
        if own.is_some() && in_url.is_some() {
            let message = "the server's TLS is said twice: in its URL and in `tls`";
            self.wrong(&join(path, &["tls"]), message, "take it out of the URL");
        }
        match (own, in_url, node_tls) {
            (Some(own), _, _) => self.server_tls(own, &join(path, &["tls"])),
            (None, Some(in_url), _) => self.server_tls(&in_url, url_path),
            (None, None, Some(all)) => {
                let node = join(&path[..2], &["tls"]);
                self.server_tls(all, &node)
            }
            (None, None, None) => self.server_tls(&file::ServerTls::default(), path),
        }
    }

    /// A secret in an environment variable.
    pub(super) fn secret_env(&mut self, name: &str, path: &[&str]) -> Option<String> {
        let value = (self.env)(name);
        if value.is_none() {
            let message = format!("the environment variable {name} is not set");
            self.wrong(
                &join(path, &["env"]),
                message,
                format!("set it, as `export {name}=…`"),
            );
        }
        value
    }

    /// A secret in a file, relative to the rules file that names it.
    pub(super) fn secret_file(&mut self, name: &str, path: &[&str]) -> Option<String> {
        // A secret is a line; a device or a huge file named by mistake must not be swallowed.
        const LONGEST_SECRET_BYTES: u64 = 64 << 10;
        let path = join(path, &["file"]);
        let bytes = self.small_file(name, &path, LONGEST_SECRET_BYTES)?;
        match String::from_utf8(bytes) {
            Ok(text) => {
                let secret = text.strip_suffix('\n').unwrap_or(&text);
                Some(secret.strip_suffix('\r').unwrap_or(secret).to_owned())
            }
            Err(_) => {
                self.wrong(&path, "the file is not UTF-8", "name a text file");
                None
            }
        }
    }

    /// A file's content, relative to the rules file that names it at `path`.
    pub(super) fn small_file(&mut self, name: &str, path: &[&str], longest_bytes: u64) -> Option<Vec<u8>> {
        let rules = self.files.get(self.value_pos(path).file);
        let folder = rules
            .and_then(|f| f.parent())
            .map(|p| p.to_path_buf())
            .unwrap_or_default();
        let full = folder.join(name);
        let read = std::fs::metadata(&full).and_then(|meta| {
            if !meta.is_file() || meta.len() > longest_bytes {
                return Err(std::io::Error::other("not a small file"));
            }
            std::fs::read(&full)
        });
        match read {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let message = format!("the file {} can't be read: {error}", full.display());
                self.wrong(path, message, "name a readable file, relative to the rules file");
                None
            }
        }
    }
}

/// Names that work in environment variables (`MARGAY_NODE_<NAME>_URL`) and in output.
fn valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// A server from its URL, and TLS as far as the URL speaks of it. The error says what is wrong, without
/// the password.
pub(super) fn parse_url(url: &str) -> Result<(Engine, Server, Option<file::ServerTls>), String> {
    let (scheme, rest) = url.split_once("://").ok_or("this is no URL of a server")?;
    let engine = match scheme {
        "postgres" | "postgresql" => Engine::Postgres,
        "mysql" | "mariadb" => Engine::Mysql,
        other => return Err(format!("`{other}://` is not known")),
    };
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(r, q)| (r, Some(q)));
    let (authority, database) = rest.split_once('/').ok_or("the URL names no database")?;
    let database = decode(database)?;
    if database.is_empty() {
        return Err("the URL names no database".into());
    }
    let (login, address) = authority.rsplit_once('@').ok_or("the URL names no user")?;
    let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
    let user = decode(user)?;
    if user.is_empty() {
        return Err("the URL names no user".into());
    }
    let password = password.map(decode).transpose()?;
    let (host, port) = host_and_port(address)?;
    let mut host = decode(host)?;
    let mut tls = None;
    let mut protocol_minor = 0;
    for pair in query
        .into_iter()
        .flat_map(|q| q.split('&'))
        .filter(|p| !p.is_empty())
    {
        match pair.split_once('=') {
            Some(("host", directory)) if host.is_empty() => host = decode(directory)?,
            Some((key, value))
                if engine == Engine::Postgres && (key.starts_with("ssl") || key == "channel_binding") =>
            {
                tls_parameter(tls.get_or_insert_default(), key, decode(value)?)?;
            }
            Some(("max_protocol_version", version)) if engine == Engine::Postgres => {
                protocol_minor = match version {
                    "3.0" => 0,
                    "3.2" | "latest" => 2,
                    other => return Err(format!("`{other}` is no version of the protocol (3.0, 3.2)")),
                };
            }
            _ => {
                return Err(format!(
                    "the URL's parameter `{}` is not known",
                    pair.split('=').next().unwrap_or("")
                ));
            }
        }
    }
    if host.is_empty() {
        return Err("the URL names no host".into());
    }
    let port = match (port, engine) {
        (Some(port), _) => port
            .parse()
            .ok()
            .filter(|p| *p > 0)
            .ok_or(format!("`{port}` is no port"))?,
        (None, Engine::Postgres) => 5432,
        (None, Engine::Mysql) => 3306,
    };
    let password = password.map(Into::into);
    let (host, user, database) = (host.into(), user.into(), database.into());
    Ok((
        engine,
        Server {
            host,
            port,
            user,
            password,
            database,
            weight: 1,
            near: true,
            tls: None,
            protocol_minor,
        },
        tls,
    ))
}

/// A parameter of libpq's that speaks of TLS.
fn tls_parameter(tls: &mut file::ServerTls, key: &str, value: String) -> Result<(), String> {
    let unknown = |value: &str| format!("`{value}` is no value of the URL's parameter `{key}`");
    match key {
        "sslmode" => {
            tls.mode = Some(match value.as_str() {
                "disable" => file::TlsMode::Disable,
                "prefer" => file::TlsMode::Prefer,
                "require" => file::TlsMode::Require,
                "verify-ca" => file::TlsMode::VerifyCa,
                "verify-full" => file::TlsMode::VerifyFull,
                other => return Err(unknown(other)),
            });
        }
        "channel_binding" => {
            tls.channel_binding = Some(match value.as_str() {
                "disable" => file::ChannelBinding::Disable,
                "prefer" => file::ChannelBinding::Prefer,
                "require" => file::ChannelBinding::Require,
                other => return Err(unknown(other)),
            });
        }
        "sslrootcert" => tls.ca = Some(value),
        "sslcert" => tls.certificate = Some(value),
        "sslkey" => tls.key = Some(value),
        other => return Err(format!("the URL's parameter `{other}` is not known")),
    }
    Ok(())
}

fn host_and_port(address: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("`[` without `]` in the URL")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("`{host}` is no IPv6 address"));
        }
        return match (after, after.strip_prefix(':')) {
            ("", _) => Ok((host, None)),
            (_, Some(port)) => Ok((host, Some(port))),
            (_, None) => Err(format!("`{after}` after the address in the URL")),
        };
    }
    match address.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("an IPv6 address in a URL stands in `[` and `]`".into()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((address, None)),
    }
}

/// `%2F` and its like.
fn decode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| (b as char).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err("`%` in the URL without two hexadecimal digits (write `%25` for itself)".into()),
        }
    }
    let text = String::from_utf8(out).map_err(|_| "the URL is not UTF-8")?;
    if text.contains('\0') {
        Err("a zero byte in the URL".into())
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_defaults_and_escapes() {
        let (engine, s, _) = parse_url("postgres://app:p%40ss:x@10.0.0.1/shop").unwrap();
        assert_eq!(engine, Engine::Postgres);
        assert_eq!(
            (&*s.user, s.password.as_deref(), &*s.host, s.port, &*s.database),
            ("app", Some("p@ss:x"), "10.0.0.1", 5432, "shop")
        );
        let (engine, s, _) = parse_url("mysql://root@[::1]:3307/shop").unwrap();
        assert_eq!((engine, &*s.host, s.port), (Engine::Mysql, "::1", 3307));
        for socket in [
            "postgres://app@%2Frun%2Fpg/shop",
            "postgres://app@/shop?host=/run/pg",
        ] {
            assert_eq!(&*parse_url(socket).unwrap().1.host, "/run/pg");
        }
    }

    #[test]
    fn bad_urls_say_why() {
        for (url, why) in [
            ("10.0.0.1", "no URL"),
            ("http://a@b/c", "`http://` is not known"),
            ("postgres://b/c", "no user"),
            ("postgres://a@b", "no database"),
            ("postgres://a@b/", "no database"),
            ("postgres://a@/c", "no host"),
            ("postgres://a@b:0/c", "no port"),
            ("postgres://a@b:x/c", "no port"),
            ("postgres://a@::1/c", "IPv6"),
            ("postgres://a@b/c?sslmode=maybe", "`maybe` is no value"),
            ("postgres://a@b/c?sslcrl=x", "`sslcrl`"),
            ("postgres://a@b/c?max_protocol_version=3.1", "`3.1` is no version"),
            ("mysql://a@b/c?sslmode=require", "`sslmode`"),
            ("postgres://a:%zz@b/c", "hexadecimal"),
        ] {
            let error = parse_url(url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}

//! The environment of CMD, and the same as lines for a person to paste. The names are a contract (DESIGN.md §2).

use super::cluster::{Cluster, Passwords};
use super::outline::Outline;
use super::proxy::Proxy;
use super::server::url;
use super::template::SUPERUSER;

/// Variables in a stable order.
pub type Environment = Vec<(String, String)>;

pub fn environment(
    outline: &Outline,
    cluster: &Cluster,
    proxy: Option<&Proxy>,
    passwords: &Passwords,
) -> Environment {
    let mut all = Environment::new();
    if let Some(proxy) = proxy {
        all.push(("MARGAY_POSTGRES_URL".into(), proxy_url(outline, proxy, passwords)));
        all.push(("MARGAY_HTTP_URL".into(), http_url(proxy)));
        all.push(("MARGAY_PROXY_PID".into(), proxy.pid.to_string()));
    }
    for server in &cluster.servers {
        let name = server.role.variable();
        all.push((format!("{name}_URL"), server.url()));
        all.push((format!("{name}_PID"), server.pid.to_string()));
    }
    all.push((
        "MARGAY_SANDBOX".into(),
        cluster.workshop.folder.display().to_string(),
    ));
    all.push(("MARGAY_SANDBOX_SUPERUSER".into(), SUPERUSER.into()));
    all.push(("MARGAY_SANDBOX_PASSWORD".into(), passwords.servers.clone()));
    all.push((
        "MARGAY_PG_BIN".into(),
        cluster.workshop.binaries.folder().display().to_string(),
    ));
    all
}

/// One line per server, ready to paste into a shell.
pub fn connection_lines(
    outline: &Outline,
    cluster: &Cluster,
    proxy: Option<&Proxy>,
    passwords: &Passwords,
) -> String {
    let mut lines = Vec::new();
    if let Some(proxy) = proxy {
        lines.push((
            "proxy".to_string(),
            format!("psql '{}'", proxy_url(outline, proxy, passwords)),
        ));
        lines.push(("proxy, HTTP".to_string(), http_url(proxy)));
    }
    for server in &cluster.servers {
        lines.push((server.role.describe(), format!("psql '{}'", server.url())));
    }
    let width = lines
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or_default();
    let mut text: String = lines
        .iter()
        .map(|(name, line)| format!("  {name:width$}   {line}\n"))
        .collect();
    text += &format!(
        "\n  superuser of every server: {SUPERUSER}, password {}\n  data and logs: {}\n",
        passwords.servers,
        cluster.workshop.folder.display()
    );
    text
}

fn proxy_url(outline: &Outline, proxy: &Proxy, passwords: &Passwords) -> String {
    url(
        &outline.user.name,
        &passwords.client,
        proxy.port,
        &outline.database,
    )
}

fn http_url(proxy: &Proxy) -> String {
    format!("http://127.0.0.1:{}", proxy.http_port)
}

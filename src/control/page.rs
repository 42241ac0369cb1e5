//! The status page: nodes, pools, latest statements, problems. One page without any outside file,
//! which fetches its changing part every two seconds. Everything that isn't ours is escaped.

use std::fmt::Write;
use std::time::SystemTime;

use crate::backend::{Health, Role, ServerState};

use super::admin::Console;
use super::figures::{idle, role_name};
use super::grids::moment;

/// Statements shown.
const RECENT: usize = 30;

const STYLE: &str = "
:root { --ink: #1d2430; --soft: #66707f; --line: #e3e6eb; --card: #fff; --ground: #f5f6f8;
  --good: #1a7f4e; --bad: #c0392b; --warm: #b9770e; --accent: #a4561f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --soft: #98a1ae; --line: #2c333e;
  --card: #1b212a; --ground: #12161c; --good: #57c98d; --bad: #f1776a; --warm: #e5b35c; --accent: #e59a62; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, 'Segoe UI', sans-serif; }
header { display: flex; align-items: baseline; gap: .8rem; padding: 1.4rem 2rem .6rem; }
h1 { font-size: 1.35rem; margin: 0; letter-spacing: -.01em; }
h1 span { color: var(--accent); }
header nav { margin-left: auto; font-size: .85rem; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
main { padding: 0 2rem 2rem; max-width: 1280px; }
h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .07em; color: var(--soft); margin: 1.6rem 0 .5rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1.1rem; min-width: 8.5rem; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; font-weight: 600; }
.tile small, .soft { color: var(--soft); }
.nodes { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .8rem; }
.node { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem; }
.node h3 { margin: 0 0 .4rem; font-size: 1rem; }
.server { display: grid; grid-template-columns: 1rem 1fr auto; gap: .1rem .5rem; padding: .4rem 0; border-top: 1px solid var(--line); }
.dot { width: .6rem; height: .6rem; border-radius: 50%; margin-top: .42rem; background: var(--soft); }
.dot.up { background: var(--good); } .dot.down { background: var(--bad); }
.role { font-size: .75rem; border-radius: 99px; padding: .05rem .55rem; border: 1px solid var(--line); }
.role.primary { background: var(--accent); border-color: var(--accent); color: #fff; }
.server small { grid-column: 2 / 4; color: var(--soft); font-variant-numeric: tabular-nums; }
.error { color: var(--bad); }
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: .8rem; }
th, td { padding: .4rem .8rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.at { white-space: nowrap; font-variant-numeric: tabular-nums; color: var(--soft); }
code { font: .84rem/1.4 ui-monospace, 'SF Mono', Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.tier { font-size: .75rem; border: 1px solid var(--line); border-radius: 5px; padding: .05rem .4rem; }
.problems { border-left: 4px solid var(--warm); background: var(--card); border-radius: 6px; padding: .6rem 1rem; }
.problems p { margin: .25rem 0; } .problems b { color: var(--warm); }
";

/// Keeps what it has when the proxy doesn't answer, and says so.
const SCRIPT: &str = "
const main = document.querySelector('main'), state = document.querySelector('#state');
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch('/status', { cache: 'no-store' });
    if (!answer.ok) throw new Error(answer.status);
    main.innerHTML = await answer.text();
    state.textContent = '';
  } catch { state.textContent = 'the proxy does not answer'; }
}, 2000);
";

/// The page around `fragment`.
pub fn whole(fragment: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Margay</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript><style>{STYLE}</style></head><body>\
         <header><h1><span>Margay</span> status</h1><small class=\"soft\">{}</small>\
         <small id=\"state\" class=\"error\"></small><nav><a href=\"/metrics\">metrics</a></nav></header>\
         <main>{fragment}</main><script>{SCRIPT}</script></body></html>",
        env!("CARGO_PKG_VERSION")
    )
}

/// What changes.
pub fn fragment(console: &Console) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_fragment(&mut out, console);
    out
}

fn write_fragment(out: &mut String, console: &Console) -> std::fmt::Result {
    tiles(out, console)?;
    problems(out, console)?;
    nodes(out, console)?;
    recent(out, console)
}

fn tiles(out: &mut String, console: &Console) -> std::fmt::Result {
    let servers: Vec<_> = console
        .shared
        .fleet
        .nodes()
        .iter()
        .flat_map(|node| node.servers.clone())
        .collect();
    let up = servers.iter().filter(|s| s.health() == Health::Up).count();
    let sum = |value: &dyn Fn(&ServerState) -> u64| -> u64 { servers.iter().map(|s| value(s)).sum() };
    let clients = console
        .sessions
        .get()
        .map_or(0, |sessions| sessions.clients().len());
    write!(out, "<div class=tiles>")?;
    let mut tile =
        |value: String, what: &str| write!(out, "<div class=tile><b>{value}</b><small>{what}</small></div>");
    tile(clients.to_string(), "clients")?;
    tile(format!("{up}/{}", servers.len()), "servers up")?;
    tile(sum(&|s| s.queries()).to_string(), "statements on servers")?;
    tile(sum(&|s| u64::from(s.active())).to_string(), "connections in use")?;
    tile(sum(&|s| s.waiting() as u64).to_string(), "statements waiting")?;
    write!(out, "</div>")
}

fn problems(out: &mut String, console: &Console) -> std::fmt::Result {
    let problems = console.shared.problems.list();
    if problems.is_empty() {
        return Ok(());
    }
    write!(out, "<h2>Problems</h2><div class=problems>")?;
    for problem in problems {
        write!(
            out,
            "<p><b>{}</b> {} — {} <small class=soft>since {}</small></p>",
            problem.watch.name(),
            escape(&problem.subject),
            escape(&problem.text),
            moment(problem.since)
        )?;
    }
    write!(out, "</div>")
}

fn nodes(out: &mut String, console: &Console) -> std::fmt::Result {
    write!(out, "<h2>Nodes</h2><div class=nodes>")?;
    let nodes = console.shared.fleet.nodes();
    for node in nodes.iter().filter(|node| !node.servers.is_empty()) {
        write!(out, "<div class=node><h3>{}</h3>", escape(&node.name))?;
        node.servers
            .iter()
            .try_for_each(|server| write_server(out, &node.name, server))?;
        write!(out, "</div>")?;
    }
    write!(out, "</div>")
}

fn write_server(out: &mut String, node: &str, server: &ServerState) -> std::fmt::Result {
    let dot = match server.health() {
        Health::Up => "up",
        Health::Down => "down",
        Health::Unknown => "unknown",
    };
    let role = role_name(server.role());
    let label = server.label();
    let name = label
        .strip_prefix(node)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(label);
    write!(
        out,
        "<div class=server><span class=\"dot {dot}\" title=\"{dot}\"></span><span>{}</span>\
         <span class=\"role {role}\">{role}</span><small>",
        escape(name)
    )?;
    match (server.health(), server.role(), server.lag()) {
        (Health::Down, _, _) => {
            let error = server.last_error();
            write!(
                out,
                "<span class=error>{}</span>",
                escape(error.as_deref().unwrap_or("down"))
            )?;
        }
        (_, Role::Replica, Some(lag)) => write!(out, "lag {} ms · ", lag.as_millis())?,
        (_, Role::Replica, None) => write!(out, "lag not known · ")?,
        (_, Role::Primary | Role::Unknown, _) => {}
    }
    if server.health() != Health::Down {
        write!(
            out,
            "{} in use · {} idle · {} waiting · {} statements",
            server.active(),
            idle(server),
            server.waiting(),
            server.queries()
        )?;
    }
    write!(out, "</small></div>")
}

fn recent(out: &mut String, console: &Console) -> std::fmt::Result {
    let recent = console
        .sessions
        .get()
        .map(|sessions| sessions.recent())
        .unwrap_or_default();
    write!(out, "<h2>Latest statements</h2>")?;
    if recent.is_empty() {
        return write!(out, "<p class=soft>None yet.</p>");
    }
    write!(
        out,
        "<table><tr><th>when</th><th>answered by</th><th></th><th>statement</th><th>rows</th><th>ms</th></tr>"
    )?;
    let now = SystemTime::now();
    for query in recent.into_iter().take(RECENT) {
        let ago = now.duration_since(query.at).unwrap_or_default().as_secs();
        let error = query
            .error
            .map(|code| format!(" <span class=error>{code}</span>"))
            .unwrap_or_default();
        write!(
            out,
            "<tr><td class=at>{ago} s ago</td><td>{}</td><td><span class=tier>{}</span></td>\
             <td><code>{}</code>{error}</td><td class=n>{}</td><td class=n>{:.2}</td></tr>",
            escape(&query.servers.join(", ")),
            escape(query.tier),
            escape(&query.sql),
            query.rows,
            query.duration.as_secs_f64() * 1000.0
        )?;
    }
    write!(out, "</table>")
}

/// Text in HTML, inside and outside of attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_escaped() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }
}

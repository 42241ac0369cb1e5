//! The operator's page: which node holds how many rows of which table, how the servers are, and which
//! server answered the last queries. It refreshes itself. On a plain PostgreSQL it shows the tables.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::extract::State;
use axum::response::IntoResponse;
use maud::{Markup, PreEscaped, html};

use super::format::count;
use super::{AppState, Looking, Page, Shop};
use crate::db::console::{Absent, Console, Grid, Shard};
use crate::db::schema::TABLES;

/// Counting every shard costs a query each, so counts are kept for a while.
const COUNTS_LIVE: Duration = Duration::from_secs(10);
const RECENT_SHOWN: usize = 40;
/// How often the browser asks again, in milliseconds.
const REFRESH_MS: u32 = 2_000;

/// (table, shard, node).
type Place = (String, String, String);
/// Rows of each place.
type Counts = HashMap<Place, i64>;

/// Row counts that were asked for a moment ago.
#[derive(Debug, Default)]
pub struct Memory {
    counts: Mutex<Option<(Instant, Arc<Counts>)>>,
}

pub async fn page(State(shop): AppState, looking: Looking) -> Page {
    let now = facts(&shop).await?;
    let script = format!(
        "setInterval(async () => {{
            if (document.hidden) return;
            try {{
                const answer = await fetch('/operator/now');
                if (answer.ok) document.getElementById('now').innerHTML = await answer.text();
            }} catch (gone) {{ }}
        }}, {REFRESH_MS});"
    );
    let body = html! {
        div #now { (now) }
        script { (PreEscaped(script)) }
    };
    Ok(looking.page("Operator", body).into_response())
}

pub async fn fragment(State(shop): AppState) -> Page {
    Ok(facts(&shop).await?.into_response())
}

async fn facts(shop: &Shop) -> Result<Markup> {
    match shop.db.console().await {
        Ok(console) => behind_margay(shop, &console).await,
        Err(Absent::Plain) => plain(shop, None).await,
        Err(Absent::Unusable(why)) => plain(shop, Some(&why)).await,
    }
}

async fn plain(shop: &Shop, why: Option<&str>) -> Result<Markup> {
    let whole = TABLES.iter().rev().map(|table| Shard {
        table: (*table).to_owned(),
        name: String::new(),
        node: "the server".into(),
        physical: (*table).to_owned(),
        rows: None,
    });
    let shards: Vec<Shard> = whole.collect();
    let counts = counts(shop, &shards).await;
    Ok(html! {
        div.op-head {
            h1 { "Operator" }
            p.faint { (shop.db.place()) }
        }
        p.alert {
            @match why {
                None => {
                    strong { "One plain PostgreSQL. " }
                    "There is no Margay in between: every table is on this server, and it answers every query. Open the shop through Margay to see nodes, shards and who answered what."
                }
                Some(why) => { strong { "The admin console does not answer. " } (why) }
            }
        }
        (matrix(&shards, &counts))
    })
}

async fn behind_margay(shop: &Shop, console: &Console) -> Result<Markup> {
    let mut shards = console.shards().await?;
    let nodes = console.show("NODES").await;
    add_unnamed(&mut shards, nodes.as_ref().ok());
    let recent = console.show("RECENT").await;
    let counts = counts(shop, &shards).await;
    let names = node_names(&shards);
    let split = shards.iter().filter(|shard| shard.number().is_some()).count();
    Ok(html! {
        div.op-head {
            h1 { "Operator" }
            p.faint { span.live {} " through Margay at " (shop.db.place()) " · " (names.len()) " nodes · " (split) " shards · live" }
        }
        @match &nodes {
            Ok(grid) => (servers(grid)),
            Err(error) => { p.alert { (format!("{error:#}")) } }
        }
        h2 { "Rows by table and node" }
        (matrix(&shards, &counts))
        (strips(&shards, &counts))
        h2 { "Recent queries, and who answered" }
        @match &recent {
            Ok(grid) => (queries(grid)),
            Err(error) => { p.alert { (format!("{error:#}")) } }
        }
    })
}

/// Tables that the rules don't name may be missing from the console's list: they lie whole in the
/// default domain, which is the only node where there is only one.
fn add_unnamed(shards: &mut Vec<Shard>, nodes: Option<&Grid>) {
    let names: BTreeSet<String> = nodes
        .map(|grid| (0..grid.len()).map(|row| grid.text(row, "node")).collect())
        .unwrap_or_default();
    let node = match names.first() {
        Some(only) if names.len() == 1 => only.clone(),
        _ => "default domain".to_owned(),
    };
    for table in TABLES.iter().rev() {
        if !shards.iter().any(|shard| shard.table == *table) {
            let table = (*table).to_owned();
            let (name, physical) = (String::new(), table.clone());
            shards.push(Shard {
                table,
                name,
                node: node.clone(),
                physical,
                rows: None,
            });
        }
    }
}

fn node_names(shards: &[Shard]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for shard in shards {
        if !names.contains(&shard.node.as_str()) {
            names.push(&shard.node);
        }
    }
    names.sort_unstable();
    names
}

fn place(shard: &Shard) -> Place {
    (shard.table.clone(), shard.name.clone(), shard.node.clone())
}

/// The console's counts where it has them; else each shard is counted. A shard that can't be counted
/// is left out, and shown so.
async fn counts(shop: &Shop, shards: &[Shard]) -> Arc<Counts> {
    {
        let kept = shop
            .operator
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((at, counts)) = &*kept
            && at.elapsed() < COUNTS_LIVE
        {
            return Arc::clone(counts);
        }
    }
    let mut counts = HashMap::new();
    for shard in shards {
        let rows = match shard.rows {
            Some(rows) => Some(rows),
            None => shop.db.count_shard(shard).await.ok(),
        };
        if let Some(rows) = rows {
            counts.insert(place(shard), rows);
        }
    }
    let counts = Arc::new(counts);
    let mut kept = shop
        .operator
        .counts
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *kept = Some((Instant::now(), Arc::clone(&counts)));
    counts
}

/// A colour for each node, the same in every part of the page.
fn tint(names: &[&str], node: &str) -> String {
    let at = names.iter().position(|name| *name == node).unwrap_or(0);
    format!("node-{}", at % 8)
}

fn matrix(shards: &[Shard], counts: &Counts) -> Markup {
    let names = node_names(shards);
    let mut tables: Vec<&str> = Vec::new();
    for shard in shards {
        if !tables.contains(&shard.table.as_str()) {
            tables.push(&shard.table);
        }
    }
    html! {
        div.panel.scroll {
            table.matrix {
                thead { tr {
                    th { "Table" }
                    @for name in &names { th.number { span class={ "dot " (tint(&names, name)) } {} (name) } }
                } }
                tbody {
                    @for table in &tables {
                        @let of_table: Vec<&Shard> = shards.iter().filter(|shard| shard.table == *table).collect();
                        @let all: i64 = of_table.iter().filter_map(|shard| counts.get(&place(shard))).sum();
                        tr {
                            th scope="row" { (table) }
                            @for name in &names {
                                (cell(&of_table, name, all, counts, (names.len() > 1).then(|| tint(&names, name))))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(of_table: &[&Shard], node: &str, all: i64, counts: &Counts, tint: Option<String>) -> Markup {
    let here: Vec<&&Shard> = of_table.iter().filter(|shard| shard.node == node).collect();
    if here.is_empty() {
        return html! { td.number.none { "·" } };
    }
    let known: Vec<i64> = here
        .iter()
        .filter_map(|shard| counts.get(&place(shard)).copied())
        .collect();
    let rows: i64 = known.iter().sum();
    let share = if all > 0 { rows * 100 / all } else { 0 };
    html! {
        td.number {
            @if known.is_empty() { span.faint { "?" } } @else { span.rows { (count(rows)) } }
            @if of_table.len() > 1 {
                span.shards { (here.len()) @if here.len() == 1 { " shard" } @else { " shards" } }
            }
            @if let Some(tint) = tint { span.meter { span class=(tint) style={ "width:" (share) "%" } {} } }
        }
    }
}

/// Each split table as a row of its shards, coloured by node.
fn strips(shards: &[Shard], counts: &Counts) -> Markup {
    let names = node_names(shards);
    let mut tables: Vec<&str> = Vec::new();
    for shard in shards.iter().filter(|shard| shard.number().is_some()) {
        let many = shards.iter().filter(|other| other.table == shard.table).count() > 1;
        if many && !tables.contains(&shard.table.as_str()) {
            tables.push(&shard.table);
        }
    }
    if tables.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Where the shards lie" }
        div.panel {
            @for table in &tables {
                div.strip {
                    span.strip-name { (table) }
                    span.chips {
                        @for shard in shards.iter().filter(|shard| shard.table == *table) {
                            @let rows = counts.get(&place(shard)).map_or_else(|| "?".to_owned(), |rows| count(*rows));
                            span class={ "chip " (tint(&names, &shard.node)) } title={ (shard.physical) " on " (shard.node) ": " (rows) " rows" } {
                                (label(shard))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What tells a shard from the others of its table: 03 of orders_03, 2026_01 of page_views_2026_01.
fn label(shard: &Shard) -> &str {
    let physical = shard.physical.rsplit('.').next().unwrap_or_default();
    let rest = physical
        .strip_prefix(shard.table.as_str())
        .and_then(|rest| rest.strip_prefix('_'));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(&shard.name)
}

fn servers(grid: &Grid) -> Markup {
    let mut nodes: Vec<String> = Vec::new();
    for row in 0..grid.len() {
        let node = grid.text(row, "node");
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    html! {
        div.nodes {
            @for node in &nodes {
                div.panel.node {
                    strong { (node) }
                    @for row in (0..grid.len()).filter(|row| grid.text(*row, "node") == *node) {
                        (server(grid, row))
                    }
                }
            }
        }
    }
}

fn server(grid: &Grid, row: usize) -> Markup {
    let up = !matches!(grid.get(row, "up"), Some("f" | "false" | "no" | "down" | "0"));
    let role = grid.get(row, "role").unwrap_or("server");
    let number = |column| grid.get(row, column).and_then(|text| text.parse::<i64>().ok());
    html! {
        div.server {
            span.pulse.down[!up] title=(if up { "up" } else { "down" }) {}
            span class={ "pill role-" (role) } { (role) }
            span.server-name { (grid.text(row, "server")) }
            span.server-facts {
                @if let Some(queries) = number("queries") { span { (count(queries)) " queries" } }
                @if let Some(connections) = number("connections") { span { (connections) " conn." } }
                @if role != "primary" { @if let Some(lag) = grid.get(row, "lag_ms") { span { (lag) " ms behind" } } }
            }
        }
    }
}

/// This page's own counting would drown the queries worth seeing.
fn is_own(sql: &str) -> bool {
    let sql = sql.trim_start();
    (sql.starts_with("/* margay: shard=") && sql.contains("count(*)")) || sql.starts_with("SET TIME ZONE")
}

fn queries(grid: &Grid) -> Markup {
    let rows = (0..grid.len()).filter(|row| !is_own(grid.get(*row, "sql").unwrap_or_default()));
    html! {
        div.panel.scroll {
            table.queries {
                thead { tr { th { "At" } th { "Answered by" } th { "How" } th.number { "ms" } th.number { "Rows" } th { "Statement" } } }
                tbody {
                    @for row in rows.take(RECENT_SHOWN) {
                        @let tier = grid.text(row, "tier");
                        tr {
                            td.faint { (time_of_day(&grid.text(row, "at"))) }
                            td.servers { (grid.text(row, "servers")) }
                            td { span class={ "pill tier-" (tier) } { (tier) } }
                            td.number { (milliseconds(grid.get(row, "duration_us"))) }
                            td.number { (grid.text(row, "rows")) }
                            td.sql title=(grid.text(row, "sql")) { (one_line(&grid.text(row, "sql"))) }
                        }
                    }
                }
            }
        }
    }
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The time out of a timestamp in text, to the millisecond.
fn time_of_day(at: &str) -> String {
    let time = at.split(['T', ' ']).nth(1).unwrap_or(at);
    time.chars()
        .take_while(|c| c.is_ascii_digit() || matches!(c, ':' | '.'))
        .take(12)
        .collect()
}

fn milliseconds(us: Option<&str>) -> String {
    us.and_then(|us| us.parse::<f64>().ok())
        .map_or_else(String::new, |us| format!("{:.2}", us / 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_shortened() {
        assert_eq!(time_of_day("2026-11-22T10:11:12.345678Z"), "10:11:12.345");
        assert_eq!(time_of_day("2026-11-22 10:11:12+00"), "10:11:12");
        assert_eq!(milliseconds(Some("1234")), "1.23");
        assert_eq!(milliseconds(None), "");
    }

    #[test]
    fn a_shard_is_labelled_by_what_tells_it_from_the_others() {
        let shard = |physical: &str| Shard {
            table: "page_views".into(),
            name: "4".into(),
            node: "n".into(),
            physical: physical.into(),
            rows: None,
        };
        assert_eq!(label(&shard("page_views_2026_05")), "2026_05");
        assert_eq!(label(&shard("public.page_views_2026_05")), "2026_05");
        assert_eq!(label(&shard("page_views")), "4");
    }

    #[test]
    fn tables_that_the_rules_do_not_name_are_shown_all_the_same() {
        let mut shards = Vec::new();
        add_unnamed(&mut shards, None);
        assert_eq!(shards.len(), TABLES.len());
        add_unnamed(&mut shards, None);
        assert_eq!(shards.len(), TABLES.len());
    }

    #[test]
    fn the_pages_own_counting_is_not_shown() {
        assert!(is_own("/* margay: shard=3 */ SELECT count(*) FROM orders"));
        assert!(!is_own(
            "SELECT count(*), sum(total_cents) FROM orders WHERE user_id = $1"
        ));
    }
}

//! Does every row lie on the shard that its key says? Each shard is read on its own, each key it holds
//! is put to `EXPLAIN ROUTE`, and the two must agree; and the shards together hold every row once.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail};

use super::Check;
use crate::db::Db;
use crate::db::console::{Absent, Grid, Shard};

/// Where the tables of a user's orders lie is a question of this column.
const KEYED_BY_USER: [&str; 3] = ["orders", "order_items", "payments"];

pub async fn check(db: &Db) -> Vec<Check> {
    let name = "every row on its shard";
    let console = match db.console().await {
        Ok(console) => console,
        Err(Absent::Plain) => {
            return vec![Check::skipped(
                name,
                "a plain PostgreSQL, nothing is sharded".into(),
            )];
        }
        Err(Absent::Unusable(why)) => {
            return vec![Check::new(
                name,
                false,
                format!("the admin console does not answer: {why}"),
            )];
        }
    };
    let shards = match console.shards().await {
        Ok(shards) => shards,
        Err(error) => return vec![Check::new(name, false, format!("{error:#}"))],
    };
    let mut by_table: BTreeMap<&str, Vec<&Shard>> = BTreeMap::new();
    for shard in &shards {
        by_table.entry(&shard.table).or_default().push(shard);
    }
    let split = |table: &str| by_table.get(table).filter(|shards| shards.len() > 1);
    let mut checks = Vec::new();
    for table in KEYED_BY_USER {
        if let Some(shards) = split(table) {
            let name = format!("{table}: rows on their shards");
            checks.push(Check::from_answer(&name, by_user(db, &name, table, shards).await));
        }
    }
    if let Some(shards) = split("page_views") {
        let name = "page_views: rows on their shards";
        checks.push(Check::from_answer(name, by_time(db, name, shards).await));
    }
    if checks.is_empty() {
        checks.push(Check::skipped(name, "no table is split under these rules".into()));
    }
    checks
}

/// What a plan says about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    shards: Vec<String>,
    nodes: Vec<String>,
}

impl Route {
    fn from_grid(grid: &Grid) -> Result<Route> {
        if !grid.has("shards") && !grid.has("node") {
            bail!("EXPLAIN ROUTE names neither shards nor node");
        }
        let mut route = Route {
            shards: Vec::new(),
            nodes: Vec::new(),
        };
        for row in 0..grid.len() {
            route.shards.extend(words(&grid.text(row, "shards")));
            route.nodes.extend(words(&grid.text(row, "node")));
        }
        for list in [&mut route.shards, &mut route.nodes] {
            list.sort();
            list.dedup();
        }
        Ok(route)
    }

    /// One shard and no other, and that is the one where the row was found.
    fn is(&self, shard: &Shard) -> bool {
        let node_fits = self.nodes.is_empty() || self.nodes == [shard.node.as_str()];
        let shard_fits = match self.shards.as_slice() {
            [one] => names(one, shard),
            [] => !self.nodes.is_empty(),
            _ => false,
        };
        node_fits && shard_fits
    }
}

fn words(list: &str) -> Vec<String> {
    let between = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}' | '(' | ')');
    list.split(between)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A plan may call a shard by its number (3), its physical table (orders_03) or the two joined (orders/3).
fn names(word: &str, shard: &Shard) -> bool {
    let unqualified = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let word = unqualified(word);
    if word == shard.name || word == unqualified(&shard.physical) {
        return true;
    }
    // Only a name without digits may stand before the number: 05 of page_views_2026_05 is a month.
    let before = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &word[before.len()..];
    !before.contains(|c: char| c.is_ascii_digit() || c == '-')
        && number
            .parse::<i32>()
            .is_ok_and(|number| shard.number() == Some(number))
}

/// Reads one shard by its number, from its primary.
async fn read_shard(db: &Db, shard: &Shard, columns: &str) -> Result<Grid> {
    let number = shard
        .number()
        .with_context(|| format!("shard {:?} of {} has no number", shard.name, shard.table))?;
    db.on_primary(&format!(
        "/* margay: shard={number} */ SELECT {columns} FROM {}",
        shard.table
    ))
    .await
}

async fn by_user(db: &Db, name: &str, table: &str, shards: &[&Shard]) -> Result<Check> {
    let mut routes: HashMap<String, Route> = HashMap::new();
    let mut rows = 0;
    let mut wrong = Vec::new();
    for shard in shards {
        let grid = read_shard(db, shard, "user_id").await?;
        rows += grid.len() as i64;
        let mut keys: Vec<&str> = (0..grid.len())
            .filter_map(|row| grid.get(row, "user_id"))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            if !routes.contains_key(key) {
                // A key is a number out of the table itself: nothing in it needs quoting.
                let key_number: i64 = key.parse().context("a user_id that is no number")?;
                let sql = format!("EXPLAIN ROUTE SELECT * FROM {table} WHERE user_id = {key_number}");
                routes.insert(key.to_owned(), Route::from_grid(&db.grid(&sql).await?)?);
            }
            let route = &routes[key];
            if !route.is(shard) {
                wrong.push(format!(
                    "user {key} lies on shard {} ({}), its key says {:?} {:?}",
                    shard.name, shard.node, route.shards, route.nodes
                ));
            }
        }
    }
    let all = db.count(table).await?;
    Ok(judged(
        name,
        wrong,
        rows,
        all,
        &format!("{} keys", routes.len()),
        shards,
    ))
}

/// Time shards are spans: when the first and the last row of a shard belong there, all between do.
async fn by_time(db: &Db, name: &str, shards: &[&Shard]) -> Result<Check> {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for shard in shards {
        let grid = read_shard(
            db,
            shard,
            "count(*) AS views, min(viewed_at) AS first, max(viewed_at) AS last",
        )
        .await?;
        rows += grid
            .get(0, "views")
            .and_then(|count| count.parse::<i64>().ok())
            .context("no count")?;
        for end in ["first", "last"] {
            let Some(at) = grid.get(0, end) else { continue };
            let sql = format!("EXPLAIN ROUTE SELECT * FROM page_views WHERE viewed_at = '{at}'");
            let route = Route::from_grid(&db.grid(&sql).await?)?;
            if !route.is(shard) {
                wrong.push(format!(
                    "{at} lies on shard {} ({}), its key says {:?} {:?}",
                    shard.name, shard.node, route.shards, route.nodes
                ));
            }
        }
    }
    let all = db.count("page_views").await?;
    Ok(judged(name, wrong, rows, all, "first and last of each", shards))
}

fn judged(name: &str, mut wrong: Vec<String>, rows: i64, all: i64, keys: &str, shards: &[&Shard]) -> Check {
    if rows != all {
        wrong.insert(0, format!("the shards hold {rows} rows, the table {all}"));
    }
    if let Some(first) = wrong.first() {
        let detail = match wrong.len() {
            1 => first.clone(),
            many => format!("{first}; and {} more", many - 1),
        };
        return Check::new(name, false, detail);
    }
    Check::new(
        name,
        true,
        format!("{rows} rows on {} shards, {keys}", shards.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Shard {
        Shard {
            table: "orders".into(),
            name: "3".into(),
            node: "n_trade1".into(),
            physical: "orders_03".into(),
            rows: None,
        }
    }

    fn route(shards: &str, nodes: &str) -> Route {
        Route {
            shards: words(shards),
            nodes: words(nodes),
        }
    }

    #[test]
    fn a_route_fits_by_number_or_by_physical_name() {
        for shards in ["3", "03", "orders_03", "[3]", "orders/3", "public.orders_03"] {
            assert!(route(shards, "n_trade1").is(&shard()), "{shards}");
        }
        assert!(route("", "n_trade1").is(&shard()));
    }

    #[test]
    fn the_month_in_a_physical_name_is_not_taken_for_a_shards_number() {
        let june = Shard {
            table: "page_views".into(),
            name: "5".into(),
            physical: "page_views_2026_06".into(),
            ..shard()
        };
        assert!(route("page_views_2026_06", "n_trade1").is(&june));
        assert!(route("5", "n_trade1").is(&june));
        assert!(!route("page_views_2026_05", "n_trade1").is(&june));
    }

    #[test]
    fn a_route_to_another_shard_or_node_or_to_several_does_not_fit() {
        assert!(!route("4", "n_trade1").is(&shard()));
        assert!(!route("13", "n_trade1").is(&shard()));
        assert!(!route("3", "n_trade0").is(&shard()));
        assert!(!route("3, 4", "n_trade1").is(&shard()));
        assert!(!route("", "").is(&shard()));
    }
}

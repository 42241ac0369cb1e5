//! The admin console: the database named `margay`. Reads one command, answers with a table of
//! text. What each table holds is made in `grids`. Must not change anything but by RELOAD.

use std::sync::{Arc, OnceLock};

use crate::model::admin::{Admin, Grid, Pending, SharedSessions};
use crate::model::{Code, Fault};

use super::grids;
use super::recovery::Counts;
use super::reload::Reloader;
use super::shared::Shared;
use super::time_shards::Now;

pub struct Console {
    pub shared: Arc<Shared>,
    pub reloader: Arc<Reloader>,
    pub recovery: Arc<Counts>,
    pub now: Now,
    /// Set when the listener starts.
    pub sessions: OnceLock<SharedSessions>,
}

/// Every command, as SHOW HELP prints it.
pub const COMMANDS: [(&str, &str); 11] = [
    (
        "SHOW NODES",
        "servers: role, up or down, lag, connections, statements",
    ),
    (
        "SHOW SHARDS",
        "tables: which node holds which shard, and about how many rows",
    ),
    ("SHOW POOLS", "connections to each server: in use, idle, waiting"),
    ("SHOW CLIENTS", "client connections"),
    ("SHOW STATS", "counters since the start, as on /metrics"),
    (
        "SHOW RECENT",
        "the latest statements and the servers that answered them",
    ),
    ("SHOW RULES", "how the rules spread each table"),
    ("SHOW PROBLEMS", "what is wrong at this moment"),
    ("SHOW VERSION", "version of Margay"),
    ("SHOW HELP", "this list"),
    (
        "RELOAD",
        "read the rules again; the old ones stay if the new are wrong",
    ),
];

impl Admin for Console {
    fn command<'a>(&'a self, sql: &'a str) -> Pending<'a, Result<Grid, Fault>> {
        Box::pin(self.run(sql))
    }
}

impl Console {
    async fn run(&self, sql: &str) -> Result<Grid, Fault> {
        let words = words(sql);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["show", what] => self.show(what, sql).await,
            ["reload"] => {
                self.reloader.reload().await?;
                Ok(done("RELOAD"))
            }
            // Drivers send these around whatever they are asked to run.
            ["begin", ..] | ["start", "transaction", ..] => Ok(done("BEGIN")),
            ["commit", ..] | ["end", ..] => Ok(done("COMMIT")),
            ["rollback", ..] => Ok(done("ROLLBACK")),
            ["set", ..] => Ok(done("SET")),
            ["discard", "all"] => Ok(done("DISCARD ALL")),
            _ => Err(unknown(sql)),
        }
    }

    async fn show(&self, what: &str, sql: &str) -> Result<Grid, Fault> {
        match what {
            "nodes" => Ok(grids::nodes(&self.shared)),
            "shards" => Ok(grids::shards(&self.shared, (self.now)()).await),
            "pools" => Ok(grids::pools(&self.shared)),
            "clients" => Ok(grids::clients(self.sessions.get())),
            "stats" => Ok(grids::stats(&self.shared, self.sessions.get(), &self.recovery)),
            "recent" => Ok(grids::recent(self.sessions.get())),
            "rules" => Ok(grids::rules(&self.shared)),
            "problems" => Ok(grids::problems(&self.shared)),
            "version" => Ok(grids::of(
                &["version"],
                vec![vec![Some(format!("Margay {}", env!("CARGO_PKG_VERSION")))]],
            )),
            "help" => {
                let rows = COMMANDS
                    .iter()
                    .map(|(name, what)| vec![Some((*name).into()), Some((*what).into())]);
                Ok(grids::of(&["command", "what"], rows.collect()))
            }
            _ => Err(unknown(sql)),
        }
    }
}

fn done(tag: &str) -> Grid {
    Grid {
        columns: Vec::new(),
        rows: Vec::new(),
        tag: tag.to_owned(),
    }
}

fn unknown(sql: &str) -> Fault {
    let shown: String = sql.chars().take(80).collect();
    Fault::new(
        Code::ADMIN_COMMAND,
        format!("the admin console doesn't know {shown:?}"),
    )
    .hint("SHOW HELP lists its commands. Tables are in the logical databases, not in this one.")
}

/// The words of a command, in lower case, without comments and the closing semicolon.
fn words(sql: &str) -> Vec<String> {
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while !rest.is_empty() {
        let (comment, end) = if rest.starts_with("--") {
            (true, rest.find('\n').map(|at| at + 1))
        } else if rest.starts_with("/*") {
            (true, rest.find("*/").map(|at| at + 2))
        } else {
            (false, None)
        };
        if comment {
            text.push(' ');
            rest = end.and_then(|at| rest.get(at..)).unwrap_or("");
        } else {
            let mut chars = rest.chars();
            text.extend(chars.next());
            rest = chars.as_str();
        }
    }
    text.trim()
        .trim_end_matches(';')
        .split_whitespace()
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_whatever_their_case_and_comments() {
        assert_eq!(words("  Show\n NODES ; "), ["show", "nodes"]);
        assert_eq!(
            words("/* tool */ show -- all of them\n shards;"),
            ["show", "shards"]
        );
        assert_eq!(words("/* never closed"), Vec::<String>::new());
        assert_eq!(words("é"), ["é"]);
    }
}

//! The proxy's admin console, when there is one: where tables lie, how the servers are, what was
//! answered by whom. The only file that knows that the shop may stand behind Margay.
//! It must bear missing columns and a missing console: the shop runs on a plain server too.

use anyhow::{Context, Result};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{Db, explain, failed};

/// The name of the database that is the console.
const CONSOLE: &str = "margay";

/// A table of text, as the console answers.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Grid {
    pub fn from_messages(messages: Vec<SimpleQueryMessage>) -> Grid {
        let mut grid = Grid::default();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    grid.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    grid.rows
                        .push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                }
                _ => {}
            }
        }
        grid
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// A field, or None when it is NULL or there is no such column.
    pub fn get(&self, row: usize, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.rows.get(row)?.get(at)?.as_deref()
    }

    /// A field as text; the empty text when there is none.
    pub fn text(&self, row: usize, column: &str) -> String {
        self.get(row, column).unwrap_or_default().to_owned()
    }
}

/// One shard of a table, or the whole of a table that is not split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub table: String,
    /// As the console names it; a number for split tables.
    pub name: String,
    pub node: String,
    pub physical: String,
    /// The console's estimate, if it has one.
    pub rows: Option<i64>,
}

impl Shard {
    /// The number that a hint takes; periods before the first of a time-sharded table may count below zero.
    pub fn number(&self) -> Option<i32> {
        self.name.parse().ok()
    }
}

/// Why there is no console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The server is a plain PostgreSQL: it has no database of that name.
    Plain,
    /// Something is there but does not answer as a console.
    Unusable(String),
}

pub struct Console {
    client: Client,
    /// The database the shop itself is connected to: the console may serve several.
    database: String,
}

impl Db {
    /// Connects to the console behind the shop's own URL.
    pub async fn console(&self) -> Result<Console, Absent> {
        let mut config = self.config.clone();
        let database = config
            .get_dbname()
            .or(config.get_user())
            .unwrap_or_default()
            .to_owned();
        config.dbname(CONSOLE);
        let (client, connection) = config.connect(NoTls).await.map_err(|error| {
            if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) {
                return Absent::Plain;
            }
            Absent::Unusable(explain(&error))
        })?;
        tokio::spawn(async move {
            // An error of the connection comes out of the next query too; here it has no reader.
            let _ = connection.await;
        });
        Ok(Console { client, database })
    }

    /// Runs a statement in the simple protocol inside a transaction, so that the primary answers it.
    pub async fn on_primary(&self, sql: &str) -> Result<Grid> {
        let mut client = self.client().await?;
        let txn = client.transaction().await.map_err(|error| failed(&error))?;
        let messages = txn
            .simple_query(sql)
            .await
            .map_err(|error| failed(&error))
            .with_context(|| sql.to_owned())?;
        txn.commit().await.map_err(|error| failed(&error))?;
        Ok(Grid::from_messages(messages))
    }

    pub async fn grid(&self, sql: &str) -> Result<Grid> {
        let client = self.client().await?;
        let messages = client
            .simple_query(sql)
            .await
            .map_err(|error| failed(&error))
            .with_context(|| sql.to_owned())?;
        Ok(Grid::from_messages(messages))
    }

    /// How many rows a table has, all its shards together.
    pub async fn count(&self, table: &str) -> Result<i64> {
        let grid = self
            .grid(&format!("/* margay: primary */ SELECT count(*) FROM {table}"))
            .await?;
        whole(&grid, table)
    }

    /// How many rows lie on one shard. A table that is not split is counted as it is.
    pub async fn count_shard(&self, shard: &Shard) -> Result<i64> {
        let table = &shard.table;
        let grid = match shard.number() {
            Some(number) => {
                self.grid(&format!(
                    "/* margay: shard={number} */ SELECT count(*) FROM {table}"
                ))
                .await?
            }
            None => self.grid(&format!("SELECT count(*) FROM {table}")).await?,
        };
        whole(&grid, table)
    }
}

fn whole(grid: &Grid, table: &str) -> Result<i64> {
    let text = grid
        .rows
        .first()
        .and_then(|row| row.first())
        .and_then(Option::as_deref);
    text.and_then(|text| text.parse().ok())
        .with_context(|| format!("no count of {table}"))
}

impl Console {
    pub async fn show(&self, what: &str) -> Result<Grid> {
        let sql = format!("SHOW {what}");
        let messages = self
            .client
            .simple_query(&sql)
            .await
            .map_err(|error| failed(&error))
            .context(sql)?;
        Ok(Grid::from_messages(messages))
    }

    /// The shards of the shop's tables.
    pub async fn shards(&self) -> Result<Vec<Shard>> {
        let grid = self.show("SHARDS").await?;
        Ok((0..grid.len())
            .filter(|&row| grid.get(row, "database").is_none_or(|name| name == self.database))
            .map(|row| Shard {
                // A schema before the name says nothing here: the shop's tables are all in one.
                table: grid
                    .text(row, "table")
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                name: grid.text(row, "shard"),
                node: grid.text(row, "node"),
                physical: grid.text(row, "physical"),
                rows: grid
                    .get(row, "rows")
                    .and_then(|rows| rows.parse().ok())
                    .filter(|rows| *rows >= 0),
            })
            .collect())
    }
}

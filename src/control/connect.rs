//! Margay's own connections to servers, off the data path: a few per node, for health, the
//! catalog, leases and time shards. What the user's role or database sets by ALTER ROLE or ALTER
//! DATABASE must not bend them, so every setting that could is given at the start of the connection.
//!
//! No statement of a client ever travels here.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::backend::{OpenError, Purpose, open_client};
use crate::topology::Server;

/// As the servers' pg_stat_activity shows these connections.
const APPLICATION: &str = "margay-control";

/// Settings in the startup packet outrank those of role and database.
/// `synchronous_commit`: an id lease that a crash forgets would be handed out twice.
const OPTIONS: &str = "-c role=none -c search_path=pg_catalog -c TimeZone=UTC -c DateStyle=ISO \
     -c IntervalStyle=postgres -c default_transaction_read_only=off \
     -c default_transaction_isolation=read\\ committed -c default_transaction_deferrable=off \
     -c standard_conforming_strings=on -c bytea_output=hex -c synchronous_commit=on \
     -c client_min_messages=warning -c statement_timeout=0 -c lock_timeout=0 \
     -c idle_in_transaction_session_timeout=0";

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// No server of the node is a primary that answers; what each of them said.
    #[error("no primary: {0}")]
    NoPrimary(String),
    #[error("unexpected answer: {0}")]
    Answer(String),
}

/// tokio-postgres prints `db error` and keeps what the server said as the source.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl LinkError {
    /// The SQLSTATE if the server refused the statement.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            LinkError::Postgres(e) => e.code().map(|c| c.code()),
            LinkError::Timeout(_) | LinkError::NoPrimary(_) | LinkError::Answer(_) => None,
        }
    }
}

/// One connection, with a limit on how long any answer may take. After an error it must not be used
/// again: a late answer may still come, a transaction block may be left open. `Link` remembers that.
pub struct Link {
    client: Client,
    limit: Duration,
    broken: bool,
}

impl Link {
    /// Connects and logs in within `limit`, which then is the limit of every statement too.
    pub async fn open(server: &Server, limit: Duration) -> Result<Link, LinkError> {
        Link::open_with(server, OPTIONS, limit).await
    }

    /// With the settings that any other client of this role and database gets.
    pub async fn open_plain(server: &Server, limit: Duration) -> Result<Link, LinkError> {
        Link::open_with(server, "", limit).await
    }

    async fn open_with(server: &Server, options: &str, limit: Duration) -> Result<Link, LinkError> {
        let purpose = Purpose {
            application: APPLICATION,
            options,
            limit,
        };
        let client = open_client(server, purpose).await.map_err(|error| match error {
            OpenError::Timeout(limit) => LinkError::Timeout(limit),
            OpenError::Postgres(error) => LinkError::Postgres(error),
        })?;
        Ok(Link {
            client,
            limit,
            broken: false,
        })
    }

    /// Runs one or more statements in one round trip and gives the rows of each that returned a
    /// row description. All of them are one transaction unless the text says otherwise.
    pub async fn ask(&mut self, sql: &str) -> Result<Vec<Vec<SimpleQueryRow>>, LinkError> {
        let messages = self.messages(sql).await?;
        let mut sets = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(_) => sets.push(Vec::new()),
                SimpleQueryMessage::Row(row) => match sets.last_mut() {
                    Some(set) => set.push(row),
                    None => return Err(LinkError::Answer("a row before its description".into())),
                },
                // CommandComplete, and what later versions of the crate may add.
                _ => {}
            }
        }
        Ok(sets)
    }

    /// The first column of the first row of the first result.
    pub async fn ask_one(&mut self, sql: &str) -> Result<Option<String>, LinkError> {
        let sets = self.ask(sql).await?;
        Ok(sets
            .first()
            .and_then(|set| set.first())
            .and_then(|row| row.try_get(0).ok().flatten())
            .map(str::to_owned))
    }

    /// Whether it can still be used.
    pub fn is_usable(&self) -> bool {
        !self.broken && !self.client.is_closed()
    }

    async fn messages(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, LinkError> {
        let answer = match timeout(self.limit, self.client.simple_query(sql)).await {
            Ok(answer) => answer.map_err(LinkError::from),
            Err(_) => Err(LinkError::Timeout(self.limit)),
        };
        self.broken |= answer.is_err();
        answer
    }
}

/// A text as an SQL literal. `standard_conforming_strings` is on in every Link.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub use crate::model::identifier;

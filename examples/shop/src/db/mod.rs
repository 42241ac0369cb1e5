//! The shop's way to its database: a pool over one URL and a file of statements per domain. Nothing
//! here knows whether one server or many answer; only `console` asks.

pub mod catalog;
pub mod checkout;
pub mod console;
pub mod ids;
pub mod schema;
pub mod trade;
pub mod users;
pub mod views;
mod whole;

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use deadpool_postgres::{Client, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};

pub use whole::Whole;

/// Enough for a page server and a gentle load; a pooler or a proxy is behind the URL for more.
pub const POOL_SIZE: usize = 16;
/// How long a page waits for a free connection before it says that the database is busy.
const WAIT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

#[derive(Debug)]
pub struct Db {
    pool: Pool,
    config: Config,
    pub ids: ids::Ids,
}

impl Db {
    /// Opens a pool and proves with one connection that the database answers.
    pub async fn connect(url: &str, size: usize) -> Result<Db> {
        let mut config: Config = url
            .parse()
            .map_err(|error| anyhow!("the database URL can't be read: {}", explain(&error)))?;
        config.application_name("shop").connect_timeout(CONNECT_TIMEOUT);
        let manager = Manager::from_config(
            config.clone(),
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            // Months are counted in UTC, whatever zone the server lives in.
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    client
                        .batch_execute("SET TIME ZONE 'UTC'")
                        .await
                        .map_err(HookError::Backend)
                })
            }))
            .build()
            .context("the connection pool can't be built")?;
        let db = Db {
            pool,
            config,
            ids: ids::Ids::random(),
        };
        db.query("SELECT 1", &[])
            .await
            .with_context(|| format!("no database at {}", db.place()))?;
        Ok(db)
    }

    /// Host, port and database for messages; never the password.
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => "localhost".into(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let name = self.config.get_dbname().or(self.config.get_user()).unwrap_or("?");
        format!("{host}:{port}/{name}")
    }

    pub async fn client(&self) -> Result<Client> {
        use deadpool_postgres::PoolError;
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => anyhow!("{}", explain(&error)),
            PoolError::PostCreateHook(HookError::Backend(error)) => anyhow!("{}", explain(&error)),
            PoolError::Timeout(_) => {
                anyhow!("no free database connection within {} s", WAIT.as_secs())
            }
            other => anyhow!("{other}"),
        })
    }

    pub async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        client
            .query(&statement, params)
            .await
            .map_err(|error| failed(&error))
    }

    pub async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    pub async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
        self.query_opt(sql, params)
            .await?
            .ok_or_else(|| anyhow!("the database answered without a row"))
    }

    /// Carries out a write and answers with the count of rows it touched.
    pub async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        client
            .execute(&statement, params)
            .await
            .map_err(|error| failed(&error))
    }

    /// One statement without parameters in the simple protocol, as DDL wants it.
    pub async fn run(&self, sql: &str) -> Result<()> {
        let client = self.client().await?;
        client
            .batch_execute(sql)
            .await
            .map_err(|error| failed(&error))
            .with_context(|| sql.to_owned())
    }
}

/// A server's error as one readable line: message, SQLSTATE, detail, hint.
pub fn explain(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        let mut text = format!("{} ({})", server.message(), server.code().code());
        if let Some(detail) = server.detail() {
            text.push_str(&format!("; {detail}"));
        }
        if let Some(hint) = server.hint() {
            text.push_str(&format!("; hint: {hint}"));
        }
        return text;
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}

pub fn failed(error: &tokio_postgres::Error) -> anyhow::Error {
    anyhow!("{}", explain(error))
}

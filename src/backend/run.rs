//! Whole statements on a connection, for what Margay itself has to say to a server (BEGIN, COMMIT,
//! SET, catalog queries). Not for clients' rows: these are relayed or streamed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::conn::Conn;
use super::settings::Settings;
use crate::model::{Code, Fault};
use crate::wire::postgres::backend::{self, DataRow, Fields, RowDescription};
use crate::wire::postgres::{Frame, frontend};

/// An ErrorResponse that a server sent.
#[derive(Clone, Debug)]
pub struct ServerError {
    /// The whole frame, to pass on as it is.
    pub frame: Frame,
}

impl ServerError {
    /// SQLSTATE, five characters.
    pub fn sqlstate(&self) -> &str {
        let state = Fields::decode(self.frame.body())
            .map(|f| f.sqlstate())
            .unwrap_or_default();
        std::str::from_utf8(state)
            .ok()
            .filter(|s| s.len() == 5 && s.is_ascii())
            .unwrap_or("XX000")
    }

    /// For logs and messages, lossy.
    pub fn message(&self) -> String {
        let text = Fields::decode(self.frame.body())
            .map(|f| f.message())
            .unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

/// What `Conn::run` gives: the rows of the last statement in text format, and its tag.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<Bytes>>>,
    pub tag: String,
}

impl Rows {
    /// A value as text; None: NULL, not there, or not UTF-8.
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        std::str::from_utf8(self.rows.get(row)?.get(column)?.as_deref()?).ok()
    }
}

/// Why `Conn::run` failed.
#[derive(Clone, Debug)]
pub enum RunError {
    /// The server said no; the connection is in sync (ReadyForQuery was read).
    Server(ServerError),
    /// The connection is lost.
    Fault(Fault),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Server(error) => write!(f, "{} ({})", error.message(), error.sqlstate()),
            RunError::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

impl From<Fault> for RunError {
    fn from(fault: Fault) -> Self {
        RunError::Fault(fault)
    }
}

impl Conn {
    /// Runs SQL text (simple protocol) and reads up to ReadyForQuery. The connection must owe no
    /// answer before. Not cancel-safe: dropped in the middle, the connection isn't reusable.
    pub async fn run(&mut self, sql: &str) -> Result<Rows, RunError> {
        if sql.as_bytes().contains(&0) {
            return Err(Fault::new(Code::PROTOCOL, "a zero byte in SQL text").into());
        }
        frontend::query(self.write_buf(), sql.as_bytes());
        self.collect().await
    }

    /// Reads the answers up to the next ReadyForQuery: what `run` does after sending.
    pub async fn collect(&mut self) -> Result<Rows, RunError> {
        let mut answer = Rows::default();
        let mut failure = None;
        loop {
            let frame = self.next_frame().await?;
            match frame.tag {
                b'T' => {
                    let fields = RowDescription::decode(frame.body()).map_err(|e| e.from_server())?;
                    let name = |field: backend::Field<'_>| String::from_utf8_lossy(field.name).into_owned();
                    answer.columns = fields.fields().map(name).collect();
                    answer.rows.clear();
                }
                b'D' => answer.rows.push(columns(&frame)?),
                b'C' => {
                    let tag = frame.body().strip_suffix(&[0]).unwrap_or_default();
                    answer.tag = String::from_utf8_lossy(tag).into_owned();
                }
                b'E' => {
                    failure.get_or_insert(ServerError { frame });
                }
                b'A' => self.notifications.push(frame),
                b'G' => frontend::copy_fail(self.write_buf(), b"COPY is not expected here"),
                b'Z' => return failure.map_or(Ok(answer), |error| Err(RunError::Server(error))),
                _ => {}
            }
        }
    }

    /// Brings the server's settings to `target` (one round trip, none if they are equal).
    pub async fn apply_settings(&mut self, target: &Arc<Settings>) -> Result<(), RunError> {
        if Arc::ptr_eq(&self.settings, target) {
            return Ok(());
        }
        if let Some(sql) = self.settings.diff_sql(target) {
            self.run(&sql).await?;
        }
        self.settings = target.clone();
        Ok(())
    }
}

fn columns(frame: &Frame) -> Result<Vec<Option<Bytes>>, Fault> {
    let row = DataRow::decode(frame.body()).map_err(|e| e.from_server())?;
    let owned = row
        .columns()
        .map(|column| column.map(|value| value.map(|v| frame.bytes.slice_ref(v))));
    owned.collect::<Result<_, _>>().map_err(|e| e.from_server())
}

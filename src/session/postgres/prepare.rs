//! PREPARE and EXECUTE in SQL where several nodes serve the database: what is prepared is kept with what
//! Parse has prepared, under the same names, and EXECUTE binds to it.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::session::Session;
use super::session::{PipelineClient as Client, client};
use super::statements::Prepared;
use super::words;
use crate::model::{Code, Fault};
use crate::pipeline::{self, Failure, Request};
use crate::plan::{Argument, Command, Params, type_oid};
use crate::wire::postgres::frontend::{self, Message};

impl Session {
    pub async fn prepare_sql(
        &mut self,
        name: &str,
        types: &[Box<str>],
        sql: &str,
        before: usize,
    ) -> Result<(), Failure> {
        let oid = |name: &str| {
            type_oid(name).ok_or_else(|| {
                Fault::new(
                    Code::SESSION_STATE,
                    format!("the type {name} of a parameter isn't known to PREPARE over several nodes"),
                )
                .hint("Leave the types out, and cast where they matter: $1::type.")
            })
        };
        let types: Box<[u32]> = types.iter().map(|name| oid(name)).collect::<Result<_, _>>()?;
        let statement = match self.read(sql).await {
            Ok(statement) => statement,
            Err(failure) => return Err(words::in_message(failure, before)),
        };
        if !matches!(statement.command, Command::Query(_)) {
            return Err(Fault::internal("PREPARE of a command").into());
        }
        let view = self.view();
        let prepared = Arc::new(Prepared::new(name.as_bytes(), statement, types, view.fingerprint));
        // A server says what is wrong with it.
        let learnt = self.learn_types(&prepared).await;
        learnt.map_err(|failure| words::in_message(failure, before))?;
        if self.extended.statements.contains_key(name.as_bytes()) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Fault::new(Code::DUPLICATE_STATEMENT, message).into());
        }
        self.extended.statements.insert(name.as_bytes(), prepared);
        Ok(())
    }

    /// The columns of what EXECUTE returns; None: no rows.
    pub async fn executed_columns(&mut self, name: &str) -> Result<Option<Bytes>, Failure> {
        let statement = self.current_statement(name.as_bytes())?;
        if !matches!(statement.statement.command, Command::Query(_)) {
            return Ok(None);
        }
        self.learn_types(&statement).await?;
        Ok(statement.described.get().and_then(|d| d.rows.clone()))
    }

    /// EXECUTE. `describe`: the client wants to hear the columns. `formats`: of the results.
    pub async fn execute_sql(
        &mut self,
        name: &str,
        args: &[Argument],
        describe: bool,
        formats: &[i16],
    ) -> Result<(), Failure> {
        let statement = self.current_statement(name.as_bytes())?;
        match &statement.statement.command {
            Command::Query(_) => {}
            // One that executes itself would never end.
            Command::Execute { .. } => {
                let fault = Fault::new(Code::SESSION_STATE, "EXECUTE of a statement that is an EXECUTE");
                return Err(fault.hint("Execute the statement itself.").into());
            }
            _ if !args.is_empty() => {
                let message = format!("wrong number of parameters for prepared statement \"{name}\"");
                return Err(Fault::new(Code::PROTOCOL, message).sqlstate("42601").into());
            }
            _ => {
                let describe = describe.then_some(formats);
                return Box::pin(self.command(&statement.statement, describe)).await;
            }
        }
        self.learn_types(&statement).await?;
        let types = statement.known_types();
        if args.len() != types.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            return Err(Fault::new(Code::PROTOCOL, message)
                .sqlstate("42601")
                .detail(format!(
                    "Expected {} parameters but got {}.",
                    types.len(),
                    args.len()
                ))
                .into());
        }
        let texts: Vec<Option<String>> = args
            .iter()
            .zip(types)
            .map(|(arg, oid)| arg.value(*oid))
            .collect::<Result<_, _>>()?;
        let values: Vec<Option<&[u8]>> = texts.iter().map(|v| v.as_ref().map(String::as_bytes)).collect();
        let params = Params {
            types,
            binary: vec![false; values.len()],
            values: values.clone(),
        };
        let begun = Instant::now();
        let plan = self.bind(&statement.statement, &params)?;
        if plan.pins || plan.cursor.is_some() {
            return Err(Fault::new(
                Code::SESSION_STATE,
                "EXECUTE of a statement that leaves state in the session",
            )
            .hint("Send the statement itself.")
            .into());
        }
        self.ensure_periods(&plan).await?;
        let mut frame = BytesMut::new();
        frontend::bind(&mut frame, b"", b"", &[], values.into_iter(), formats);
        let Ok(Message::Bind(bind)) = frontend::decode(b'B', &frame[5..]) else {
            return Err(Fault::internal("a Bind that was written can't be read").into());
        };
        let request = Request::Executed {
            types,
            bind: &bind,
            describe,
        };
        let text = Arc::clone(&statement.statement.text);
        let own = self.begin_for_sets(&plan);
        let result = pipeline::run_bound(&mut self.hold, &plan, &text, request, client!(self)).await;
        let result = result.map(|told| told.rows());
        self.record(&text, pipeline::tier(&plan), begun, &result);
        let rows = result.map_err(|failure| words::in_statement(failure, &plan.parts, &text))?;
        self.take_over_sets(&plan, Some(rows)).await?;
        if own { self.end_implicit().await } else { Ok(()) }
    }
}

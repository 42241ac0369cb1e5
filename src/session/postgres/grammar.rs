//! A server's grammar, asked on a connection of its own: whether a text is SQL at all. PostgreSQL reads a
//! message whole before it runs any of it, so this must be known before the first statement runs.

use super::session::Session;
use super::words::with_position;
use crate::backend::{RunError, ServerError, Want};
use crate::pipeline::Failure;
use crate::wire::postgres::backend::Fields;
use crate::wire::postgres::frontend;

/// Stands before the text, so that the server has several statements before it. A Parse message with
/// several is read by the grammar and then refused, before a table is looked up or anything else is done
/// (`exec_parse_message` in PostgreSQL's `tcop/postgres.c`).
const BEFORE: &str = "SELECT 1;";

impl Session {
    /// Fails with a server's words if the grammar doesn't read the text, and if no server can be asked.
    pub(super) async fn grammar(&mut self, sql: &str) -> Result<(), Failure> {
        let want = Want::Read {
            policy: &self.hold.database.reads,
            after: None,
        };
        // A transaction's own connection would have its transaction ended by the refusal.
        let mut lease = self
            .hold
            .fleet
            .checkout(self.hold.database.anywhere, &want)
            .await?;
        lease.apply_settings(&self.hold.settings).await?;
        let text = [BEFORE, sql].concat();
        frontend::parse(lease.write_buf(), b"", &self.hold.text.written(&text), []);
        frontend::sync(lease.write_buf());
        match lease.collect().await {
            Ok(_) => Ok(()),
            Err(RunError::Server(error)) if is_of_several(&error) => Ok(()),
            Err(error) => Err(with_position(error.into(), |at| at.checked_sub(BEFORE.len()))),
        }
    }
}

/// The refusal that comes after reading. Its message may be in any language: the routine tells it.
fn is_of_several(error: &ServerError) -> bool {
    let routine = Fields::decode(error.frame.body()).ok();
    routine.is_some_and(|fields| fields.get(b'R') == Some(b"exec_parse_message"))
}

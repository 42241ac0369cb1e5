//! What `set_config()` in a statement has set on its server becomes the session's, as SET does: held on
//! other connections, undone by a rollback, unseen by other clients of the same connection.

use super::parameters::literal;
use super::session::Session;
use crate::model::{Code, Fault};
use crate::pipeline::{Failure, Txn};
use crate::plan::{Plan, SetCommand};

impl Session {
    /// Outside of a transaction the statement and what follows from it are one.
    pub fn begin_for_sets(&mut self, plan: &Plan) -> bool {
        let own = !plan.sets.is_empty() && matches!(self.hold.txn, Txn::Idle);
        if own {
            self.hold.begin_implicit();
        }
        own
    }

    /// To be called in the transaction of the statement, which has returned so many rows; None: not counted.
    pub async fn take_over_sets(&mut self, plan: &Plan, rows: Option<u64>) -> Result<(), Failure> {
        for set in &plan.sets {
            match rows {
                Some(0) if set.if_rows => continue,
                None if set.if_rows => {
                    let fault = Fault::new(
                        Code::SESSION_STATE,
                        "set_config() of what pg_settings finds, in the extended protocol",
                    );
                    return Err(fault.hint("Use the simple protocol, or SET.").into());
                }
                Some(_) | None => {}
            }
            let local = if set.local { "LOCAL " } else { "" };
            let name = crate::backend::setting_name(&set.name);
            let value = set.value.as_ref().map(|value| literal(&set.name, value));
            let text = match &value {
                Some(value) => format!("SET {local}{name} = {value}"),
                None => format!("SET {local}{name} TO DEFAULT"),
            };
            let command = SetCommand {
                name: set.name.clone(),
                value: value.map(Into::into),
                local: set.local,
                text: text.into(),
            };
            self.set_on_servers(&command).await?;
        }
        Ok(())
    }
}

//! Bringing a connection to the settings of the client that uses it next.

use std::sync::Arc;

use crate::backend::{Lease, Settings};
use crate::wire::postgres::frontend;

use super::Failure;

/// Settings whose accepted values are the same on every server: bringing them over can't fail once
/// one server has taken them, so the statement may follow without waiting for the answer.
const SURE: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "xmloption",
];

/// Queues what the connection needs; gives the number of quiet answers that are owed for it.
/// What might fail on one server and not on another is carried out before this returns, since
/// the client's statement must never run under other settings than its own.
pub(super) async fn bring(lease: &mut Lease, target: &Arc<Settings>) -> Result<usize, Failure> {
    match bring_now(lease, target) {
        Some(quiet) => Ok(quiet),
        None => {
            lease.apply_settings(target).await?;
            Ok(0)
        }
    }
}

/// The same as long as nothing has to be carried out. None: `bring` has to.
pub(super) fn bring_now(lease: &mut Lease, target: &Arc<Settings>) -> Option<usize> {
    if Arc::ptr_eq(&lease.settings, target) {
        return Some(0);
    }
    let Some(sql) = lease.settings.diff_sql(target) else {
        lease.settings = Arc::clone(target);
        return Some(0);
    };
    let now = Arc::clone(&lease.settings);
    let differs = |(name, value): &(&str, &str), other: &Settings| other.get(name) != Some(value);
    let mut changed = target
        .iter()
        .filter(|p| differs(p, &now))
        .chain(now.iter().filter(|p| differs(p, target)));
    if !changed.all(|(name, _)| SURE.contains(&name)) {
        return None;
    }
    frontend::query(lease.write_buf(), sql.as_bytes());
    lease.settings = Arc::clone(target);
    Some(1)
}

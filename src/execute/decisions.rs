//! The decision rows of commits over several nodes, as this process sees them: on which nodes the
//! table is known to exist, and which rows aren't needed any more.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{Fleet, Want};
use crate::model::NodeId;

use super::recovery::{self, literal};

/// Rows are deleted in batches of this many: a row left behind by a crash is removed by recovery.
const BATCH: usize = 64;

#[derive(Default)]
pub struct Decisions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By name: ids change with the rules.
    tables: HashSet<Box<str>>,
    done: Vec<(NodeId, String)>,
}

impl Decisions {
    /// The table exists on the node, made on a connection of its own if need be: a transaction that finds it missing would be lost.
    pub async fn ensure_table(&self, fleet: &Fleet, node: NodeId) -> Result<(), String> {
        let name = fleet
            .node(node)
            .map_err(|fault| fault.message.to_string())?
            .name
            .clone();
        if self.lock().tables.contains(&name) {
            return Ok(());
        }
        let server = recovery::primary_server(fleet, node).ok_or("no primary is known")?;
        recovery::ensure_table(&server).await?;
        self.lock().tables.insert(name);
        Ok(())
    }

    /// The transaction is committed on all its nodes: its row may go, in the background.
    pub fn forget_later(&self, fleet: &Arc<Fleet>, node: NodeId, gid: String) {
        let batch = {
            let mut state = self.lock();
            state.done.push((node, gid));
            if state.done.len() < BATCH {
                return;
            }
            std::mem::take(&mut state.done)
        };
        // The row was written as whoever the client is on the servers, who may not delete any.
        let fleet = fleet.of_login(None);
        tokio::spawn(async move {
            let mut nodes: Vec<NodeId> = batch.iter().map(|(n, _)| *n).collect();
            nodes.sort_unstable();
            nodes.dedup();
            for node in nodes {
                let gids: Vec<String> = batch
                    .iter()
                    .filter(|(n, _)| *n == node)
                    .map(|(_, gid)| literal(gid))
                    .collect();
                let sql = format!("DELETE FROM margay.decision WHERE gid IN ({})", gids.join(", "));
                match fleet.checkout(node, &Want::Primary).await {
                    Ok(mut lease) => {
                        if lease.run(&sql).await.is_err() {
                            tracing::debug!(%node, "decision rows stay until recovery removes them");
                        }
                    }
                    Err(fault) => tracing::debug!(%fault, "decision rows stay until recovery removes them"),
                }
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

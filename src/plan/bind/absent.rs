//! Statements that need a shard which its node doesn't have: the server would answer as if nothing had
//! ever been in it. Must not refuse what needs only the shards that are there.

use crate::model::catalog::Absent;
use crate::model::{Code, Fault, TableName};
use crate::topology::Sharding;

use super::super::compile::Route;
use super::super::prune::Shards;
use super::super::types::Plan;
use super::Binder;

impl Binder<'_, '_> {
    /// After routing: `plan` is what would be sent.
    pub(super) fn refuse_absent(&self, plan: &Plan) -> Result<(), Fault> {
        let absent = &self.view.database.catalog.absent;
        if absent.is_empty() {
            return Ok(());
        }
        match &self.compiled.route {
            Route::Tables(tables) => {
                for (table, shards) in tables.tables.iter().zip(self.shards(tables)?) {
                    let name = &table.table.name;
                    if let (Some(gone), Some(pruning), Some(shards)) =
                        (absent.get(name), &table.pruning, shards)
                        && needs(&shards, gone, &pruning.sharding)
                    {
                        return Err(refusal(name, gone));
                    }
                }
            }
            Route::Insert(insert) => {
                let name = &insert.table.table.name;
                if let (Some(gone), Some(pruning)) = (absent.get(name), &insert.table.pruning) {
                    let rows = plan.parts.iter().flat_map(|p| p.shards.iter().copied());
                    if needs(&Shards::These(rows.collect()), gone, &pruning.sharding) {
                        return Err(refusal(name, gone));
                    }
                }
            }
            // By their names, while they were compiled; DDL is how a table is mended.
            Route::Fixed(_)
            | Route::Catalogs { .. }
            | Route::Same { .. }
            | Route::Parts(_)
            | Route::Refused(_) => {}
        }
        Ok(())
    }
}

fn needs(shards: &Shards, gone: &Absent, sharding: &Sharding) -> bool {
    let is_gone = |shard| gone.shards.contains(&shard) || gone.nodes.contains(&sharding.node_of(shard));
    match shards {
        Shards::All => true,
        Shards::Between(range) => {
            !range.is_empty()
                && (gone.shards.iter().any(|shard| range.contains(*shard))
                    || sharding
                        .nodes_of(*range)
                        .iter()
                        .any(|node| gone.nodes.contains(node)))
        }
        Shards::These(these) => these.iter().any(|shard| is_gone(*shard)),
    }
}

pub(in crate::plan) fn refusal(table: &TableName, gone: &Absent) -> Fault {
    Fault::new(
        Code::PLACEMENT_MISMATCH,
        format!("shards of {table} that this statement needs are not where they should be"),
    )
    .detail(gone.why.to_string())
    .hint("They were dropped or detached on the server, not through Margay: bring them back there. SHOW PROBLEMS on the admin console lists them.")
}

//! COMMIT. One node wrote: one phase. Several wrote: two, with the decision recorded on one of them.
//!
//! 1. The first writer is the coordinator: its own open transaction inserts the decision row.
//! 2. All other writers PREPARE TRANSACTION at once.
//! 3. COMMIT on the coordinator: that is the moment of commit, and makes the row visible.
//! 4. All others COMMIT PREPARED, before the client hears of it.
//!
//! Whatever dies in between, `recovery` can tell what was decided: see there. The row is inserted
//! *before* anything is prepared, so a recovery that finds something prepared and can insert the
//! row itself knows that the coordinator's transaction is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::backend::{Lease, RunError};
use crate::model::{Code, Fault, NodeId};

use super::hold::Hold;
use super::recovery::{self, GID_PREFIX, Outcome, literal};
use super::transaction::{Branch, Txn};
use super::{Failure, commands};

/// How long a commit whose coordinator was lost is asked about before its outcome is given up as unknown.
const RESOLVE_FOR: Duration = Duration::from_secs(20);
/// How long a decided commit is tried to be finished on a node before it is left to recovery.
const FINISH_FOR: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_millis(250);

/// How a COMMIT ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Committed {
        two_phase: bool,
    },
    /// The transaction had failed: COMMIT means ROLLBACK.
    RolledBack,
    /// There was none.
    Nothing,
}

/// Transactions by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub one_phase: u64,
    pub two_phase: u64,
    /// Wrote on several nodes, and failed before the decision.
    pub aborted: u64,
}

impl Hold {
    /// COMMIT. Afterwards no transaction is open, whatever the result.
    pub async fn commit(&mut self) -> Result<Ended, Failure> {
        let block = match std::mem::take(&mut self.txn) {
            Txn::Idle => return Ok(Ended::Nothing),
            Txn::Open(block) => block,
            failed @ Txn::Failed(_) => {
                self.txn = failed;
                self.rollback().await;
                return Ok(Ended::RolledBack);
            }
        };
        if block.lost {
            self.txn = Txn::Failed(block);
            self.rollback().await;
            return Err(Failure::Margay(Fault::new(
                Code::SERVER_LOST,
                "a server of the transaction was lost",
            )));
        }
        // A cancel of its last statement must not come late and hit the commit, or who gets the connection next.
        self.using.clear();
        self.using.settle().await;
        let two_phase = block.writers() > 1;
        let before = Arc::clone(&block.before);
        let sets = block.has_sets();
        let (writers, readers): (Vec<_>, Vec<_>) = block.branches.into_iter().partition(|b| b.wrote);
        // A transaction with LISTEN or NOTIFY can't be prepared. These are on one node alone (`anywhere`), so it
        // coordinates: its own transaction is committed as it is.
        let mut writers = writers;
        writers.sort_by_key(|branch| branch.node != self.database.anywhere);
        let result = if two_phase {
            let (readers, result) = futures_util::join!(end_readers(readers), two_phases(self, writers));
            self.let_go(readers, sets);
            result
        } else {
            self.one_phase(writers, readers, sets).await
        };
        match &result {
            Ok(true) if two_phase => self.counted.two_phase += 1,
            Ok(true) => self.counted.one_phase += 1,
            Err(failure) if two_phase && failure.code_name() != Code::COMMIT_UNKNOWN.name => {
                self.counted.aborted += 1
            }
            Ok(false) | Err(_) => {}
        }
        match result {
            Ok(true) => Ok(Ended::Committed { two_phase }),
            Ok(false) => {
                self.settings = before;
                Ok(Ended::RolledBack)
            }
            Err(failure) => {
                self.settings = before;
                Err(failure)
            }
        }
    }

    /// At most one node wrote. False: the server rolled back.
    async fn one_phase(
        &mut self,
        writers: Vec<Branch>,
        readers: Vec<Branch>,
        sets: bool,
    ) -> Result<bool, Failure> {
        let (readers, writers) = futures_util::join!(end_readers(readers), end_readers(writers));
        self.let_go(readers, sets);
        let mut result = Ok(true);
        for (lease, outcome) in writers {
            let node = lease.node();
            result = match outcome {
                Ok(tag) => {
                    self.note_write(node);
                    Ok(tag == "COMMIT")
                }
                Err(RunError::Server(error)) => Err(Failure::from(RunError::Server(error))),
                Err(RunError::Fault(_)) => {
                    self.note_write(node);
                    Err(unknown())
                }
            };
            self.let_go_one(lease, sets);
        }
        result
    }

    fn let_go(&mut self, ended: Vec<(Lease, Result<String, RunError>)>, sets: bool) {
        ended
            .into_iter()
            .for_each(|(lease, _)| self.let_go_one(lease, sets));
    }

    /// After its COMMIT: the connection has the session's settings, if they were SET on it.
    fn let_go_one(&mut self, mut lease: Lease, sets: bool) {
        if sets {
            lease.settings = Arc::clone(&self.settings);
            self.note_news(&lease);
        }
        self.release(lease);
    }
}

/// COMMIT on all of them at once, with the tags.
async fn end_readers(branches: Vec<Branch>) -> Vec<(Lease, Result<String, RunError>)> {
    let ends = branches
        .into_iter()
        .filter_map(|b| b.lease)
        .map(|mut lease| async move {
            let result = lease.run("COMMIT").await.map(|rows| rows.tag);
            (lease, result)
        });
    join_all(ends).await
}

/// The protocol above. False never: a coordinator that rolled back is a failure here.
async fn two_phases(hold: &mut Hold, writers: Vec<Branch>) -> Result<bool, Failure> {
    let decisions = Arc::clone(&hold.decisions);
    let mut leases: Vec<Lease> = writers.into_iter().filter_map(|b| b.lease).collect();
    // Decisions are kept where rows are, never in the shell, which clients look into.
    if let Some(at) = leases.iter().position(|l| Some(l.node()) != hold.database.shell) {
        leases.swap(0, at);
    }
    let coordinator_node = leases.first().map(Lease::node).ok_or_else(commands::aborted)?;
    let name = hold.fleet.node(coordinator_node)?.name.clone();
    let base = format!("{GID_PREFIX}{name}:{:032x}", rand::random::<u128>());

    let recorded = match decisions.ensure_table(&hold.fleet, coordinator_node).await {
        Ok(()) => record(&mut leases, &base).await,
        Err(why) => Err(
            Fault::new(Code::COMMIT_FAILED, "the commit's decision can't be recorded")
                .detail(why)
                .into(),
        ),
    };
    if let Err(failure) = recorded {
        return Err(hold.undo_all(leases, failure).await);
    }
    let prepared = prepare_others(&mut leases, &base).await;
    if let Some(failure) = prepared.iter().find_map(|p| p.as_ref().err()) {
        let failure = failed(failure);
        return Err(hold.undo_prepared(leases, &base, &prepared, failure).await);
    }
    let decided = decide(hold, &mut leases, &base).await;
    match decided {
        Decided::Committed => {}
        Decided::Aborted(failure) => return Err(hold.undo_prepared(leases, &base, &prepared, failure).await),
        Decided::Unknown => {
            // It may be committed yet: whoever looks must look on the primaries.
            leases.iter().for_each(|lease| hold.note_write(lease.node()));
            return Err(unknown());
        }
    }
    let finished = finish_others(hold, &mut leases, &base).await;
    for lease in leases {
        hold.note_write(lease.node());
        hold.let_go_one(lease, true);
    }
    // What is left to recovery needs the row: without it recovery would have to roll back.
    if finished {
        decisions.forget_later(&hold.fleet, coordinator_node, base);
    }
    Ok(true)
}

async fn record(leases: &mut [Lease], base: &str) -> Result<(), Failure> {
    let Some(coordinator) = leases.first_mut() else {
        return Ok(());
    };
    // A server that forgot the decision in a crash would leave the others committed alone: the client's
    // `synchronous_commit = off` can't hold here. decided_at is the moment of deciding, not the
    // transaction's begin: recovery reads it as an age.
    let sql = format!(
        "SELECT pg_catalog.set_config('synchronous_commit', 'on', true) \
           WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'; \
         INSERT INTO margay.decision (gid, decided_at) VALUES ({}, pg_catalog.clock_timestamp())",
        literal(base)
    );
    match coordinator.run(&sql).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&error.into())),
    }
}

fn part_gid(base: &str, part: usize) -> String {
    literal(&format!("{base}:{part}"))
}

/// PREPARE TRANSACTION on all but the coordinator, one result each.
async fn prepare_others(leases: &mut [Lease], base: &str) -> Vec<Result<(), Failure>> {
    let prepares = leases
        .iter_mut()
        .enumerate()
        .skip(1)
        .map(|(part, lease)| async move {
            match lease
                .run(&format!("PREPARE TRANSACTION {}", part_gid(base, part)))
                .await
            {
                Ok(rows) if rows.tag == "PREPARE TRANSACTION" => Ok(()),
                // In a failed transaction PREPARE is a ROLLBACK.
                Ok(_) => Err(commands::aborted()),
                Err(error) => Err(error.into()),
            }
        });
    join_all(prepares).await
}

enum Decided {
    Committed,
    Aborted(Failure),
    Unknown,
}

/// COMMIT on the coordinator; if its answer is lost, the recovery's question to its node.
async fn decide(hold: &Hold, leases: &mut [Lease], base: &str) -> Decided {
    let Some(coordinator) = leases.first_mut() else {
        return Decided::Unknown;
    };
    match coordinator.run("COMMIT").await {
        Ok(rows) if rows.tag == "COMMIT" => return Decided::Committed,
        Ok(_) => return Decided::Aborted(failed(&commands::aborted())),
        Err(error @ RunError::Server(_)) if !coordinator.is_broken() => {
            return Decided::Aborted(failed(&error.into()));
        }
        Err(RunError::Server(_) | RunError::Fault(_)) => {}
    }
    let node = coordinator.node();
    let deadline = Instant::now() + RESOLVE_FOR;
    while Instant::now() < deadline {
        if let Some(server) = recovery::primary_server(&hold.fleet, node) {
            match recovery::resolve(&server, base).await {
                Ok(Outcome::Committed) => return Decided::Committed,
                Ok(Outcome::Aborted) => {
                    let why = Fault::new(
                        Code::COMMIT_FAILED,
                        "a server was lost during the commit; everything was rolled back",
                    );
                    return Decided::Aborted(why.into());
                }
                Err(problem) => {
                    tracing::warn!(gid = base, problem, "the outcome of a commit is not known yet")
                }
            }
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
    Decided::Unknown
}

/// COMMIT PREPARED on all but the coordinator. It is decided: what fails is tried again on a
/// connection of its own, and at last left to recovery. True: all of them are committed.
async fn finish_others(hold: &Hold, leases: &mut [Lease], base: &str) -> bool {
    // The shell comes last: whoever finds something in it finds it on every node.
    let shell = hold.database.shell;
    let (last, others): (Vec<_>, Vec<_>) = leases
        .iter_mut()
        .enumerate()
        .skip(1)
        .partition(|(_, lease)| Some(lease.node()) == shell);
    let done = finish(hold, others, base).await;
    finish(hold, last, base).await && done
}

async fn finish(hold: &Hold, leases: Vec<(usize, &mut Lease)>, base: &str) -> bool {
    let finishes = leases.into_iter().map(|(part, lease)| async move {
        let sql = format!("COMMIT PREPARED {}", part_gid(base, part));
        if lease.run(&sql).await.is_ok() {
            return true;
        }
        let deadline = Instant::now() + FINISH_FOR;
        while Instant::now() < deadline {
            if let Some(server) = recovery::primary_server(&hold.fleet, lease.node()) {
                let gid = format!("{base}:{part}");
                // The server lets only who prepared it finish it.
                let server = hold.fleet.logged_in(&server);
                match recovery::finish(&server, &gid, Outcome::Committed).await {
                    Ok(()) => return true,
                    Err(problem) => tracing::warn!(gid, problem, "a decided commit is not finished yet"),
                }
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
        tracing::error!(gid = base, part, "a decided commit is left to recovery");
        false
    });
    join_all(finishes).await.into_iter().all(|done| done)
}

impl Hold {
    /// Rolls all of them back, prepared or not, and passes the failure on.
    async fn undo_prepared(
        &mut self,
        mut leases: Vec<Lease>,
        base: &str,
        prepared: &[Result<(), Failure>],
        failure: Failure,
    ) -> Failure {
        let undoes =
            leases
                .iter_mut()
                .enumerate()
                .skip(1)
                .zip(prepared)
                .map(|((part, lease), done)| async move {
                    // One whose answer was lost may be prepared: recovery finds it.
                    if done.is_ok() {
                        let sql = format!("ROLLBACK PREPARED {}", part_gid(base, part));
                        if let Err(error) = lease.run(&sql).await {
                            let problem = Failure::from(error).message();
                            tracing::warn!(gid = base, part, problem, "left to recovery: rolling back");
                        }
                    }
                });
        join_all(undoes).await;
        self.undo_all(leases, failure).await
    }

    async fn undo_all(&mut self, leases: Vec<Lease>, failure: Failure) -> Failure {
        let branches = leases.into_iter().map(|lease| {
            let node: NodeId = lease.node();
            Branch {
                lease: Some(lease),
                node,
                primary: true,
                wrote: true,
            }
        });
        self.undo(branches.collect()).await;
        failure
    }
}

/// The client is told which of its own mistakes it was (a deferred constraint keeps its SQLSTATE), or
/// that it may try again.
fn failed(cause: &Failure) -> Failure {
    match cause {
        Failure::Server(_) => cause.clone(),
        Failure::Margay(fault) if fault.code == Code::COMMIT_FAILED => cause.clone(),
        Failure::Margay(fault) => Failure::Margay(
            Fault::new(
                Code::COMMIT_FAILED,
                "the commit over several nodes failed; everything was rolled back",
            )
            .detail(fault.message.clone()),
        ),
    }
}

fn unknown() -> Failure {
    Failure::Margay(
        Fault::new(
            Code::COMMIT_UNKNOWN,
            "the connection to a server was lost during COMMIT; its outcome is not known",
        )
        .hint("look whether the transaction's changes are there before doing it again"),
    )
}

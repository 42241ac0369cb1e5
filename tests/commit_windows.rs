//! The small windows of a commit over several nodes, each held open on purpose: a deferred
//! constraint that fails at PREPARE or at the deciding COMMIT, a coordinator that hangs in its COMMIT
//! while the others are prepared, a participant that hangs in COMMIT PREPARED. What dies meanwhile
//! must change nothing of all or nothing.

mod support;
mod two_proxies;

use std::process::Command;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};
use two_proxies::{World, console_url, direct, rows, until};

/// A ledger row of this amount waits at the end of its transaction for the lock of this number.
const GATE: i64 = 7777;

/// On a node: whoever holds the advisory lock keeps such rows' transactions from ending.
const GATE_SQL: &str = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
       PERFORM pg_advisory_xact_lock(7777); RETURN NULL; END $$; \
     CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON ledger DEFERRABLE INITIALLY DEFERRED \
       FOR EACH ROW WHEN (NEW.amount = 7777) EXECUTE FUNCTION gate()";

struct Windows {
    world: World,
    runtime: Runtime,
    /// An account on n_a, n_b, n_c.
    accounts: [i64; 3],
    last_id: i64,
}

impl Windows {
    fn start() -> Windows {
        let runtime = Runtime::new().expect("a runtime");
        let world = World::start(&runtime);
        let accounts = runtime.block_on(async {
            let client = support::connect(world.sandbox.proxy()).await;
            let fill = (0..60)
                .map(|a| format!("({a}, 100)"))
                .collect::<Vec<_>>()
                .join(", ");
            client
                .batch_execute(&format!("INSERT INTO accounts VALUES {fill}"))
                .await
                .expect("accounts");
            let mut accounts = [0; 3];
            for (at, node) in two_proxies::NODES.iter().enumerate() {
                let client = direct(&world.sandbox, node).await;
                let row = client
                    .query_one("SELECT min(account) FROM accounts", &[])
                    .await
                    .expect("a row");
                accounts[at] = row.get(0);
                client.batch_execute(GATE_SQL).await.expect("a trigger");
            }
            accounts
        });
        Windows {
            world,
            runtime,
            accounts,
            last_id: 0,
        }
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Begins a transaction through the first proxy that writes a ledger row on each of two nodes; the
    /// first of them becomes the coordinator.
    async fn open(&self, id: i64, rows: [(usize, i64); 2]) -> Client {
        let client = support::connect(self.world.sandbox.proxy()).await;
        client.batch_execute("BEGIN").await.expect("a transaction");
        for (node, amount) in rows {
            let account = self.accounts[node];
            let sql = format!("INSERT INTO ledger (id, account, amount) VALUES ({id}, {account}, {amount})");
            client.batch_execute(&sql).await.expect("a row");
        }
        client
    }

    /// How many rows the transfer has on each node.
    async fn found(&self, id: i64) -> [i64; 3] {
        let mut found = [0; 3];
        for (at, node) in two_proxies::NODES.iter().enumerate() {
            let client = direct(&self.world.sandbox, node).await;
            let row = client
                .query_one("SELECT count(*) FROM ledger WHERE id = $1", &[&id])
                .await;
            found[at] = row.expect("a count").get(0);
        }
        found
    }

    /// A connection to a node that keeps its gate shut until it is dropped.
    async fn shut(&self, node: &str) -> Client {
        let keeper = direct(&self.world.sandbox, node).await;
        keeper
            .batch_execute(&format!("SELECT pg_advisory_lock({GATE})"))
            .await
            .expect("the lock");
        keeper
    }

    async fn is_prepared(&self, node: &str) {
        let client = direct(&self.world.sandbox, node).await;
        until("a part is prepared", async || {
            count(&client, "SELECT count(*) FROM pg_prepared_xacts").await == 1
        })
        .await;
    }

    async fn waits_at_gate(&self, node: &str) -> i64 {
        let client = direct(&self.world.sandbox, node).await;
        let sql = "SELECT coalesce(min(pid), 0)::bigint FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'advisory'";
        until("the COMMIT hangs", async || count(&client, sql).await > 0).await;
        count(&client, sql).await
    }
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect("a number").get(0)
}

fn commit(client: Client) -> JoinHandle<Result<(), Error>> {
    tokio::spawn(async move { client.batch_execute("COMMIT").await })
}

fn state(error: &Error) -> &str {
    error.code().map_or("no SQLSTATE", |code| code.code())
}

fn signal(pid: i64, signal: &str) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(
        status.expect("kill runs").success(),
        "can't send {signal} to {pid}"
    );
}

/// The transaction is decided on n_a, and n_b's server process, which has prepared its part, is frozen: gives
/// the COMMIT that waits for it, and the process.
fn frozen_participant(w: &mut Windows, id: i64) -> (JoinHandle<Result<(), Error>>, i64) {
    w.runtime.block_on(async {
        let keeper = w.shut("n_a").await;
        let committing = commit(w.open(id, [(0, GATE), (1, -GATE)]).await);
        w.waits_at_gate("n_a").await;
        w.is_prepared("n_b").await;
        let n_b = direct(&w.world.sandbox, "n_b").await;
        let sql = "SELECT pid::bigint FROM pg_stat_activity WHERE usename = 'app' AND query LIKE 'PREPARE TRANSACTION%' \
                   ORDER BY query_start DESC LIMIT 1";
        let pid = count(&n_b, sql).await;
        signal(pid, "STOP");
        drop(keeper);
        let n_a = direct(&w.world.sandbox, "n_a").await;
        let sql = format!("SELECT count(*) FROM ledger WHERE id = {id}");
        until("it is decided", async || count(&n_a, &sql).await == 1).await;
        (committing, pid)
    })
}

/// Ends a frozen server process before it reads what was sent to it.
async fn end_frozen(w: &Windows, node: &str, pid: i64) {
    let client = direct(&w.world.sandbox, node).await;
    client
        .batch_execute(&format!("SELECT pg_terminate_backend({pid}::int)"))
        .await
        .expect("a signal");
    signal(pid, "CONT");
}

fn constraint_that_fails_at_prepare_or_commit_reaches_the_client(w: &mut Windows) {
    for failing in [1, 0] {
        let (first, id) = (w.next_id(), w.last_id);
        w.runtime.block_on(async {
            let account = w.accounts[failing];
            let there = direct(&w.world.sandbox, two_proxies::NODES[failing]).await;
            let sql = format!("INSERT INTO ledger (id, account, amount) VALUES ({first}, {account}, 1)");
            there.batch_execute(&sql).await.expect("a row in the way");
            let client = w.open(id, [(0, 5), (1, -5)]).await;
            let error = client
                .batch_execute("COMMIT")
                .await
                .expect_err("the constraint fails");
            assert_eq!(state(&error), "23505", "the server's own error");
            let mut expected = [0; 3];
            expected[failing] = 1;
            assert_eq!(w.found(id).await, expected, "only the row that was in the way");
            w.world.nothing_stays_prepared().await;
            client
                .batch_execute("SELECT 1")
                .await
                .expect("the session goes on");
        });
    }
}

fn coordinator_lost_in_its_commit_rolls_everything_back(w: &mut Windows) {
    let id = w.next_id();
    w.runtime.block_on(async {
        let keeper = w.shut("n_a").await;
        let committing = commit(w.open(id, [(0, GATE), (1, -GATE)]).await);
        let pid = w.waits_at_gate("n_a").await;
        w.is_prepared("n_b").await;
        keeper
            .batch_execute(&format!("SELECT pg_terminate_backend({pid}::int)"))
            .await
            .expect("a signal");
        let error = committing
            .await
            .expect("a task")
            .expect_err("the coordinator is gone");
        assert_eq!(state(&error), "40000", "everything was rolled back: try again");
        assert_eq!(w.found(id).await, [0, 0, 0]);
        w.world.nothing_stays_prepared().await;
    });
}

fn proxy_killed_while_the_coordinator_commits_is_finished_by_the_other(w: &mut Windows, decided: bool) {
    let id = w.next_id();
    w.runtime.block_on(async {
        let keeper = w.shut("n_a").await;
        let committing = commit(w.open(id, [(0, GATE), (1, -GATE)]).await);
        let pid = w.waits_at_gate("n_a").await;
        w.is_prepared("n_b").await;
        w.world.kill_first();
        committing.await.expect("a task").expect_err("its proxy is gone");
        if decided {
            // The server doesn't know yet that its client is gone: nobody may decide meanwhile.
            let console = support::connect(&console_url(&w.world.second_url())).await;
            until("the other proxy has tried and left it", async || {
                rows(&console, "SHOW PROBLEMS")
                    .await
                    .iter()
                    .any(|problem| problem[2] == "prepared transactions")
            })
            .await;
            w.is_prepared("n_b").await;
            drop(keeper);
        } else {
            keeper
                .batch_execute(&format!("SELECT pg_terminate_backend({pid}::int)"))
                .await
                .expect("a signal");
        }
        w.world.nothing_stays_prepared().await;
        let expected = if decided { [1, 1, 0] } else { [0, 0, 0] };
        assert_eq!(w.found(id).await, expected);
    });
    w.world.start_first();
}

fn decided_commit_is_finished_though_a_connection_breaks(w: &mut Windows) {
    let id = w.next_id();
    let (committing, pid) = frozen_participant(w, id);
    w.runtime.block_on(async {
        end_frozen(w, "n_b", pid).await;
        committing.await.expect("a task").expect("it was decided");
        assert_eq!(w.found(id).await, [1, 1, 0], "acknowledged is done on every node");
        w.world.nothing_stays_prepared().await;
    });
}

fn decided_commit_of_a_dead_proxy_is_committed(w: &mut Windows) {
    let id = w.next_id();
    let (committing, pid) = frozen_participant(w, id);
    w.runtime.block_on(async {
        w.world.kill_first();
        committing.await.expect("a task").expect_err("its proxy is gone");
        end_frozen(w, "n_b", pid).await;
        w.world.nothing_stays_prepared().await;
        assert_eq!(w.found(id).await, [1, 1, 0]);
    });
    w.world.start_first();
}

/// The decision must outlive the commits after it, for as long as a part is prepared.
fn decided_commit_waits_for_a_node_that_is_away(w: &mut Windows) {
    let id = w.next_id();
    let (committing, pid) = frozen_participant(w, id);
    w.world.sandbox.signal("MARGAY_NODE_N_B_PID", "KILL");
    signal(pid, "KILL");
    w.runtime.block_on(async {
        committing.await.expect("a task").expect("it was decided");
        // As many more as it takes for the proxy to forget the decisions of what it has finished.
        for other in 1_000..1_140 {
            let client = w.open(other, [(0, 1), (2, -1)]).await;
            client
                .batch_execute("COMMIT")
                .await
                .expect("the other nodes serve");
        }
        let n_a = direct(&w.world.sandbox, "n_a").await;
        until("decisions are forgotten", async || {
            count(&n_a, "SELECT count(*) FROM margay.decision").await < 80
        })
        .await;
    });
    w.world.sandbox.start_again("n_b").expect("the node starts again");
    w.runtime.block_on(async {
        w.world.nothing_stays_prepared().await;
        assert_eq!(w.found(id).await, [1, 1, 0]);
    });
}

#[test]
fn commit_over_several_nodes_is_all_or_nothing_in_every_window() {
    let mut w = Windows::start();
    constraint_that_fails_at_prepare_or_commit_reaches_the_client(&mut w);
    coordinator_lost_in_its_commit_rolls_everything_back(&mut w);
    decided_commit_is_finished_though_a_connection_breaks(&mut w);
    decided_commit_waits_for_a_node_that_is_away(&mut w);
    proxy_killed_while_the_coordinator_commits_is_finished_by_the_other(&mut w, true);
    proxy_killed_while_the_coordinator_commits_is_finished_by_the_other(&mut w, false);
    decided_commit_of_a_dead_proxy_is_committed(&mut w);
    w.runtime.block_on(async {
        w.world.nothing_leaks().await;
        w.world.no_decision_stays().await;
    });
}

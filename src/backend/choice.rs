//! Which server of a node takes a read. The safe direction is the primary: a replica is chosen only
//! where it is proved fresh enough.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::node::NodeState;
use super::server::{Health, Role, ServerState};
use crate::model::ServerId;
use crate::topology::{Balance, Consistency, ReadFrom, Reads};

/// What a lease is for.
#[derive(Clone, Copy, Debug)]
pub enum Want<'a> {
    /// Writes, locks, transactions.
    Primary,
    /// A read. `after`: when this session's last commit on this node was acknowledged.
    Read {
        policy: &'a Reads,
        after: Option<Instant>,
    },
}

/// Servers that were tried already, by their index. A node has far fewer than 64 servers; those
/// beyond would never be chosen for reads.
pub(super) type Tried = u64;

/// The replica that takes a read; None: the primary does.
pub(super) fn replica(
    node: &NodeState,
    policy: &Reads,
    after: Option<Instant>,
    now: Instant,
    tried: Tried,
) -> Option<ServerId> {
    match policy.from {
        ReadFrom::Primary => return None,
        ReadFrom::Replicas => {}
    }
    let after = match policy.consistency {
        Consistency::Session => after,
        Consistency::Eventual => None,
    };
    let anywhere = || {
        let all = node.servers.iter().enumerate().take(64);
        all.filter(move |(i, server)| tried & (1 << i) == 0 && qualifies(server, policy, after, now))
    };
    // A zone away costs more than waiting for a busier replica; one that is fresh enough comes first.
    let some_near = anywhere().any(|(_, server)| server.server().near);
    let fit = || anywhere().filter(move |(_, server)| server.server().near || !some_near);
    let chosen = match policy.balance {
        Balance::LeastConnections => {
            // Of equals another one comes first each time.
            let turn = node.turn.fetch_add(1, Relaxed);
            let count = node.servers.len().max(1);
            fit().min_by(|(i, a), (j, b)| {
                let load = |s: &ServerState| u64::from(s.active());
                let weight = |s: &ServerState| u64::from(s.server().weight);
                // a/wa < b/wb, without division.
                (load(a) * weight(b)).cmp(&(load(b) * weight(a))).then_with(|| {
                    let place = |i: usize| (i + turn) % count;
                    place(*i).cmp(&place(*j))
                })
            })
        }
        Balance::RoundRobin => by_weight(
            fit(),
            |total| node.turn.fetch_add(1, Relaxed) as u64 % total,
            fit(),
        ),
        Balance::Random => by_weight(fit(), |total| rand::random_range(0..total), fit()),
    };
    chosen.map(|(i, _)| ServerId(i as u16))
}

/// Up, a replica with a share of the reads, within the allowed lag, and past the session's own writes.
fn qualifies(server: &ServerState, policy: &Reads, after: Option<Instant>, now: Instant) -> bool {
    if server.server().weight == 0 || server.health() != Health::Up || server.role() != Role::Replica {
        return false;
    }
    let Some(fresh) = server.fresh() else { return false };
    now.saturating_duration_since(fresh) <= policy.max_lag && after.is_none_or(|after| fresh > after)
}

/// The server under the point that `pick` chooses on the line of all weights. Health may change
/// between the two walks: then the last one of the second walk takes it.
fn by_weight<'s>(
    first: impl Iterator<Item = (usize, &'s std::sync::Arc<ServerState>)>,
    pick: impl FnOnce(u64) -> u64,
    second: impl Iterator<Item = (usize, &'s std::sync::Arc<ServerState>)>,
) -> Option<(usize, &'s std::sync::Arc<ServerState>)> {
    let total: u64 = first.map(|(_, s)| u64::from(s.server().weight)).sum();
    if total == 0 {
        return None;
    }
    let mut left = pick(total);
    let mut last = None;
    for (i, server) in second {
        last = Some((i, server));
        let weight = u64::from(server.server().weight);
        if left < weight {
            break;
        }
        left -= weight;
    }
    last
}

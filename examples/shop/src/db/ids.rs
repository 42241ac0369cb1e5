//! Row ids made by the shop itself: 63 bits, ordered by time, unique without asking a database.
//! Layout from the top: 41 bits of milliseconds since 2020-01-01 UTC, 10 bits of worker, 12 bits of
//! sequence. Must not touch a database: the same ids have to work on one server and on many.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// 2020-01-01T00:00:00Z in milliseconds since the Unix epoch.
const EPOCH_MS: i64 = 1_577_836_800_000;
const WORKER_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
/// The worker that seeding writes under, so that a running shop never makes the id of a seeded row.
pub const SEED_WORKER: u16 = (1 << WORKER_BITS) - 1;

/// Makes ids for rows of the present moment; shared by all tasks of one process.
#[derive(Debug)]
pub struct Ids {
    worker: u64,
    /// Milliseconds and sequence of the last id, without the worker in between: it only grows.
    last: AtomicU64,
}

impl Ids {
    /// A generator under a random worker number, so that two shops on one database don't collide.
    pub fn random() -> Ids {
        Ids::of_worker(rand::random_range(0..SEED_WORKER))
    }

    pub fn of_worker(worker: u16) -> Ids {
        Ids {
            worker: u64::from(worker) & ((1 << WORKER_BITS) - 1),
            last: AtomicU64::new(0),
        }
    }

    /// The next id for a row of the instant `at`. Later calls give greater ids, even when the clock
    /// steps back or more than 4096 ids fall into one millisecond: the id then runs ahead of the clock.
    pub fn next(&self, at: Timestamp) -> i64 {
        let now = since_epoch_ms(at) << SEQUENCE_BITS;
        let advance = |last: u64| Some(now.max(last + 1));
        let before = match self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance)
        {
            Ok(before) | Err(before) => before,
        };
        compose(now.max(before + 1), self.worker)
    }
}

/// Makes ids for rows of the past: each bears the time it is given, in whatever order they come.
#[derive(Debug, Default)]
pub struct PastIds {
    sequence: u64,
}

impl PastIds {
    pub fn next(&mut self, at: Timestamp) -> i64 {
        self.sequence += 1;
        let state = (since_epoch_ms(at) << SEQUENCE_BITS) | (self.sequence & SEQUENCE_MASK);
        compose(state, u64::from(SEED_WORKER))
    }
}

fn since_epoch_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond() - EPOCH_MS).unwrap_or(0)
}

fn compose(state: u64, worker: u64) -> i64 {
    let milliseconds = state >> SEQUENCE_BITS;
    let id =
        (milliseconds << (WORKER_BITS + SEQUENCE_BITS)) | (worker << SEQUENCE_BITS) | (state & SEQUENCE_MASK);
    // The top bit stays clear until 2089; a bigint is signed.
    (id & (u64::MAX >> 1)) as i64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn ids_of_one_generator_are_unique_and_ascend() {
        let ids = Ids::of_worker(7);
        let at = Timestamp::now();
        let made: Vec<i64> = (0..50_000).map(|_| ids.next(at)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn ids_made_by_many_threads_are_unique() {
        let ids = Arc::new(Ids::of_worker(7));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let ids = Arc::clone(&ids);
                std::thread::spawn(move || {
                    (0..20_000)
                        .map(|_| ids.next(Timestamp::now()))
                        .collect::<Vec<i64>>()
                })
            })
            .collect();
        let mut seen = HashSet::new();
        for thread in threads {
            for id in thread.join().expect("the thread only makes ids") {
                assert!(seen.insert(id), "{id} was made twice");
            }
        }
    }

    #[test]
    fn ids_stay_in_order_when_the_clock_steps_back() {
        let ids = Ids::of_worker(1);
        let first = ids.next(Timestamp::from_second(1_800_000_000).expect("in range"));
        let second = ids.next(Timestamp::from_second(1_700_000_000).expect("in range"));
        assert!(second > first);
    }

    #[test]
    fn ids_of_two_workers_differ_at_the_same_instant() {
        let at = Timestamp::now();
        assert_ne!(Ids::of_worker(1).next(at), Ids::of_worker(2).next(at));
        assert_ne!(Ids::of_worker(1).next(at), PastIds::default().next(at));
    }

    #[test]
    fn ids_are_positive_and_order_by_time() {
        let mut past = PastIds::default();
        let late = past.next("2026-08-01T00:00:00Z".parse().expect("a timestamp"));
        let early = past.next("2026-01-01T00:00:00Z".parse().expect("a timestamp"));
        assert!(early > 0 && early < late);
    }
}

//! Generated ids: 63 bits, unique over all proxies, rising in time order within one proxy, and
//! made without asking anyone.
//!
//! ```text
//! 0 | 41 bits: milliseconds since 2026-01-01 UTC (until 2095) | 10 bits: worker | 12 bits: sequence
//! ```
//!
//! The worker number is leased (`lease`) together with a high water: the time up to which ids may
//! be issued. It is moved ahead in the background; when it can't be, ids run out rather than
//! collide. Must not do I/O: `ids` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;

use crate::model::{Code, Fault};

/// 2026-01-01 00:00:00 UTC in milliseconds since 1970.
pub const EPOCH_MS: i64 = 1_767_225_600_000;
const SEQUENCE_BITS: u32 = 12;
const WORKER_BITS: u32 = 10;
/// Worker numbers are below this.
pub const WORKERS: u16 = 1 << WORKER_BITS;
const TIME_LIMIT_MS: i64 = 1 << 41;

/// Milliseconds since `EPOCH_MS`; handed in, so that tests can turn it back.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock. Before 2026 it counts as the epoch itself.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (since_1970.as_millis() as i64 - EPOCH_MS).max(0)
    })
}

/// A worker number in use.
#[derive(Debug)]
struct Worker {
    number: u16,
    /// Time and sequence of the last id: `ms << 12 | sequence`. It never goes back, whatever the clock does.
    last: AtomicU64,
    high_water_ms: AtomicI64,
}

/// Where ids come from. Lock-free; shared by all sessions.
pub struct IdSource {
    clock: Clock,
    worker: ArcSwapOption<Worker>,
}

impl IdSource {
    /// Has no worker number yet: `next_id` fails until `begin`.
    pub fn new(clock: Clock) -> Self {
        IdSource {
            clock,
            worker: ArcSwapOption::empty(),
        }
    }

    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// From now on with this worker number, above `floor_ms` and up to `high_water_ms`.
    pub fn begin(&self, number: u16, floor_ms: i64, high_water_ms: i64) {
        debug_assert!(number < WORKERS);
        let last = ((floor_ms.max(0) as u64) << SEQUENCE_BITS) | ((1 << SEQUENCE_BITS) - 1);
        self.worker.store(Some(Arc::new(Worker {
            number: number & (WORKERS - 1),
            last: AtomicU64::new(last),
            high_water_ms: AtomicI64::new(high_water_ms),
        })));
    }

    /// Moves the high water of the present worker number; never back.
    pub fn extend(&self, high_water_ms: i64) {
        if let Some(worker) = &*self.worker.load() {
            worker.high_water_ms.fetch_max(high_water_ms, Ordering::AcqRel);
        }
    }

    /// The worker number is no longer ours.
    pub fn end(&self) {
        self.worker.store(None);
    }

    /// Time of the last id issued, or the floor.
    pub fn last_ms(&self) -> Option<i64> {
        self.worker
            .load()
            .as_ref()
            .map(|w| (w.last.load(Ordering::Acquire) >> SEQUENCE_BITS) as i64)
    }

    /// The next id. When more than 4096 are asked for in a millisecond, or the clock went back,
    /// it continues from the last one, ahead of the clock, never beyond the high water.
    pub fn next_id(&self) -> Result<i64, Fault> {
        let guard = self.worker.load();
        let Some(worker) = &*guard else {
            return Err(no_ids());
        };
        let now = (self.clock)();
        let earliest = (now.clamp(0, TIME_LIMIT_MS - 1) as u64) << SEQUENCE_BITS;
        let mut last = worker.last.load(Ordering::Acquire);
        loop {
            let next = earliest.max(last + 1);
            let ms = (next >> SEQUENCE_BITS) as i64;
            if ms > worker.high_water_ms.load(Ordering::Acquire) || ms >= TIME_LIMIT_MS {
                return Err(no_ids());
            }
            match worker
                .last
                .compare_exchange_weak(last, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    let sequence = (next as i64) & ((1 << SEQUENCE_BITS) - 1);
                    return Ok((ms << (WORKER_BITS + SEQUENCE_BITS))
                        | (i64::from(worker.number) << SEQUENCE_BITS)
                        | sequence);
                }
                Err(seen) => last = seen,
            }
        }
    }
}

fn no_ids() -> Fault {
    Fault::new(
        Code::NODE_DOWN,
        "no id can be generated: the lease of the worker number has run out",
    )
    .detail("The node that keeps the leases can't be reached, or has not been asked yet.")
    .hint("Give the id in the statement, or try again when the node is back.")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A source whose clock shows what the test says.
    fn source() -> (Arc<IdSource>, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(1_000));
        let shown = time.clone();
        let source = IdSource::new(Arc::new(move || shown.load(Ordering::Relaxed)));
        (Arc::new(source), time)
    }

    #[test]
    fn id_holds_time_worker_and_sequence() {
        let (source, time) = source();
        source.begin(5, 0, 10_000);
        assert_eq!(source.next_id().unwrap(), (1_000 << 22) | (5 << 12));
        assert_eq!(source.next_id().unwrap(), (1_000 << 22) | (5 << 12) | 1);
        time.store(1_001, Ordering::Relaxed);
        assert_eq!(source.next_id().unwrap(), (1_001 << 22) | (5 << 12));
    }

    #[test]
    fn ids_rise_and_never_repeat_across_threads() {
        let source = Arc::new(IdSource::new(system_clock()));
        let now = source.now_ms();
        source.begin(1, now, now + 100_000);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let source = source.clone();
                std::thread::spawn(move || {
                    (0..20_000)
                        .map(|_| source.next_id().expect("within the lease"))
                        .collect::<Vec<i64>>()
                })
            })
            .collect();
        let mut all = HashSet::new();
        for thread in threads {
            let ids = thread.join().expect("no panic");
            assert!(
                ids.windows(2).all(|pair| pair[0] < pair[1]),
                "rising within a thread"
            );
            ids.into_iter()
                .for_each(|id| assert!(all.insert(id), "{id} was issued twice"));
        }
    }

    #[test]
    fn clock_that_goes_back_does_not_repeat_ids() {
        let (source, time) = source();
        source.begin(0, 0, 10_000);
        let before = source.next_id().unwrap();
        time.store(10, Ordering::Relaxed);
        let after = source.next_id().unwrap();
        assert!(after > before);
    }

    #[test]
    fn nothing_is_issued_beyond_the_high_water() {
        let (source, time) = source();
        assert_eq!(
            source.next_id().unwrap_err().code,
            Code::NODE_DOWN,
            "no lease yet"
        );
        source.begin(0, 0, 1_000);
        for _ in 0..4096 {
            source.next_id().unwrap();
        }
        assert!(
            source.next_id().is_err(),
            "the millisecond is used up and the next one is not ours"
        );
        source.extend(1_001);
        assert_eq!(source.next_id().unwrap() >> 22, 1_001);
        source.extend(500);
        assert_eq!(
            source.next_id().unwrap() >> 22,
            1_001,
            "the high water never goes back"
        );
        time.store(1_002, Ordering::Relaxed);
        assert!(source.next_id().is_err());
        source.end();
        assert!(source.next_id().is_err());
    }

    #[test]
    fn new_holder_of_a_worker_number_starts_above_the_earlier_ones_ids() {
        let (first, time) = source();
        first.begin(7, 0, 2_000);
        let mut all = HashSet::new();
        for _ in 0..5000 {
            assert!(all.insert(first.next_id().unwrap()));
        }
        // The number is taken over at 2001, while the second proxy's clock is behind.
        let (second, _) = source();
        time.store(1_500, Ordering::Relaxed);
        second.begin(7, 2_000, 12_000);
        for _ in 0..5000 {
            assert!(all.insert(second.next_id().unwrap()), "issued by both");
        }
    }
}

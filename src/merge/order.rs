//! k-way merge of sorted sources by a binary heap of their first rows. A row is given only when every
//! source that may still send rows shows its next one. Sources' rows must come sorted: a
//! source that breaks the order is a fault, since the result would be silently wrong.

use std::cmp::Ordering;
use std::collections::VecDeque;

use bytes::Bytes;

use super::columns::{Columns, Comparable, Field};
use super::decode::Datum;
use super::held::Held;
use crate::model::{Code, Fault};

/// One ORDER BY item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub column: Comparable,
    pub descending: bool,
    pub nulls_first: bool,
}

/// The sort key values of a row. One is the usual case and needs no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    One(Option<Datum>),
    Many(Box<[Option<Datum>]>),
}

impl Keys {
    pub fn read(sorts: &[Sort], row: &[u8], fields: &[Field]) -> Result<Keys, Fault> {
        if let [sort] = sorts {
            return Ok(Keys::One(sort.column.datum(row, fields)?));
        }
        let values = sorts.iter().map(|sort| sort.column.datum(row, fields));
        Ok(Keys::Many(values.collect::<Result<_, _>>()?))
    }

    fn values(&self) -> &[Option<Datum>] {
        match self {
            Keys::One(value) => std::slice::from_ref(value),
            Keys::Many(values) => values,
        }
    }

    fn held_bytes(&self) -> usize {
        self.values()
            .iter()
            .map(|v| size_of::<Option<Datum>>() + v.as_ref().map_or(0, Datum::held_bytes))
            .sum()
    }
}

/// How two rows with these keys are ordered.
pub fn compare(sorts: &[Sort], a: &Keys, b: &Keys) -> Ordering {
    for (sort, (a, b)) in sorts.iter().zip(a.values().iter().zip(b.values())) {
        let order = match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) if sort.nulls_first => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) if sort.nulls_first => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) if sort.descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

#[derive(Debug)]
struct Waiting {
    keys: Keys,
    row: Bytes,
    held: usize,
}

#[derive(Debug, Default)]
struct Source {
    queue: VecDeque<Waiting>,
    /// The keys of the row given last, to check the order of the next.
    last: Option<Keys>,
    finished: bool,
}

/// What the merge has.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Row(Bytes),
    Need(usize),
    End,
}

#[derive(Debug)]
pub struct Ordered {
    sorts: Vec<Sort>,
    sources: Vec<Source>,
    /// Sources with a row waiting: a heap by their first rows.
    heap: Vec<usize>,
    /// Sources that must show a row before anything can be given.
    empty: Vec<usize>,
    fields: Vec<Field>,
}

impl Ordered {
    pub fn new(sorts: Vec<Sort>, sources: usize) -> Ordered {
        Ordered {
            sorts,
            sources: (0..sources).map(|_| Source::default()).collect(),
            heap: Vec::with_capacity(sources),
            empty: (0..sources).rev().collect(),
            fields: Vec::new(),
        }
    }

    pub fn push(
        &mut self,
        columns: &Columns,
        held: &mut Held,
        index: usize,
        row: Bytes,
    ) -> Result<(), Fault> {
        columns.fields(&row, &mut self.fields)?;
        let keys = Keys::read(&self.sorts, &row, &self.fields)?;
        let source = self.sources.get_mut(index).ok_or_else(no_such_source)?;
        let before = source
            .queue
            .back()
            .map(|waiting| &waiting.keys)
            .or(source.last.as_ref());
        if before.is_some_and(|before| compare(&self.sorts, before, &keys) == Ordering::Greater) {
            return Err(out_of_order());
        }
        let size = row.len() + keys.held_bytes() + size_of::<Waiting>();
        held.take(size)?;
        source.queue.push_back(Waiting {
            keys,
            row,
            held: size,
        });
        Ok(())
    }

    pub fn finish(&mut self, index: usize) -> Result<(), Fault> {
        self.sources.get_mut(index).ok_or_else(no_such_source)?.finished = true;
        Ok(())
    }

    pub fn next(&mut self, held: &mut Held) -> Result<Next, Fault> {
        while let Some(index) = self.empty.last().copied() {
            let source = self.sources.get(index).ok_or_else(no_such_source)?;
            if !source.queue.is_empty() {
                self.heap.push(index);
                self.sift_up();
            } else if !source.finished {
                return Ok(Next::Need(index));
            }
            self.empty.pop();
        }
        let Some(first) = self.heap.first().copied() else {
            return Ok(Next::End);
        };
        let source = self.sources.get_mut(first).ok_or_else(no_such_source)?;
        let Some(waiting) = source.queue.pop_front() else {
            return Err(Fault::internal("a source in the heap has no row"));
        };
        held.give(waiting.held);
        if source.queue.is_empty() {
            source.last = Some(waiting.keys);
            self.heap.swap_remove(0);
            self.empty.push(first);
        }
        self.sift_down();
        Ok(Next::Row(waiting.row))
    }

    /// Whether source `a`'s first row comes before `b`'s. Equal rows come in the order of sources.
    fn before(&self, a: usize, b: usize) -> bool {
        let first = |index: usize| self.sources.get(index).and_then(|source| source.queue.front());
        match (first(a), first(b)) {
            (Some(x), Some(y)) => compare(&self.sorts, &x.keys, &y.keys).then(a.cmp(&b)) == Ordering::Less,
            // Not so for sources in the heap.
            (Some(_), None) | (None, Some(_)) | (None, None) => false,
        }
    }

    /// Moves the last entry up to its place.
    fn sift_up(&mut self) {
        let mut at = self.heap.len().saturating_sub(1);
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.before(self.heap[at], self.heap[parent]) {
                return;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    /// Moves the first entry down to its place.
    fn sift_down(&mut self) {
        let mut at = 0;
        loop {
            let mut least = at;
            for child in [at * 2 + 1, at * 2 + 2] {
                if child < self.heap.len() && self.before(self.heap[child], self.heap[least]) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

pub fn no_such_source() -> Fault {
    Fault::internal("a row of a source that the merge doesn't have")
}

fn out_of_order() -> Fault {
    Fault::new(
        Code::ORDER_NOT_EXACT,
        "a server sorted its rows differently than the proxy compares them",
    )
    .hint("compare the collation of the sorted column on all nodes")
}

#[cfg(test)]
mod tests {
    use super::super::decode::Kind;
    use super::super::fixture::{description, row};
    use super::*;

    fn ordered(sources: usize, descending: bool, nulls_first: bool) -> (Ordered, Columns, Held) {
        let columns = Columns::read(&description(&[("n", 20, 0)]), 0, None).expect("columns");
        let column = Comparable {
            index: 0,
            kind: Kind::Int8,
            binary: false,
        };
        (
            Ordered::new(
                vec![Sort {
                    column,
                    descending,
                    nulls_first,
                }],
                sources,
            ),
            columns,
            Held::default(),
        )
    }

    fn merged(mut sources: Vec<Vec<Option<&str>>>, descending: bool, nulls_first: bool) -> Vec<Bytes> {
        let (mut merge, columns, mut held) = ordered(sources.len(), descending, nulls_first);
        sources.iter_mut().for_each(|s| s.reverse());
        let mut out = Vec::new();
        loop {
            match merge.next(&mut held).expect("in order") {
                Next::Row(row) => out.push(row),
                Next::End => break,
                Next::Need(i) => match sources[i].pop() {
                    Some(value) => merge
                        .push(&columns, &mut held, i, row(&[value]))
                        .expect("in order"),
                    None => merge.finish(i).expect("there is such a source"),
                },
            }
        }
        assert_eq!(held, Held::default(), "all memory is given back");
        out
    }

    #[test]
    fn sources_are_merged_by_value() {
        let out = merged(
            vec![
                vec![Some("2"), Some("10"), None],
                vec![],
                vec![Some("-3"), Some("9"), None],
            ],
            false,
            false,
        );
        assert_eq!(
            out,
            [Some("-3"), Some("2"), Some("9"), Some("10"), None, None].map(|v| row(&[v]))
        );
    }

    #[test]
    fn descending_and_nulls_first_are_separate() {
        let out = merged(
            vec![vec![None, Some("10"), Some("2")], vec![None, Some("9")]],
            true,
            true,
        );
        assert_eq!(
            out,
            [None, None, Some("10"), Some("9"), Some("2")].map(|v| row(&[v]))
        );
        let out = merged(vec![vec![Some("10"), None], vec![Some("11"), None]], true, false);
        assert_eq!(out, [Some("11"), Some("10"), None, None].map(|v| row(&[v])));
    }

    #[test]
    fn a_source_that_breaks_the_order_is_a_fault() {
        let (mut merge, columns, mut held) = ordered(1, false, false);
        merge
            .push(&columns, &mut held, 0, row(&[Some("5")]))
            .expect("the first");
        assert_eq!(merge.next(&mut held).expect("one"), Next::Row(row(&[Some("5")])));
        let fault = merge
            .push(&columns, &mut held, 0, row(&[Some("4")]))
            .expect_err("out of order");
        assert_eq!(fault.code, Code::ORDER_NOT_EXACT);
    }

    #[test]
    fn rows_pushed_ahead_wait_for_their_turn() {
        let (mut merge, columns, mut held) = ordered(2, false, false);
        for value in ["1", "3", "5"] {
            merge
                .push(&columns, &mut held, 1, row(&[Some(value)]))
                .expect("in order");
        }
        merge.finish(1).expect("there is such a source");
        assert_eq!(merge.next(&mut held), Ok(Next::Need(0)));
        merge
            .push(&columns, &mut held, 0, row(&[Some("4")]))
            .expect("in order");
        merge.finish(0).expect("there is such a source");
        for value in ["1", "3", "4", "5"] {
            assert_eq!(merge.next(&mut held), Ok(Next::Row(row(&[Some(value)]))));
        }
        assert_eq!(merge.next(&mut held), Ok(Next::End));
    }

    #[test]
    fn random_sources_give_the_sorted_whole() {
        use rand::{Rng, SeedableRng};
        let seed: u64 = rand::rng().random();
        println!("seed {seed}");
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        for _ in 0..200 {
            let mut all = Vec::new();
            let sources: Vec<Vec<String>> = (0..random.random_range(1..9))
                .map(|_| {
                    let mut own: Vec<i64> = (0..random.random_range(0..20))
                        .map(|_| random.random_range(-30..30))
                        .collect();
                    own.sort_unstable();
                    all.extend_from_slice(&own);
                    own.iter().map(i64::to_string).collect()
                })
                .collect();
            all.sort_unstable();
            let sources = sources
                .iter()
                .map(|s| s.iter().map(|v| Some(v.as_str())).collect())
                .collect();
            let expected: Vec<Bytes> = all.iter().map(|v| row(&[Some(&v.to_string())])).collect();
            assert_eq!(merged(sources, false, false), expected, "seed {seed}");
        }
    }
}

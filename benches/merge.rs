//! What merging costs: rows of four sources in order, and grouped. `cargo bench --bench merge`.

use bytes::{BufMut, Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use margay::merge::{Described, Merger, Step};
use margay::plan::{Aggregation, ColumnAt, Combine, GroupKey, RowMerge, SortKey};

const SOURCES: usize = 4;
const ROWS: usize = 1000;
const INT8: u32 = 20;

fn description(binary: bool) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(2);
    for name in [b"id\0", b"nr\0"] {
        body.extend_from_slice(name);
        body.put_u32(0);
        body.put_u16(0);
        body.put_u32(INT8);
        body.put_u16(8);
        body.put_i32(-1);
        body.put_u16(u16::from(binary));
    }
    body.freeze()
}

fn row(values: [i64; 2], binary: bool) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(2);
    for value in values {
        let bytes = if binary {
            value.to_be_bytes().to_vec()
        } else {
            value.to_string().into_bytes()
        };
        body.put_u32(bytes.len() as u32);
        body.extend_from_slice(&bytes);
    }
    body.freeze()
}

/// The rows come turn by turn from the sources, each of which is sorted.
fn sources(binary: bool) -> Vec<Vec<Bytes>> {
    let of = |source: usize| {
        (0..ROWS / SOURCES)
            .map(|i| {
                row(
                    [(i * SOURCES + source) as i64 * 1_000_003, (i % 50) as i64],
                    binary,
                )
            })
            .collect()
    };
    (0..SOURCES).map(of).collect()
}

fn merge(rule: &RowMerge, description: &[u8], parts: Vec<Vec<Bytes>>) -> u64 {
    let mut merger = Merger::new(rule, parts.len(), &Described::usual(description)).expect("int8 is merged");
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let mut turn = 0;
    loop {
        let source = match merger.step().expect("the rows are whole") {
            Step::Row(row) => {
                std::hint::black_box(row);
                continue;
            }
            Step::Done => return merger.given(),
            Step::Need(source) => source,
            Step::NeedAny => {
                turn += 1;
                (0..SOURCES)
                    .map(|i| (turn + i) % SOURCES)
                    .find(|i| parts[*i].len() > 0)
                    .unwrap_or(turn % SOURCES)
            }
        };
        match parts[source].next() {
            Some(row) => merger.push(source, row).expect("the rows are whole"),
            None => (0..SOURCES)
                .filter(|i| parts[*i].len() == 0)
                .for_each(|i| merger.finish(i).expect("a source")),
        }
    }
}

fn benches(criterion: &mut Criterion) {
    let order = vec![SortKey {
        at: ColumnAt::Visible(0),
        descending: false,
        nulls_first: false,
        bytes_order: false,
        what: "id".into(),
    }];
    let group = vec![GroupKey {
        at: ColumnAt::Visible(1),
        bytes_equal: false,
        what: "nr".into(),
    }];
    let columns = vec![(ColumnAt::Visible(0), Combine::Sum)];
    let plain = RowMerge::default();
    let rules = [
        (
            "concatenate",
            RowMerge {
                limit: Some(u64::MAX),
                ..plain.clone()
            },
        ),
        (
            "order",
            RowMerge {
                order,
                ..plain.clone()
            },
        ),
        (
            "group",
            RowMerge {
                aggregate: Some(Aggregation { group, columns }),
                ..plain.clone()
            },
        ),
        (
            "distinct",
            RowMerge {
                distinct: true,
                ..plain
            },
        ),
    ];
    let mut suite = criterion.benchmark_group("merge");
    suite.throughput(Throughput::Elements(ROWS as u64));
    for (name, rule) in &rules {
        for (format, binary) in [("text", false), ("binary", true)] {
            let (description, parts) = (description(binary), sources(binary));
            suite.bench_function(format!("{name}/{format}"), |bencher| {
                bencher.iter_batched(
                    || parts.clone(),
                    |parts| merge(rule, &description, parts),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    suite.finish();
}

criterion_group!(merge_benches, benches);
criterion_main!(merge_benches);

//! What framing costs: the answer to a point query, and one of 1000 rows; scanned, taken as a
//! chunk, and split into frames.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::wire::postgres::frame::{self, FrameScanner, MAX_SERVER};
use margay::wire::postgres::{TxStatus, backend, frontend};

/// `2 T D C Z`: what a prepared point query gives.
fn point() -> BytesMut {
    let mut out = BytesMut::new();
    backend::bind_complete(&mut out);
    answer(&mut out, 1);
    out
}

fn answer(out: &mut BytesMut, rows: usize) {
    backend::row_description(
        out,
        &[
            backend::Field::new(b"id", 20, 8),
            backend::Field::new(b"name", 25, -1),
        ],
    );
    for row in 0..rows {
        backend::data_row(
            out,
            [Some(row.to_string().as_bytes()), Some(b"a name of usual length")],
        );
    }
    backend::command_complete(out, format!("SELECT {rows}").as_bytes());
    backend::ready_for_query(out, TxStatus::Idle);
}

/// Walks the headers as a relay does; gives the number of frames.
fn scan(mut buf: &[u8]) -> usize {
    let mut frames = 0;
    while let Ok(Some(header)) = frame::peek(buf, MAX_SERVER) {
        buf = buf.get(header.len..).unwrap_or_default();
        frames += 1;
    }
    frames
}

/// The same through the scanner that also takes cut frames.
fn scan_stream(buf: &[u8]) -> usize {
    let (mut scanner, mut at, mut marks) = (FrameScanner::new(MAX_SERVER), 0, 0);
    while let Ok(Some(mark)) = scanner.next(buf, &mut at) {
        black_box(mark);
        marks += 1;
    }
    marks
}

fn codec(c: &mut Criterion) {
    let mut thousand = BytesMut::new();
    answer(&mut thousand, 1000);
    for (name, bytes, frames) in [("2TDCZ", point(), 5), ("1000 rows", thousand, 1003)] {
        assert_eq!(scan(&bytes), frames);
        assert_eq!(scan_stream(&bytes), frames * 2);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(frames as u64));
        group.bench_function("headers", |b| b.iter(|| scan(black_box(&bytes))));
        group.bench_function("scanner", |b| b.iter(|| scan_stream(black_box(&bytes))));
        let mut out = BytesMut::with_capacity(bytes.len());
        group.bench_function("headers and copy", |b| {
            b.iter(|| {
                out.clear();
                let frames = scan(black_box(&bytes));
                out.extend_from_slice(&bytes);
                frames
            })
        });
        group.bench_function("split into frames", |b| {
            b.iter_batched_ref(
                || bytes.clone(),
                |buf| {
                    while let Ok(Some(frame)) = frame::split(buf, MAX_SERVER) {
                        black_box(frame);
                    }
                },
                criterion::BatchSize::SmallInput,
            )
        });
        group.finish();
    }
    let mut group = c.benchmark_group("frontend");
    let mut bind = BytesMut::new();
    frontend::bind(
        &mut bind,
        b"",
        b"s1",
        &[1],
        [Some(&42i64.to_be_bytes()[..])].into_iter(),
        &[1],
    );
    group.bench_function("decode bind", |b| {
        b.iter(|| frontend::decode(b'B', black_box(&bind[5..])).is_ok())
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);

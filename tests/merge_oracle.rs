//! The merge against a real server: random rows lie in buckets of one table, a query runs per bucket,
//! the answers are merged, and the result must be what the server says about the whole
//! table, byte for byte, in text and binary formats.

mod merge_support;

use std::collections::HashMap;

use bytes::Bytes;
use margay::merge::{Described, Merger, Step, with_count};
use margay::model::{Code, Fault};
use margay::plan::{Aggregation, ColumnAt, Combine, GroupKey, RowMerge, SortKey};
use merge_support::data::{COLUMNS, create, decimal};
use merge_support::raw::{Answer, Connection, Mode};
use merge_support::server::Server;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use ColumnAt::{Hidden, Visible};

/// Fixed by MARGAY_SEED, to repeat a failure.
fn seeded() -> StdRng {
    let seed = std::env::var("MARGAY_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(rand::random);
    println!("MARGAY_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Simple and extended protocol, text, binary and mixed formats, with and without them in the description.
fn modes(random: &mut StdRng, columns: usize) -> [Mode; 4] {
    let mixed: Vec<i16> = (0..columns).map(|_| random.random_range(0..2)).collect();
    [
        Mode::Simple,
        Mode::Portal(vec![1]),
        Mode::Portal(mixed.clone()),
        Mode::Statement(mixed),
    ]
}

/// The client's own formats: without those of hidden columns.
fn visible(mode: &Mode, hidden: usize) -> Mode {
    let cut = |formats: &Vec<i16>| match formats.len() {
        0 | 1 => formats.clone(),
        all => formats[..all - hidden].to_vec(),
    };
    match mode {
        Mode::Simple => Mode::Simple,
        // The oracle's description is compared too, so its portal is described.
        Mode::Portal(formats) | Mode::Statement(formats) => Mode::Portal(cut(formats)),
    }
}

fn described<'a>(answer: &'a Answer, mode: &'a Mode) -> Described<'a> {
    let formats = match mode {
        Mode::Statement(formats) => Some(formats.as_slice()),
        Mode::Simple | Mode::Portal(_) => None,
    };
    Described {
        formats,
        ..Described::usual(&answer.description)
    }
}

/// Merges as execute does, with rows pushed ahead now and then.
fn merge(rule: &RowMerge, parts: &[Answer], mode: &Mode, random: &mut StdRng) -> Result<Answer, Fault> {
    let mut merger = Merger::new(rule, parts.len(), &described(&parts[0], mode))?;
    for part in &parts[1..] {
        merger.check_part(&part.description)?;
    }
    let mut sent = vec![0; parts.len()];
    let mut out = Answer {
        description: merger.client_description(),
        ..Answer::default()
    };
    let deliver = |merger: &mut Merger, sent: &mut [usize], i: usize| -> Result<(), Fault> {
        sent[i] += 1;
        match parts[i].rows.get(sent[i] - 1) {
            Some(row) => merger.push(i, row.clone()),
            None => merger.finish(i),
        }
    };
    loop {
        match merger.step()? {
            Step::Row(row) => out.rows.push(row),
            Step::Need(i) => {
                deliver(&mut merger, &mut sent, i)?;
                let ahead = random.random_range(0..parts.len());
                if random.random() && sent[ahead] <= parts[ahead].rows.len() {
                    deliver(&mut merger, &mut sent, ahead)?;
                }
            }
            Step::NeedAny => {
                let open: Vec<usize> = (0..parts.len())
                    .filter(|i| sent[*i] <= parts[*i].rows.len())
                    .collect();
                deliver(&mut merger, &mut sent, open[random.random_range(0..open.len())])?;
            }
            Step::Done => break,
        }
    }
    out.tag = with_count("SELECT", merger.given());
    Ok(out)
}

struct Case<'a> {
    rule: RowMerge,
    /// With `{t}` for the bucket's rows.
    part: &'a str,
    /// With `{t}` for all rows.
    whole: &'a str,
    columns: usize,
    buckets: usize,
}

impl Case<'_> {
    fn run(&self, connection: &mut Connection, random: &mut StdRng, filter: &str) {
        for mode in modes(random, self.columns) {
            let (merged, whole) = self.both(connection, random, &mode, filter);
            assert_eq!(merged.rows, whole.rows, "{} ({filter}, {mode:?})", self.whole);
        }
    }

    /// The answer as merged, and as the server gives it; description and tag are compared already.
    fn both(
        &self,
        connection: &mut Connection,
        random: &mut StdRng,
        mode: &Mode,
        filter: &str,
    ) -> (Answer, Answer) {
        let from = |more: &str| format!("(SELECT * FROM t WHERE ({filter}) AND {more}) AS t");
        let parts: Vec<Answer> = (0..self.buckets)
            .map(|i| connection.query(&self.part.replace("{t}", &from(&format!("bucket = {i}"))), mode))
            .collect();
        let whole = connection.query(
            &self.whole.replace("{t}", &from("true")),
            &visible(mode, self.rule.hidden),
        );
        let merged = merge(&self.rule, &parts, mode, random).expect("this can be merged");
        assert_eq!(merged.description, whole.description, "{} ({mode:?})", self.whole);
        assert_eq!(merged.tag, whole.tag, "{} ({mode:?})", self.whole);
        (merged, whole)
    }
}

fn sort_key(at: ColumnAt, descending: bool, nulls_first: bool) -> SortKey {
    SortKey {
        at,
        descending,
        nulls_first,
        bytes_order: true,
        what: "x".into(),
    }
}

fn group_key(at: ColumnAt) -> GroupKey {
    GroupKey {
        at,
        bytes_equal: true,
        what: "x".into(),
    }
}

const BUCKETS: usize = 4;

#[test]
fn every_type_is_ordered_as_the_server_orders_it() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    create(&mut connection, &mut random, "pg_temp.t", 400, BUCKETS);
    for (name, _) in COLUMNS {
        for (descending, nulls_first) in [(false, false), (false, true), (true, false), (true, true)] {
            let direction = if descending { "DESC" } else { "ASC" };
            let nulls = if nulls_first { "FIRST" } else { "LAST" };
            let order = format!("ORDER BY {name} {direction} NULLS {nulls}, id");
            // Sorted by a visible column, and by a hidden one.
            Case {
                rule: RowMerge {
                    order: vec![
                        sort_key(Visible(1), descending, nulls_first),
                        sort_key(Visible(0), false, false),
                    ],
                    ..RowMerge::default()
                },
                part: &format!("SELECT id, {name} FROM {{t}} {order}"),
                whole: &format!("SELECT id, {name} FROM {{t}} {order}"),
                columns: 2,
                buckets: BUCKETS,
            }
            .run(&mut connection, &mut random, "true");
            let (limit, offset) = (random.random_range(0..150), random.random_range(0..150));
            Case {
                rule: RowMerge {
                    hidden: 2,
                    order: vec![
                        sort_key(Hidden(1), descending, nulls_first),
                        sort_key(Hidden(0), false, false),
                    ],
                    limit: Some(limit),
                    offset,
                    ..RowMerge::default()
                },
                part: &format!(
                    "SELECT tx, id, {name} FROM {{t}} {order} LIMIT {}",
                    limit + offset
                ),
                whole: &format!("SELECT tx FROM {{t}} {order} LIMIT {limit} OFFSET {offset}"),
                columns: 3,
                buckets: BUCKETS,
            }
            .run(&mut connection, &mut random, "id % 5 < 4");
        }
    }
}

#[test]
fn timestamps_are_ordered_in_every_time_zone() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    create(&mut connection, &mut random, "pg_temp.t", 300, BUCKETS);
    for zone in [
        "Asia/Shanghai",
        "Asia/Kolkata",
        "America/New_York",
        "Africa/Monrovia",
        "Europe/Amsterdam",
        "UTC",
    ] {
        connection.run(&format!("SET TimeZone TO '{zone}'"));
        Case {
            rule: RowMerge {
                order: vec![
                    sort_key(Visible(0), false, true),
                    sort_key(Visible(1), true, true),
                ],
                ..RowMerge::default()
            },
            part: "SELECT tz, id FROM {t} ORDER BY tz NULLS FIRST, id DESC",
            whole: "SELECT tz, id FROM {t} ORDER BY tz NULLS FIRST, id DESC",
            columns: 2,
            buckets: BUCKETS,
        }
        .run(&mut connection, &mut random, "true");
    }
}

/// Columns: the key, then aggregates; hidden: sums and counts for the averages.
const AGGREGATES: &str = "count(*), count(i4), sum(i2), sum(i4), sum(i8), sum(n), min(i2), max(i4), min(i8), max(d), \
    min(tm), max(ts), min(tz), max(tz), max(o), bool_and(b), bool_or(b), avg(i2), avg(i4), avg(i8), avg(n)";
const HIDDEN: &str = "sum(i2), count(i2), sum(i4), count(i4), sum(i8), count(i8), sum(n), count(n)";

fn combines() -> Vec<Combine> {
    use Combine::{BoolAnd, BoolOr, Count, Max, Min, Sum};
    let avg = |i: usize| Combine::Avg {
        sum: i * 2,
        count: i * 2 + 1,
    };
    vec![
        Count,
        Count,
        Sum,
        Sum,
        Sum,
        Sum,
        Min,
        Max,
        Min,
        Max,
        Min,
        Max,
        Min,
        Max,
        Max,
        BoolAnd,
        BoolOr,
        avg(0),
        avg(1),
        avg(2),
        avg(3),
    ]
}

fn aggregation(keys: usize) -> Aggregation {
    Aggregation {
        group: (0..keys).map(|i| group_key(Visible(i))).collect(),
        columns: combines()
            .into_iter()
            .enumerate()
            .map(|(i, c)| (Visible(i + keys), c))
            .collect(),
    }
}

#[test]
fn aggregates_without_groups_are_the_servers_own() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    create(&mut connection, &mut random, "pg_temp.t", 500, BUCKETS);
    for filter in [
        "true",
        "false",
        "n <> 'NaN' AND n < 'Infinity' AND n > '-Infinity'",
        "n IS NULL",
        "i4 IS NULL",
    ] {
        Case {
            rule: RowMerge {
                hidden: 8,
                aggregate: Some(aggregation(0)),
                ..RowMerge::default()
            },
            part: &format!("SELECT {AGGREGATES}, {HIDDEN} FROM {{t}}"),
            whole: &format!("SELECT {AGGREGATES} FROM {{t}}"),
            columns: 29,
            buckets: BUCKETS,
        }
        .run(&mut connection, &mut random, filter);
    }
    // Few rows at a time: many different sums and scales.
    for _ in 0..60 {
        let filter = format!(
            "id % {} = 1 AND n <> 'NaN' AND n < 'Infinity' AND n > '-Infinity'",
            random.random_range(7..200)
        );
        Case {
            rule: RowMerge {
                hidden: 8,
                aggregate: Some(aggregation(0)),
                ..RowMerge::default()
            },
            part: &format!("SELECT {AGGREGATES}, {HIDDEN} FROM {{t}}"),
            whole: &format!("SELECT {AGGREGATES} FROM {{t}}"),
            columns: 29,
            buckets: BUCKETS,
        }
        .run(&mut connection, &mut random, &filter);
    }
}

#[test]
fn every_type_is_grouped_as_the_server_groups_it() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    create(&mut connection, &mut random, "pg_temp.t", 500, BUCKETS);
    for (name, _) in COLUMNS {
        let case = Case {
            rule: RowMerge {
                hidden: 8,
                aggregate: Some(aggregation(1)),
                ..RowMerge::default()
            },
            part: &format!("SELECT {name}, {AGGREGATES}, {HIDDEN} FROM {{t}} GROUP BY {name}"),
            whole: &format!("SELECT {name}, {AGGREGATES} FROM {{t}} GROUP BY {name}"),
            columns: 30,
            buckets: BUCKETS,
        };
        for mode in modes(&mut random, 30) {
            let (merged, whole) = case.both(&mut connection, &mut random, &mode, "true");
            // Which of 1, 1.0 and -0, 0 stands for a group depends on the rows' order on one server too.
            let binary = match &mode {
                Mode::Simple => false,
                Mode::Portal(formats) | Mode::Statement(formats) => formats[0] == 1,
            };
            let sorted = |answer: Answer| {
                let mut rows: Vec<_> = answer
                    .rows
                    .iter()
                    .map(|row| key_and_rest(row, name, binary))
                    .collect();
                rows.sort();
                rows
            };
            let (merged, whole) = (sorted(merged), sorted(whole));
            for (merged, whole) in merged.iter().zip(&whole) {
                assert_eq!(merged, whole, "GROUP BY {name} ({mode:?})");
            }
            assert_eq!(merged.len(), whole.len(), "GROUP BY {name} ({mode:?})");
        }
    }
}

/// The first value in a form in which equal values are equal, and the bytes of the others.
fn key_and_rest(row: &Bytes, name: &str, binary: bool) -> (Option<Vec<u8>>, Bytes) {
    let length = i32::from_be_bytes(row[2..6].try_into().expect("four bytes"));
    let Ok(length) = usize::try_from(length) else {
        return (None, row.slice(6..));
    };
    let mut key = row[6..6 + length].to_vec();
    match (name, binary) {
        // Without the display scale; trailing zero digits aren't sent.
        ("n", true) => key[6..8].fill(0),
        ("n", false) if key.contains(&b'.') => {
            let kept = key
                .iter()
                .rposition(|b| !matches!(b, b'0'))
                .map_or(0, |last| last + 1);
            key.truncate(kept);
            if key.last() == Some(&b'.') {
                key.pop();
            }
        }
        ("f4" | "f8", true) if key[0] == 0x80 && key[1..].iter().all(|b| *b == 0) => key[0] = 0,
        ("f4" | "f8", false) if key == b"-0" => key = b"0".to_vec(),
        _ => {}
    }
    (Some(key), row.slice(6 + length..))
}

#[test]
fn groups_are_ordered_and_limited_after_combining() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    create(&mut connection, &mut random, "pg_temp.t", 500, BUCKETS);
    for _ in 0..20 {
        let (limit, offset) = (random.random_range(0..30), random.random_range(0..10));
        let order = "ORDER BY sum(i8) DESC NULLS LAST, i4";
        Case {
            rule: RowMerge {
                hidden: 1,
                order: vec![
                    sort_key(Hidden(0), true, false),
                    sort_key(Visible(0), false, false),
                ],
                aggregate: Some(Aggregation {
                    group: vec![group_key(Visible(0))],
                    columns: vec![(Visible(1), Combine::Count), (Hidden(0), Combine::Sum)],
                }),
                limit: Some(limit),
                offset,
                ..RowMerge::default()
            },
            part: "SELECT i4, count(*), sum(i8) FROM {t} GROUP BY i4",
            whole: &format!(
                "SELECT i4, count(*) FROM {{t}} GROUP BY i4 {order} LIMIT {limit} OFFSET {offset}"
            ),
            columns: 3,
            buckets: BUCKETS,
        }
        .run(&mut connection, &mut random, "i4 % 3 = 0 OR id % 2 = 0");
    }
}

#[test]
fn distinct_rows_come_once() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    create(&mut connection, &mut random, "pg_temp.t", 500, BUCKETS);
    let order = vec![
        sort_key(Visible(0), false, false),
        sort_key(Visible(1), true, true),
    ];
    let sql = "SELECT DISTINCT i2, tx FROM {t} ORDER BY i2, tx DESC LIMIT 40 OFFSET 3";
    let part = "SELECT DISTINCT i2, tx FROM {t} ORDER BY i2, tx DESC LIMIT 43";
    let by_flag = RowMerge {
        order,
        distinct: true,
        limit: Some(40),
        offset: 3,
        ..RowMerge::default()
    };
    let by_groups = RowMerge {
        distinct: false,
        aggregate: Some(Aggregation {
            group: vec![group_key(Visible(0)), group_key(Visible(1))],
            columns: Vec::new(),
        }),
        ..by_flag.clone()
    };
    for rule in [by_flag, by_groups] {
        Case {
            rule,
            part,
            whole: sql,
            columns: 2,
            buckets: BUCKETS,
        }
        .run(&mut connection, &mut random, "true");
    }
    // Aggregates may be equal too.
    Case {
        rule: RowMerge {
            hidden: 1,
            order: vec![sort_key(Visible(0), false, false)],
            aggregate: Some(Aggregation {
                group: vec![group_key(Hidden(0))],
                columns: vec![(Visible(0), Combine::Count)],
            }),
            distinct: true,
            ..RowMerge::default()
        },
        part: "SELECT count(*), tx FROM {t} GROUP BY tx",
        whole: "SELECT DISTINCT count(*) FROM {t} GROUP BY tx ORDER BY 1",
        columns: 2,
        buckets: BUCKETS,
    }
    .run(&mut connection, &mut random, "true");
}

/// One part whose own column says what PostgreSQL makes of the same sum and count.
#[test]
fn averages_of_any_size_have_postgres_scale_and_rounding() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    let rows: Vec<String> = (0..4000)
        .map(|id| {
            let count = match random.random_range(0..3) {
                0 => random.random_range(1..12_000),
                _ => random.random_range(1..i64::MAX),
            };
            format!("({id}, {}, {count})", decimal(&mut random))
        })
        .collect();
    connection.run("CREATE TEMP TABLE quotients (id int, n numeric, c bigint)");
    connection.run(&format!("INSERT INTO quotients VALUES {}", rows.join(", ")));
    let rule = RowMerge {
        hidden: 2,
        aggregate: Some(Aggregation {
            group: vec![group_key(Visible(0))],
            columns: vec![(Visible(1), Combine::Avg { sum: 0, count: 1 })],
        }),
        ..RowMerge::default()
    };
    for mode in [Mode::Simple, Mode::Portal(vec![1])] {
        let part = connection.query("SELECT id, n / c AS q, n, c FROM quotients ORDER BY id", &mode);
        let whole = connection.query("SELECT id, n / c AS q FROM quotients ORDER BY id", &mode);
        let merged = merge(&rule, &[part], &mode, &mut random).expect("this can be merged");
        for ((merged, whole), row) in merged.rows.iter().zip(&whole.rows).zip(&rows) {
            assert_eq!(merged, whole, "{row}");
        }
        assert_eq!(merged.rows.len(), rows.len());
    }
}

/// The two parts hold the two addends of each row.
#[test]
fn sums_of_any_size_are_exact() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    let rows: Vec<String> = (0..4000)
        .map(|id| format!("({id}, {}, {})", decimal(&mut random), decimal(&mut random)))
        .collect();
    connection.run("CREATE TEMP TABLE addends (id int, a numeric, b numeric)");
    connection.run(&format!("INSERT INTO addends VALUES {}", rows.join(", ")));
    let rule = RowMerge {
        aggregate: Some(Aggregation {
            group: vec![group_key(Visible(0))],
            columns: vec![(Visible(1), Combine::Sum), (Visible(2), Combine::Max)],
        }),
        order: vec![sort_key(Visible(0), false, false)],
        ..RowMerge::default()
    };
    for mode in [Mode::Simple, Mode::Portal(vec![1])] {
        let one = connection.query("SELECT id, a AS s, a AS m FROM addends", &mode);
        let other = connection.query("SELECT id, b AS s, b AS m FROM addends", &mode);
        let whole = connection.query(
            "SELECT id, a + b, greatest(a, b) FROM addends WHERE a <> b ORDER BY id",
            &mode,
        );
        let merged = merge(&rule, &[one, other], &mode, &mut random).expect("this can be merged");
        let by_id: HashMap<&[u8], &Bytes> = merged.rows.iter().map(|row| (id_of(row), row)).collect();
        assert!(whole.rows.len() > 3000);
        for row in &whole.rows {
            assert_eq!(by_id[id_of(row)], row);
        }
    }
}

fn id_of(row: &[u8]) -> &[u8] {
    let length = i32::from_be_bytes(row[2..6].try_into().expect("four bytes"));
    &row[6..6 + usize::try_from(length).expect("ids aren't null")]
}

fn refused(connection: &mut Connection, rule: &RowMerge, sql: &str) -> Fault {
    let part = connection.query(sql, &Mode::Simple);
    let mut random = StdRng::seed_from_u64(0);
    merge(rule, &[part.clone(), part], &Mode::Simple, &mut random).expect_err(sql)
}

#[test]
fn what_can_not_be_compared_exactly_is_refused_with_a_hint() {
    let server = Server::shared();
    let mut connection = server.connect();
    connection.run("CREATE TYPE pg_temp.mood AS ENUM ('sad', 'glad')");
    let unproved = SortKey {
        bytes_order: false,
        ..sort_key(Visible(0), false, false)
    };
    let order = |key: &SortKey| RowMerge {
        order: vec![key.clone()],
        ..RowMerge::default()
    };
    let group = |key: GroupKey| RowMerge {
        aggregate: Some(Aggregation {
            group: vec![key],
            columns: vec![(Visible(1), Combine::Count)],
        }),
        ..RowMerge::default()
    };
    let distinct = RowMerge {
        distinct: true,
        ..RowMerge::default()
    };
    for value in ["'a'::text", "'a'::varchar", "'a'::char(3)", "'a'::name"] {
        let fault = refused(&mut connection, &order(&unproved), &format!("SELECT {value}"));
        assert_eq!(fault.code, Code::ORDER_NOT_EXACT, "{value}");
        assert!(fault.hint.as_deref().expect("a hint").contains("COLLATE \"C\""));
        let key = GroupKey {
            bytes_equal: false,
            ..group_key(Visible(0))
        };
        let fault = refused(
            &mut connection,
            &group(key),
            &format!("SELECT {value}, 1::bigint"),
        );
        assert_eq!(fault.code, Code::GROUP_NOT_EXACT, "{value}");
        let fault = refused(&mut connection, &distinct, &format!("SELECT {value}"));
        assert_eq!(fault.code, Code::GROUP_NOT_EXACT, "{value}");
    }
    for value in [
        "'glad'::pg_temp.mood",
        "'1 day'::interval",
        "'12:00+08'::timetz",
        "'{}'::jsonb",
        "'10.0.0.1'::inet",
        "ARRAY[1]",
        "ROW(1, 2)",
        "'1'::money",
        "B'101'",
    ] {
        let fault = refused(
            &mut connection,
            &order(&sort_key(Visible(0), false, false)),
            &format!("SELECT {value}"),
        );
        assert_eq!(fault.code, Code::ORDER_NOT_EXACT, "{value}");
        assert!(fault.hint.is_some());
        let fault = refused(
            &mut connection,
            &group(group_key(Visible(0))),
            &format!("SELECT {value}, 1::bigint"),
        );
        assert_eq!(fault.code, Code::GROUP_NOT_EXACT, "{value}");
        let fault = refused(&mut connection, &distinct, &format!("SELECT {value}"));
        assert_eq!(fault.code, Code::GROUP_NOT_EXACT, "{value}");
    }
}

#[test]
fn aggregates_that_depend_on_order_or_collation_are_refused() {
    let server = Server::shared();
    let mut connection = server.connect();
    let avg = Combine::Avg { sum: 0, count: 1 };
    for (sql, combine, hidden) in [
        (
            "SELECT sum(x::float8) FROM generate_series(1, 3) x",
            Combine::Sum,
            0,
        ),
        (
            "SELECT sum(x::float4) FROM generate_series(1, 3) x",
            Combine::Sum,
            0,
        ),
        (
            "SELECT sum(x * interval '1 day') FROM generate_series(1, 3) x",
            Combine::Sum,
            0,
        ),
        (
            "SELECT sum(x::numeric::money) FROM generate_series(1, 3) x",
            Combine::Sum,
            0,
        ),
        (
            "SELECT avg(x::float8), sum(x::float8), count(x) FROM generate_series(1, 3) x",
            avg.clone(),
            2,
        ),
        (
            "SELECT avg(x * interval '1 s'), sum(x * interval '1 s'), count(x) FROM generate_series(1, 3) x",
            avg,
            2,
        ),
        ("SELECT min('a'::text)", Combine::Min, 0),
        ("SELECT max('a'::char(4))", Combine::Max, 0),
        ("SELECT max('1 day'::interval)", Combine::Max, 0),
        ("SELECT min(ARRAY[1])", Combine::Min, 0),
        ("SELECT bool_and(true)::text", Combine::BoolAnd, 0),
        ("SELECT count(*)::int", Combine::Count, 0),
    ] {
        let rule = RowMerge {
            hidden,
            aggregate: Some(Aggregation {
                group: Vec::new(),
                columns: vec![(Visible(0), combine)],
            }),
            ..RowMerge::default()
        };
        let fault = refused(&mut connection, &rule, sql);
        assert_eq!(fault.code, Code::AGGREGATE_ACROSS_SHARDS, "{sql}");
        assert!(fault.hint.is_some(), "{sql}");
    }
}

#[test]
fn other_output_settings_are_refused_not_misread() {
    let server = Server::shared();
    let mut connection = server.connect();
    let order = RowMerge {
        order: vec![sort_key(Visible(0), false, false)],
        ..RowMerge::default()
    };
    for style in ["SQL, DMY", "SQL, MDY", "Postgres, DMY", "Postgres, MDY", "German"] {
        connection.run(&format!("SET DateStyle TO '{style}'"));
        for value in [
            "'2026-02-01'::date",
            "'2026-02-01 04:05'::timestamp",
            "'2026-02-01 04:05+00'::timestamptz",
        ] {
            let fault = refused(&mut connection, &order, &format!("SELECT {value}"));
            assert_eq!(fault.code, Code::ORDER_NOT_EXACT, "{value} in {style}");
        }
    }
    connection.run("SET bytea_output TO escape");
    for value in ["'\\x41'::bytea", "'\\x5c783431'::bytea", "''::bytea"] {
        let fault = refused(&mut connection, &order, &format!("SELECT {value}"));
        assert_eq!(fault.code, Code::ORDER_NOT_EXACT, "{value}");
    }
    let part = connection.query("SELECT 1::float8, 'a'::text", &Mode::Simple);
    let usual = Described::usual(&part.description);
    assert!(Merger::new(&order, 2, &usual).is_ok());
    let rounded = Described {
        exact_floats: false,
        ..usual
    };
    assert_eq!(
        Merger::new(&order, 2, &rounded).expect_err("rounded floats").code,
        Code::ORDER_NOT_EXACT
    );
    let text = RowMerge {
        order: vec![sort_key(Visible(1), false, false)],
        ..RowMerge::default()
    };
    assert!(Merger::new(&text, 2, &usual).is_ok());
    let converted = Described {
        same_encoding: false,
        ..usual
    };
    assert_eq!(
        Merger::new(&text, 2, &converted)
            .expect_err("converted text")
            .code,
        Code::ORDER_NOT_EXACT
    );
}

#[test]
fn rows_without_a_rule_pass_unchanged() {
    let (server, mut random) = (Server::shared(), seeded());
    let mut connection = server.connect();
    create(&mut connection, &mut random, "pg_temp.t", 100, BUCKETS);
    let parts: Vec<Answer> = (0..BUCKETS)
        .map(|i| connection.query(&format!("SELECT * FROM t WHERE bucket = {i}"), &Mode::Simple))
        .collect();
    let merger = Merger::new(
        &RowMerge::default(),
        BUCKETS,
        &Described::usual(&parts[0].description),
    )
    .expect("plain");
    assert!(merger.passes_through());
    let merged = merge(&RowMerge::default(), &parts, &Mode::Simple, &mut random).expect("plain");
    let sorted = |rows: &mut Vec<Bytes>| {
        rows.sort();
        rows.clone()
    };
    let mut all: Vec<Bytes> = parts.iter().flat_map(|part| part.rows.clone()).collect();
    assert_eq!(sorted(&mut merged.rows.clone()), sorted(&mut all));
    assert_eq!(merged.description, parts[0].description);
    let limited = RowMerge {
        limit: Some(7),
        offset: 2,
        ..RowMerge::default()
    };
    assert_eq!(
        merge(&limited, &parts, &Mode::Simple, &mut random)
            .expect("plain")
            .tag,
        "SELECT 7"
    );
}

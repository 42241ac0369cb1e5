//! Unit tests of the whole merge: its end, its bounds, its faults. Answers are compared with a real
//! server in tests/merge_oracle.rs.

use proptest::prelude::*;

use super::*;
use crate::merge::MAX_HELD_BYTES;
use crate::merge::fixture::{description, row};
use crate::model::Code;
use crate::plan::{Combine, GroupKey, SortKey};

fn key(at: ColumnAt) -> SortKey {
    SortKey {
        at,
        descending: false,
        nulls_first: false,
        bytes_order: true,
        what: "x".into(),
    }
}

fn group(columns: Vec<(ColumnAt, Combine)>) -> RowMerge {
    let group = vec![GroupKey {
        at: ColumnAt::Visible(0),
        bytes_equal: true,
        what: "x".into(),
    }];
    RowMerge {
        aggregate: Some(Aggregation { group, columns }),
        ..RowMerge::default()
    }
}

fn merger(rule: &RowMerge, sources: usize, columns: &[(&str, u32, i16)]) -> Merger {
    Merger::new(rule, sources, &Described::usual(&description(columns))).expect("can be merged")
}

#[test]
fn a_reached_limit_ends_the_merge_before_the_sources_end() {
    let rule = RowMerge {
        order: vec![key(ColumnAt::Visible(0))],
        limit: Some(1),
        ..RowMerge::default()
    };
    let mut merge = merger(&rule, 2, &[("n", 20, 0)]);
    assert_eq!(merge.step(), Ok(Step::Need(0)));
    merge.push(0, row(&[Some("2")])).expect("a row");
    assert_eq!(merge.step(), Ok(Step::Need(1)));
    merge.push(1, row(&[Some("1")])).expect("a row");
    assert_eq!(merge.step(), Ok(Step::Row(row(&[Some("1")]))));
    assert_eq!(merge.step(), Ok(Step::Done));
    assert_eq!(merge.given(), 1);
    let none = RowMerge {
        limit: Some(0),
        ..RowMerge::default()
    };
    assert_eq!(merger(&none, 2, &[("n", 20, 0)]).step(), Ok(Step::Done));
}

#[test]
fn rows_are_only_relayed_where_nothing_is_to_be_done() {
    let columns = [("n", 20, 0)];
    let plain = RowMerge::default();
    assert!(merger(&plain, 2, &columns).passes_through());
    for rule in [
        RowMerge {
            hidden: 1,
            ..plain.clone()
        },
        RowMerge {
            limit: Some(9),
            ..plain.clone()
        },
        RowMerge {
            offset: 1,
            ..plain.clone()
        },
        RowMerge {
            distinct: true,
            ..plain.clone()
        },
        RowMerge {
            order: vec![key(ColumnAt::Visible(0))],
            ..plain.clone()
        },
        group(Vec::new()),
    ] {
        assert!(!merger(&rule, 2, &columns).passes_through(), "{rule:?}");
    }
}

#[test]
fn a_sum_of_ints_that_leaves_bigint_is_postgres_own_error() {
    let mut merge = merger(
        &group(vec![(ColumnAt::Visible(1), Combine::Sum)]),
        2,
        &[("k", 20, 0), ("s", 20, 0)],
    );
    merge
        .push(0, row(&[Some("1"), Some("9223372036854775807")]))
        .expect("fits");
    let fault = merge
        .push(1, row(&[Some("1"), Some("1")]))
        .expect_err("too large");
    assert_eq!(
        (fault.state(), fault.message.as_ref()),
        ("22003", "bigint out of range")
    );
}

#[test]
fn without_group_by_there_is_one_row_even_if_no_part_gave_any() {
    let columns = vec![
        (ColumnAt::Visible(0), Combine::Count),
        (ColumnAt::Visible(1), Combine::Sum),
    ];
    let aggregate = Some(Aggregation {
        group: Vec::new(),
        columns,
    });
    let rule = RowMerge {
        aggregate,
        ..RowMerge::default()
    };
    let mut merge = merger(&rule, 1, &[("c", 20, 0), ("s", 1700, 0)]);
    merge.finish(0).expect("a source");
    assert_eq!(merge.step(), Ok(Step::Row(row(&[Some("0"), None]))));
    assert_eq!(merge.step(), Ok(Step::Done));
}

/// Pushes long, different rows into source 1 until that is refused; says after how many bytes.
fn fill(rule: &RowMerge) -> (usize, Fault) {
    let long = "x".repeat(1 << 20);
    let mut merge = merger(rule, 2, &[("t", 25, 0), ("n", 20, 0)]);
    for i in 0.. {
        let text = format!("{i:04}{long}");
        let pushed = merge
            .push(1, row(&[Some(&text), None]))
            .and_then(|()| merge.step());
        if let Err(fault) = pushed {
            return (i * text.len(), fault);
        }
    }
    unreachable!("the memory is bounded")
}

#[test]
fn memory_is_bounded_by_a_fault() {
    let waiting = RowMerge {
        order: vec![key(ColumnAt::Visible(0))],
        ..RowMerge::default()
    };
    let groups = group(vec![(ColumnAt::Visible(1), Combine::Sum)]);
    let mut distinct = group(Vec::new());
    if let Some(aggregation) = &mut distinct.aggregate {
        let at = ColumnAt::Visible(1);
        aggregation.group.push(GroupKey {
            at,
            bytes_equal: false,
            what: "n".into(),
        });
    }
    for rule in [waiting, groups, distinct] {
        let (bytes, fault) = fill(&rule);
        assert_eq!((fault.code, fault.state()), (Code::TOO_LARGE, "53400"));
        assert!(
            (MAX_HELD_BYTES / 3..=MAX_HELD_BYTES).contains(&bytes),
            "{bytes} {rule:?}"
        );
    }
}

#[test]
fn a_plan_that_does_not_fit_the_rows_is_an_internal_fault() {
    let body = description(&[("n", 20, 0)]);
    for rule in [
        RowMerge {
            hidden: 2,
            ..RowMerge::default()
        },
        RowMerge {
            order: vec![key(ColumnAt::Visible(1))],
            ..RowMerge::default()
        },
        RowMerge {
            order: vec![key(ColumnAt::Hidden(0))],
            ..RowMerge::default()
        },
        RowMerge {
            aggregate: Some(Aggregation {
                group: Vec::new(),
                columns: Vec::new(),
            }),
            ..RowMerge::default()
        },
    ] {
        let fault = Merger::new(&rule, 1, &Described::usual(&body)).expect_err("doesn't fit");
        assert_eq!(fault.code, Code::INTERNAL);
    }
    let mut merge = merger(&RowMerge::default(), 1, &[("n", 20, 0)]);
    assert!(merge.push(1, row(&[None])).is_err() && merge.finish(1).is_err());
    merge.finish(0).expect("a source");
    assert!(merge.push(0, row(&[None])).is_err(), "it has ended");
}

proptest! {
    #[test]
    fn any_bytes_for_rows_give_rows_or_faults(
        rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        format in 0i16..2,
        type_oid in proptest::sample::select(vec![16u32, 17, 18, 20, 21, 23, 26, 700, 701, 1042, 1082, 1083, 1114, 1184, 1700, 2950]),
        prefix in any::<bool>(),
    ) {
        let columns = [("k", type_oid, format), ("v", type_oid, format)];
        let rules = [
            RowMerge { order: vec![key(ColumnAt::Visible(0))], ..RowMerge::default() },
            RowMerge { distinct: true, hidden: 1, order: vec![key(ColumnAt::Hidden(0))], ..RowMerge::default() },
            group(vec![(ColumnAt::Visible(1), Combine::Max)]),
        ];
        for rule in rules {
            let description = description(&columns);
            let usual = Described::usual(&description);
            let Ok(mut merge) = Merger::new(&rule, 1, &usual) else { continue };
            for body in &rows {
                // Half of them begin like a row of two columns, the first of them right.
                let head: &[u8] = if prefix { &[0, 2, 0, 0, 0, 1, b'1'] } else { &[] };
                if merge.push(0, [head, body].concat().into()).and_then(|()| merge.step()).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn any_bytes_for_a_description_give_columns_or_a_fault(body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Merger::new(&RowMerge::default(), 1, &Described::usual(&body));
    }
}

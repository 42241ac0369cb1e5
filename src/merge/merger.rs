//! The whole merge of one answer: sources → concatenation, order or grouping → distinct → offset and
//! limit → hidden columns off. Must not do the algorithms itself.

use std::collections::VecDeque;

use bytes::Bytes;

use super::aggregate::Grouping;
use super::columns::{Columns, Comparable};
use super::combine::Recipe;
use super::distinct::Distinct;
use super::exact;
use super::held::Held;
use super::limit::Limit;
use super::order::{Keys, Next, Ordered, Sort, compare, no_such_source};
use super::{Described, Step};
use crate::model::Fault;
use crate::plan::{Aggregation, ColumnAt, RowMerge};

/// One merge under way.
///
/// ```text
/// let mut merger = Merger::new(&plan_rows, sources, &described)?;
/// loop {
///     match merger.step()? {
///         Step::Row(body) => send 'D', length, body,
///         Step::Need(i) => read source i: DataRow → push(i, body), CommandComplete → finish(i),
///         Step::NeedAny => the same with whichever source is readable,
///         Step::Done => break,
///     }
/// }
/// send CommandComplete with_count("SELECT", merger.given())
/// ```
#[derive(Debug)]
pub struct Merger {
    columns: Columns,
    /// As told by `Described`: they hold for all parts.
    formats: Option<Box<[i16]>>,
    stage: Stage,
    distinct: Option<Distinct>,
    limit: Limit,
    held: Held,
    given: u64,
    passes_through: bool,
}

/// How the sources come together.
#[derive(Debug)]
enum Stage {
    /// As they come.
    Concatenate {
        queue: VecDeque<Bytes>,
        sources: Running,
    },
    Order(Ordered),
    /// Collecting until all sources have ended.
    Group {
        grouping: Grouping,
        sorts: Vec<Sort>,
        sources: Running,
    },
    /// All groups, in order.
    Groups(std::vec::IntoIter<Bytes>),
}

/// Which sources have not ended.
#[derive(Debug)]
struct Running(Vec<bool>);

impl Running {
    fn check(&self, source: usize) -> Result<(), Fault> {
        match self.0.get(source) {
            Some(true) => Ok(()),
            Some(false) => Err(Fault::internal("a row of a source that has ended")),
            None => Err(no_such_source()),
        }
    }

    fn finish(&mut self, source: usize) -> Result<(), Fault> {
        *self.0.get_mut(source).ok_or_else(no_such_source)? = false;
        Ok(())
    }

    fn any(&self) -> bool {
        self.0.contains(&true)
    }
}

impl Merger {
    /// Checks that the answer can be exact for the columns' types: ORDER_NOT_EXACT,
    /// GROUP_NOT_EXACT, AGGREGATE_ACROSS_SHARDS. `sources` is the number of parts.
    pub fn new(rule: &RowMerge, sources: usize, described: &Described<'_>) -> Result<Merger, Fault> {
        let columns = Columns::read(described.description, rule.hidden, described.formats)?;
        let sorts = sorts(rule, &columns, described)?;
        let running = Running(vec![true; sources]);
        let mut distinct = None;
        let stage = match &rule.aggregate {
            Some(aggregation) if !is_distinct(aggregation, &columns)? => {
                let grouping = grouping(aggregation, &columns, described)?;
                Stage::Group {
                    grouping,
                    sorts,
                    sources: running,
                }
            }
            only_groups => {
                if let Some(aggregation) = only_groups {
                    distinct = Some(Distinct::new(group_keys(aggregation, &columns, described)?));
                }
                if sorts.is_empty() {
                    Stage::Concatenate {
                        queue: VecDeque::new(),
                        sources: running,
                    }
                } else {
                    Stage::Order(Ordered::new(sorts, sources))
                }
            }
        };
        if rule.distinct && distinct.is_none() {
            distinct = Some(Distinct::new(distinct_columns(rule, &columns, described)?));
        }
        let passes_through = matches!(stage, Stage::Concatenate { .. })
            && distinct.is_none()
            && rule.hidden == 0
            && rule.limit.is_none()
            && rule.offset == 0;
        Ok(Merger {
            columns,
            formats: described.formats.map(Box::from),
            stage,
            distinct,
            limit: Limit::new(rule.limit, rule.offset),
            held: Held::default(),
            given: 0,
            passes_through,
        })
    }

    /// Checks another part's RowDescription against the first one's: as many columns, of the same
    /// names and types. Call it for each part but the first, before its rows.
    pub fn check_part(&self, description: &[u8]) -> Result<(), Fault> {
        let hidden = self.columns.hidden();
        self.columns
            .check_same(&Columns::read(description, hidden, self.formats.as_deref())?)
    }

    /// The body of the RowDescription for the client: without hidden columns, with the formats in use.
    pub fn client_description(&self) -> Bytes {
        self.columns.client_description()
    }

    /// No row needs looking at: the parts' DataRows may be relayed as they are, in any order,
    /// without `push` and `step`.
    pub fn passes_through(&self) -> bool {
        self.passes_through
    }

    /// A row of source `source`: the DataRow's body, after type and length.
    pub fn push(&mut self, source: usize, row: Bytes) -> Result<(), Fault> {
        match &mut self.stage {
            Stage::Concatenate { queue, sources } => {
                sources.check(source)?;
                self.held.take(row.len() + size_of::<Bytes>())?;
                queue.push_back(row);
                Ok(())
            }
            Stage::Order(ordered) => ordered.push(&self.columns, &mut self.held, source, row),
            Stage::Group {
                grouping, sources, ..
            } => {
                sources.check(source)?;
                grouping.push(&self.columns, &mut self.held, &row)
            }
            Stage::Groups(_) => Err(Fault::internal("a row of a source that has ended")),
        }
    }

    /// The source has sent its last row (CommandComplete).
    pub fn finish(&mut self, source: usize) -> Result<(), Fault> {
        match &mut self.stage {
            Stage::Concatenate { sources, .. } | Stage::Group { sources, .. } => sources.finish(source),
            Stage::Order(ordered) => ordered.finish(source),
            Stage::Groups(_) => Ok(()),
        }
    }

    /// What comes next. Call it again after each `Row`.
    pub fn step(&mut self) -> Result<Step, Fault> {
        loop {
            if self.limit.is_reached() {
                return Ok(Step::Done);
            }
            let row = match self.next_row()? {
                Step::Row(row) => row,
                other @ (Step::Need(_) | Step::NeedAny | Step::Done) => return Ok(other),
            };
            if let Some(distinct) = &mut self.distinct
                && !distinct.is_new(&self.columns, &mut self.held, &row)?
            {
                continue;
            }
            if self.limit.lets_through() {
                self.given += 1;
                return Ok(Step::Row(self.columns.cut(row)?));
            }
        }
    }

    /// The next row before distinct and limit, hidden columns included.
    fn next_row(&mut self) -> Result<Step, Fault> {
        if let Stage::Group {
            grouping,
            sorts,
            sources,
        } = &mut self.stage
            && !sources.any()
        {
            let rows = sorted(grouping.results(&self.columns)?, sorts, &self.columns)?;
            self.stage = Stage::Groups(rows.into_iter());
        }
        Ok(match &mut self.stage {
            Stage::Concatenate { queue, sources } => match queue.pop_front() {
                Some(row) => {
                    self.held.give(row.len() + size_of::<Bytes>());
                    Step::Row(row)
                }
                None if sources.any() => Step::NeedAny,
                None => Step::Done,
            },
            Stage::Order(ordered) => match ordered.next(&mut self.held)? {
                Next::Row(row) => Step::Row(row),
                Next::Need(source) => Step::Need(source),
                Next::End => Step::Done,
            },
            Stage::Group { .. } => Step::NeedAny,
            Stage::Groups(rows) => rows.next().map_or(Step::Done, Step::Row),
        })
    }

    /// How many rows were given: the number in the client's command tag.
    pub fn given(&self) -> u64 {
        self.given
    }
}

fn sorts(rule: &RowMerge, columns: &Columns, described: &Described<'_>) -> Result<Vec<Sort>, Fault> {
    let sort = |key: &crate::plan::SortKey| {
        let index = columns.index(key.at)?;
        let column = exact::comparable(columns, index, key.bytes_order, described)?
            .map_err(|inexact| inexact.in_order(&key.what))?;
        Ok(Sort {
            column,
            descending: key.descending,
            nulls_first: key.nulls_first,
        })
    };
    rule.order.iter().map(sort).collect()
}

fn group_keys(
    aggregation: &Aggregation,
    columns: &Columns,
    described: &Described<'_>,
) -> Result<Vec<Comparable>, Fault> {
    let key = |key: &crate::plan::GroupKey| {
        let index = columns.index(key.at)?;
        exact::comparable(columns, index, key.bytes_equal, described)?
            .map_err(|inexact| inexact.in_group(&key.what))
    };
    aggregation.group.iter().map(key).collect()
}

/// Grouping by all columns, with nothing to combine, is DISTINCT, which needn't wait for the last row.
fn is_distinct(aggregation: &Aggregation, columns: &Columns) -> Result<bool, Fault> {
    if !aggregation.columns.is_empty() || aggregation.group.is_empty() {
        return Ok(false);
    }
    let mut covered = vec![false; columns.count()];
    for key in &aggregation.group {
        if let Some(covered) = covered.get_mut(columns.index(key.at)?) {
            *covered = true;
        }
    }
    Ok(!covered.contains(&false))
}

fn grouping(
    aggregation: &Aggregation,
    columns: &Columns,
    described: &Described<'_>,
) -> Result<Grouping, Fault> {
    let keys = group_keys(aggregation, columns, described)?;
    // Group keys, and hidden columns that only feed an avg, stay as in the first row.
    let mut recipes: Vec<Recipe> = (0..columns.count())
        .map(|index| Recipe::First { index })
        .collect();
    let mut told = vec![false; columns.count()];
    let mut tell = |index: usize| -> Result<(), Fault> {
        match told.get_mut(index) {
            Some(told) => *told = true,
            None => return Err(Fault::internal("the plan names a column that isn't there")),
        }
        Ok(())
    };
    for key in &keys {
        tell(key.index)?;
    }
    for (at, combine) in &aggregation.columns {
        let index = columns.index(*at)?;
        tell(index)?;
        let recipe = Recipe::new(columns, *at, combine)?;
        // min and max of floats printed with too few digits would not be the extreme ones.
        if let Recipe::Extreme { column, .. } = &recipe {
            exact::comparable(columns, column.index, false, described)?
                .map_err(exact::Inexact::in_extreme)?;
        }
        if let Some(slot) = recipes.get_mut(index) {
            *slot = recipe;
        }
    }
    if told.iter().take(columns.visible()).any(|told| !told) {
        return Err(Fault::internal("the plan doesn't say how to combine a column"));
    }
    Ok(Grouping::new(keys, recipes))
}

/// All visible columns. Text is proved to compare by bytes where a sort or group key on it says so.
fn distinct_columns(
    rule: &RowMerge,
    columns: &Columns,
    described: &Described<'_>,
) -> Result<Vec<Comparable>, Fault> {
    let by_bytes = |index: usize| {
        let sorted = rule
            .order
            .iter()
            .any(|key| key.bytes_order && key.at == ColumnAt::Visible(index));
        let grouped = rule.aggregate.iter().flat_map(|aggregation| &aggregation.group);
        sorted
            || grouped
                .clone()
                .any(|key| key.bytes_equal && key.at == ColumnAt::Visible(index))
    };
    (0..columns.visible())
        .map(|index| {
            exact::comparable(columns, index, by_bytes(index), described)?
                .map_err(|inexact| inexact.in_distinct(index))
        })
        .collect()
}

/// Rows that are all there, in order.
fn sorted(rows: Vec<Bytes>, sorts: &[Sort], columns: &Columns) -> Result<Vec<Bytes>, Fault> {
    if sorts.is_empty() {
        return Ok(rows);
    }
    let mut fields = Vec::new();
    let mut keyed = Vec::with_capacity(rows.len());
    for row in rows {
        columns.fields(&row, &mut fields)?;
        keyed.push((Keys::read(sorts, &row, &fields)?, row));
    }
    keyed.sort_by(|(a, _), (b, _)| compare(sorts, a, b));
    Ok(keyed.into_iter().map(|(_, row)| row).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::MAX_HELD_BYTES;
    use super::super::fixture::{description, row};
    use super::*;
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
}

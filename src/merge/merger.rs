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
#[path = "merger_tests.rs"]
mod tests;

//! One column of partial aggregates becomes the whole aggregate. Exact or refused: what depends on the
//! order of adding (floats) or on a collation (min of text) is refused by `Recipe::new`.

use super::columns::{Columns, Comparable, Field, broken_row, value};
use super::decode::{Datum, Kind};
use super::exact::aggregate_refused;
use super::held::Held;
use super::numeric::Numeric;
use crate::model::{Code, Fault};
use crate::plan::{ColumnAt, Combine};

/// How one column of the result comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Partial counts, in an int8 column.
    Count(Comparable),
    /// Partial sums of int2 or int4, in an int8 column.
    SumInt(Comparable),
    /// Partial sums of int8 or numeric, in a numeric column.
    SumNumeric(Comparable),
    Extreme {
        column: Comparable,
        max: bool,
    },
    /// The result's format, and the partial sums (int8 or numeric) and counts it comes from.
    Avg {
        binary: bool,
        sum: Comparable,
        count: Comparable,
    },
    Bool {
        column: Comparable,
        and: bool,
    },
    /// As it stands in the group's first row.
    First {
        index: usize,
    },
}

impl Recipe {
    pub fn new(columns: &Columns, at: ColumnAt, combine: &Combine) -> Result<Recipe, Fault> {
        let index = columns.index(at)?;
        let column = columns.get(index)?;
        let refused = |name| aggregate_refused(name, column.type_oid);
        let own = Kind::of(column.type_oid).map(|kind| Comparable {
            index,
            kind,
            binary: column.binary,
        });
        match combine {
            Combine::First => Ok(Recipe::First { index }),
            Combine::Count => match own {
                Some(own @ Comparable { kind: Kind::Int8, .. }) => Ok(Recipe::Count(own)),
                _ => Err(refused("count")),
            },
            Combine::Sum => match own {
                Some(own @ Comparable { kind: Kind::Int8, .. }) => Ok(Recipe::SumInt(own)),
                Some(
                    own @ Comparable {
                        kind: Kind::Numeric, ..
                    },
                ) => Ok(Recipe::SumNumeric(own)),
                _ => Err(refused("sum")),
            },
            Combine::Min | Combine::Max => {
                let max = *combine == Combine::Max;
                match own {
                    Some(column) if !column.kind.is_collatable() => Ok(Recipe::Extreme { column, max }),
                    _ => Err(refused(if max { "max" } else { "min" })),
                }
            }
            Combine::BoolAnd | Combine::BoolOr => match own {
                Some(column @ Comparable { kind: Kind::Bool, .. }) => Ok(Recipe::Bool {
                    column,
                    and: *combine == Combine::BoolAnd,
                }),
                _ => Err(refused(if *combine == Combine::BoolAnd {
                    "bool_and"
                } else {
                    "bool_or"
                })),
            },
            Combine::Avg { sum, count } => {
                let hidden = |n: usize| -> Result<Option<Comparable>, Fault> {
                    let index = columns.index(ColumnAt::Hidden(n))?;
                    let column = columns.get(index)?;
                    Ok(Kind::of(column.type_oid).map(|kind| Comparable {
                        index,
                        kind,
                        binary: column.binary,
                    }))
                };
                match (own.map(|own| own.kind), hidden(*sum)?, hidden(*count)?) {
                    (
                        Some(Kind::Numeric),
                        Some(
                            sum @ Comparable {
                                kind: Kind::Int8 | Kind::Numeric,
                                ..
                            },
                        ),
                        Some(count @ Comparable { kind: Kind::Int8, .. }),
                    ) => Ok(Recipe::Avg {
                        binary: column.binary,
                        sum,
                        count,
                    }),
                    _ => Err(refused("avg")),
                }
            }
        }
    }

    pub fn start(&self) -> Partial {
        match self {
            Recipe::Count(_) => Partial::Int(Some(0)),
            Recipe::SumInt(_) => Partial::Int(None),
            Recipe::SumNumeric(_) => Partial::Numeric(None),
            Recipe::Extreme { .. } => Partial::Extreme(None),
            Recipe::Avg { .. } => Partial::Avg { sum: None, count: 0 },
            Recipe::Bool { .. } => Partial::Bool(None),
            Recipe::First { .. } => Partial::First,
        }
    }
}

/// What the rows seen so far came to. None: no value that isn't NULL.
#[derive(Clone, Debug)]
pub enum Partial {
    Int(Option<i64>),
    Numeric(Option<Numeric>),
    /// The value, and its bytes as they came.
    Extreme(Option<(Datum, Box<[u8]>)>),
    Avg {
        sum: Option<Numeric>,
        count: i64,
    },
    Bool(Option<bool>),
    First,
}

impl Partial {
    /// Takes in one more row's value.
    pub fn add(
        &mut self,
        recipe: &Recipe,
        row: &[u8],
        fields: &[Field],
        held: &mut Held,
    ) -> Result<(), Fault> {
        match (self, recipe) {
            (Partial::First, Recipe::First { .. }) => {}
            (Partial::Int(total), Recipe::Count(column) | Recipe::SumInt(column)) => {
                if let Some(value) = integer(column, row, fields)? {
                    let sum = total.unwrap_or(0).checked_add(value);
                    *total = Some(sum.ok_or_else(|| out_of_range("bigint out of range"))?);
                }
            }
            (Partial::Numeric(total), Recipe::SumNumeric(column)) => {
                if let Some(value) = numeric(column, row, fields)? {
                    add_numeric(total, value, held)?;
                }
            }
            (Partial::Extreme(best), Recipe::Extreme { column, max }) => {
                let Some(datum) = column.datum(row, fields)? else {
                    return Ok(());
                };
                let better = match best {
                    None => true,
                    Some((so_far, _)) if *max => datum > *so_far,
                    Some((so_far, _)) => datum < *so_far,
                };
                if better {
                    let bytes: Box<[u8]> = value(row, fields, column.index)?.unwrap_or_default().into();
                    held.take(bytes.len() + datum.held_bytes())?;
                    if let Some((datum, bytes)) = best.replace((datum, bytes)) {
                        held.give(bytes.len() + datum.held_bytes());
                    }
                }
            }
            (
                Partial::Avg { sum, count },
                Recipe::Avg {
                    sum: sum_column,
                    count: count_column,
                    ..
                },
            ) => {
                let rows = integer(count_column, row, fields)?.unwrap_or(0);
                *count = count
                    .checked_add(rows)
                    .ok_or_else(|| out_of_range("bigint out of range"))?;
                if let Some(value) = numeric(sum_column, row, fields)? {
                    add_numeric(sum, value, held)?;
                }
            }
            (Partial::Bool(so_far), Recipe::Bool { column, and }) => {
                if let Some(Datum::Bool(value)) = column.datum(row, fields)? {
                    *so_far = Some(match *so_far {
                        None => value,
                        Some(so_far) if *and => so_far && value,
                        Some(so_far) => so_far || value,
                    });
                }
            }
            _ => return Err(Fault::internal("a partial aggregate of another recipe")),
        }
        Ok(())
    }

    /// The column's value in the result, in the column's format. `first`: the column's value in the group's first row.
    pub fn result(&self, recipe: &Recipe, first: Option<&[u8]>) -> Option<Vec<u8>> {
        match (self, recipe) {
            (Partial::First, _) => first.map(<[u8]>::to_vec),
            (Partial::Extreme(best), _) => best.as_ref().map(|(_, bytes)| bytes.to_vec()),
            (Partial::Int(total), Recipe::Count(column) | Recipe::SumInt(column)) => total.map(|total| {
                if column.binary {
                    total.to_be_bytes().to_vec()
                } else {
                    total.to_string().into_bytes()
                }
            }),
            (Partial::Numeric(total), Recipe::SumNumeric(column)) => {
                total.as_ref().map(|total| write_numeric(total, column.binary))
            }
            (Partial::Avg { sum, count }, Recipe::Avg { binary, .. }) => sum
                .as_ref()?
                .divided_by(*count)
                .map(|avg| write_numeric(&avg, *binary)),
            (Partial::Bool(value), Recipe::Bool { column, .. }) => value.map(|value| {
                vec![match (column.binary, value) {
                    (true, value) => u8::from(value),
                    (false, true) => b't',
                    (false, false) => b'f',
                }]
            }),
            // `add` refuses such pairs before any result is asked for.
            (Partial::Int(_) | Partial::Numeric(_) | Partial::Avg { .. } | Partial::Bool(_), _) => None,
        }
    }
}

fn integer(column: &Comparable, row: &[u8], fields: &[Field]) -> Result<Option<i64>, Fault> {
    match column.datum(row, fields)? {
        None => Ok(None),
        Some(Datum::Int(value)) => Ok(Some(value)),
        Some(Datum::Bool(_) | Datum::Float(_) | Datum::Numeric(_) | Datum::Bytes(_)) => Err(broken_row()),
    }
}

fn numeric(column: &Comparable, row: &[u8], fields: &[Field]) -> Result<Option<Numeric>, Fault> {
    match column.datum(row, fields)? {
        None => Ok(None),
        Some(Datum::Int(value)) => Ok(Some(Numeric::from_i64(value))),
        Some(Datum::Numeric(value)) => Ok(Some(value)),
        Some(Datum::Bool(_) | Datum::Float(_) | Datum::Bytes(_)) => Err(broken_row()),
    }
}

fn add_numeric(total: &mut Option<Numeric>, value: Numeric, held: &mut Held) -> Result<(), Fault> {
    let sum = match total.as_ref() {
        None => value,
        Some(so_far) => so_far
            .add(&value)
            .ok_or_else(|| out_of_range("value overflows numeric format"))?,
    };
    held.take(sum.held_bytes())?;
    if let Some(before) = total.replace(sum) {
        held.give(before.held_bytes());
    }
    Ok(())
}

fn write_numeric(value: &Numeric, binary: bool) -> Vec<u8> {
    if binary {
        value.to_binary()
    } else {
        value.to_text().into_bytes()
    }
}

/// PostgreSQL's own error for the same sum on one server.
fn out_of_range(message: &'static str) -> Fault {
    Fault::new(Code::AGGREGATE_ACROSS_SHARDS, message).sqlstate("22003")
}

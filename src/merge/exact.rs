//! Which columns the proxy can compare as the servers do, and the refusals for the others, with what to
//! write instead. Decided before the first row.

use super::Described;
use super::columns::{Columns, Comparable};
use super::decode::Kind;
use crate::model::{Code, Fault};

/// Why a column's values can't be compared exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inexact {
    Type(u32),
    Collation,
    Encoding,
    FloatDigits,
}

/// `by_bytes`: planning proved that the collation compares by bytes (order) or is deterministic (equality).
pub fn comparable(
    columns: &Columns,
    index: usize,
    by_bytes: bool,
    described: &Described<'_>,
) -> Result<Result<Comparable, Inexact>, Fault> {
    let column = columns.get(index)?;
    let Some(kind) = Kind::of(column.type_oid) else {
        return Ok(Err(Inexact::Type(column.type_oid)));
    };
    Ok(if kind.is_collatable() && !by_bytes {
        Err(Inexact::Collation)
    } else if kind.is_collatable() && !described.same_encoding {
        Err(Inexact::Encoding)
    } else if kind.is_float() && !column.binary && !described.exact_floats {
        Err(Inexact::FloatDigits)
    } else {
        Ok(Comparable {
            index,
            kind,
            binary: column.binary,
        })
    })
}

impl Inexact {
    pub fn in_order(self, what: &str) -> Fault {
        let message = format!(
            "ORDER BY {what} can't be merged exactly across shards: {}",
            self.reason()
        );
        Fault::new(Code::ORDER_NOT_EXACT, message).hint(match self {
            Inexact::Collation => format!(
                "write ORDER BY {what} COLLATE \"C\" to sort by bytes, sort by a number or time, or ask one shard by its key"
            ),
            Inexact::Type(_) => format!(
                "sort by a number, time, uuid or bytea: cast {what}, or write ORDER BY ({what})::text COLLATE \"C\""
            ),
            Inexact::Encoding | Inexact::FloatDigits => self.setting().to_owned(),
        })
    }

    pub fn in_group(self, what: &str) -> Fault {
        let message = format!(
            "GROUP BY {what} can't be merged exactly across shards: {}",
            self.reason()
        );
        Fault::new(Code::GROUP_NOT_EXACT, message).hint(match self {
            Inexact::Collation => format!("group by {what} COLLATE \"C\" if equal means the same bytes"),
            Inexact::Type(_) => {
                format!("group by a number, time, uuid, bytea or text: cast {what} to one of these")
            }
            Inexact::Encoding | Inexact::FloatDigits => self.setting().to_owned(),
        })
    }

    pub fn in_distinct(self, column: usize) -> Fault {
        let message = format!(
            "DISTINCT can't compare column {} exactly across shards: {}",
            column + 1,
            self.reason()
        );
        Fault::new(Code::GROUP_NOT_EXACT, message).hint(match self {
            Inexact::Collation => {
                "write the column with COLLATE \"C\" if equal means the same bytes".to_owned()
            }
            Inexact::Type(_) => "cast the column to a number, time, uuid, bytea or text".to_owned(),
            Inexact::Encoding | Inexact::FloatDigits => self.setting().to_owned(),
        })
    }

    pub fn in_extreme(self) -> Fault {
        let message = format!(
            "min and max can't be combined exactly across shards: {}",
            self.reason()
        );
        Fault::new(Code::AGGREGATE_ACROSS_SHARDS, message).hint(self.setting())
    }

    fn reason(self) -> String {
        match self {
            Inexact::Type(oid) => format!("the proxy doesn't compare values of type {}", type_name(oid)),
            Inexact::Collation => "its collation isn't known to compare by bytes".to_owned(),
            Inexact::Encoding => "client_encoding differs from the servers' encoding".to_owned(),
            Inexact::FloatDigits => "extra_float_digits makes floats print rounded".to_owned(),
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Inexact::FloatDigits => "SET extra_float_digits TO 1",
            Inexact::Encoding | Inexact::Type(_) | Inexact::Collation => "SET client_encoding TO 'UTF8'",
        }
    }
}

/// An aggregate whose parts can't be combined exactly.
pub fn aggregate_refused(aggregate: &str, type_oid: u32) -> Fault {
    let hint = match (aggregate, Kind::of(type_oid)) {
        ("min" | "max", Some(Kind::Text | Kind::Bpchar)) => {
            "the order of text depends on its collation: take the first row of ORDER BY … COLLATE \"C\" LIMIT 1 instead"
        }
        (_, Some(Kind::Float4 | Kind::Float8)) => {
            "the sum of floats depends on the order of adding: cast to numeric, as in sum(x::numeric)"
        }
        _ => "cast the argument to numeric, or ask one shard by its key",
    };
    let message = format!(
        "{aggregate} with a result of type {} can't be combined across shards",
        type_name(type_oid)
    );
    Fault::new(Code::AGGREGATE_ACROSS_SHARDS, message).hint(hint)
}

/// For messages; users' types are not known here.
fn type_name(oid: u32) -> String {
    let known = match oid {
        16 => "boolean",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        25 => "text",
        114 => "json",
        142 => "xml",
        700 => "real",
        701 => "double precision",
        790 => "money",
        869 => "inet",
        650 => "cidr",
        1042 => "character",
        1043 => "character varying",
        1082 => "date",
        1114 => "timestamp without time zone",
        1184 => "timestamp with time zone",
        1186 => "interval",
        1266 => "time with time zone",
        1560 => "bit",
        1562 => "bit varying",
        1700 => "numeric",
        3802 => "jsonb",
        _ => return format!("OID {oid}"),
    };
    known.to_owned()
}

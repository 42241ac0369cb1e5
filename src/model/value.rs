//! Values of sharding keys: the few types a key may have, and a value in canonical form.
//!
//! Two SQL values that compare equal under the column's type are the same `Value` here; that is
//! what makes a hash of it usable for routing.

use std::fmt;

/// The type of a sharding-key column, as far as placement tells types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    Bool,
    Int2,
    Int4,
    Int8,
    /// `text` and `varchar` under a deterministic collation: equal means the same bytes.
    Text,
    /// `char(n)`: trailing blanks don't count.
    Bpchar,
    Uuid,
    Bytea,
    Date,
    /// Without time zone.
    Timestamp,
    Timestamptz,
}

impl KeyType {
    /// From the name that PostgreSQL's `format_type(oid, NULL)` prints and users write in rules.
    /// None: the type can't be a sharding key.
    pub fn from_sql(name: &str) -> Option<KeyType> {
        let lower = name.trim().to_ascii_lowercase();
        let base = lower.split('(').next().unwrap_or("").trim();
        Some(match base {
            "boolean" | "bool" => KeyType::Bool,
            "smallint" | "int2" | "smallserial" => KeyType::Int2,
            "integer" | "int" | "int4" | "serial" => KeyType::Int4,
            "bigint" | "int8" | "bigserial" => KeyType::Int8,
            "text" | "character varying" | "varchar" => KeyType::Text,
            "character" | "char" | "bpchar" => KeyType::Bpchar,
            "uuid" => KeyType::Uuid,
            "bytea" => KeyType::Bytea,
            "date" => KeyType::Date,
            "timestamp with time zone" | "timestamptz" => KeyType::Timestamptz,
            "timestamp" if lower.ends_with("with time zone") => KeyType::Timestamptz,
            "timestamp" | "timestamp without time zone" => KeyType::Timestamp,
            _ => return None,
        })
    }

    /// The name PostgreSQL prints.
    pub fn sql(self) -> &'static str {
        match self {
            KeyType::Bool => "boolean",
            KeyType::Int2 => "smallint",
            KeyType::Int4 => "integer",
            KeyType::Int8 => "bigint",
            KeyType::Text => "text",
            KeyType::Bpchar => "character",
            KeyType::Uuid => "uuid",
            KeyType::Bytea => "bytea",
            KeyType::Date => "date",
            KeyType::Timestamp => "timestamp without time zone",
            KeyType::Timestamptz => "timestamp with time zone",
        }
    }

    pub fn is_integer(self) -> bool {
        matches!(self, KeyType::Int2 | KeyType::Int4 | KeyType::Int8)
    }

    pub fn is_text(self) -> bool {
        matches!(self, KeyType::Text | KeyType::Bpchar)
    }

    pub fn is_time(self) -> bool {
        matches!(self, KeyType::Date | KeyType::Timestamp | KeyType::Timestamptz)
    }
}

/// A key value in canonical form. Ordered within one variant as the server orders the type
/// (`Text` by bytes, which is the server's order only under collation "C").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Bool(bool),
    /// int2, int4 and int8 alike: they hash and compare alike.
    Int(i64),
    /// The bytes in the server's encoding; trailing blanks removed for `char(n)`.
    Text(Box<[u8]>),
    Uuid([u8; 16]),
    Bytea(Box<[u8]>),
    /// Days since 2000-01-01, as on PostgreSQL's wire.
    Date(i32),
    /// Microseconds since 2000-01-01 00:00:00, local (timestamp) or UTC (timestamptz).
    Timestamp(i64),
}

impl fmt::Display for Value {
    /// For plans and messages, not for SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(i) => write!(f, "{i}"),
            Value::Text(t) => write!(f, "'{}'", String::from_utf8_lossy(t)),
            Value::Uuid(u) => {
                for (i, byte) in u.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
            Value::Bytea(b) => {
                f.write_str("\\x")?;
                b.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Value::Date(d) => write!(f, "{}", date_text(i64::from(*d))),
            Value::Timestamp(us) => {
                let day = us.div_euclid(86_400_000_000);
                let rest = us.rem_euclid(86_400_000_000);
                let (s, frac) = (rest / 1_000_000, rest % 1_000_000);
                write!(
                    f,
                    "{} {:02}:{:02}:{:02}",
                    date_text(day),
                    s / 3600,
                    s / 60 % 60,
                    s % 60
                )?;
                if frac != 0 {
                    write!(f, ".{frac:06}")?;
                }
                Ok(())
            }
        }
    }
}

/// `YYYY-MM-DD` of a day count from 2000-01-01 (proleptic Gregorian).
fn date_text(days: i64) -> String {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let z = days + 10_957 + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

//! Values of the types that the proxy compares exactly: reading them from both wire formats into a
//! `Datum`, whose order and equality are the server's. A type that isn't listed here has
//! no `Kind`, and what would need it is refused. Must not know columns or rows.

mod floats;
mod scalars;
mod strings;
mod times;

use std::cmp::Ordering;

use super::numeric::Numeric;

/// A type whose values compare without a collation, or by bytes where planning proved that its
/// collation does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Numeric,
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Uuid,
    Bytea,
    /// `"char"`, one byte.
    Char,
    /// text, varchar, name: by bytes.
    Text,
    /// char(n): by bytes, trailing blanks don't count.
    Bpchar,
}

impl Kind {
    /// From the type's OID, fixed for built-in types (`pg_type.dat`). A domain comes as its base type.
    pub fn of(type_oid: u32) -> Option<Kind> {
        Some(match type_oid {
            16 => Kind::Bool,
            17 => Kind::Bytea,
            18 => Kind::Char,
            19 | 25 | 1043 => Kind::Text,
            20 => Kind::Int8,
            21 => Kind::Int2,
            23 => Kind::Int4,
            26 => Kind::Oid,
            700 => Kind::Float4,
            701 => Kind::Float8,
            1042 => Kind::Bpchar,
            1082 => Kind::Date,
            1083 => Kind::Time,
            1114 => Kind::Timestamp,
            1184 => Kind::Timestamptz,
            1700 => Kind::Numeric,
            2950 => Kind::Uuid,
            _ => return None,
        })
    }

    /// Its order and equality depend on a collation.
    pub fn is_collatable(self) -> bool {
        matches!(self, Kind::Text | Kind::Bpchar)
    }

    pub fn is_float(self) -> bool {
        matches!(self, Kind::Float4 | Kind::Float8)
    }
}

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not what a server sends for the type.
    Broken,
    /// A text format that a session setting changed: DateStyle, bytea_output.
    Setting,
}

/// A value that isn't NULL. Values of one column always have the same variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    Bool(bool),
    /// All integers; days, and microseconds, with `i64::MIN` and `MAX` for -infinity and infinity.
    Int(i64),
    Float(Float),
    Numeric(Numeric),
    Bytes(Box<[u8]>),
}

impl Datum {
    pub fn read(kind: Kind, binary: bool, bytes: &[u8]) -> Result<Datum, Unreadable> {
        if binary {
            Datum::from_binary(kind, bytes)
        } else {
            Datum::from_text(kind, bytes)
        }
    }

    fn from_binary(kind: Kind, bytes: &[u8]) -> Result<Datum, Unreadable> {
        Ok(match kind {
            Kind::Bool => Datum::Bool(scalars::bool_binary(bytes)?),
            Kind::Int2 => Datum::Int(i16::from_be_bytes(fixed(bytes)?).into()),
            Kind::Int4 => Datum::Int(i32::from_be_bytes(fixed(bytes)?).into()),
            Kind::Int8 | Kind::Time => Datum::Int(i64::from_be_bytes(fixed(bytes)?)),
            Kind::Oid => Datum::Int(u32::from_be_bytes(fixed(bytes)?).into()),
            Kind::Numeric => Datum::Numeric(Numeric::from_binary(bytes).map_err(|_| Unreadable::Broken)?),
            Kind::Float4 => Datum::Float(Float(f32::from_be_bytes(fixed(bytes)?).into())),
            Kind::Float8 => Datum::Float(Float(f64::from_be_bytes(fixed(bytes)?))),
            Kind::Date => Datum::Int(times::date_binary(i32::from_be_bytes(fixed(bytes)?))),
            // i64::MIN and MAX are the infinities on the wire too.
            Kind::Timestamp | Kind::Timestamptz => Datum::Int(i64::from_be_bytes(fixed(bytes)?)),
            Kind::Uuid => Datum::Bytes(Box::new(fixed::<16>(bytes)?)),
            Kind::Char => Datum::Int(u8::from_be_bytes(fixed(bytes)?).into()),
            Kind::Bytea | Kind::Text => Datum::Bytes(bytes.into()),
            Kind::Bpchar => Datum::Bytes(strings::without_trailing_blanks(bytes).into()),
        })
    }

    fn from_text(kind: Kind, bytes: &[u8]) -> Result<Datum, Unreadable> {
        Ok(match kind {
            Kind::Bool => Datum::Bool(scalars::bool_text(bytes)?),
            Kind::Int2 => Datum::Int(scalars::integer_text(bytes, i16::MIN.into(), i16::MAX.into())?),
            Kind::Int4 => Datum::Int(scalars::integer_text(bytes, i32::MIN.into(), i32::MAX.into())?),
            Kind::Int8 => Datum::Int(scalars::integer_text(bytes, i64::MIN, i64::MAX)?),
            Kind::Oid => Datum::Int(scalars::integer_text(bytes, 0, u32::MAX.into())?),
            Kind::Numeric => Datum::Numeric(Numeric::from_text(bytes).map_err(|_| Unreadable::Broken)?),
            Kind::Float4 => Datum::Float(floats::float4_text(bytes)?),
            Kind::Float8 => Datum::Float(floats::float8_text(bytes)?),
            Kind::Date => Datum::Int(times::date_text(bytes)?),
            Kind::Time => Datum::Int(times::time_text(bytes)?),
            Kind::Timestamp => Datum::Int(times::timestamp_text(bytes)?),
            Kind::Timestamptz => Datum::Int(times::timestamptz_text(bytes)?),
            Kind::Uuid => Datum::Bytes(Box::new(strings::uuid_text(bytes)?)),
            Kind::Bytea => Datum::Bytes(strings::bytea_text(bytes)?),
            Kind::Char => Datum::Int(strings::char_text(bytes)?.into()),
            Kind::Text => Datum::Bytes(bytes.into()),
            Kind::Bpchar => Datum::Bytes(strings::without_trailing_blanks(bytes).into()),
        })
    }

    /// Appends bytes that are equal exactly for equal values of one column and can't be confused with what
    /// follows them.
    pub fn append_canonical(&self, out: &mut Vec<u8>) {
        match self {
            Datum::Bool(value) => out.push(u8::from(*value)),
            Datum::Int(value) => out.extend_from_slice(&value.to_be_bytes()),
            Datum::Float(value) => out.extend_from_slice(&value.canonical_bits().to_be_bytes()),
            Datum::Numeric(value) => append_sized(value.canonical().to_text().as_bytes(), out),
            Datum::Bytes(bytes) => append_sized(bytes, out),
        }
    }

    /// Bytes on the heap, roughly.
    pub fn held_bytes(&self) -> usize {
        match self {
            Datum::Bool(_) | Datum::Int(_) | Datum::Float(_) => 0,
            Datum::Numeric(value) => value.held_bytes(),
            Datum::Bytes(bytes) => bytes.len(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Datum::Bool(_) => 0,
            Datum::Int(_) => 1,
            Datum::Float(_) => 2,
            Datum::Numeric(_) => 3,
            Datum::Bytes(_) => 4,
        }
    }
}

impl Ord for Datum {
    fn cmp(&self, other: &Datum) -> Ordering {
        match (self, other) {
            (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
            (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
            (Datum::Float(a), Datum::Float(b)) => a.cmp(b),
            (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
            (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
            // Never within one column; any total order will do.
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Datum) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub use floats::Float;

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Unreadable> {
    bytes.try_into().map_err(|_| Unreadable::Broken)
}

fn append_sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&bytes.len().to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes_of_neighbours_can_not_run_together() {
        let row = |values: [&[u8]; 2]| {
            let mut out = Vec::new();
            values
                .iter()
                .for_each(|v| Datum::Bytes((*v).into()).append_canonical(&mut out));
            out
        };
        assert_ne!(row([b"ab", b"c"]), row([b"a", b"bc"]));
    }

    #[test]
    fn equal_values_have_equal_canonical_bytes() {
        let canonical = |kind, text: &str| {
            let mut out = Vec::new();
            Datum::read(kind, false, text.as_bytes())
                .expect(text)
                .append_canonical(&mut out);
            out
        };
        assert_eq!(canonical(Kind::Numeric, "1.0"), canonical(Kind::Numeric, "1.00"));
        assert_eq!(canonical(Kind::Float8, "-0"), canonical(Kind::Float8, "0"));
        assert_eq!(canonical(Kind::Float8, "NaN"), canonical(Kind::Float8, "NaN"));
        assert_eq!(canonical(Kind::Bpchar, "a  "), canonical(Kind::Bpchar, "a"));
        assert_ne!(canonical(Kind::Text, "a  "), canonical(Kind::Text, "a"));
        assert_ne!(canonical(Kind::Text, "A"), canonical(Kind::Text, "a"));
    }

    #[test]
    fn wrong_lengths_are_broken() {
        for kind in [
            Kind::Bool,
            Kind::Int2,
            Kind::Int4,
            Kind::Int8,
            Kind::Date,
            Kind::Uuid,
            Kind::Float4,
        ] {
            assert_eq!(
                Datum::read(kind, true, &[0; 3]),
                Err(Unreadable::Broken),
                "{kind:?}"
            );
            assert_eq!(Datum::read(kind, true, &[]), Err(Unreadable::Broken), "{kind:?}");
        }
    }
}

//! RowDescription and DataRow bodies: reading them with every length checked, cutting the hidden columns
//! off, writing rows. The layouts are those of PostgreSQL's protocol chapter, "Message Formats".
//! Must not read values; `decode` does.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::decode::{Datum, Kind, Unreadable};
use crate::model::{Code, Fault};
use crate::plan::ColumnAt;

/// Bytes of a column's description after its name: table OID, attribute, type OID, size, modifier, format.
const AFTER_NAME: usize = 4 + 2 + 4 + 2 + 4 + 2;

/// Where a column's value lies in a row's body; None: NULL.
pub type Field = Option<Range<usize>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    name: Box<[u8]>,
    pub type_oid: u32,
    pub binary: bool,
    /// Where this column's description ends in the body; its format code is the last two bytes.
    end: usize,
}

/// The columns of the parts' rows, hidden ones included.
#[derive(Clone, Debug)]
pub struct Columns {
    body: Bytes,
    all: Vec<Column>,
    hidden: usize,
}

impl Columns {
    /// `formats`: see `Described`.
    pub fn read(body: &[u8], hidden: usize, formats: Option<&[i16]>) -> Result<Columns, Fault> {
        let mut all = Vec::new();
        let (count, _) = body.split_first_chunk::<2>().ok_or_else(broken_description)?;
        let count = usize::from(u16::from_be_bytes(*count));
        let mut at = 2;
        for index in 0..count {
            let rest = body.get(at..).unwrap_or_default();
            let length = memchr::memchr(0, rest).ok_or_else(broken_description)?;
            let end = at + length + 1 + AFTER_NAME;
            let (name, numbers) = body
                .get(at..end)
                .and_then(|column| column.split_at_checked(length + 1))
                .ok_or_else(broken_description)?;
            // The slices' lengths are AFTER_NAME by construction; a mismatch would only mean "broken".
            let [_, _, _, _, _, _, t0, t1, t2, t3, _, _, _, _, _, _, f0, f1] = *numbers else {
                return Err(broken_description());
            };
            let format = match formats {
                None => i16::from_be_bytes([f0, f1]),
                Some([]) => 0,
                Some([one]) => *one,
                Some(each) => *each
                    .get(index)
                    .ok_or_else(|| Fault::internal("a result format is missing"))?,
            };
            let binary = match format {
                0 => false,
                1 => true,
                _ => return Err(broken_description()),
            };
            let type_oid = u32::from_be_bytes([t0, t1, t2, t3]);
            all.push(Column {
                name: name.get(..length).unwrap_or_default().into(),
                type_oid,
                binary,
                end,
            });
            at = end;
        }
        if at != body.len() {
            return Err(broken_description());
        }
        if hidden > count {
            return Err(Fault::internal("the plan hides more columns than there are"));
        }
        Ok(Columns {
            body: Bytes::copy_from_slice(body),
            all,
            hidden,
        })
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn visible(&self) -> usize {
        self.all.len() - self.hidden
    }

    pub fn hidden(&self) -> usize {
        self.hidden
    }

    pub fn get(&self, index: usize) -> Result<&Column, Fault> {
        self.all
            .get(index)
            .ok_or_else(|| Fault::internal("the plan names a column that isn't there"))
    }

    /// Position among all columns.
    pub fn index(&self, at: ColumnAt) -> Result<usize, Fault> {
        let index = match at {
            ColumnAt::Visible(n) => Some(n).filter(|n| *n < self.visible()),
            ColumnAt::Hidden(n) => Some(n).filter(|n| *n < self.hidden).map(|n| n + self.visible()),
        };
        index.ok_or_else(|| Fault::internal("the plan names a column that isn't there"))
    }

    /// The description without hidden columns and with the formats in use.
    pub fn client_description(&self) -> Bytes {
        let visible = self.all.get(..self.visible()).unwrap_or_default();
        let end = visible.last().map_or(2, |column| column.end);
        let mut body = BytesMut::with_capacity(end);
        // The count came from 16 bits.
        body.put_u16(visible.len() as u16);
        body.extend_from_slice(self.body.get(2..end).unwrap_or_default());
        for column in visible {
            if let Some(format) = body.get_mut(column.end - 2..column.end) {
                format.copy_from_slice(&u16::from(column.binary).to_be_bytes());
            }
        }
        body.freeze()
    }

    /// Whether another part's rows look the same. The OIDs of users' types are those that clients know,
    /// whichever server they come from.
    pub fn check_same(&self, other: &Columns) -> Result<(), Fault> {
        if self.all.len() != other.all.len() {
            return Err(differ(format!(
                "{} columns and {} columns",
                self.all.len(),
                other.all.len()
            )));
        }
        for (ours, theirs) in self.all.iter().zip(&other.all) {
            let name = String::from_utf8_lossy(&ours.name);
            if ours.name != theirs.name {
                return Err(differ(format!(
                    "columns {:?} and {:?}",
                    name,
                    String::from_utf8_lossy(&theirs.name)
                )));
            }
            if ours.type_oid != theirs.type_oid {
                let what = format!(
                    "column {name:?} of type OID {} and {}",
                    ours.type_oid, theirs.type_oid
                );
                return Err(differ(what));
            }
            if ours.binary != theirs.binary {
                return Err(differ(format!("column {name:?} in text and in binary format")));
            }
        }
        Ok(())
    }

    /// Finds each column's value in a row.
    pub fn fields(&self, row: &[u8], fields: &mut Vec<Field>) -> Result<(), Fault> {
        fields.clear();
        let (count, _) = row.split_first_chunk::<2>().ok_or_else(broken_row)?;
        if usize::from(u16::from_be_bytes(*count)) != self.all.len() {
            return Err(broken_row());
        }
        let mut at = 2;
        for _ in &self.all {
            let (field, next) = field_at(row, at)?;
            fields.push(field);
            at = next;
        }
        if at == row.len() {
            Ok(())
        } else {
            Err(broken_row())
        }
    }

    /// The row without its hidden columns. Rows without any aren't touched.
    pub fn cut(&self, row: Bytes) -> Result<Bytes, Fault> {
        if self.hidden == 0 {
            return Ok(row);
        }
        let mut end = 2;
        for _ in 0..self.visible() {
            (_, end) = field_at(&row, end)?;
        }
        let mut cut = BytesMut::with_capacity(end);
        cut.put_u16(self.visible() as u16);
        cut.extend_from_slice(row.get(2..end).ok_or_else(broken_row)?);
        Ok(cut.freeze())
    }
}

/// The value at `at`, and where the next one begins.
fn field_at(row: &[u8], at: usize) -> Result<(Field, usize), Fault> {
    let (length, _) = row
        .get(at..)
        .and_then(|rest| rest.split_first_chunk::<4>())
        .ok_or_else(broken_row)?;
    let start = at + 4;
    match i32::from_be_bytes(*length) {
        -1 => Ok((None, start)),
        length => {
            let length = usize::try_from(length).map_err(|_| broken_row())?;
            let end = start
                .checked_add(length)
                .filter(|end| *end <= row.len())
                .ok_or_else(broken_row)?;
            Ok((Some(start..end), end))
        }
    }
}

/// The bytes of a field of this row.
pub fn value<'a>(row: &'a [u8], fields: &[Field], index: usize) -> Result<Option<&'a [u8]>, Fault> {
    match fields.get(index) {
        Some(Some(range)) => row.get(range.clone()).map(Some).ok_or_else(broken_row),
        Some(None) => Ok(None),
        None => Err(broken_row()),
    }
}

/// Writes a DataRow's body. None: a value is too long for the protocol.
pub fn write_row<'a>(values: impl ExactSizeIterator<Item = Option<&'a [u8]>>) -> Option<Bytes> {
    let mut row = BytesMut::new();
    row.put_u16(u16::try_from(values.len()).ok()?);
    for value in values {
        match value {
            None => row.put_i32(-1),
            Some(bytes) => {
                row.put_i32(i32::try_from(bytes.len()).ok()?);
                row.extend_from_slice(bytes);
            }
        }
    }
    Some(row.freeze())
}

/// A column whose values the proxy compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparable {
    pub index: usize,
    pub kind: Kind,
    pub binary: bool,
}

impl Comparable {
    pub fn datum(&self, row: &[u8], fields: &[Field]) -> Result<Option<Datum>, Fault> {
        let Some(bytes) = value(row, fields, self.index)? else {
            return Ok(None);
        };
        match Datum::read(self.kind, self.binary, bytes) {
            Ok(datum) => Ok(Some(datum)),
            Err(Unreadable::Broken) => Err(broken_row()),
            Err(Unreadable::Setting) => Err(Fault::new(
                Code::ORDER_NOT_EXACT,
                "dates and bytea can be merged across shards in their standard text formats only",
            )
            .hint("SET DateStyle TO ISO, and SET bytea_output TO hex")),
        }
    }
}

fn differ(how: String) -> Fault {
    Fault::new(
        Code::PLACEMENT_MISMATCH,
        "the servers describe the same statement's rows differently",
    )
    .detail(how)
    .hint("compare the table's definition on all nodes")
}

fn broken_description() -> Fault {
    Fault::new(
        Code::SERVER_PROTOCOL,
        "a server sent a row description that doesn't follow the protocol",
    )
}

pub fn broken_row() -> Fault {
    Fault::new(
        Code::SERVER_PROTOCOL,
        "a server sent a row that doesn't follow the protocol",
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{description, row};
    use super::*;

    #[test]
    fn hidden_columns_are_cut_off_description_and_rows() {
        let body = description(&[("a", 23, 0), ("b", 25, 0), ("h", 20, 0)]);
        let columns = Columns::read(&body, 1, Some(&[1, 0, 1])).expect("columns");
        assert_eq!(
            columns.client_description(),
            description(&[("a", 23, 1), ("b", 25, 0)])
        );
        let cut = columns
            .cut(row(&[Some("x"), None, Some("hidden")]))
            .expect("a row");
        assert_eq!(cut, row(&[Some("x"), None]));
        assert_eq!(columns.index(ColumnAt::Hidden(0)), Ok(2));
        assert!(columns.index(ColumnAt::Visible(2)).is_err() && columns.index(ColumnAt::Hidden(1)).is_err());
    }

    #[test]
    fn all_columns_may_be_hidden() {
        let columns = Columns::read(&description(&[("h", 20, 0)]), 1, None).expect("columns");
        assert_eq!(columns.client_description(), description(&[]));
        assert_eq!(columns.cut(row(&[Some("1")])).expect("a row"), row(&[]));
        assert!(Columns::read(&description(&[]), 1, None).is_err());
    }

    #[test]
    fn every_truncation_is_a_fault() {
        let body = description(&[("a", 23, 0), ("b", 25, 0)]);
        for end in 0..body.len() {
            assert!(Columns::read(&body[..end], 0, None).is_err(), "{end}");
        }
        let columns = Columns::read(&body, 1, None).expect("columns");
        let whole = row(&[Some("12"), Some("text")]);
        for end in 0..whole.len() {
            assert!(columns.fields(&whole[..end], &mut Vec::new()).is_err(), "{end}");
        }
    }

    #[test]
    fn lying_counts_and_lengths_are_faults() {
        let columns = Columns::read(&description(&[("a", 23, 0)]), 0, None).expect("columns");
        let mut fields = Vec::new();
        for bad in [
            row(&[Some("1"), Some("2")]).to_vec(),
            row(&[]).to_vec(),
            [&row(&[Some("1")])[..], b"x"].concat(),
            vec![0, 1, 0xFF, 0xFF, 0xFF, 0xFE],
            vec![0, 1, 0x7F, 0xFF, 0xFF, 0xFF],
        ] {
            let fault = columns.fields(&bad, &mut fields).expect_err("a broken row");
            assert_eq!(fault.code, Code::SERVER_PROTOCOL);
        }
    }

    #[test]
    fn parts_must_describe_the_same_columns() {
        let read = |body: Bytes| Columns::read(&body, 0, None).expect("columns");
        let ours = read(description(&[("a", 23, 0), ("e", 16_400, 0)]));
        assert_eq!(ours.check_same(&ours.clone()), Ok(()));
        for other in [
            description(&[("a", 23, 0), ("e", 16_999, 0)]),
            description(&[("a", 23, 0)]),
            description(&[("b", 23, 0), ("e", 16_400, 0)]),
            description(&[("a", 20, 0), ("e", 16_400, 0)]),
            description(&[("a", 23, 0), ("e", 25, 0)]),
            description(&[("a", 23, 1), ("e", 16_400, 0)]),
        ] {
            assert_eq!(
                ours.check_same(&read(other)).expect_err("differs").code,
                Code::PLACEMENT_MISMATCH
            );
        }
    }
}

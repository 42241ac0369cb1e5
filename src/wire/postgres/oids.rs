//! Puts OIDs of types and relations in messages from one server's words into another's, in place: an OID is
//! four bytes whatever its value, so no length changes. The layouts inside of values are those of
//! `array_send`, `record_send`, `range_send` and `multirange_send`. Must not touch anything else.

use crate::model::oids::{Dictionary, Inside, Object};

use super::ProtocolError;

/// Bytes of a column's description after its name: table, attribute, type, size, modifier, format.
const AFTER_NAME: usize = 18;

/// How deep arrays in records in arrays … may lie in each other. Types nest as deep as users declare them.
const MAX_DEPTH: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    /// An OID that the dictionary doesn't have.
    Unknown(u32),
    Broken(ProtocolError),
}

impl From<ProtocolError> for Untold {
    fn from(error: ProtocolError) -> Self {
        Untold::Broken(error)
    }
}

/// Columns whose binary values hold OIDs, with their types in the words they come in.
pub type Holding = Vec<(usize, u32)>;

/// The body of a RowDescription. A table that isn't known is given as none.
pub fn row_description(body: &mut [u8], words: &Dictionary) -> Result<Holding, Untold> {
    let mut cursor = Cursor { body, at: 0 };
    let count = usize::from(cursor.u16()?);
    let mut holding = Holding::new();
    for index in 0..count {
        cursor.skip_text()?;
        let numbers = cursor.take(AFTER_NAME)?;
        let table = read(numbers, 0)?;
        write(numbers, 0, words.relation_oid(table).unwrap_or(0))?;
        let ty = read(numbers, 6)?;
        let is_binary = numbers.ends_with(&[0, 1]);
        if is_binary && words.inside(ty) != Inside::Nothing {
            holding.push((index, ty));
        }
        write(numbers, 6, type_oid(ty, words)?)?;
    }
    Ok(holding)
}

/// The body of a ParameterDescription.
pub fn parameter_description(body: &mut [u8], words: &Dictionary) -> Result<(), Untold> {
    let mut cursor = Cursor { body, at: 0 };
    let count = usize::from(cursor.u16()?);
    cursor.types(count, words)
}

/// The body of a DataRow.
pub fn data_row(body: &mut [u8], holding: &Holding, words: &Dictionary) -> Result<(), Untold> {
    let mut cursor = Cursor { body, at: 0 };
    let count = usize::from(cursor.u16()?);
    let mut holding = holding.iter().peekable();
    for index in 0..count {
        let Some(bytes) = cursor.value()? else {
            holding.next_if(|(at, _)| *at == index);
            continue;
        };
        if let Some((_, ty)) = holding.next_if(|(at, _)| *at == index) {
            value(bytes, *ty, words, MAX_DEPTH)?;
        }
    }
    Ok(())
}

/// The body of a Parse: the types that the client gives.
pub fn parse(body: &mut [u8], words: &Dictionary) -> Result<(), Untold> {
    let mut cursor = Cursor { body, at: 0 };
    cursor.skip_text()?;
    cursor.skip_text()?;
    let count = usize::from(cursor.u16()?);
    cursor.types(count, words)
}

/// The body of a Bind, whose parameters have these types; 0: not known.
pub fn bind(body: &mut [u8], types: &[u32], words: &Dictionary) -> Result<(), Untold> {
    let mut cursor = Cursor { body, at: 0 };
    cursor.skip_text()?;
    cursor.skip_text()?;
    let formats = usize::from(cursor.u16()?);
    let codes: Vec<u8> = cursor.take(formats * 2)?.chunks(2).map(|code| code[1]).collect();
    let is_binary = |index: usize| match codes.as_slice() {
        [] => false,
        [all] => *all == 1,
        each => each.get(index) == Some(&1),
    };
    for index in 0..usize::from(cursor.u16()?) {
        let bytes = cursor.value()?;
        let ty = types.get(index).copied().unwrap_or(0);
        if let Some(bytes) = bytes.filter(|_| is_binary(index)) {
            value(bytes, ty, words, MAX_DEPTH)?;
        }
    }
    Ok(())
}

/// A binary value of a type.
fn value(bytes: &mut [u8], ty: u32, words: &Dictionary, depth: usize) -> Result<(), Untold> {
    let depth = depth.checked_sub(1).ok_or(ProtocolError::Count)?;
    let mut cursor = Cursor { body: bytes, at: 0 };
    match words.inside(ty) {
        Inside::Nothing => {}
        Inside::Domain(base) => value(bytes, base, words, depth)?,
        Inside::Oid(object) => {
            let oid = cursor.take(4)?;
            let here = read(oid, 0)?;
            let there = match object {
                Object::Type => words.type_oid(here),
                Object::Relation => words.relation_oid(here),
                Object::Other => Some(here).filter(|oid| *oid < crate::model::oids::FIRST_USER_OID),
            };
            write(oid, 0, there.ok_or(Untold::Unknown(here))?)?;
        }
        Inside::Array => {
            let dimensions = cursor.u32()?;
            cursor.u32()?;
            let element = cursor.take(4)?;
            let of = read(element, 0)?;
            write(element, 0, type_oid(of, words)?)?;
            for _ in 0..dimensions {
                cursor.take(8)?;
            }
            if words.inside(of) != Inside::Nothing {
                while !cursor.is_at_end() {
                    if let Some(bytes) = cursor.value()? {
                        value(bytes, of, words, depth)?;
                    }
                }
            }
        }
        Inside::Record => {
            for _ in 0..cursor.u32()? {
                let field = cursor.take(4)?;
                let of = read(field, 0)?;
                write(field, 0, type_oid(of, words)?)?;
                if let Some(bytes) = cursor.value()? {
                    value(bytes, of, words, depth)?;
                }
            }
        }
        Inside::Range(of) => {
            cursor.take(1)?;
            while !cursor.is_at_end() {
                if let Some(bytes) = cursor.value()? {
                    value(bytes, of, words, depth)?;
                }
            }
        }
        Inside::Multirange(of) => {
            cursor.u32()?;
            while !cursor.is_at_end() {
                if let Some(bytes) = cursor.value()? {
                    value(bytes, of, words, depth)?;
                }
            }
        }
    }
    Ok(())
}

fn type_oid(here: u32, words: &Dictionary) -> Result<u32, Untold> {
    words.type_oid(here).ok_or(Untold::Unknown(here))
}

fn read(bytes: &[u8], at: usize) -> Result<u32, Untold> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    four.map(|four| u32::from_be_bytes(*four))
        .ok_or(Untold::Broken(ProtocolError::Truncated))
}

fn write(bytes: &mut [u8], at: usize, oid: u32) -> Result<(), Untold> {
    let four = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>());
    *four.ok_or(ProtocolError::Truncated)? = oid.to_be_bytes();
    Ok(())
}

struct Cursor<'b> {
    body: &'b mut [u8],
    at: usize,
}

impl Cursor<'_> {
    fn is_at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    fn take(&mut self, length: usize) -> Result<&mut [u8], Untold> {
        let end = self.at.checked_add(length).ok_or(ProtocolError::Truncated)?;
        let taken = self.body.get_mut(self.at..end).ok_or(ProtocolError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, Untold> {
        let two = self.take(2)?.first_chunk::<2>().copied();
        Ok(u16::from_be_bytes(two.ok_or(ProtocolError::Truncated)?))
    }

    fn u32(&mut self) -> Result<u32, Untold> {
        read(self.take(4)?, 0)
    }

    fn skip_text(&mut self) -> Result<(), Untold> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let length = memchr::memchr(0, rest).ok_or(ProtocolError::MissingNul)?;
        self.take(length + 1).map(drop)
    }

    /// A length and as many bytes; None: NULL.
    fn value(&mut self) -> Result<Option<&mut [u8]>, Untold> {
        match self.u32()? as i32 {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| ProtocolError::Length(length))?;
                self.take(length).map(Some)
            }
        }
    }

    fn types(&mut self, count: usize, words: &Dictionary) -> Result<(), Untold> {
        for _ in 0..count {
            let bytes = self.take(4)?;
            let ty = read(bytes, 0)?;
            write(bytes, 0, type_oid(ty, words)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENUM: u32 = 20_001;
    const ENUMS: u32 = 20_002;
    const PAIR: u32 = 20_003;

    /// Here 2xxxx, there 3xxxx.
    fn words() -> Dictionary {
        let mut words = Dictionary::default();
        words.add_type(ENUM, 30_001, Inside::Nothing);
        words.add_type(ENUMS, 30_002, Inside::Array);
        words.add_type(PAIR, 30_003, Inside::Record);
        words.add_relation(20_009, 30_009);
        words
    }

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn array(of: u32, elements: &[&[u8]]) -> Vec<u8> {
        let head = [1, 0, of, elements.len() as u32, 1]
            .map(u32::to_be_bytes)
            .concat();
        [head, elements.iter().flat_map(|e| sized(e)).collect()].concat()
    }

    fn record(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let fields = fields
            .iter()
            .flat_map(|(ty, value)| [ty.to_be_bytes().to_vec(), sized(value)].concat());
        [(2u32.to_be_bytes()).to_vec(), fields.collect()].concat()
    }

    #[test]
    fn a_description_gives_the_other_sides_tables_and_types() {
        let column = |table: u32, ty: u32, format: u8| {
            let mut out = b"m\0".to_vec();
            out.extend(table.to_be_bytes());
            out.extend([0, 1]);
            out.extend(ty.to_be_bytes());
            out.extend([0, 4, 255, 255, 255, 255, 0, format]);
            out
        };
        let body = |columns: [Vec<u8>; 3]| [vec![0, 3], columns.concat()].concat();
        let mut ours = body([
            column(20_009, ENUM, 1),
            column(20_010, 23, 1),
            column(0, ENUMS, 1),
        ]);
        let holding = row_description(&mut ours, &words()).expect("known types");
        assert_eq!(
            ours,
            body([column(30_009, 30_001, 1), column(0, 23, 1), column(0, 30_002, 1)])
        );
        assert_eq!(holding, [(2, ENUMS)]);
        let mut unknown = body([column(0, 23, 0), column(0, 20_777, 0), column(0, 23, 0)]);
        assert_eq!(
            row_description(&mut unknown, &words()),
            Err(Untold::Unknown(20_777))
        );
    }

    #[test]
    fn values_in_values_are_reached() {
        let nested = |outer: u32, inner: u32, leaf: u32| {
            let enums = array(leaf, &[b"sad", b"ok"]);
            array(outer, &[&record(&[(23, &[0, 0, 0, 7]), (inner, &enums)])])
        };
        let row = |value: &[u8]| [&[0, 2][..], &sized(b"x"), &sized(value)].concat();
        let mut words = words();
        words.add_type(20_004, 30_004, Inside::Array);
        let mut ours = row(&nested(PAIR, ENUMS, ENUM));
        data_row(&mut ours, &vec![(1, 20_004)], &words).expect("known types");
        assert_eq!(ours, row(&nested(30_003, 30_002, 30_001)));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = [&[0, 1][..], &sized(&array(ENUM, &[b"sad"]))].concat();
        for end in 0..whole.len() {
            let mut cut = whole[..end].to_vec();
            assert!(data_row(&mut cut, &vec![(0, ENUMS)], &words()).is_err(), "{end}");
        }
    }

    #[test]
    fn what_a_client_sends_is_put_into_the_nodes_words() {
        let parse_body = |ty: u32| {
            [
                &b"s\0SELECT $1\0\0\x02"[..],
                &23u32.to_be_bytes(),
                &ty.to_be_bytes(),
            ]
            .concat()
        };
        let mut ours = parse_body(ENUMS);
        parse(&mut ours, &words()).expect("a Parse");
        assert_eq!(ours, parse_body(30_002));
        let bind_body = |ty: u32| {
            [
                &b"\0s\0\0\x01\0\x01\0\x01"[..],
                &sized(&array(ty, &[b"ok"])),
                &[0, 0],
            ]
            .concat()
        };
        let mut ours = bind_body(ENUM);
        bind(&mut ours, &[ENUMS], &words()).expect("a Bind");
        assert_eq!(ours, bind_body(30_001));
    }
}

//! Message bodies for unit tests.

use bytes::{BufMut, Bytes, BytesMut};

use super::columns::write_row;

/// A RowDescription's body of (name, type OID, format).
pub fn description(columns: &[(&str, u32, i16)]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(columns.len() as u16);
    for (name, type_oid, format) in columns {
        body.extend_from_slice(name.as_bytes());
        body.put_u8(0);
        body.put_u32(0);
        body.put_i16(0);
        body.put_u32(*type_oid);
        body.put_i16(-1);
        body.put_i32(-1);
        body.put_i16(*format);
    }
    body.freeze()
}

/// A DataRow's body.
pub fn row(values: &[Option<&str>]) -> Bytes {
    write_row(values.iter().map(|v| v.map(str::as_bytes))).expect("a short row")
}

//! Rows of text that Margay answers with itself.

use bytes::BytesMut;

use crate::pipeline::Outlet;
use crate::wire::postgres::backend::{self, Field};

const TEXT_OID: u32 = 25;

/// RowDescription of text columns. `formats`: the result formats asked for by Bind; the bytes of text
/// are the same in both, but the description must say what was asked for.
pub(super) fn description(out: &mut Outlet, columns: &[&str], formats: &[i16]) {
    describe_into(out.buf(), columns, formats);
}

pub(super) fn describe_into(out: &mut BytesMut, columns: &[&str], formats: &[i16]) {
    let format = |i: usize| match formats {
        [all] => *all,
        each => each.get(i).copied().unwrap_or(0),
    };
    let fields: Vec<Field<'_>> = columns
        .iter()
        .enumerate()
        .map(|(i, name)| Field {
            format: format(i),
            ..Field::new(name.as_bytes(), TEXT_OID, -1)
        })
        .collect();
    backend::row_description(out, &fields);
}

pub(super) fn row<'v>(out: &mut Outlet, values: impl IntoIterator<Item = Option<&'v str>>) {
    backend::data_row(out.buf(), values.into_iter().map(|v| v.map(str::as_bytes)));
}

//! The room `merge`: several shards' row streams become the one stream that the whole database
//! would have sent.
//!
//! Sans-IO: who calls it reads the sockets. Rows go in as DataRow bodies (`push`), come out as
//! DataRow bodies (`step`). It must not know servers, transactions or clients, and it must not
//! guess: what can't be compared, grouped or added exactly is refused by `Merger::new`, before any
//! row is sent.
//!
//! One file per algorithm: `order` (k-way merge), `aggregate` (grouping; `combine` for one
//! column), `distinct`, `limit`; `exact` says what can be compared, `columns` reads rows and their
//! description, `decode` and `numeric` values; `merger` puts them together.

mod aggregate;
mod columns;
mod combine;
mod decode;
mod distinct;
mod exact;
#[cfg(test)]
mod fixture;
mod held;
mod limit;
mod merger;
mod numeric;
mod order;
mod tags;

pub use merger::Merger;

pub use tags::{same_tags, sum_tags, tag_count, with_count};

use bytes::Bytes;

use crate::model::Fault;

/// The most that one merge may hold in memory: groups, distinct rows, rows waiting for their turn.
/// Bounded because a grouping over a big table would else take the proxy down with it.
pub const MAX_HELD_BYTES: usize = 64 << 20;

/// How the rows will look, as the servers and the session say.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The body of the first part's RowDescription (hidden columns included).
    pub description: &'a [u8],
    /// The result format codes of the Bind as it was *sent to the servers* (none, one for all, or one
    /// per column with the hidden ones). `None`: the description's own codes hold, which is
    /// right for the simple protocol and for a described portal, and wrong after Describe of a statement.
    pub formats: Option<&'a [i16]>,
    /// `client_encoding` equals `server_encoding`: text has the servers' own bytes. Where it is false,
    /// text is neither ordered nor grouped.
    pub same_encoding: bool,
    /// `extra_float_digits` is at least 1 (the default): floats in text format are exact. Where it
    /// is false, floats in text format are neither ordered nor grouped.
    pub exact_floats: bool,
}

impl<'a> Described<'a> {
    /// With the settings that a fresh PostgreSQL session with UTF-8 has.
    pub fn usual(description: &'a [u8]) -> Described<'a> {
        Described {
            description,
            formats: None,
            same_encoding: true,
            exact_floats: true,
        }
    }
}

/// What a merge wants or gives next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The body of a DataRow for the client.
    Row(Bytes),
    /// Nothing to give before this source delivers (`push`) or ends (`finish`). Rows of other
    /// sources may be pushed too; they wait, counted against `MAX_HELD_BYTES`.
    Need(usize),
    /// Nothing to give before some unfinished source, whichever, delivers or ends.
    NeedAny,
    /// The answer is complete. Sources that haven't finished may be cancelled: LIMIT is reached.
    Done,
}

/// The result format codes for the servers, from those of the client's Bind: hidden columns are
/// appended as text, unless one code stands for all.
pub fn widen_formats(client: &[i16], hidden: usize) -> Vec<i16> {
    let mut formats = client.to_vec();
    if client.len() > 1 {
        formats.resize(client.len() + hidden, 0);
    }
    formats
}

/// Cuts the hidden columns off a RowDescription's body, for Describe of a statement (where no
/// Merger exists). Formats stay as they are.
pub fn visible_description(description: &[u8], hidden: usize) -> Result<Bytes, Fault> {
    Ok(columns::Columns::read(description, hidden, None)?.client_description())
}

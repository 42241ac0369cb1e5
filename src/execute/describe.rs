//! Asks a server what a statement's parameters and columns are.

use bytes::Bytes;

use crate::model::{Fault, NodeId};
use crate::plan::Role;
use crate::wire::postgres::backend::ParameterDescription;
use crate::wire::postgres::frontend::{self, Target};

use super::{Client, Failure, Hold};

/// A server's answer to Describe of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    pub types: Vec<u32>,
    /// The body of the RowDescription; None: it returns no rows.
    pub rows: Option<Bytes>,
}

/// Parses `text` on `node` and describes it; the client sees nothing of it.
pub async fn describe(
    hold: &mut Hold,
    node: NodeId,
    text: &str,
    types: &[u32],
    client: &mut Client<'_>,
) -> Result<Described, Failure> {
    let text = &*hold.text.written(text);
    let key = super::statement_key(text, types, &hold.settings, hold.database.catalog.epoch);
    let mut seat = hold.seat(node, Role::Any).await?;
    let (name, fresh) = seat.lease.prepare(key);
    let out = seat.lease.write_buf();
    if fresh {
        frontend::parse(out, name.as_bytes(), text, types.iter().copied());
    }
    frontend::describe(out, Target::Statement, name.as_bytes());
    frontend::sync(out);
    let mut ready_to_come = seat.quiet + 1;
    let mut described = Described::default();
    let mut failure: Option<Failure> = None;
    while ready_to_come > 0 {
        let frame = match seat.lease.next_frame().await {
            Ok(frame) => frame,
            Err(fault) => {
                failure.get_or_insert(fault.into());
                break;
            }
        };
        match frame.tag {
            b'Z' => ready_to_come -= 1,
            b'S' => client.statuses.report(frame.body(), client.out.buf()),
            b'T' => described.rows = Some(frame.bytes.slice(5..)),
            b't' => match ParameterDescription::decode(frame.body()) {
                Ok(description) => described.types = description.types().collect(),
                Err(error) => drop(failure.get_or_insert(Fault::from(error).into())),
            },
            b'E' => drop(failure.get_or_insert(Failure::Server(frame))),
            _ => {}
        }
    }
    hold.using.settle().await;
    hold.leave(seat, false);
    failure.map_or(Ok(described), Err)
}

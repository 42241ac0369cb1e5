//! Puts the OIDs that a server says into those that clients know, and back, on the frames of one connection.
//! Rows are looked into only if the RowDescription right before them says that their values hold OIDs.

use std::sync::Arc;

use crate::model::oids::{Dictionary, Oids, may_hold_oids};
use crate::model::{Code, Fault};
use crate::wire::postgres::frame::HEADER;
use crate::wire::postgres::oids::{self, Holding, Untold};

#[derive(Debug, Default)]
pub(super) struct Words {
    /// None: the server's are the clients'.
    pub oids: Option<Arc<Oids>>,
    /// Of the rows that come next.
    holding: Holding,
    /// The frame at the start of the input is done already.
    pub is_put: bool,
}

impl Words {
    /// For what is sent.
    pub fn to_node(&self) -> Option<&Dictionary> {
        self.oids.as_deref().map(|oids| &oids.to_node)
    }

    /// DataRows must be whole, and be put.
    #[inline]
    pub fn reads_rows(&self) -> bool {
        !self.holding.is_empty()
    }

    /// The frame of this length at `at` of what came in.
    #[inline]
    pub fn put(&mut self, tag: u8, input: &mut [u8], at: usize, length: usize) -> Result<(), Untold> {
        if self.oids.is_none() || (at == 0 && self.is_put) {
            return Ok(());
        }
        let body = input.get_mut(at + HEADER..at + length).unwrap_or_default();
        self.put_body(tag, body)
    }

    fn put_body(&mut self, tag: u8, body: &mut [u8]) -> Result<(), Untold> {
        let Some(oids) = self.oids.as_deref() else {
            return Ok(());
        };
        let words = &oids.from_node;
        match tag {
            b'T' => self.holding = oids::row_description(body, words)?,
            b't' => oids::parameter_description(body, words)?,
            b'D' if !self.holding.is_empty() => oids::data_row(body, &self.holding, words)?,
            b'C' | b's' | b'I' | b'E' | b'Z' | b'n' => self.holding.clear(),
            _ => {}
        }
        Ok(())
    }

    /// The values of a Bind, whose parameters have these types in the client's words. False: it must not
    /// reach the server, since a value of regclass or its kin names nothing there.
    pub fn put_bind(&self, frame: &mut [u8], types: &[u32]) -> bool {
        let Some(words) = self
            .to_node()
            .filter(|_| types.iter().any(|ty| may_hold_oids(*ty)))
        else {
            return true;
        };
        let body = frame.get_mut(HEADER..).unwrap_or_default();
        match oids::bind(body, types, words) {
            // The server says what is wrong with a value that isn't well formed.
            Ok(()) | Err(Untold::Broken(_)) => true,
            Err(Untold::Unknown(oid)) => {
                tracing::debug!(oid, "a value names an object that a node doesn't have");
                false
            }
        }
    }
}

pub(super) fn unknown(oid: u32) -> Fault {
    let text = format!("a server's type or relation of OID {oid} isn't known here");
    Fault::new(Code::PLACEMENT_MISMATCH, text).hint(
        "What was made a moment ago, or not through Margay, is known in some seconds; what was made in this \
         transaction, after its end.",
    )
}

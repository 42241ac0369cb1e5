//! The memory account of one merge, bounded by `MAX_HELD_BYTES`. Counts what callers say, roughly.

use super::MAX_HELD_BYTES;
use crate::model::{Code, Fault};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held {
    bytes: usize,
}

impl Held {
    pub fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_HELD_BYTES {
            return Err(too_much());
        }
        Ok(())
    }

    pub fn give(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

fn too_much() -> Fault {
    let message = format!(
        "merging this answer needs more than {} MiB in the proxy",
        MAX_HELD_BYTES >> 20
    );
    Fault::new(Code::TOO_LARGE, message)
        .sqlstate("53400")
        .hint("group or deduplicate fewer rows: add a WHERE, or ask one shard by its key")
}

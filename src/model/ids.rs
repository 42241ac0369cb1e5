//! Typed indexes into a Snapshot. An id is meaningful only together with the Snapshot it came from.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The id as an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// A node: one copy of some data, a primary with its replicas. Indexes `Snapshot::nodes`.
    NodeId(u16)
);
id!(
    /// A server within its node: 0 is the one the rules name as primary, 1… the replicas.
    ServerId(u16)
);
id!(
    /// A business domain. Indexes `Database::domains`.
    DomainId(u16)
);

/// A shard of one table. Hash, range and list shards count from 0; a time shard is the number of
/// whole periods since its table's `from` (negative before it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub i32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

//! Words that both engines share: ids, values, names, faults and the catalog.
//! Imports nothing of ours, does no I/O and knows neither rules nor wire formats.

pub mod admin;
pub mod catalog;
pub mod certificate;
pub mod encoding;
pub mod fault;
pub mod ids;
pub mod names;
pub mod oids;
pub mod value;

pub use encoding::{ClientText, Encoding};
pub use fault::{Blame, Code, Fault};
pub use ids::{DomainId, NodeId, ServerId, ShardId};
pub use names::{TableName, identifier};
pub use value::{KeyType, Value};

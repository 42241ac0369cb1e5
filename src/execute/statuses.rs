//! The parameters that a client was told (ParameterStatus). Servers tell changes of theirs whenever
//! settings are brought over to a connection; a client must hear only what changes for it.

use bytes::BytesMut;

use crate::wire::postgres::backend;

/// These say which server it is, not what the one database is: they stay as they were at login.
const OF_ONE_SERVER: &[&[u8]] = &[
    b"in_hot_standby",
    b"integer_datetimes",
    b"server_encoding",
    b"server_version",
    b"session_authorization",
];

/// Name and value, as bytes.
pub(super) type Parameter = (Box<[u8]>, Box<[u8]>);

#[derive(Clone, Debug, Default)]
pub struct Statuses {
    told: Vec<Parameter>,
    /// Counts changes, so that what was computed from them knows when it is stale.
    pub changes: u64,
}

impl Statuses {
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_bytes(name.as_bytes())
    }

    pub fn get_bytes(&self, name: &[u8]) -> Option<&[u8]> {
        self.told.iter().find(|(n, _)| **n == *name).map(|(_, v)| &**v)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.told.iter().map(|(n, v)| (&**n, &**v))
    }

    /// Notes a value; true: the client must be told.
    pub fn note(&mut self, name: &[u8], value: &[u8]) -> bool {
        match self.told.iter_mut().find(|(n, _)| **n == *name) {
            Some((_, old)) if **old == *value => return false,
            Some((_, old)) => *old = value.into(),
            None => self.told.push((name.into(), value.into())),
        }
        self.changes += 1;
        true
    }

    /// A server said so: note it and tell the client if that is news.
    pub fn report(&mut self, body: &[u8], out: &mut BytesMut) {
        if let Ok(backend::Message::ParameterStatus { name, value }) = backend::decode(b'S', body) {
            self.report_pair(name, value, out);
        }
    }

    pub fn report_pair(&mut self, name: &[u8], value: &[u8], out: &mut BytesMut) {
        if !OF_ONE_SERVER.contains(&name) && self.note(name, value) {
            backend::parameter_status(out, name, value);
        }
    }
}

//! The first packet once the connection is as encrypted as it will be: a StartupMessage, whose protocol
//! version is negotiated, or a cancel request, which is carried out.

use bytes::Bytes;

use super::inlet::Inlet;
use crate::model::{Code, Fault};
use crate::pipeline::Outlet;
use crate::session::shared::Shared;
use crate::wire::postgres::backend;
use crate::wire::postgres::frontend::{Opening, Startup, decode_opening};

/// Bytes of a cancel secret in protocol 3.2, as PostgreSQL 18 has it.
const LONG_SECRET: usize = 32;

/// A client that wants a session.
pub(super) struct Greeting {
    frame: Bytes,
}

impl Greeting {
    pub fn startup(&self) -> Result<Startup<'_>, Fault> {
        match decode_opening(&self.frame)? {
            Opening::Startup(startup) => Ok(startup),
            Opening::Ssl | Opening::GssEnc | Opening::Cancel { .. } => {
                Err(Fault::internal("a greeting that isn't one"))
            }
        }
    }

    /// What a cancel request must know: as long as the client's protocol version takes.
    pub fn cancel_secret(&self) -> Result<Box<[u8]>, Fault> {
        Ok(match self.startup()?.agreed_minor() {
            0 | 1 => Box::new(rand::random::<[u8; 4]>()),
            _ => Box::new(rand::random::<[u8; LONG_SECRET]>()),
        })
    }

    /// A parameter that must be text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        let value = self.startup()?.get(name).map(<[u8]>::to_vec);
        let text = value.map(String::from_utf8).transpose();
        text.map_err(|_| Fault::new(Code::PROTOCOL, format!("parameter \"{name}\" isn't valid UTF-8")))
    }
}

/// None: the connection has done its work, or the client has left.
pub(super) async fn greet(
    inlet: &mut Inlet,
    out: &mut Outlet,
    shared: &Shared,
) -> Result<Option<Greeting>, Fault> {
    let Some(frame) = inlet.startup().await? else {
        return Ok(None);
    };
    match decode_opening(&frame)? {
        Opening::Ssl | Opening::GssEnc => Err(Fault::new(
            Code::PROTOCOL,
            "a request for encryption where the startup packet was due",
        )),
        Opening::Cancel { pid, secret } => {
            shared.registry.cancel(pid, secret);
            Ok(None)
        }
        Opening::Startup(startup) => {
            if startup.needs_negotiation() {
                let unknown: Vec<&[u8]> = startup.extensions().collect();
                backend::negotiate_protocol_version(out.buf(), startup.agreed_minor(), unknown.into_iter());
            }
            Ok(Some(Greeting { frame }))
        }
    }
}

//! From the first byte to the StartupMessage: requests for encryption are answered, a cancel request
//! is carried out.

use bytes::{BufMut, Bytes};

use super::inlet::Inlet;
use crate::model::{Code, Fault};
use crate::pipeline::Outlet;
use crate::session::shared::Shared;
use crate::wire::postgres::backend;
use crate::wire::postgres::frontend::{MINOR, Opening, Startup, decode_opening};

/// Requests for encryption before the startup message: SSL and GSSENC, each once.
const MAX_REQUESTS: u32 = 2;

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
    for _ in 0..=MAX_REQUESTS {
        let Some(frame) = inlet.startup().await? else {
            return Ok(None);
        };
        match decode_opening(&frame)? {
            Opening::Ssl | Opening::GssEnc => {
                out.buf().put_u8(b'N');
                out.flush().await;
            }
            Opening::Cancel { pid, secret } => {
                shared.registry.cancel(pid, secret);
                return Ok(None);
            }
            Opening::Startup(startup) => {
                if startup.needs_negotiation() {
                    let unknown: Vec<&[u8]> = startup.extensions().collect();
                    let minor = if startup.minor >= MINOR { MINOR } else { 0 };
                    backend::negotiate_protocol_version(out.buf(), minor, unknown.into_iter());
                }
                return Ok(Some(Greeting { frame }));
            }
        }
    }
    Err(Fault::new(Code::PROTOCOL, "too many requests for encryption"))
}

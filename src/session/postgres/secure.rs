//! The first bytes of a connection, before there is a session: whether it is to be encrypted, and the
//! TLS handshake. Nothing that came in clear may count as said inside of TLS (CVE-2021-23214): only the
//! eight bytes of a request are read before the handshake, and more of them are refused.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::inlet::Inlet;
use crate::model::certificate::Certificate;
use crate::model::{Code, Fault};
use crate::pipeline::Outlet;
use crate::topology::tls::{ALPN, ListenerTls};
use crate::wire::postgres::backend::fatal_response;
use crate::wire::postgres::frontend::{GSSENC_REQUEST, SSL_REQUEST};

/// Length and code of a request for encryption; every opening packet is at least so long.
const REQUEST: usize = 8;
/// First byte of a TLS handshake record; a packet that begins with it would be 369 MB long.
const TLS_HANDSHAKE: u8 = 0x16;

/// Reads of what a client sent too early, before the connection is closed all the same.
const MAX_EARLY_READS: u32 = 64;

/// What is known of the way to the client.
#[derive(Default)]
pub(super) struct Channel {
    /// None: in clear.
    pub tls: Option<Secured>,
}

pub(super) struct Secured {
    /// What channel binding binds to.
    pub end_point: Option<Arc<[u8]>>,
    /// The client presented a certificate, and it was verified.
    pub certificate: Option<ClientCertificate>,
}

pub(super) struct ClientCertificate {
    /// None: it has none that can be read.
    pub common_name: Option<Box<str>>,
}

/// A connection on which the startup packet comes next.
pub(super) struct Opened {
    pub inlet: Inlet,
    pub out: Outlet,
    pub channel: Channel,
}

/// Answers requests for encryption, each once as PostgreSQL does. None: the client has left, or was
/// refused and told so.
pub(super) async fn open(mut stream: TcpStream, tls: Option<&ListenerTls>) -> Option<Opened> {
    if let Some(tls) = tls {
        let mut first = [0];
        stream.peek(&mut first).await.ok()?;
        if first == [TLS_HANDSHAKE] {
            // Direct negotiation (PostgreSQL 17). A client of another protocol may have been tricked here:
            // it must have named this one.
            let shaken = handshake(stream, tls).await?;
            return (shaken.alpn.as_deref() == Some(ALPN)).then_some(shaken.opened);
        }
    }
    let (mut ssl_asked, mut gss_asked) = (false, false);
    loop {
        let mut request = [0; REQUEST];
        stream.read_exact(&mut request).await.ok()?;
        let [a, b, c, d, code @ ..] = request;
        let whole = u32::from_be_bytes([a, b, c, d]) as usize == REQUEST;
        match u32::from_be_bytes(code) {
            SSL_REQUEST if whole && !ssl_asked => ssl_asked = true,
            GSSENC_REQUEST if whole && !gss_asked => gss_asked = true,
            _ => {
                let (read, write) = stream.into_split();
                let inlet = Inlet::after(BytesMut::from(&request[..]), Box::new(read));
                return Some(Opened {
                    inlet,
                    out: Outlet::new(Box::new(write)),
                    channel: Channel::default(),
                });
            }
        }
        if has_more(&stream) {
            refuse_early_bytes(stream).await;
            return None;
        }
        let is_ssl = u32::from_be_bytes(code) == SSL_REQUEST;
        match tls.filter(|_| is_ssl) {
            Some(tls) => {
                stream.write_all(b"S").await.ok()?;
                return handshake(stream, tls).await.map(|shaken| shaken.opened);
            }
            None => stream.write_all(b"N").await.ok()?,
        }
    }
}

/// A client waits for the answer to its request before it goes on.
fn has_more(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Ok(1..))
}

async fn refuse_early_bytes(mut stream: TcpStream) {
    let fault = Fault::new(
        Code::PROTOCOL,
        "received unencrypted data after a request for encryption",
    )
    .detail(
        "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
    );
    let mut out = BytesMut::new();
    fatal_response(&mut out, &fault);
    let _ = stream.write_all(&out).await;
    let _ = stream.shutdown().await;
    // Bytes left unread would make the end a reset, which may take the error away with it.
    let mut dropped = [0; 1024];
    for _ in 0..MAX_EARLY_READS {
        if !matches!(stream.read(&mut dropped).await, Ok(1..)) {
            return;
        }
    }
}

struct Handshaken {
    opened: Opened,
    alpn: Option<Vec<u8>>,
}

async fn handshake(stream: TcpStream, tls: &ListenerTls) -> Option<Handshaken> {
    let stream = match TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return None;
        }
    };
    let (_, session) = stream.get_ref();
    let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
    let presented = session.peer_certificates().and_then(<[_]>::first);
    let certificate = presented.map(|der| ClientCertificate {
        common_name: Certificate::decode(der).and_then(|c| Some(c.common_name()?.into())),
    });
    let channel = Channel {
        tls: Some(Secured {
            end_point: tls.end_point.clone(),
            certificate,
        }),
    };
    let (read, write) = tokio::io::split(stream);
    let opened = Opened {
        inlet: Inlet::after(BytesMut::new(), Box::new(read)),
        out: Outlet::new(Box::new(write)),
        channel,
    };
    Some(Handshaken { opened, alpn })
}

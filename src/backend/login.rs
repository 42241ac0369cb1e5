//! Logging into a server: trust, cleartext password, md5, SCRAM-SHA-256, bound to the TLS connection where
//! there is one.

use std::io;
use std::time::Duration;

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use super::conn::Conn;
use super::run::ServerError;
use super::stream::Stream;
use crate::model::{Code, Fault};
use crate::topology;
use crate::topology::tls;
use crate::wire::postgres::backend::{self, Auth};
use crate::wire::postgres::{Frame, frontend};

/// Why there is no connection: what a client may read, and what an operator wants to.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub fault: Fault,
    pub why: String,
}

impl Refusal {
    fn down(why: impl ToString) -> Self {
        let fault = Fault::new(Code::NODE_DOWN, "a server can't be reached");
        Self {
            fault,
            why: why.to_string(),
        }
    }

    fn login(why: impl ToString) -> Self {
        let fault = Fault::new(Code::SERVER_LOGIN, "a server refused the login");
        Self {
            fault,
            why: why.to_string(),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // It is there, and not who or how the rules want it.
            io::ErrorKind::PermissionDenied => Self::login(error),
            _ => Self::down(error),
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let why = fault.to_string();
        if fault.code == Code::SERVER_LOST {
            Self::down(why)
        } else {
            Self { fault, why }
        }
    }
}

pub(super) async fn connect(server: &topology::Server, timeout: Duration) -> Result<Conn, Refusal> {
    let login = async {
        let (stream, peer) = Stream::connect(&server.host, server.port, server.tls.as_ref()).await?;
        let mut conn = Conn::new(stream, peer);
        log_in(&mut conn, server).await?;
        Ok(conn)
    };
    match tokio::time::timeout(timeout, login).await {
        Ok(done) => done,
        Err(_) => Err(Refusal::down(format!("no login within {timeout:?}"))),
    }
}

async fn log_in(conn: &mut Conn, server: &topology::Server) -> Result<(), Refusal> {
    // No client_encoding: the server's (database's) own stands until a client sets another.
    let params: [(&[u8], &[u8]); 3] = [
        (b"user", server.user.as_bytes()),
        (b"database", server.database.as_bytes()),
        (b"application_name", b"margay"),
    ];
    if params.iter().any(|(_, value)| value.contains(&0)) {
        return Err(Refusal::login("user or database contains a zero byte"));
    }
    conn.queue_untagged(|out| frontend::startup_version(out, server.protocol_minor, params));
    conn.expect_login();
    let must_bind = binding(server) == Some(tls::ChannelBinding::Require);
    let mut bound = false;
    loop {
        let frame = conn.next_frame().await?;
        match frame.tag {
            b'R' if must_bind && !bound && !matches!(auth(&frame)?, Auth::Sasl { .. }) => {
                return Err(Refusal::login(NO_BINDING));
            }
            b'R' => bound |= answer(conn, &frame, server).await?,
            b'Z' => return Ok(()),
            b'E' => return Err(refused(frame)),
            b'v' => negotiated(&frame, server.protocol_minor)?,
            // ParameterStatus and BackendKeyData are noted by the connection; notices say nothing of use.
            _ => {}
        }
    }
}

const NO_BINDING: &str = "the rules require channel binding, and the server's login has none";

fn binding(server: &topology::Server) -> Option<tls::ChannelBinding> {
    server.tls.as_ref().map(|tls| tls.channel_binding)
}

/// The server speaks an older version than it was asked for. Nothing else was asked for.
fn negotiated(frame: &Frame, minor: u16) -> Result<(), Refusal> {
    match backend::decode(frame.tag, frame.body()) {
        Ok(backend::Message::NegotiateProtocolVersion { version, options })
            if options.is_empty() && version >> 16 == 3 && version & 0xffff <= u32::from(minor) =>
        {
            Ok(())
        }
        Ok(_) | Err(_) => Err(Refusal::login("the server negotiates what it was not asked for")),
    }
}

/// Answers an authentication request; true: with a login that is bound to the TLS connection.
async fn answer(conn: &mut Conn, frame: &Frame, server: &topology::Server) -> Result<bool, Refusal> {
    match auth(frame)? {
        Auth::Ok => Ok(false),
        Auth::Cleartext => {
            let password = password(server)?;
            frontend::password(conn.write_buf(), password.as_bytes());
            Ok(false)
        }
        Auth::Md5 { salt } => {
            let hash = md5_hash(server.user.as_bytes(), password(server)?.as_bytes(), salt);
            frontend::password(conn.write_buf(), hash.as_bytes());
            Ok(false)
        }
        Auth::Sasl { mechanisms } => {
            let offered = |name: &str| mechanisms.contains(&name.as_bytes());
            let wanted = binding(server).filter(|_| conn.is_encrypted());
            let hash = conn.end_point();
            let chosen = match (wanted, hash) {
                (Some(tls::ChannelBinding::Prefer | tls::ChannelBinding::Require), Some(hash))
                    if offered(SCRAM_SHA_256_PLUS) =>
                {
                    Chosen::Bound(ChannelBinding::tls_server_end_point(hash))
                }
                (Some(tls::ChannelBinding::Require), _) => return Err(Refusal::login(NO_BINDING)),
                // It is said that Margay could have: a server that had offered it sees the fraud.
                (Some(tls::ChannelBinding::Prefer), Some(_)) => Chosen::Plain(ChannelBinding::unrequested()),
                (Some(tls::ChannelBinding::Prefer), None)
                | (Some(tls::ChannelBinding::Disable) | None, _) => {
                    Chosen::Plain(ChannelBinding::unsupported())
                }
            };
            if matches!(chosen, Chosen::Plain(_)) && !offered(SCRAM_SHA_256) {
                return Err(Refusal::login(UNKNOWN));
            }
            scram(conn, password(server)?, chosen).await
        }
        Auth::SaslContinue(_) | Auth::SaslFinal(_) | Auth::Other(_) => Err(Refusal::login(UNKNOWN)),
    }
}

const UNKNOWN: &str = "the server asks for an authentication that Margay doesn't know";

/// The mechanism, and what it says of channel binding.
enum Chosen {
    Bound(ChannelBinding),
    Plain(ChannelBinding),
}

async fn scram(conn: &mut Conn, password: &str, chosen: Chosen) -> Result<bool, Refusal> {
    let (mechanism, binding, bound) = match chosen {
        Chosen::Bound(binding) => (SCRAM_SHA_256_PLUS, binding, true),
        Chosen::Plain(binding) => (SCRAM_SHA_256, binding, false),
    };
    let mut scram = ScramSha256::new(password.as_bytes(), binding);
    frontend::sasl_initial(conn.write_buf(), mechanism.as_bytes(), scram.message());
    loop {
        let frame = conn.next_frame().await?;
        match frame.tag {
            b'R' => {}
            b'E' => return Err(refused(frame)),
            _ if frame.is_async() => continue,
            _ => return Err(Refusal::login("the server broke off the SCRAM exchange")),
        }
        match auth(&frame)? {
            Auth::SaslContinue(data) => {
                scram.update(data).map_err(Refusal::login)?;
                frontend::sasl_response(conn.write_buf(), scram.message());
            }
            // Proves that the server knows the password too.
            Auth::SaslFinal(data) => {
                scram.finish(data).map_err(Refusal::login)?;
                return Ok(bound);
            }
            Auth::Ok | Auth::Cleartext | Auth::Md5 { .. } | Auth::Sasl { .. } | Auth::Other(_) => {
                return Err(Refusal::login("the server broke off the SCRAM exchange"));
            }
        }
    }
}

fn auth(frame: &Frame) -> Result<Auth<'_>, Fault> {
    Auth::decode(frame.body()).map_err(|error| error.from_server())
}

fn password(server: &topology::Server) -> Result<&str, Refusal> {
    let password = server.password.as_deref();
    let password =
        password.ok_or_else(|| Refusal::login("the server asks for a password and the rules have none"))?;
    if password.contains('\0') {
        Err(Refusal::login("the password contains a zero byte"))
    } else {
        Ok(password)
    }
}

/// "Starting up", "shutting down" (57) and "too many clients" (53) pass by; all else needs an operator.
fn refused(frame: Frame) -> Refusal {
    let error = ServerError { frame };
    let why = format!("{} ({})", error.message(), error.sqlstate());
    if ["57", "53"]
        .iter()
        .any(|class| error.sqlstate().starts_with(class))
    {
        Refusal::down(why)
    } else {
        Refusal::login(why)
    }
}

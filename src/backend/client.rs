//! A complete client (tokio-postgres) to a server, for what Margay asks for itself: health, the catalog,
//! recovery. Reached and verified as the data path reaches it. No statement of a client travels here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{self, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Client, NoTls, Socket};
use tokio_rustls::{TlsConnector, client};

use crate::model::certificate::end_point_hash;
use crate::topology::Server;
use crate::topology::tls::{self, ServerTls, TlsMode};

/// How such a client shows itself, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// As pg_stat_activity shows it.
    pub application: &'a str,
    /// Settings in the startup packet (`-c name=value …`): they outrank those of role and database.
    pub options: &'a str,
    /// For connecting and logging in.
    pub limit: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("no login within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
}

/// Connects and logs in. The connection ends by itself when the client is dropped or the socket breaks; the
/// error reaches whoever asks next.
pub async fn open_client(server: &Server, purpose: Purpose<'_>) -> Result<Client, OpenError> {
    let limit = purpose.limit;
    let mut config = tokio_postgres::Config::new();
    let local = server.host.starts_with('/');
    if local {
        config.host_path(&*server.host);
    } else {
        config.host(&*server.host);
    }
    config
        .port(server.port)
        .user(&*server.user)
        .dbname(&*server.database)
        .application_name(purpose.application)
        .options(purpose.options)
        .ssl_mode(SslMode::Disable)
        // Ours comes first: it is told apart from a refusal. The crate's own ends with the TCP handshake,
        // which a frozen server still makes.
        .connect_timeout(limit * 2)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(30))
        .tcp_user_timeout(limit.max(Duration::from_secs(5)));
    if let Some(password) = &server.password {
        config.password(password.as_bytes());
    }
    let connected = async {
        match server.tls.as_ref().filter(|_| !local) {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                drop(tokio::spawn(connection));
                Ok(client)
            }
            Some(tls) => {
                config.ssl_mode(match tls.mode {
                    TlsMode::Prefer => SslMode::Prefer,
                    TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
                });
                config.channel_binding(match tls.channel_binding {
                    tls::ChannelBinding::Disable => config::ChannelBinding::Disable,
                    tls::ChannelBinding::Prefer => config::ChannelBinding::Prefer,
                    tls::ChannelBinding::Require => config::ChannelBinding::Require,
                });
                let connector = Connector {
                    tls: Arc::clone(tls),
                    host: server.host.clone(),
                };
                let (client, connection) = config.connect(connector).await?;
                drop(tokio::spawn(connection));
                Ok(client)
            }
        }
    };
    match tokio::time::timeout(limit, connected).await {
        Ok(connected) => connected,
        Err(_) => Err(OpenError::Timeout(limit)),
    }
}

#[derive(Clone)]
struct Connector {
    tls: Arc<ServerTls>,
    host: Box<str>,
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Secured;
    type TlsConnect = Connector;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _domain: &str) -> Result<Connector, io::Error> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Connector {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let connector = TlsConnector::from(Arc::clone(&self.tls.config));
        let handshake = connector.connect(ServerTls::name_of(&self.host), socket);
        Box::pin(async move { handshake.await.map(Box::new).map(Secured) })
    }
}

/// The crate's view of a TLS stream.
struct Secured(Box<client::TlsStream<Socket>>);

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let hash = certificates.and_then(|all| end_point_hash(all.first()?));
        hash.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().0.as_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().0.as_mut()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().0.as_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().0.as_mut()).poll_shutdown(cx)
    }
}

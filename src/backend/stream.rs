//! The byte stream to a server: TCP, TLS over it, or a Unix socket, as one type: the way in clear costs
//! nothing for the others.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::model::certificate::end_point_hash;
use crate::topology::tls::{ServerTls, TlsMode};
use crate::wire::postgres::frontend;

/// Where a stream leads. Of a host name, the address that answered: a cancel must go to the same one.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// TLS, with the host's name as the rules have it.
    Tls(SocketAddr, Arc<ServerTls>, Box<str>),
}

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Ends a stream from outside, whoever waits for it: both directions are shut down.
#[derive(Debug)]
pub(super) struct Breaker(OwnedFd);

impl Breaker {
    pub fn cut(&self) {
        // It may be closed by the other side already.
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Both);
    }
}

impl Stream {
    /// Holds the socket open until it is dropped itself.
    pub fn breaker(&self) -> io::Result<Breaker> {
        let fd = match self {
            Self::Tcp(stream) => stream.as_fd().try_clone_to_owned(),
            Self::Unix(stream) => stream.as_fd().try_clone_to_owned(),
            Self::Tls(stream) => stream.get_ref().0.as_fd().try_clone_to_owned(),
        };
        fd.map(Breaker)
    }

    /// `host`: a name or address, or the directory of a Unix socket (starts with `/`), which is never encrypted.
    pub async fn connect(host: &str, port: u16, tls: Option<&Arc<ServerTls>>) -> io::Result<(Self, Peer)> {
        if host.starts_with('/') {
            let path = PathBuf::from(format!("{host}/.s.PGSQL.{port}"));
            return Ok((Self::Unix(UnixStream::connect(&path).await?), Peer::Unix(path)));
        }
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        // A host that went away without a word must not hold a session for ever.
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10));
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let peer = stream.peer_addr()?;
        let Some(tls) = tls else {
            return Ok((Self::Tcp(stream), Peer::Tcp(peer)));
        };
        let secured = Self::secure(stream, tls, host).await?;
        let peer = match &secured {
            Self::Tls(_) => Peer::Tls(peer, Arc::clone(tls), host.into()),
            Self::Tcp(_) | Self::Unix(_) => Peer::Tcp(peer),
        };
        Ok((secured, peer))
    }

    /// Asks for TLS as the rules want it. Exactly the answer's byte is read before the handshake: what came
    /// in clear behind it can't count as said inside of TLS (CVE-2021-23222). An error other than the
    /// network's is of kind `PermissionDenied`: the server is there, and not as the rules want it.
    async fn secure(mut stream: TcpStream, tls: &Arc<ServerTls>, host: &str) -> io::Result<Self> {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await?;
        match (stream.read_u8().await?, tls.mode) {
            (b'S', _) => {}
            (b'N', TlsMode::Prefer) => return Ok(Self::Tcp(stream)),
            (b'N', TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull) => {
                return Err(denied("the server has no TLS, and the rules ask for it"));
            }
            (_, _) => return Err(denied("the server doesn't understand the request for TLS")),
        }
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        match connector.connect(ServerTls::name_of(host), stream).await {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            // The library's own errors (what it thinks of a certificate) have this kind.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(denied(&format!("TLS: {error}"))),
            Err(error) => Err(error),
        }
    }

    /// What channel binding binds to. None: no TLS, or a certificate that has no such thing.
    pub fn end_point(&self) -> Option<Vec<u8>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(stream) => {
                let certificates = stream.get_ref().1.peer_certificates()?;
                end_point_hash(certificates.first()?)
            }
        }
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    pub async fn connect_peer(peer: &Peer) -> io::Result<Self> {
        match peer {
            Peer::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Peer::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
            Peer::Tls(addr, tls, host) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Self::secure(stream, tls, host).await
            }
        }
    }

    /// Has the present runtime watch the socket from now on.
    pub fn move_here(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => move_tcp(stream),
            Self::Unix(stream) => {
                let same = std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
                *stream = UnixStream::from_std(same)?;
                Ok(())
            }
            Self::Tls(stream) => move_tcp(stream.get_mut().0),
        }
    }

    /// Reads what is there. Costs no system call as long as nothing has come in.
    pub fn try_read_buf(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buf),
            Self::Unix(stream) => stream.try_read_buf(buf),
            // Nobody is to be woken: whoever uses the connection next asks again.
            Self::Tls(stream) => {
                let mut asked_in_vain = Context::from_waker(Waker::noop());
                match pin!(stream.read_buf(buf)).poll(&mut asked_in_vain) {
                    Poll::Ready(read) => read,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                }
            }
        }
    }
}

/// Under another descriptor: the old one is let go by the old runtime as it is dropped.
fn move_tcp(stream: &mut TcpStream) -> io::Result<()> {
    let same = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
    *stream = TcpStream::from_std(same)?;
    Ok(())
}

fn denied(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Sockets have no buffer of their own in this process.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

//! The byte stream to a server: TCP or a Unix socket, as one type without boxing.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Where a stream leads. Of a host name, the address that answered: a cancel must go to the same one.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
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
        };
        fd.map(Breaker)
    }

    /// `host`: a name or address, or the directory of a Unix socket (starts with `/`).
    pub async fn connect(host: &str, port: u16) -> io::Result<(Self, Peer)> {
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
        Ok((Self::Tcp(stream), Peer::Tcp(peer)))
    }

    pub async fn connect_peer(peer: &Peer) -> io::Result<Self> {
        match peer {
            Peer::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Peer::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }

    /// Has the present runtime watch the socket from now on.
    pub fn move_here(&mut self) -> io::Result<()> {
        // Under another descriptor: the old one is let go by the old runtime as it is dropped.
        match self {
            Self::Tcp(stream) => {
                let same = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
                *stream = TcpStream::from_std(same)?;
            }
            Self::Unix(stream) => {
                let same = std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
                *stream = UnixStream::from_std(same)?;
            }
        }
        Ok(())
    }

    /// Reads what is there. Costs no system call as long as nothing has come in.
    pub fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buf),
            Self::Unix(stream) => stream.try_read_buf(buf),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have no buffer of their own in this process.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

//! Accepts clients: TCP_NODELAY, the limit of clients, and a shutdown that lets running
//! transactions end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::cores::Cores;
use super::postgres;
use super::shared::Shared;
use crate::model::{Code, Fault};

/// Connections that may be logging in beyond `max_clients`, so that a full proxy can still say so,
/// and take cancel requests.
const ANTEROOM: usize = 64;

/// A bound socket for clients that speak PostgreSQL's protocol.
pub struct Listener {
    socket: TcpListener,
    shared: Shared,
    stop: Shutdown,
    cores: Cores,
}

/// Tells listeners and sessions to come to an end. Cheap to clone.
#[derive(Clone)]
pub struct Shutdown {
    state: Arc<Stopping>,
}

struct Stopping {
    /// Asked by every session for every message, so it takes no lock.
    begun: AtomicBool,
    sender: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            state: Arc::new(Stopping {
                begun: AtomicBool::new(false),
                sender: watch::channel(false).0,
            }),
        }
    }
}

impl Shutdown {
    /// No new clients; idle ones are told and let go, the others at the end of their transaction.
    pub fn begin(&self) {
        // The flag first: who is woken finds it up.
        self.state.begun.store(true, Ordering::Release);
        self.state.sender.send_replace(true);
    }

    pub fn is_begun(&self) -> bool {
        self.state.begun.load(Ordering::Acquire)
    }

    /// Waits for `begin`.
    pub async fn begun(&self) {
        let mut receiver = self.state.sender.subscribe();
        // The sender lives as long as `self`.
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}

impl Listener {
    pub async fn bind(address: SocketAddr, shared: Shared, stop: Shutdown) -> std::io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
            shared,
            stop,
            cores: Cores::default(),
        })
    }

    /// Has the sessions run on these cores, instead of where the listener runs.
    pub fn on(mut self, cores: Cores) -> Self {
        self.cores = cores;
        self
    }

    /// The address in use, where port 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves clients until shutdown, then waits for those that are in a transaction, `patience` at most.
    pub async fn run(self, patience: Duration) {
        let max = self.shared.snapshot.load().limits.max_clients as usize;
        let clients = Arc::new(Semaphore::new(max));
        let anteroom = Arc::new(Semaphore::new(max + ANTEROOM));
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = self.stop.begun() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.shared.registry.count_connection();
                    let Ok(seat) = Arc::clone(&anteroom).try_acquire_owned() else {
                        tokio::spawn(turn_away(stream));
                        continue;
                    };
                    let (shared, stop, clients) =
                        (self.shared.clone(), self.stop.clone(), Arc::clone(&clients));
                    self.cores.serve(stream, move |stream| async move {
                        let _ = stream.set_nodelay(true);
                        postgres::serve(stream, peer, shared, stop, clients).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    // Most often the limit of open files: waiting lets others close theirs.
                    tracing::warn!(%error, "a client could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        let all = u32::try_from(max + ANTEROOM).unwrap_or(u32::MAX);
        if tokio::time::timeout(patience, anteroom.acquire_many(all))
            .await
            .is_err()
        {
            tracing::warn!("clients were still in transactions at the end");
        }
    }
}

/// Says that the house is full without reading a byte.
async fn turn_away(mut stream: TcpStream) {
    let fault = Fault::new(Code::TOO_MANY_CLIENTS, "sorry, too many clients already");
    let mut out = bytes::BytesMut::new();
    crate::wire::postgres::backend::fatal_response(&mut out, &fault);
    let _ = stream.write_all(&out).await;
}

//! One runtime per core for the sessions of clients. A session with its connections stays on its core, so
//! that no query wakes another thread; what spreads over the cores are clients.
//!
//! docs/performance.md has the figures behind it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};

/// Cheap to clone. Empty: everything runs where it is asked for.
#[derive(Clone, Default)]
pub struct Cores {
    cores: Arc<[Core]>,
}

struct Core {
    runtime: Handle,
    clients: AtomicUsize,
}

/// A client's place on a core.
struct Place {
    cores: Cores,
    at: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(core) = self.cores.cores.get(self.at) {
            core.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Cores {
    /// Starts so many threads, each with a runtime of its own. They end with the process.
    pub fn start(count: usize) -> io::Result<Cores> {
        let mut cores = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            cores.push(Core {
                runtime: runtime.handle().clone(),
                clients: AtomicUsize::new(0),
            });
            std::thread::Builder::new()
                .name(format!("core-{number}"))
                .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        }
        Ok(Cores { cores: cores.into() })
    }

    /// Serves a client on the core with the fewest of them.
    pub(super) fn serve<F>(&self, stream: TcpStream, serve: impl FnOnce(TcpStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let least = self
            .cores
            .iter()
            .enumerate()
            .min_by_key(|(_, core)| core.clients.load(Ordering::Relaxed));
        let Some((at, core)) = least else {
            tokio::spawn(serve(stream));
            return;
        };
        core.clients.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            cores: self.clone(),
            at,
        };
        // The runtime that accepted it lets go of it.
        let Ok(stream) = stream.into_std() else { return };
        core.runtime.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "a client could not be taken in"),
            }
            drop(place);
        });
    }
}

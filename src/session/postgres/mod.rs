//! PostgreSQL's protocol, from a client's first byte to its last.
//!
//! startup → login → `Session`: simple queries (`simple`) and batches of the extended protocol
//! (`extended`, `group`), both ending in `command` for what Margay does itself and in `pipeline`
//! for everything else. `watch` keeps an eye on the client meanwhile.

mod admin;
mod command;
mod cursors;
mod extended;
mod grid;
mod group;
mod inlet;
mod login;
mod parameters;
mod portal;
mod prepare;
mod session;
mod set_config;
mod simple;
mod startup;
mod statements;
mod view;
mod watch;
mod welcome;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

pub(crate) use login::Verifiers;

use self::inlet::Inlet;
use self::welcome::{Guest, welcome};
use super::listener::Shutdown;
use super::shared::Shared;
use crate::model::Fault;
use crate::pipeline::Outlet;
use crate::wire::postgres::backend;

/// Serves one client to its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Shared,
    stop: Shutdown,
    clients: Arc<Semaphore>,
) {
    let (read, write) = stream.into_split();
    let mut inlet = Inlet::new(Box::new(read));
    let mut out = Outlet::new(Box::new(write));
    let patience = shared.snapshot.load().limits.login_timeout;
    let welcomed = welcome(&mut inlet, &mut out, peer, &shared, &clients);
    match tokio::time::timeout(patience, welcomed).await {
        Ok(Ok(Some(guest))) => {
            out.flush().await;
            match guest {
                Guest::Client(newcomer) => {
                    session::Session::new(*newcomer, shared, out)
                        .run(inlet, stop)
                        .await
                }
                Guest::Admin { admin, _seat } => admin::run(inlet, out, admin, stop).await,
            }
        }
        Ok(Ok(None)) => {}
        Ok(Err(failure)) => {
            shared.registry.count_fault(failure.code_name());
            failure.write_fatal(out.buf());
            out.close().await;
        }
        // As PostgreSQL: it closes without a word.
        Err(_) => tracing::debug!(%peer, "a client did not log in in time"),
    }
}

/// The end of a connection whose bytes can't be trusted any more.
fn fatal(out: &mut Outlet, fault: &Fault) {
    backend::fatal_response(out.buf(), fault);
}

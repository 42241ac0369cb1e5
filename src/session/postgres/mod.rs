//! PostgreSQL's protocol, from a client's first byte to its last.
//!
//! startup → login → `Session`: simple queries (`simple`) and batches of the extended protocol
//! (`extended`, `group`), both ending in `command` for what Margay does itself and in `pipeline`
//! for everything else. `watch` keeps an eye on the client meanwhile.

mod admin;
mod command;
mod cursors;
mod extended;
mod grammar;
mod grid;
mod group;
mod inlet;
mod login;
mod names;
mod parameters;
mod portal;
mod prepare;
mod reported;
mod secure;
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
pub(crate) use reported::Reported;

use self::welcome::{Arrival, Guest, welcome};
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
    let rules = shared.snapshot.load_full();
    // One limit for all that comes before the session, the TLS handshake included.
    let deadline = tokio::time::Instant::now() + rules.limits.login_timeout;
    // Boxed, so that its memory is given back: a task is as large as the largest thing that it ever waits for,
    // and thousands of clients are idle.
    let opened = Box::pin(secure::open(stream, rules.postgres_tls.as_deref()));
    let Ok(Some(opened)) = tokio::time::timeout_at(deadline, opened).await else {
        return;
    };
    let secure::Opened {
        mut inlet,
        mut out,
        channel,
    } = opened;
    let policy = rules.postgres_tls.clone();
    drop(rules);
    let arrival = Arrival {
        peer,
        channel: &channel,
        tls: policy.as_deref(),
    };
    let welcomed = Box::pin(welcome(&mut inlet, &mut out, &arrival, &shared, &clients));
    match tokio::time::timeout_at(deadline, welcomed).await {
        Ok(Ok(Some(guest))) => {
            out.flush().await;
            match guest {
                Guest::Client(newcomer) => {
                    let session = Box::new(session::Session::new(*newcomer, shared, out));
                    Box::pin(session.run(inlet, stop)).await
                }
                Guest::Admin { admin, _seat } => Box::pin(admin::run(inlet, out, admin, stop)).await,
            }
        }
        // A cancel request is answered by the end of the connection, which TLS must be told of.
        Ok(Ok(None)) => out.close().await,
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

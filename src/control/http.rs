//! The pages for people and machines: `/` (status), `/metrics` (Prometheus), `/healthz` and
//! `/readyz` (load balancers). Read only; asks for no password, hence `listen.http` belongs on a
//! private address (docs/operating.md).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::admin::Console;
use super::figures::{figures, prometheus};
use super::page;

/// What the pages show.
pub struct Pages {
    pub console: Arc<Console>,
    /// Clients are taken: the listener is up and the proxy isn't going down.
    pub ready: AtomicBool,
}

/// Serves the pages until the handle is aborted. Gives the address, which has the true port where
/// 0 was asked for.
pub async fn serve(address: SocketAddr, pages: Arc<Pages>) -> std::io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let routes = Router::new()
        .route("/", get(status))
        .route("/status", get(fragment))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(pages);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!("the HTTP pages are gone: {error}");
        }
    });
    Ok((bound, task))
}

async fn status(State(pages): State<Arc<Pages>>) -> Html<String> {
    Html(page::whole(&page::fragment(&pages.console)))
}

/// The part of the page that changes; the page fetches it again and again.
async fn fragment(State(pages): State<Arc<Pages>>) -> Html<String> {
    Html(page::fragment(&pages.console))
}

async fn ready(State(pages): State<Arc<Pages>>) -> (StatusCode, &'static str) {
    if pages.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response {
    let console = &pages.console;
    match prometheus(figures(
        &console.shared,
        console.sessions.get(),
        &console.recovery,
    )) {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

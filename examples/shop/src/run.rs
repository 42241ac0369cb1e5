//! The commands, put together from their parts. Each says whether all went well.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::db::{Db, POOL_SIZE};
use crate::{load as loading, pages, seed as seeding, verify as verifying};

/// The demo's load: enough that the operator's page moves, little enough that pages stay quick.
const DEMO_CLIENTS: usize = 4;
const DEMO_RATE: f64 = 8.0;
/// A client of the load holds a connection for most of its time.
const MOST_CONNECTIONS: usize = 100;

pub async fn seed(url: &str, options: seeding::Options) -> Result<bool> {
    let db = Db::connect(url, POOL_SIZE).await?;
    println!("seeding {}", db.place());
    seeding::run(&db, options).await?;
    Ok(true)
}

pub async fn serve(url: &str, listen: SocketAddr) -> Result<bool> {
    let db = Arc::new(Db::connect(url, POOL_SIZE).await?);
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("can't listen on {listen}"))?;
    println!("the shop is open: http://{}/", listener.local_addr()?);
    pages::serve(listener, db, asked_to_stop()).await?;
    Ok(true)
}

pub async fn load(url: &str, options: loading::Options) -> Result<bool> {
    let size = options.clients.clamp(1, MOST_CONNECTIONS);
    let db = Arc::new(Db::connect(url, size).await?);
    println!(
        "load on {}: {} clients for {} s",
        db.place(),
        options.clients,
        options.seconds
    );
    let report = loading::run(db, options).await?;
    Ok(report.errors == 0 && report.steps > 0)
}

pub async fn verify(url: &str) -> Result<bool> {
    let db = Db::connect(url, POOL_SIZE).await?;
    println!("verifying {}", db.place());
    verifying::run(&db).await
}

pub async fn check(
    url: &str,
    seed_options: seeding::Options,
    load_options: loading::Options,
) -> Result<bool> {
    seed(url, seed_options).await?;
    let loaded = load(url, load_options).await?;
    // The books are checked after a load with errors too: what failed must not have left half an order.
    let verified = verify(url).await?;
    if !loaded {
        println!("check: the load had errors");
    }
    Ok(loaded && verified)
}

pub async fn demo(url: &str, listen: SocketAddr, options: seeding::Options) -> Result<bool> {
    seed(url, options).await?;
    let db = Arc::new(Db::connect(url, POOL_SIZE).await?);
    let listener = bind_near(listen).await?;
    let shop = listener.local_addr()?;
    loading::background(Arc::clone(&db), DEMO_CLIENTS, DEMO_RATE).await?;
    println!();
    println!("  the shop               http://{shop}/");
    println!("  who answers what       http://{shop}/operator");
    if let Ok(url) = std::env::var("MARGAY_HTTP_URL") {
        println!("  the proxy itself       {url}");
    }
    if let Ok(url) = std::env::var("MARGAY_POSTGRES_URL") {
        println!("  the database           psql {url}");
    }
    println!();
    println!("Ctrl-C ends it.");
    pages::serve(listener, db, asked_to_stop()).await?;
    Ok(true)
}

/// The address asked for, or a free port beside it when another program has it.
async fn bind_near(listen: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(listen).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let free = SocketAddr::new(listen.ip(), 0);
            TcpListener::bind(free)
                .await
                .with_context(|| format!("can't listen on {}", listen.ip()))
        }
        other => other.with_context(|| format!("can't listen on {listen}")),
    }
}

/// Done at Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without signals the shop serves until it is killed.
        return std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

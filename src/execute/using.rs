//! The servers that work for a client right now, for cancelling, and the request to do so. Shared
//! between the client's own task, which sends the cancels itself before it lets a connection go (so
//! that a late cancel never hits the next user of the connection), and whoever asks for it.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::backend::CancelTarget;

#[derive(Default)]
pub struct Using {
    servers: Mutex<Vec<Arc<CancelTarget>>>,
    asked: AtomicBool,
    waker: AtomicWaker,
    /// Cancel requests that are being sent.
    sending: AtomicUsize,
    settled: AtomicWaker,
}

impl Using {
    pub fn add(&self, target: Arc<CancelTarget>) {
        self.lock().push(target);
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Asks the client's task to cancel what runs.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Ready when asked; forgets the request.
    pub fn poll_asked(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Acquire) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// A request that came when nothing ran is void, as on PostgreSQL.
    pub fn forget_request(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Cancels what runs, on all servers at once; waits until each has been told.
    pub async fn cancel_all(&self) {
        self.sending.fetch_add(1, Ordering::AcqRel);
        let targets = self.lock().clone();
        let sends = targets.iter().map(|target| target.send());
        for outcome in futures_util::future::join_all(sends).await {
            if let Err(fault) = outcome {
                tracing::debug!(%fault, "a cancel request could not be sent");
            }
        }
        self.sending.fetch_sub(1, Ordering::AcqRel);
        self.settled.wake();
    }

    /// Waits until no cancel request is under way: only then may a connection go to someone else.
    pub fn settle(&self) -> impl Future<Output = ()> + Send + '_ {
        poll_fn(|cx| {
            if self.sending.load(Ordering::Acquire) == 0 {
                return Poll::Ready(());
            }
            self.settled.register(cx.waker());
            if self.sending.load(Ordering::Acquire) == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<CancelTarget>>> {
        self.servers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

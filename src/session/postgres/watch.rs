//! Runs a statement while keeping an eye on its client: a cancel request, COPY data, or that the
//! client is gone, which cancels too. What else comes in is kept for later, up to a limit.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bytes::BytesMut;

use super::inlet::Inlet;
use crate::pipeline::{CopySource, Using};
use crate::wire::postgres::frame::Frame;
use crate::wire::postgres::frontend;

pub(super) async fn watched<F: Future>(
    mut work: Pin<&mut F>,
    inlet: &mut Inlet,
    using: &Using,
    copy: &CopySource,
) -> F::Output {
    let mut cancelling: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
    // A frame of COPY data that could not be handed over yet.
    let mut held: Option<Frame> = None;
    let done = poll_fn(|cx| {
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if let Some(cancel) = &mut cancelling {
                if cancel.as_mut().poll(cx).is_ready() {
                    cancelling = None;
                    // The work may wait for this before it lets its connections go.
                    continue;
                }
            } else if using.poll_asked(cx).is_ready() {
                cancelling = Some(Box::pin(using.cancel_all()));
                continue;
            }
            if copy.is_wanted() {
                match pass_copy_data(inlet, copy, &mut held) {
                    Passed::Some => continue,
                    // The work takes one, and this is polled again.
                    Passed::Full => return Poll::Pending,
                    Passed::NeedMore => {}
                }
            }
            if inlet.is_closed() || (inlet.is_full() && !copy.is_wanted()) {
                return Poll::Pending;
            }
            match inlet.poll_more(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => using.ask(),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    // The work ended before it took the frame: data is of no use any more, but anything else is.
    if let Some(frame) = held.filter(|frame| !matches!(frame.tag, b'd' | b'c' | b'f')) {
        inlet.unread(frame);
    }
    done
}

enum Passed {
    Some,
    Full,
    NeedMore,
}

fn pass_copy_data(inlet: &mut Inlet, copy: &CopySource, held: &mut Option<Frame>) -> Passed {
    let frame = match held.take() {
        Some(frame) => frame,
        None => match inlet.buffered() {
            Ok(Some(frame)) => frame,
            Ok(None) if !inlet.is_closed() => return Passed::NeedMore,
            Ok(None) => copy_fail(b"the client has left"),
            Err(_) => copy_fail(b"malformed message"),
        },
    };
    match copy.offer(frame) {
        Ok(()) => Passed::Some,
        Err(frame) => {
            *held = Some(frame);
            Passed::Full
        }
    }
}

fn copy_fail(why: &[u8]) -> Frame {
    let mut bytes = BytesMut::new();
    frontend::copy_fail(&mut bytes, why);
    Frame {
        tag: b'f',
        bytes: bytes.freeze(),
    }
}

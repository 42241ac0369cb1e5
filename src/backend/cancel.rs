//! Cancelling what runs on a server connection. A request travels on a connection of its own and
//! has no answer; the server closes when the signal is sent.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::{Peer, Stream};
use crate::model::{Code, Fault};
use crate::wire::postgres::frontend;

/// A server that takes longer is as good as down; whoever waits for the cancel must not hang.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where to send a CancelRequest, and for whom.
#[derive(Clone)]
pub struct CancelTarget {
    peer: Peer,
    pid: u32,
    secret: Box<[u8]>,
}

impl CancelTarget {
    pub(super) fn new(peer: Peer, pid: u32, secret: Box<[u8]>) -> Self {
        Self { peer, pid, secret }
    }

    /// Connects, sends the request and waits until the server has closed: by then the signal is sent.
    pub async fn send(&self) -> Result<(), Fault> {
        let send = async {
            let mut stream = Stream::connect_peer(&self.peer).await?;
            let mut request = BytesMut::new();
            frontend::cancel_request(&mut request, self.pid, &self.secret);
            stream.write_all(&request).await?;
            stream.flush().await?;
            // The server sends nothing; it may reset instead of closing.
            let _ = stream.read(&mut [0; 16]).await;
            std::io::Result::Ok(())
        };
        match tokio::time::timeout(TIMEOUT, send).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(peer = ?self.peer, %error, "cancel could not be sent");
                Err(Fault::new(
                    Code::NODE_DOWN,
                    "a server could not be reached to cancel a statement",
                ))
            }
            Err(_) => Err(Fault::new(
                Code::NODE_DOWN,
                "a server did not take a cancel in time",
            )),
        }
    }
}

//! What the protocol says of a connection, read off the frames that pass in both directions: which
//! ReadyForQuery are still owed, the transaction's status, the server's parameters. No I/O.

use std::collections::VecDeque;

use crate::model::oids::Dictionary;
use crate::wire::postgres::backend::{self, Message};
use crate::wire::postgres::frame::{self, FrameScanner, HEADER, Mark};
use crate::wire::postgres::oids::{self, Untold};
use crate::wire::postgres::{ProtocolError, TxStatus};

/// What a ReadyForQuery will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// Query or FunctionCall.
    Query,
    Sync,
}

/// Name and value, as bytes.
type Parameter = (Box<[u8]>, Box<[u8]>);

#[derive(Debug)]
pub(super) struct Track {
    sent: FrameScanner,
    owed: VecDeque<Owed>,
    /// Messages of the extended protocol were sent that no Sync has closed yet.
    unsynced: bool,
    /// The server reads CopyData and ignores Sync until CopyDone or CopyFail.
    copy_in: bool,
    /// CopyDone or CopyFail that were sent before the server asked for data.
    copy_ends_ahead: u32,
    pub status: TxStatus,
    /// Statements sent since the connection was made.
    pub statements: u64,
    /// An ErrorResponse came since everything was settled last.
    pub failed: bool,
    pub pid: u32,
    pub secret: Box<[u8]>,
    /// A dozen or two; in the order of arrival.
    pub parameters: Vec<Parameter>,
}

impl Track {
    pub fn new() -> Self {
        Self {
            // What is sent was limited where it was read.
            sent: FrameScanner::new(usize::MAX),
            owed: VecDeque::new(),
            unsynced: false,
            copy_in: false,
            copy_ends_ahead: 0,
            status: TxStatus::Idle,
            statements: 0,
            failed: false,
            pid: 0,
            secret: Box::default(),
            parameters: Vec::new(),
        }
    }

    pub fn owed(&self) -> usize {
        self.owed.len()
    }

    /// The server waits for CopyData.
    pub fn wants_copy_data(&self) -> bool {
        self.copy_in
    }

    /// Everything that was sent is answered, and nothing was begun that isn't ended.
    pub fn is_quiet(&self) -> bool {
        self.owed.is_empty() && !self.unsynced && self.sent.at_border()
    }

    /// Bytes that are about to be sent, each once and in order. `words`: the types that a Parse names are put
    /// into the server's.
    pub fn note_sent(&mut self, bytes: &mut [u8], words: Option<&Dictionary>) -> Result<(), ProtocolError> {
        let mut at = 0;
        while let Some(mark) = self.sent.next(bytes, &mut at)? {
            let Mark::Begin { header, at: body } = mark else {
                continue;
            };
            if let (b'P', Some(words)) = (header.tag, words) {
                let body = bytes.get_mut(body..body + header.len - HEADER);
                let put = oids::parse(body.ok_or(ProtocolError::Truncated)?, words);
                if let Err(Untold::Broken(error)) = put {
                    return Err(error);
                }
            }
            self.statements += u64::from(matches!(header.tag, b'Q' | b'E' | b'F'));
            match header.tag {
                b'Q' | b'F' => self.owed.push_back(Owed::Query),
                b'S' if self.copy_in => {}
                b'S' => {
                    self.owed.push_back(Owed::Sync);
                    self.unsynced = false;
                }
                b'P' | b'B' | b'D' | b'E' | b'C' => self.unsynced = true,
                b'c' | b'f' if self.copy_in => {
                    self.copy_in = false;
                    // After a COPY in the extended protocol the Sync that the server ignored comes again.
                    self.unsynced |= self.owed.is_empty();
                }
                b'c' | b'f' => self.copy_ends_ahead += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// A whole frame from the server, as it is taken out of the buffer.
    #[inline]
    pub fn note_received(&mut self, tag: u8, body: &[u8]) -> Result<(), ProtocolError> {
        match tag {
            b'Z' => {
                let [status] = body else {
                    return Err(ProtocolError::Field("ReadyForQuery"));
                };
                self.status = TxStatus::from_byte(*status)?;
                self.copy_in = false;
                self.owed
                    .pop_front()
                    .map(|_| ())
                    .ok_or(ProtocolError::Field("ReadyForQuery that nothing asked for"))
            }
            b'E' => {
                self.failed = true;
                self.copy_in = false;
                Ok(())
            }
            b'S' | b'K' => self.note_state(tag, body),
            b'G' => {
                self.note_copy_in();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_state(&mut self, tag: u8, body: &[u8]) -> Result<(), ProtocolError> {
        let message = backend::decode(tag, body)?;
        if let Message::ParameterStatus { name, value } = message {
            match self.parameters.iter_mut().find(|(n, _)| **n == *name) {
                Some((_, old)) => *old = value.into(),
                None => self.parameters.push((name.into(), value.into())),
            }
        } else if let Message::BackendKeyData { pid, secret } = message {
            self.pid = pid;
            self.secret = secret.into();
        }
        Ok(())
    }

    /// While it waits for data the server drops each Sync, so those sent ahead are not answered.
    fn note_copy_in(&mut self) {
        if self.copy_ends_ahead > 0 {
            self.copy_ends_ahead -= 1;
            return;
        }
        self.copy_in = true;
        if self.owed.front() == Some(&Owed::Sync) {
            self.owed.clear();
        }
    }

    /// The first ReadyForQuery of a login answers no message that was counted.
    pub fn expect_login(&mut self) {
        self.owed.push_back(Owed::Sync);
    }
}

/// Checks the header at the start of what a server sent.
#[inline]
pub(super) fn peek(buf: &[u8]) -> Result<Option<frame::Header>, ProtocolError> {
    frame::peek(buf, frame::MAX_SERVER)
}

//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) as a state machine without I/O and
//! without randomness: nonce and salt are arguments. An unknown user goes through the same
//! exchange, so that nobody can ask which users there are.

use std::sync::Arc;

use super::ProtocolError;
use crate::model::{Code, Fault};

pub const MECHANISM: &[u8] = b"SCRAM-SHA-256";
/// PostgreSQL's default (scram_iterations).
pub const ITERATIONS: u32 = 4096;
/// Salt length of PostgreSQL's own verifiers.
pub const SALT: usize = 16;

/// What a server must know to check a password without knowing the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Verifier {
    /// Costs `iterations` hashes (milliseconds): once per user, not per login.
    pub fn from_password(_password: &str, _salt: &[u8], _iterations: u32) -> Self {
        todo!()
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (base64), as in pg_authid. None: it isn't one.
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }

    /// For a user that doesn't exist: a salt that is the same each time for the same name, and keys
    /// that no password fits. `secret`: random bytes, drawn once per process.
    pub fn mock(_user: &[u8], _secret: &[u8; 32]) -> Self {
        todo!()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScramError {
    /// The message can't be read.
    Malformed(&'static str),
    /// The proof doesn't fit: wrong password or unknown user.
    WrongPassword,
}

/// One login. `first` then `last`; anything else is an error.
pub struct Exchange {
    verifier: Arc<Verifier>,
}

impl Exchange {
    /// `nonce`: printable ASCII without commas, fresh for each login (18 random bytes in base64).
    pub fn new(_verifier: Arc<Verifier>, _nonce: &str) -> Self {
        todo!()
    }

    /// client-first-message → server-first-message.
    pub fn first(&mut self, _message: &[u8]) -> Result<Vec<u8>, ScramError> {
        todo!()
    }

    /// client-final-message → server-final-message, if the password is right.
    pub fn last(&mut self, _message: &[u8]) -> Result<Vec<u8>, ScramError> {
        todo!()
    }
}
impl ScramError {
    /// `user` as the client gave it.
    pub fn fault(&self, user: &str) -> Fault {
        match self {
            ScramError::Malformed(what) => {
                Fault::from(ProtocolError::Field("SCRAM message")).detail(*what)
            }
            ScramError::WrongPassword => {
                Fault::new(Code::AUTH_FAILED, format!("password authentication failed for user \"{user}\""))
            }
        }
    }
}

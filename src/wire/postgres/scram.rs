//! The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) as a state machine without I/O and
//! without randomness: nonce and salt are arguments. An unknown user goes through the same
//! exchange, so that nobody can ask which users there are.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::ProtocolError;
use crate::model::{Code, Fault};

pub const MECHANISM: &[u8] = b"SCRAM-SHA-256";
/// With channel binding.
pub const MECHANISM_PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";
/// The gs2 header of a client that binds to the channel.
const GS2_BOUND: &[u8] = b"p=tls-server-end-point,,";
/// PostgreSQL's default (scram_iterations).
pub const ITERATIONS: u32 = 4096;
/// Salt length of PostgreSQL's own verifiers.
pub const SALT: usize = 16;
/// Bounds a nonce that a client may choose; clients use 24 to 32 characters.
const MAX_NONCE: usize = 1024;

type Key = [u8; 32];

/// What a server must know to check a password without knowing the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: Key,
    server_key: Key,
    /// Of a user that doesn't exist: no proof is right.
    mock: bool,
}

impl Verifier {
    /// Costs `iterations` hashes (milliseconds): once per user, not per login.
    pub fn from_password(password: &str, salt: &[u8], iterations: u32) -> Self {
        // PostgreSQL and libpq take a password that SASLprep refuses as it is.
        let prepared = stringprep::saslprep(password);
        let bytes = prepared.as_deref().map_or(password.as_bytes(), str::as_bytes);
        let salted: Key = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(bytes, salt, iterations);
        Self {
            iterations,
            salt: salt.into(),
            stored_key: Sha256::digest(hmac(&salted, &[b"Client Key"])).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
            mock: false,
        }
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (base64), as in pg_authid.
    /// None: it isn't one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (parameters, keys) = rest.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| -> Option<Key> { BASE64.decode(text).ok()?.try_into().ok() };
        let salt = BASE64.decode(salt).ok()?;
        let iterations = iterations.parse().ok().filter(|n| *n > 0)?;
        if salt.is_empty() {
            return None;
        }
        Some(Self {
            iterations,
            salt: salt.into(),
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
            mock: false,
        })
    }

    /// For a user that doesn't exist: a salt that is the same each time for the same name, and keys
    /// that no password fits. `secret`: random bytes, drawn once per process.
    pub fn mock(user: &[u8], secret: &[u8; 32]) -> Self {
        let salt = hmac(secret, &[b"salt:", user]);
        let key = hmac(secret, &[b"key:", user]);
        let salt = salt
            .first_chunk::<SALT>()
            .expect("a SHA-256 is longer than a salt");
        Self {
            iterations: ITERATIONS,
            salt: (*salt).into(),
            stored_key: key,
            server_key: key,
            mock: true,
        }
    }
}

impl fmt::Display for Verifier {
    /// As `parse` reads it. A secret: never into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored) = (BASE64.encode(&self.salt), BASE64.encode(self.stored_key));
        write!(
            f,
            "SCRAM-SHA-256${}:{salt}${stored}:{}",
            self.iterations,
            BASE64.encode(self.server_key)
        )
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScramError {
    /// The message can't be read, or asks for what isn't offered.
    Malformed(&'static str),
    /// The client could have bound the login to the channel and believes that the server can't: someone
    /// in between took the offer away.
    Downgraded,
    /// The proof doesn't fit: wrong password or unknown user.
    WrongPassword,
}

impl ScramError {
    /// `user` as the client gave it.
    pub fn fault(&self, user: &str) -> Fault {
        match self {
            ScramError::Malformed(what) => Fault::from(ProtocolError::Field("SCRAM message")).detail(*what),
            ScramError::Downgraded => Fault::new(Code::PROTOCOL, "SCRAM channel binding negotiation error")
                .sqlstate("28000")
                .detail(
                    "The client supports SCRAM channel binding but thinks the server does not. \
                     However, this server does support channel binding.",
                ),
            ScramError::WrongPassword => Fault::new(
                Code::AUTH_FAILED,
                format!("password authentication failed for user \"{user}\""),
            ),
        }
    }
}

/// Channel binding of a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// No TLS, or a certificate that has no binding data.
    #[default]
    NotOffered,
    /// The client was offered it and chose the mechanism without.
    Declined,
    /// The client chose it; what `tls-server-end-point` is on this server.
    Used(Arc<[u8]>),
}

/// One login: `first`, then `last`; anything else is an error.
pub struct Exchange {
    verifier: Arc<Verifier>,
    binding: Binding,
    state: State,
}

enum State {
    /// Takes the client-first-message.
    New { server_nonce: Box<str> },
    /// Takes the client-final-message.
    Challenged {
        /// The whole gs2 header as the client sent it, which channel binding data must repeat.
        gs2: Box<[u8]>,
        nonce: Box<[u8]>,
        /// client-first-message-bare and server-first-message with commas behind each.
        auth_message: Vec<u8>,
    },
    /// Takes nothing more.
    Over,
}

impl Exchange {
    /// `nonce`: printable ASCII without commas, fresh for each login (18 random bytes in base64).
    pub fn new(verifier: Arc<Verifier>, nonce: &str) -> Self {
        Self {
            verifier,
            binding: Binding::NotOffered,
            state: State::New {
                server_nonce: nonce.into(),
            },
        }
    }

    /// Before `first`: what was offered, and which mechanism the client chose.
    pub fn bind(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self
    }

    /// client-first-message → server-first-message.
    pub fn first(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        let State::New { server_nonce } = std::mem::replace(&mut self.state, State::Over) else {
            return Err(ScramError::Malformed("unexpected client-first-message"));
        };
        let gs2_len = gs2_header(message, &self.binding)?;
        let (gs2, bare) = message.split_at(gs2_len);
        let mut attributes = bare.split(|b| *b == b',');
        let user = attributes.next().unwrap_or_default();
        if user.starts_with(b"m=") {
            return Err(ScramError::Malformed("mandatory extensions are not supported"));
        }
        // The user of the startup message counts, as on PostgreSQL; this one is often empty.
        attribute(Some(user), b"n=")?;
        let client_nonce = attribute(attributes.next(), b"r=")?;
        let printable = client_nonce.iter().all(|b| (0x21..=0x7e).contains(b));
        if client_nonce.is_empty() || client_nonce.len() > MAX_NONCE || !printable {
            return Err(ScramError::Malformed("invalid nonce"));
        }
        let nonce = [client_nonce, server_nonce.as_bytes()].concat();
        let mut reply = b"r=".to_vec();
        reply.extend_from_slice(&nonce);
        let salt = BASE64.encode(&self.verifier.salt);
        reply.extend_from_slice(format!(",s={salt},i={}", self.verifier.iterations).as_bytes());
        let auth_message = [bare, b",", &reply, b","].concat();
        self.state = State::Challenged {
            gs2: gs2.into(),
            nonce: nonce.into(),
            auth_message,
        };
        Ok(reply)
    }

    /// client-final-message → server-final-message, if the password is right.
    pub fn last(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        let State::Challenged {
            gs2,
            nonce,
            mut auth_message,
        } = std::mem::replace(&mut self.state, State::Over)
        else {
            return Err(ScramError::Malformed("unexpected client-final-message"));
        };
        let proof_at =
            memchr::memmem::rfind(message, b",p=").ok_or(ScramError::Malformed("proof is missing"))?;
        let (without_proof, proof) = message.split_at(proof_at);
        let proof: Key = BASE64
            .decode(&proof[3..])
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(ScramError::Malformed("invalid proof"))?;
        let mut attributes = without_proof.split(|b| *b == b',');
        let binding = attribute(attributes.next(), b"c=")?;
        let expected = match &self.binding {
            Binding::Used(data) => [&gs2, &**data].concat(),
            Binding::NotOffered | Binding::Declined => gs2.into(),
        };
        if BASE64.decode(binding).ok() != Some(expected) {
            return Err(ScramError::Malformed("channel binding data does not match"));
        }
        if attribute(attributes.next(), b"r=")? != &*nonce {
            return Err(ScramError::Malformed("nonce does not match"));
        }
        auth_message.extend_from_slice(without_proof);

        let verifier = &*self.verifier;
        let mut client_key = hmac(&verifier.stored_key, &[&auth_message]);
        client_key
            .iter_mut()
            .zip(proof)
            .for_each(|(key, proof)| *key ^= proof);
        let stored_key: Key = Sha256::digest(client_key).into();
        if !bool::from(stored_key.ct_eq(&verifier.stored_key)) || verifier.mock {
            return Err(ScramError::WrongPassword);
        }
        let signature = BASE64.encode(hmac(&verifier.server_key, &[&auth_message]));
        Ok(format!("v={signature}").into_bytes())
    }
}

/// Length of the gs2 header, which must fit the mechanism chosen. An identity to act for isn't
/// supported, as on PostgreSQL.
fn gs2_header(message: &[u8], binding: &Binding) -> Result<usize, ScramError> {
    match (message, binding) {
        ([b'n' | b'y', b',', b'a', b'=', ..], _) => Err(ScramError::Malformed(
            "an authorization identity is not supported",
        )),
        ([b'y', b',', b',', ..], Binding::Declined) => Err(ScramError::Downgraded),
        ([b'n' | b'y', b',', b',', ..], Binding::NotOffered | Binding::Declined) => Ok(3),
        ([b'n' | b'y', b',', b',', ..], Binding::Used(_)) => Err(ScramError::Malformed(
            "the client chose channel binding and sent none",
        )),
        ([b'p', b'=', ..], Binding::Used(_)) if message.starts_with(GS2_BOUND) => Ok(GS2_BOUND.len()),
        ([b'p', b'=', ..], Binding::Used(_)) => Err(ScramError::Malformed(
            "a channel binding type that is not supported",
        )),
        ([b'p', b'=', ..], Binding::NotOffered) => {
            Err(ScramError::Malformed("channel binding is not offered"))
        }
        ([b'p', b'=', ..], Binding::Declined) => Err(ScramError::Malformed(
            "the client chose no channel binding and sent some",
        )),
        (_, _) => Err(ScramError::Malformed("invalid header")),
    }
}

fn attribute<'a>(text: Option<&'a [u8]>, name: &[u8]) -> Result<&'a [u8], ScramError> {
    text.and_then(|text| text.strip_prefix(name))
        .ok_or(ScramError::Malformed("an attribute is missing"))
}

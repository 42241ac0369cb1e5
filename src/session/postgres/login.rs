//! Who the client is: SCRAM-SHA-256, bound to the TLS connection where there is one, against the rules'
//! users, and a certificate where the rules ask for one. An unknown user goes through the same
//! exchange as a known one with a wrong password.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::inlet::Inlet;
use super::secure::{Channel, Secured};
use crate::model::{Code, Fault};
use crate::pipeline::Outlet;
use crate::session::shared::Shared;
use crate::topology::{Secret, User};
use crate::wire::postgres::scram::{
    Binding, Exchange, ITERATIONS, MECHANISM, MECHANISM_PLUS, SALT, Verifier,
};
use crate::wire::postgres::{backend, frontend};

/// Checks the client's password and certificate; on success AuthenticationOk is queued.
pub(super) async fn log_in(
    name: &str,
    inlet: &mut Inlet,
    out: &mut Outlet,
    channel: &Channel,
    shared: &Shared,
) -> Result<Arc<User>, Fault> {
    let user = shared.snapshot.load().user(name).cloned();
    let verifier = match user.as_ref().map(|u| &u.secret) {
        Some(Secret::Trust) => None,
        Some(Secret::Password(password)) => Some(shared.verifiers.of_password(name, password).await?),
        Some(Secret::Scram(text)) => {
            Some(Arc::new(Verifier::parse(text).ok_or_else(|| {
                Fault::new(Code::RULES, "the user's SCRAM verifier can't be read")
            })?))
        }
        None => Some(Arc::new(Verifier::mock(name.as_bytes(), &shared.login_secret))),
    };
    if let Some(verifier) = verifier {
        scram(name, verifier, channel, inlet, out).await?;
    }
    let user = user.ok_or_else(|| wrong(name))?;
    if user.certificate {
        check_certificate(name, channel)?;
    }
    backend::authentication_ok(out.buf());
    Ok(user)
}

/// As PostgreSQL's `cert` method: the certificate's common name is the user's.
fn check_certificate(name: &str, channel: &Channel) -> Result<(), Fault> {
    let presented = channel.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    let message = match presented {
        None => "connection requires a valid client certificate".to_owned(),
        Some(certificate) if certificate.common_name.as_deref() == Some(name) => return Ok(()),
        Some(_) => format!("certificate authentication failed for user \"{name}\""),
    };
    Err(Fault::new(Code::AUTH_FAILED, message).sqlstate("28000"))
}

async fn scram(
    name: &str,
    verifier: Arc<Verifier>,
    channel: &Channel,
    inlet: &mut Inlet,
    out: &mut Outlet,
) -> Result<(), Fault> {
    let nonce = STANDARD.encode(rand::random::<[u8; 18]>());
    let end_point = channel
        .tls
        .as_ref()
        .and_then(|tls: &Secured| tls.end_point.clone());
    match end_point {
        None => backend::authentication_sasl(out.buf(), &[MECHANISM]),
        Some(_) => backend::authentication_sasl(out.buf(), &[MECHANISM_PLUS, MECHANISM]),
    }
    let initial = answer(inlet, out).await?;
    let (mechanism, first) = frontend::decode_sasl_initial(&initial)?;
    let binding = match end_point {
        Some(data) if mechanism == MECHANISM_PLUS => Binding::Used(data),
        Some(_) if mechanism == MECHANISM => Binding::Declined,
        None if mechanism == MECHANISM => Binding::NotOffered,
        Some(_) | None => {
            return Err(Fault::new(
                Code::PROTOCOL,
                "the client chose an authentication mechanism that was not offered",
            ));
        }
    };
    let mut exchange = Exchange::new(verifier, &nonce).bind(binding);
    let first = match first {
        Some(first) => first.to_vec(),
        None => {
            backend::authentication_sasl_continue(out.buf(), b"");
            answer(inlet, out).await?
        }
    };
    let reply = exchange.first(&first).map_err(|e| e.fault(name))?;
    backend::authentication_sasl_continue(out.buf(), &reply);
    let last = answer(inlet, out).await?;
    let reply = exchange.last(&last).map_err(|e| e.fault(name))?;
    backend::authentication_sasl_final(out.buf(), &reply);
    Ok(())
}

/// The body of the client's next `p` message.
async fn answer(inlet: &mut Inlet, out: &mut Outlet) -> Result<Vec<u8>, Fault> {
    out.flush().await;
    match inlet.frame().await? {
        Some(frame) if frame.tag == b'p' => Ok(frame.body().to_vec()),
        Some(_) => Err(Fault::new(Code::PROTOCOL, "expected a password message")),
        None => Err(Fault::new(Code::PROTOCOL, "the client left while logging in")),
    }
}

fn wrong(name: &str) -> Fault {
    Fault::new(
        Code::AUTH_FAILED,
        format!("password authentication failed for user \"{name}\""),
    )
}

/// By user: the password it was made from, and the verifier.
type Known = HashMap<Box<str>, (Box<str>, Arc<Verifier>)>;

/// Verifiers made from passwords, which costs milliseconds: once per user and password.
#[derive(Default)]
pub(crate) struct Verifiers {
    known: Mutex<Known>,
}

impl Verifiers {
    async fn of_password(&self, name: &str, password: &str) -> Result<Arc<Verifier>, Fault> {
        if let Some((for_password, verifier)) = self.lock().get(name)
            && **for_password == *password
        {
            return Ok(Arc::clone(verifier));
        }
        let owned = password.to_owned();
        // Thousands of hashes would hold up other clients of this thread.
        let made = tokio::task::spawn_blocking(move || {
            Verifier::from_password(&owned, &rand::random::<[u8; SALT]>(), ITERATIONS)
        });
        let verifier = Arc::new(
            made.await
                .map_err(|_| Fault::internal("a password could not be hashed"))?,
        );
        self.lock()
            .insert(name.into(), (password.into(), Arc::clone(&verifier)));
        Ok(verifier)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

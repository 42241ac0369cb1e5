//! From a raw connection to a session that is logged in, knows its database and has heard a
//! server's parameters.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::inlet::Inlet;
use super::login::log_in;
use super::parameters::startup_settings;
use super::secure::Channel;
use super::startup::greet;
use crate::backend::Settings;
use crate::model::admin::SharedAdmin;
use crate::model::{Code, Fault};
use crate::pipeline::{Failure, Hold, Outlet, Statuses};
use crate::session::registry::Entry;
use crate::session::shared::Shared;
use crate::topology::tls::ListenerTls;
use crate::topology::{Database, Engine, Snapshot, User};
use crate::wire::postgres::backend::{self, TxStatus};

/// The admin console's database.
const CONSOLE: &str = "margay";

pub(super) enum Guest {
    Client(Box<Newcomer>),
    Admin {
        admin: SharedAdmin,
        _seat: OwnedSemaphorePermit,
    },
}

/// A client that may begin.
pub(super) struct Newcomer {
    pub snapshot: Arc<Snapshot>,
    pub hold: Hold,
    pub statuses: Statuses,
    pub startup: Arc<Settings>,
    pub entry: Entry,
    /// Counts against `max_clients` while the session lives.
    pub seat: OwnedSemaphorePermit,
}

/// How a client came in.
pub(super) struct Arrival<'a> {
    pub peer: SocketAddr,
    pub channel: &'a Channel,
    /// What the listener asks for.
    pub tls: Option<&'a ListenerTls>,
}

impl Arrival<'_> {
    /// The listener's own terms, whoever the user is.
    fn check(&self) -> Result<(), Fault> {
        let refused = |what: &str| Err(Fault::new(Code::AUTH_FAILED, what.to_owned()).sqlstate("28000"));
        match (self.tls, &self.channel.tls) {
            (Some(policy), None) if policy.required => {
                refused("connections without TLS are not accepted (no encryption)")
            }
            (Some(policy), Some(secured)) if policy.certificate_required && secured.certificate.is_none() => {
                refused("connection requires a valid client certificate")
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// None: it was no client for a session (a cancel request), or it has left.
pub(super) async fn welcome(
    inlet: &mut Inlet,
    out: &mut Outlet,
    arrival: &Arrival<'_>,
    shared: &Shared,
    clients: &Arc<Semaphore>,
) -> Result<Option<Guest>, Failure> {
    let Some(greeting) = greet(inlet, out, shared).await? else {
        return Ok(None);
    };
    arrival.check()?;
    let Ok(seat) = Arc::clone(clients).try_acquire_owned() else {
        return Err(Fault::new(Code::TOO_MANY_CLIENTS, "sorry, too many clients already").into());
    };
    let Some(name) = greeting.text("user")?.filter(|name| !name.is_empty()) else {
        let fault = Fault::new(Code::PROTOCOL, "no user name in the startup message").sqlstate("28000");
        return Err(fault.into());
    };
    if greeting
        .text("replication")?
        .is_some_and(|value| !matches!(value.as_str(), "false" | "off" | "no" | "0"))
    {
        let fault = Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            "replication connections don't go through Margay",
        )
        .hint("connect to the server itself");
        return Err(fault.into());
    }
    let wanted = greeting
        .text("database")?
        .filter(|d| !d.is_empty())
        .unwrap_or_else(|| name.clone());
    let user = log_in(&name, inlet, out, arrival.channel, shared).await?;
    let snapshot = shared.snapshot.load_full();
    inlet.limit = snapshot.limits.max_message_bytes as usize;
    if wanted == CONSOLE {
        return console(&user, out, shared, seat).map(Some).map_err(Failure::from);
    }
    let database = database(&snapshot, &user, &wanted)?;
    let application = greeting.text("application_name")?.unwrap_or_default();
    let startup = Arc::new(startup_settings(&greeting.startup()?)?);
    let fleet = shared.fleet.of_login(user.login.clone());
    let reported = shared
        .reported
        .of(&fleet, user.login.as_ref(), &database, &startup, &name);
    let statuses = reported.await?;
    let mut hold = Hold::new(fleet, database, Arc::clone(&shared.decisions));
    hold.settings = Arc::clone(&startup);
    let using = Arc::clone(&hold.using);
    let entry = shared.registry.enter(
        &name,
        &wanted,
        &arrival.peer.to_string(),
        &application,
        greeting.cancel_secret()?,
        using,
    );
    for (name, value) in statuses.iter() {
        backend::parameter_status(out.buf(), name, value);
    }
    backend::backend_key_data(out.buf(), entry.client.id, &entry.client.secret);
    backend::ready_for_query(out.buf(), TxStatus::Idle);
    Ok(Some(Guest::Client(Box::new(Newcomer {
        snapshot,
        hold,
        statuses,
        startup,
        entry,
        seat,
    }))))
}

fn database(snapshot: &Snapshot, user: &User, wanted: &str) -> Result<Arc<Database>, Fault> {
    let allowed = user
        .databases
        .as_ref()
        .is_none_or(|all| all.iter().any(|d| **d == *wanted));
    match snapshot.database(wanted) {
        Some(database) if allowed && database.engine == Engine::Postgres => Ok(Arc::clone(database)),
        Some(_) | None => Err(Fault::new(
            Code::NO_DATABASE,
            format!("database \"{wanted}\" does not exist"),
        )),
    }
}

fn console(
    user: &User,
    out: &mut Outlet,
    shared: &Shared,
    seat: OwnedSemaphorePermit,
) -> Result<Guest, Fault> {
    let admin = shared.admin.clone().filter(|_| user.admin);
    let admin = admin.ok_or_else(|| {
        Fault::new(
            Code::NO_DATABASE,
            format!("database \"{CONSOLE}\" does not exist"),
        )
    })?;
    let told = [
        ("server_version", "15.0 (Margay)"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ];
    for (name, value) in told {
        backend::parameter_status(out.buf(), name.as_bytes(), value.as_bytes());
    }
    backend::backend_key_data(out.buf(), 0, &rand::random::<[u8; 4]>());
    backend::ready_for_query(out.buf(), TxStatus::Idle);
    Ok(Guest::Admin { admin, _seat: seat })
}

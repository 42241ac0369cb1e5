//! What planning must know of the session, computed from its settings and from what servers
//! reported; renewed when any of that changes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::parameters::name_list;
use crate::backend::Settings;
use crate::model::ClientText;
use crate::pipeline::Statuses;
use crate::plan::{LogicalNames, ReadHint, SessionView};
use crate::topology::Database;

/// Margay's own settings of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub read: Option<ReadHint>,
    pub key: Option<Box<str>>,
}

/// The names are left to the caller. `epoch`: of the rules; `role`: as whom the servers know the session.
pub(super) fn view(
    epoch: u64,
    database: &Arc<Database>,
    role: &str,
    settings: &Settings,
    statuses: &Statuses,
    hints: &Hints,
    read_only: bool,
) -> SessionView {
    let search_path = settings.get("search_path").unwrap_or("\"$user\", public");
    let search_path = name_list(search_path)
        .into_iter()
        .map(|name| {
            if name == "$user" {
                role.into()
            } else {
                name.into_boxed_str()
            }
        })
        .collect();
    let zone = statuses.text("TimeZone").unwrap_or("UTC");
    let mut view = SessionView {
        database: Arc::clone(database),
        search_path,
        time_zone: jiff::tz::TimeZone::get(zone).ok(),
        standard_conforming_strings: statuses.get("standard_conforming_strings") != Some(b"off"),
        text: ClientText::of(
            statuses.text("client_encoding").unwrap_or("UTF8"),
            statuses.text("server_encoding").unwrap_or("UTF8"),
        ),
        read_hint: hints.read,
        key_hint: hints.key.clone(),
        read_only,
        names: LogicalNames::default(),
        now_us: now_us(),
        fingerprint: 0,
    };
    view.fingerprint = fingerprint(epoch, &view, zone, statuses);
    view
}

/// Microseconds since 2000-01-01 UTC.
fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond() - 946_684_800_000_000
}

fn fingerprint(epoch: u64, view: &SessionView, zone: &str, statuses: &Statuses) -> u64 {
    let mut hasher = DefaultHasher::new();
    (epoch, view.database.catalog.epoch).hash(&mut hasher);
    (
        &view.database.name,
        &view.search_path,
        zone,
        view.standard_conforming_strings,
        view.text,
    )
        .hash(&mut hasher);
    (view.read_hint, &view.key_hint, view.read_only).hash(&mut hasher);
    (statuses.get("DateStyle"), statuses.get("IntervalStyle")).hash(&mut hasher);
    hasher.finish()
}

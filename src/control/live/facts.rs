//! What one server says of itself and of the database that the rules name on it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::topology::Server;

use super::super::connect::{Link, LinkError};

/// Named values, as text; what isn't there is empty.
#[derive(Debug, Default)]
pub struct Facts(BTreeMap<String, String>);

impl Facts {
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// None: it isn't there, or no number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }

    pub fn is(&self, name: &str) -> bool {
        matches!(self.text(name), "t" | "true" | "on")
    }

    /// `15.4` of `15.4 (Debian 15.4-1)`.
    pub fn version(&self) -> &str {
        self.text("server_version").split(' ').next().unwrap_or_default()
    }

    pub fn major(&self) -> i64 {
        self.number("server_version_num").unwrap_or(0) / 10_000
    }
}

/// Asked as any client would ask, since what a connection of `control` is set to hides what others get.
const SETTINGS: &str = "SELECT name, setting FROM pg_catalog.pg_settings";

/// Works from version 12 on: what came later is looked for by name.
const OF_DATABASE: &str = "SELECT k, v FROM pg_database d, pg_roles r, LATERAL (VALUES \
     ('recovery', pg_is_in_recovery()::text), \
     ('encoding', pg_encoding_to_char(d.encoding)::text), \
     ('locale', concat_ws(' ', 'LC_COLLATE', d.datcollate, 'LC_CTYPE', d.datctype, \
        'provider', CASE coalesce(to_jsonb(d)->>'datlocprovider', 'c') WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END, \
        coalesce(to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'datlocale'))), \
     ('collation recorded', to_jsonb(d)->>'datcollversion'), \
     ('database', d.oid::text), \
     ('user', current_user::text), ('superuser', r.rolsuper::text), ('createdb', r.rolcreatedb::text), \
     ('connection limit', nullif(least(r.rolconnlimit, d.datconnlimit), -1)::text), \
     ('stats', pg_has_role('pg_read_all_stats', 'USAGE')::text), \
     ('lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text), \
     ('receivers', (SELECT count(*) FROM pg_stat_wal_receiver)::text), \
     ('started', pg_postmaster_start_time()::text), \
     ('left', (SELECT string_agg(gid, ', ') FROM pg_prepared_xacts \
        WHERE database = current_database() AND gid LIKE 'margay:%' AND prepared < now() - interval '1 minute')), \
     ('left by others', (SELECT string_agg(gid, ', ') FROM pg_prepared_xacts \
        WHERE database = current_database() AND gid NOT LIKE 'margay:%' AND prepared < now() - interval '1 hour'))) f(k, v) \
     WHERE d.datname = current_database() AND r.rolname = current_user";

/// Which may have been revoked.
const OF_CLUSTER: &str = "SELECT 'system', system_identifier::text FROM pg_control_system() \
     UNION ALL SELECT 'timeline', timeline_id::text FROM pg_control_checkpoint()";

/// The library's own version, which an upgrade of the operating system may have changed.
const COLLATION: &str = "SELECT 'collation actual', pg_database_collation_actual_version(oid) \
     FROM pg_database WHERE datname = current_database()";

/// Connects and asks; the connection is for further questions.
pub async fn ask(server: &Server, limit: Duration) -> Result<(Link, Facts), LinkError> {
    let mut facts = Facts::default();
    facts
        .add(&mut Link::open_plain(server, limit).await?, SETTINGS)
        .await?;
    let mut link = Link::open(server, limit).await?;
    facts.add(&mut link, OF_DATABASE).await?;
    if facts.major() >= 15 {
        facts.add(&mut link, COLLATION).await?;
    }
    if facts.add(&mut link, OF_CLUSTER).await.is_err() {
        link = Link::open(server, limit).await?;
    }
    Ok((link, facts))
}

impl Facts {
    async fn add(&mut self, link: &mut Link, sql: &str) -> Result<(), LinkError> {
        for row in link.ask(sql).await?.into_iter().flatten() {
            if let (Some(name), Some(value)) = (row.get(0), row.get(1)) {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }
}

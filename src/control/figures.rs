//! The figures of this proxy at this moment: one list, printed by `SHOW STATS` and by `/metrics`.
//! Everything is read where it is counted; nothing is kept here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::backend::{Health, Role, ServerState};
use crate::model::admin::SharedSessions;

use super::recovery::Counts;
use super::shared::Shared;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows; its name gets the ending `_total`.
    Counter,
}

/// One metric: its samples by labels.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// All figures. `sessions`: None before the listener has started.
pub fn figures(shared: &Shared, sessions: Option<&SharedSessions>, recovery: &Counts) -> Vec<Figure> {
    let mut all = servers(shared);
    if let Some(sessions) = sessions {
        all.extend(clients(sessions));
    }
    let counted = |name, help, value: u64| Figure {
        name,
        help,
        kind: Kind::Counter,
        samples: vec![(Vec::new(), value as f64)],
    };
    all.push(counted(
        "margay_recovery_committed",
        "Prepared transactions of dead proxies that this proxy committed",
        recovery.committed.load(Relaxed),
    ));
    all.push(counted(
        "margay_recovery_rolled_back",
        "Prepared transactions of dead proxies that this proxy rolled back",
        recovery.rolled_back.load(Relaxed),
    ));
    all.push(Figure {
        name: "margay_prepared_transactions_left",
        help: "Prepared transactions that recovery found and had to leave at its last look",
        kind: Kind::Gauge,
        samples: vec![(Vec::new(), recovery.left.load(Relaxed) as f64)],
    });
    let mut problems: BTreeMap<&str, f64> = BTreeMap::new();
    for problem in shared.problems.list() {
        *problems.entry(problem.watch.name()).or_default() += 1.0;
    }
    all.push(Figure {
        name: "margay_problems",
        help: "Open problems (SHOW PROBLEMS), by what watches for them",
        kind: Kind::Gauge,
        samples: problems
            .into_iter()
            .map(|(watch, count)| (vec![("watch", watch.to_owned())], count))
            .collect(),
    });
    all
}

fn servers(shared: &Shared) -> Vec<Figure> {
    let nodes = shared.fleet.nodes();
    let each = |value: &dyn Fn(&ServerState) -> Option<f64>| -> Vec<(Vec<(&'static str, String)>, f64)> {
        let servers = nodes
            .iter()
            .flat_map(|node| node.servers.iter().map(move |server| (node, server)));
        servers
            .filter_map(|(node, server)| {
                let labels = vec![
                    ("node", node.name.to_string()),
                    ("server", server.label().to_string()),
                    ("role", role_name(server.role()).to_owned()),
                ];
                Some((labels, value(server)?))
            })
            .collect()
    };
    let gauge = |name, help, value: &dyn Fn(&ServerState) -> Option<f64>| Figure {
        name,
        help,
        kind: Kind::Gauge,
        samples: each(value),
    };
    let counter = |name, help, value: &dyn Fn(&ServerState) -> Option<f64>| Figure {
        kind: Kind::Counter,
        ..gauge(name, help, value)
    };
    vec![
        gauge(
            "margay_server_up",
            "1: the server answers and is what it should be",
            &|s| Some(if s.health() == Health::Up { 1.0 } else { 0.0 }),
        ),
        gauge(
            "margay_replica_lag_seconds",
            "How far a replica is behind its primary, at most",
            &|s| {
                (s.role() == Role::Replica)
                    .then(|| s.lag())
                    .flatten()
                    .map(|lag| lag.as_secs_f64())
            },
        ),
        gauge(
            "margay_pool_in_use",
            "Connections that carry a statement or a transaction",
            &|s| Some(f64::from(s.active())),
        ),
        gauge("margay_pool_idle", "Open connections that wait for work", &|s| {
            Some(idle(s) as f64)
        }),
        gauge(
            "margay_pool_waiting",
            "Statements that wait for a connection",
            &|s| Some(s.waiting() as f64),
        ),
        counter("margay_server_queries", "Statements sent to the server", &|s| {
            Some(s.queries() as f64)
        }),
        counter(
            "margay_server_errors",
            "Failures of the server or of the way to it",
            &|s| Some(s.errors() as f64),
        ),
    ]
}

fn clients(sessions: &SharedSessions) -> Vec<Figure> {
    let totals = sessions.totals();
    let mut states: BTreeMap<&'static str, f64> = BTreeMap::new();
    for client in sessions.clients() {
        *states.entry(client.state).or_default() += 1.0;
    }
    let single = |name, help, value: u64| Figure {
        name,
        help,
        kind: Kind::Counter,
        samples: vec![(Vec::new(), value as f64)],
    };
    let labelled = |pairs: &[(&'static str, &'static str)]| -> Vec<(&'static str, String)> {
        pairs
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    };
    vec![
        Figure {
            name: "margay_clients",
            help: "Client connections, by what they are doing",
            kind: Kind::Gauge,
            samples: states
                .into_iter()
                .map(|(state, count)| (labelled(&[("state", state)]), count))
                .collect(),
        },
        single(
            "margay_client_connections",
            "Client connections accepted",
            totals.connections,
        ),
        Figure {
            name: "margay_queries",
            help: "Statements of clients, by tier and role",
            kind: Kind::Counter,
            samples: totals
                .queries
                .iter()
                .map(|(tier, role, count)| (labelled(&[("tier", tier), ("role", role)]), *count as f64))
                .collect(),
        },
        Figure {
            name: "margay_faults",
            help: "Errors that Margay itself gave, by stable code (docs/errors.md)",
            kind: Kind::Counter,
            samples: totals
                .faults
                .iter()
                .map(|(code, count)| (labelled(&[("code", code)]), *count as f64))
                .collect(),
        },
        single(
            "margay_commits_one_phase",
            "Transactions of several statements committed on one node",
            totals.commits_one_phase,
        ),
        single(
            "margay_commits_two_phase",
            "Transactions committed on several nodes",
            totals.commits_two_phase,
        ),
        single(
            "margay_two_phase_aborts",
            "Transactions over several nodes that failed before their decision",
            totals.two_phase_aborts,
        ),
    ]
}

/// Open connections that nobody holds.
pub fn idle(server: &ServerState) -> usize {
    server.open_connections().saturating_sub(server.active() as usize)
}

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Unknown => "unknown",
        Role::Primary => "primary",
        Role::Replica => "replica",
    }
}

/// The figures in Prometheus' text format. https://prometheus.io/docs/instrumenting/exposition_formats/
pub fn prometheus(figures: Vec<Figure>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::new(figures))));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape(Arc<Vec<Figure>>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for figure in self.0.iter() {
            let kind = match figure.kind {
                Kind::Gauge => MetricType::Gauge,
                Kind::Counter => MetricType::Counter,
            };
            let mut metric = encoder.encode_descriptor(figure.name, figure.help, None, kind)?;
            for (labels, value) in &figure.samples {
                let sample = metric.encode_family(labels)?;
                match figure.kind {
                    Kind::Gauge => ConstGauge::new(*value).encode(sample)?,
                    Kind::Counter => ConstCounter::new(*value).encode(sample)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_print_as_prometheus_reads_them() {
        let figures = vec![
            Figure {
                name: "margay_pool_idle",
                help: "Idle",
                kind: Kind::Gauge,
                samples: vec![(vec![("server", "n0/primary".to_owned())], 3.0)],
            },
            Figure {
                name: "margay_queries",
                help: "Statements",
                kind: Kind::Counter,
                samples: vec![(vec![("tier", "sin\"gle".to_owned())], 7.0), (Vec::new(), 1.0)],
            },
        ];
        let text = prometheus(figures).expect("it prints");
        assert!(text.contains("# TYPE margay_pool_idle gauge\n"), "{text}");
        assert!(
            text.contains("margay_pool_idle{server=\"n0/primary\"} 3.0\n"),
            "{text}"
        );
        assert!(
            text.contains("margay_queries_total{tier=\"sin\\\"gle\"} 7.0\n"),
            "{text}"
        );
        assert!(text.contains("margay_queries_total{} 1.0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}

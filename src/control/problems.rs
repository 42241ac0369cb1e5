//! What is wrong at this moment and needs an operator: listed by `SHOW PROBLEMS`, logged once when
//! it begins and once when it ends. Must not hold anything that a statement's outcome depends on.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::SystemTime;

/// Which part of `control` watches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watch {
    /// A server is down, or is not what the rules take it for.
    Health,
    /// Schema `margay` could not be prepared.
    Bootstrap,
    /// What the servers hold was placed under other rules (PLACEMENT_MISMATCH).
    Placement,
    /// Nodes disagree on a table, or could not be read.
    Catalog,
    /// A shell isn't what the nodes hold.
    Shell,
    /// A period's table could not be created.
    TimeShards,
    /// No lease for generated ids.
    Ids,
    /// Prepared transactions that could not be finished.
    Recovery,
    /// The rules on disk are wrong; the old ones are in force.
    Rules,
}

impl Watch {
    pub fn name(self) -> &'static str {
        match self {
            Watch::Health => "health",
            Watch::Bootstrap => "bootstrap",
            Watch::Placement => "placement",
            Watch::Catalog => "catalog",
            Watch::Shell => "shell",
            Watch::TimeShards => "time_shards",
            Watch::Ids => "ids",
            Watch::Recovery => "recovery",
            Watch::Rules => "rules",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub watch: Watch,
    /// What it is about: a node, a table, a file.
    pub subject: String,
    pub text: String,
    pub since: SystemTime,
}

#[derive(Debug, Default)]
pub struct Problems {
    open: Mutex<BTreeMap<(Watch, String), (String, SystemTime)>>,
}

impl Problems {
    /// Something is wrong. Logged when it is new; of health the Fleet itself logs the changes.
    pub fn raise(&self, watch: Watch, subject: &str, text: impl Into<String>) {
        let text = text.into();
        let mut open = self.open.lock().expect("no code panics while it holds this lock");
        match open.get_mut(&(watch, subject.to_owned())) {
            // The wording may change from one try to the next (a port, a count): not worth a line.
            Some((known, _)) => *known = text,
            None => {
                if watch != Watch::Health {
                    tracing::warn!(watch = watch.name(), subject, "{text}");
                }
                open.insert((watch, subject.to_owned()), (text, SystemTime::now()));
            }
        }
    }

    /// It is right again, if it wasn't.
    pub fn settle(&self, watch: Watch, subject: &str) {
        let mut open = self.open.lock().expect("no code panics while it holds this lock");
        if open.remove(&(watch, subject.to_owned())).is_some() && watch != Watch::Health {
            tracing::info!(watch = watch.name(), subject, "settled");
        }
    }

    /// Exactly these are wrong among the subjects that `mine` accepts.
    pub fn replace(&self, watch: Watch, mine: impl Fn(&str) -> bool, now: &BTreeMap<String, String>) {
        let gone: Vec<String> = {
            let open = self.open.lock().expect("no code panics while it holds this lock");
            open.keys()
                .filter(|(w, subject)| *w == watch && mine(subject) && !now.contains_key(subject))
                .map(|(_, subject)| subject.clone())
                .collect()
        };
        gone.iter().for_each(|subject| self.settle(watch, subject));
        now.iter()
            .for_each(|(subject, text)| self.raise(watch, subject, text));
    }

    /// The rules changed: whoever watches under the new ones finds anew what is wrong.
    pub fn start_over(&self) {
        self.open
            .lock()
            .expect("no code panics while it holds this lock")
            .clear();
    }

    pub fn list(&self) -> Vec<Problem> {
        let open = self.open.lock().expect("no code panics while it holds this lock");
        open.iter()
            .map(|((watch, subject), (text, since))| Problem {
                watch: *watch,
                subject: subject.clone(),
                text: text.clone(),
                since: *since,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_settles_only_its_own_subjects() {
        let problems = Problems::default();
        problems.raise(Watch::Catalog, "shop/orders", "differs");
        problems.raise(Watch::Catalog, "crm/leads", "differs");
        problems.raise(Watch::Health, "shop/orders", "down");
        let now = BTreeMap::from([("shop/users".to_owned(), "missing".to_owned())]);
        problems.replace(Watch::Catalog, |s| s.starts_with("shop/"), &now);
        let left: Vec<_> = problems
            .list()
            .into_iter()
            .map(|p| (p.watch, p.subject))
            .collect();
        assert_eq!(
            left,
            [
                (Watch::Health, "shop/orders".to_owned()),
                (Watch::Catalog, "crm/leads".to_owned()),
                (Watch::Catalog, "shop/users".to_owned()),
            ]
        );
    }
}

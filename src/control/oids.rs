//! The dictionaries of OIDs of each node, whenever the catalog is read. Must not ask a server.

use std::collections::HashMap;
use std::sync::Arc;

use crate::execute::{Canonical, dictionary};
use crate::model::NodeId;
use crate::model::catalog::Catalog;
use crate::model::oids::Oids;
use crate::topology::Database;

use super::catalog::Answers;

/// A dictionary for each node but the shell. What a silent one would have told is kept from `before`.
pub fn oids(database: &Database, answers: &Answers, before: &Catalog) -> HashMap<NodeId, Arc<Oids>> {
    let Some(shell) = database.shell else {
        return HashMap::new();
    };
    let Some(of_shell) = answers.get(&shell) else {
        return before.oids.clone();
    };
    let canonical = Canonical::new(&of_shell.oids);
    let logical = database.physical_names();
    let nodes = database.nodes().into_iter();
    nodes
        .filter_map(|node| {
            let known = before.oids.get(&node);
            let Some(answer) = answers.get(&node) else {
                return known.map(|known| (node, Arc::clone(known)));
            };
            let made = dictionary(&answer.oids, &canonical, &logical, Oids::default());
            let same = known.filter(|known| ***known == made).map(Arc::clone);
            Some((node, same.unwrap_or_else(|| Arc::new(made))))
        })
        .collect()
}

//! May each row be computed on one node alone? Every sharded table is tied to one anchor by the sharding key, and
//! everything else is complete on every node.

use crate::model::{Code, Fault};

use super::super::analyze::Analysis;
use super::super::functions;
use super::super::scope::{Column, Home};

/// Checks that every row can be computed on one node, for a query or (with `target`) a write whose
/// first table reference is the target.
pub fn check(analysis: &Analysis, target: bool) -> Result<(), Fault> {
    if let Some(fault) = &analysis.obstacle {
        return Err(fault.clone());
    }
    if analysis.too_large {
        return Err(Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            "the statement references too many tables",
        ));
    }
    if analysis.system_column {
        return Err(Fault::new(
            Code::UNSUPPORTED_STATEMENT,
            "system columns such as ctid mean nothing across several servers",
        ));
    }
    for call in &analysis.calls {
        let name = call.name.last();
        if functions::differs_by_node(name) {
            return Err(Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                format!("{name}() answers differently on each server"),
            ));
        }
    }
    check_homes(analysis)?;
    let arms: Vec<Vec<usize>> = if target || analysis.arms.is_empty() {
        vec![(0..analysis.facts.refs.len()).collect()]
    } else {
        analysis.arms.iter().map(|r| r.clone().collect()).collect()
    };
    for arm in arms {
        check_arm(analysis, &arm, target)?;
    }
    Ok(())
}

fn check_homes(analysis: &Analysis) -> Result<(), Fault> {
    let sharded = analysis.facts.refs.iter().find_map(|r| match &r.home {
        Home::Sharded(s) => Some((r, s)),
        Home::Node(_) | Home::Everywhere(_) | Home::System => None,
    });
    for table in &analysis.facts.refs {
        let fault = match (&table.home, sharded) {
            (Home::Sharded(_), _) => continue,
            (Home::Everywhere(nodes), Some((_, s))) if s.nodes.iter().all(|n| nodes.contains(n)) => continue,
            (_, Some((first, _))) => format!("{} and {} are not on the same nodes", first.name, table.name),
            (Home::Node(_) | Home::Everywhere(_) | Home::System, None) => {
                "the tables are on different nodes".to_string()
            }
        };
        return Err(Fault::new(Code::CROSS_NODE_JOIN, fault)
            .hint("Query each domain on its own and join in the application, or make the smaller table `broadcast`."));
    }
    Ok(())
}

fn check_arm(analysis: &Analysis, refs: &[usize], target: bool) -> Result<(), Fault> {
    let facts = &analysis.facts;
    let key = |r: usize, i: usize| -> Option<Column> {
        let Home::Sharded(s) = &facts.refs[r].home else {
            return None;
        };
        Some(Column {
            entity: facts.refs[r].entity,
            name: s.key.get(i)?.column.clone(),
        })
    };
    let spread: Vec<usize> = refs
        .iter()
        .copied()
        .filter(|&r| matches!(facts.refs[r].home, Home::Sharded(_)))
        .collect();
    let tied = |anchor: usize, r: usize| -> bool {
        let (Home::Sharded(a), Home::Sharded(b)) = (&facts.refs[anchor].home, &facts.refs[r].home) else {
            return false;
        };
        anchor == r
            || (a.group == b.group
                && a.key.len() == b.key.len()
                && (0..a.key.len())
                    .all(|i| matches!((key(anchor, i), key(r, i)), (Some(from), Some(to)) if facts.reaches(&from, &to))))
    };
    let anchors: Vec<usize> = if target { vec![0] } else { spread.clone() };
    let found = anchors
        .iter()
        .filter(|&&a| !facts.refs[a].in_expression || target)
        .any(|&a| spread.iter().all(|&r| tied(a, r)));
    if found || spread.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = spread.iter().map(|&r| facts.refs[r].name.to_string()).collect();
    let key_names: Vec<&str> = match &facts.refs[spread[0]].home {
        Home::Sharded(s) => s.key.iter().map(|k| &*k.column).collect(),
        Home::Node(_) | Home::Everywhere(_) | Home::System => Vec::new(),
    };
    Err(Fault::new(Code::NOT_COLOCATED, format!("{} aren't joined by their sharding keys", names.join(", "))).hint(format!(
        "Join them by equality of ({}), with tables sharded alike (`like:`), or give the key's value in WHERE.",
        key_names.join(", ")
    )))
}

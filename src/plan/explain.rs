//! Plans as text: for `margay explain`, EXPLAIN ROUTE and golden tests.

use std::fmt::Write as _;

use crate::model::{Fault, NodeId, ShardId};

use super::types::{Combine, Merge, Plan, Planned, Role, RowMerge, Text};

/// What a plan does, in a word.
pub fn tier(plan: &Plan) -> &'static str {
    match &plan.merge {
        Merge::Relay => "single",
        Merge::Rows(_) => "scatter",
        Merge::Sum => "split write",
        Merge::Same => "everywhere",
        Merge::CopyOut(_) => "scatter",
        Merge::CopyIn(_) => "split write",
    }
}

fn role(plan: &Plan) -> &'static str {
    match plan.role {
        Role::Primary => "primary",
        Role::Any => "replica",
    }
}

/// `3, 7, 9–12`.
fn shards(list: &[ShardId]) -> String {
    let mut out = String::new();
    let mut i = 0;
    while i < list.len() {
        let mut j = i;
        while j + 1 < list.len() && list[j + 1].0 == list[j].0 + 1 {
            j += 1;
        }
        if !out.is_empty() {
            out.push_str(", ");
        }
        match j - i {
            0 => write!(out, "{}", list[i]),
            1 => write!(out, "{}, {}", list[i], list[j]),
            _ => write!(out, "{}–{}", list[i], list[j]),
        }
        .unwrap_or_default();
        i = j + 1;
    }
    out
}

fn merge_notes(merge: &RowMerge) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(a) = &merge.aggregate {
        let keys: Vec<&str> = a.group.iter().map(|g| &*g.what).collect();
        let combines: Vec<&str> = a
            .columns
            .iter()
            .map(|(_, c)| match c {
                Combine::Count => "count",
                Combine::Sum => "sum",
                Combine::Min => "min",
                Combine::Max => "max",
                Combine::Avg { .. } => "avg",
                Combine::BoolAnd => "bool_and",
                Combine::BoolOr => "bool_or",
                Combine::First => "first",
            })
            .collect();
        let mut text = String::from("combine");
        if !combines.is_empty() {
            write!(text, " {}", combines.join(", ")).unwrap_or_default();
        }
        if !keys.is_empty() {
            write!(text, " by {}", keys.join(", ")).unwrap_or_default();
        }
        out.push(text);
    }
    if merge.distinct {
        out.push("distinct".into());
    }
    if !merge.order.is_empty() {
        let keys: Vec<String> = merge
            .order
            .iter()
            .map(|k| format!("{}{}", k.what, if k.descending { " desc" } else { "" }))
            .collect();
        out.push(format!("order by {}", keys.join(", ")));
    }
    if let Some(limit) = merge.limit {
        out.push(format!("limit {limit}"));
    }
    if merge.offset > 0 {
        out.push(format!("offset {}", merge.offset));
    }
    if out.is_empty() {
        out.push("concatenate".into());
    }
    out
}

/// The plan as text: a line on what is done, then per part where and what.
pub fn print(planned: &Planned, original: &str, name: &dyn Fn(NodeId) -> String) -> String {
    let plan = match planned {
        Ok(plan) => plan,
        Err(fault) => return refusal(fault),
    };
    let mut out = String::new();
    let line = match &plan.merge {
        Merge::Rows(merge) => format!("{}: {}", tier(plan), merge_notes(merge).join("; ")),
        Merge::CopyOut(_) => format!("{}: concatenate", tier(plan)),
        Merge::Relay | Merge::Sum | Merge::Same | Merge::CopyIn(_) => tier(plan).to_string(),
    };
    writeln!(out, "{line}, {}", role(plan)).unwrap_or_default();
    for part in &plan.parts {
        let shown = if part.shards.is_empty() {
            String::new()
        } else {
            format!(" shards {}", shards(&part.shards))
        };
        let text = match &part.text {
            Text::Original => original,
            Text::Spliced(text) => text,
        };
        writeln!(out, "  → {}{shown}", name(part.node)).unwrap_or_default();
        if let Some(lock) = &plan.lock {
            writeln!(out, "      {lock}").unwrap_or_default();
        }
        writeln!(out, "      {}", text.trim().replace('\n', "\n      ")).unwrap_or_default();
    }
    out
}

fn refusal(fault: &Fault) -> String {
    let mut out = format!("refused: {} [{}]\n", fault.message, fault.code.name);
    if let Some(detail) = &fault.detail {
        writeln!(out, "  detail: {detail}").unwrap_or_default();
    }
    if let Some(hint) = &fault.hint {
        writeln!(out, "  hint: {hint}").unwrap_or_default();
    }
    out
}

/// The rows of EXPLAIN ROUTE: step, node, role, shards, sql, note.
pub fn rows(plan: &Plan, original: &str, name: &dyn Fn(NodeId) -> String) -> Vec<[String; 6]> {
    let mut out: Vec<[String; 6]> = plan
        .parts
        .iter()
        .map(|part| {
            let text = match &part.text {
                Text::Original => original,
                Text::Spliced(text) => text,
            };
            [
                tier(plan).to_string(),
                name(part.node),
                role(plan).to_string(),
                shards(&part.shards),
                text.trim().to_string(),
                plan.lock.as_deref().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    if let Merge::Rows(merge) = &plan.merge {
        let note = merge_notes(merge).join("; ");
        out.push([
            "merge".into(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            note,
        ]);
    }
    out
}

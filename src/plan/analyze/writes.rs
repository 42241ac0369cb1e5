//! INSERT, UPDATE and DELETE: the target first, then what they read.

use super::super::query::{Insert, InsertSource, OneNode, Root, Write};
use super::super::scope::Scope;
use super::Walk;
use crate::model::{Code, Fault};

impl<'a> Walk<'a> {
    pub(super) fn nested_write(&mut self, root: &'a Root) {
        self.in_expression += 1;
        // The walk meets the target before any other table of the write, but after its WITH.
        let first = self.out.facts.refs.len();
        let (target, set) = match root {
            Root::Query(_) => (None, Vec::new()),
            Root::Insert(i) => {
                let set = i
                    .conflict
                    .iter()
                    .flat_map(|c| &c.set)
                    .flat_map(|a| a.columns.iter().cloned())
                    .collect();
                (Some(i.table.name.span), set)
            }
            Root::Update(w) | Root::Delete(w) => (
                Some(w.table.name.span),
                w.set.iter().flat_map(|a| a.columns.iter().cloned()).collect(),
            ),
        };
        match root {
            Root::Query(q) => {
                self.query(q, &[], false);
            }
            Root::Insert(i) => self.insert(i),
            Root::Update(w) | Root::Delete(w) => self.write(w),
        }
        self.in_expression -= 1;
        let refs = &self.out.facts.refs;
        if let Some(at) = (first..refs.len()).find(|&r| Some(refs[r].span) == target) {
            self.out.nested_writes.push((at, set));
        }
    }

    pub(super) fn insert(&mut self, i: &'a Insert) {
        self.with_ctes(&i.ctes, i.recursive, |walk| {
            let mut scope = Scope::default();
            walk.base_table(&i.table, &mut scope);
            match &i.source {
                InsertSource::DefaultValues => {}
                InsertSource::Values(rows) => rows.iter().flatten().for_each(|e| walk.expr(e, &[])),
                InsertSource::Query(q) => {
                    walk.in_expression += 1;
                    walk.query(q, &[], false);
                    walk.in_expression -= 1;
                }
            }
            let scopes = [scope];
            if let Some(c) = &i.conflict {
                c.set.iter().for_each(|a| walk.expr(&a.value, &scopes));
                c.filter.iter().for_each(|e| walk.expr(e, &scopes));
            }
            walk.items(&i.returning, &scopes);
        });
    }

    pub(super) fn write(&mut self, w: &'a Write) {
        self.with_ctes(&w.ctes, w.recursive, |walk| {
            let mut scope = Scope::default();
            walk.base_table(&w.table, &mut scope);
            let mut pending = Vec::new();
            for source in &w.from {
                walk.source(source, &mut scope, &[], &mut pending);
            }
            if let Some(why) = w.one_node {
                let what = match why {
                    OneNode::Merge => "MERGE",
                    OneNode::CurrentOf => "WHERE CURRENT OF",
                };
                walk.obstacle(
                    Fault::new(
                        Code::WRITE_ACROSS_NODES,
                        format!("{what} needs all the rows of its tables on one node"),
                    )
                    .hint("Write it as INSERT … ON CONFLICT or as UPDATE and DELETE by key."),
                );
            }
            // Of several matching rows an UPDATE takes any.
            walk.out.may_differ |= !w.from.is_empty() && !w.set.is_empty();
            let scopes = [scope.clone()];
            for (on, valid) in pending {
                walk.condition(on, &scopes, &valid);
            }
            if let Some(filter) = &w.filter {
                walk.condition(filter, &scopes, &scope.entities.clone());
            }
            w.set.iter().for_each(|a| walk.expr(&a.value, &scopes));
            walk.items(&w.returning, &scopes);
            if walk.in_expression == 0 {
                walk.out.top = scope;
            }
        });
    }
}

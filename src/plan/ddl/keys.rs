//! Foreign keys: a server checks them against its own rows, so all rows that a check may ask for must be
//! on the same node as the row that it is about.

use crate::model::{Code, Fault};
use crate::topology::Sharding;

use super::super::analyze::{Located, locate};
use super::super::compile::Compiler;
use super::super::lower::{ForeignKey, foreign_keys};
use super::super::query::{Name, Span};
use super::super::scope::Home;

impl Compiler<'_> {
    /// Refuses foreign keys of a table that CREATE or ALTER TABLE adds and that no node could check.
    pub(super) fn guard_foreign_keys(&self, child: &Located) -> Result<(), Fault> {
        let refers = self.tokens.iter().any(|t| t.is_word(self.sql, "references"));
        if !refers || self.view.database.nodes().len() == 1 {
            return Ok(());
        }
        let keys = foreign_keys(self.sql).map_err(|why| {
            Fault::new(
                Code::UNREADABLE,
                "the foreign key in this statement can't be read here",
            )
            .detail(why.0)
            .hint("Write ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY (…) REFERENCES … (…).")
        })?;
        keys.iter().try_for_each(|key| self.guard_foreign_key(child, key))
    }

    fn guard_foreign_key(&self, child: &Located, key: &ForeignKey) -> Result<(), Fault> {
        let parent = locate(
            &Name {
                parts: key.parent.clone(),
                span: Span::default(),
            },
            self.view,
        );
        let refuse = |why: &str| {
            Err(Fault::new(
                Code::NOT_COLOCATED,
                format!("the foreign key from {} to {} {why}", child.name, parent.name),
            )
            .hint(
                "Refer to a broadcast table, or to a table that is sharded alike (`like:`) by columns that hold both \
                 sharding keys, and name the columns on both sides.",
            ))
        };
        let here = self.nodes_of_home(&child.home);
        match (&child.home, &parent.home) {
            (_, Home::Everywhere(list)) if here.iter().all(|n| list.contains(n)) => {}
            (Home::Node(a), Home::Node(b)) if a == b => {}
            (_, Home::Sharded(s)) if matches!(here.as_slice(), [one] if s.nodes.as_slice() == [*one]) => {}
            (Home::Sharded(a), Home::Sharded(b)) if a.group == b.group => {
                if !pairs_keys(a, b, key, &self.referred(&parent, key)) {
                    return refuse("doesn't tie their sharding keys together");
                }
            }
            (_, _) => return refuse("can't be checked: their rows are on different nodes"),
        }
        // A row that is moved by a key's action would stay where it is.
        if let Home::Sharded(s) = &child.home
            && key.changes_child
            && s.key.iter().any(|k| key.columns.contains(&k.column))
        {
            return refuse("would change the sharding key of its rows");
        }
        Ok(())
    }

    /// The columns referred to: those named, else the parent's primary key.
    fn referred(&self, parent: &Located, key: &ForeignKey) -> Vec<Box<str>> {
        if !key.referred.is_empty() {
            return key.referred.clone();
        }
        let info = parent.info.as_ref();
        info.and_then(|i| i.unique.first()).cloned().unwrap_or_default()
    }
}

/// Each column of the child's sharding key refers to the same column of the parent's.
fn pairs_keys(child: &Sharding, parent: &Sharding, key: &ForeignKey, referred: &[Box<str>]) -> bool {
    child.key.iter().zip(&parent.key).all(|(c, p)| {
        let pairs = key.columns.iter().zip(referred);
        pairs.into_iter().any(|(a, b)| *a == c.column && *b == p.column)
    })
}

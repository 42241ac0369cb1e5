//! What ALTER TABLE must not do to a table on several nodes: change the key that its rows were placed
//! by, or fill rows with values that each node makes for itself.

use crate::model::{Code, Fault};
use crate::topology::Layout;

use super::super::analyze::Located;
use super::super::compile::Compiler;
use super::super::fixed;
use super::super::functions;
use super::super::lex::{self, Kind};
use super::super::scope::Home;

impl Compiler<'_> {
    pub(super) fn guard_alter(&self, located: &Located) -> Result<(), Fault> {
        match &located.home {
            Home::Sharded(sharding) => {
                for key in &sharding.key {
                    self.guard_key(&key.column, located)?;
                }
                let several = sharding.nodes.len() > 1 || sharding.layout == Layout::Separate;
                self.guard_fill(located, several, false)
            }
            Home::Everywhere(nodes) if nodes.len() > 1 => self.guard_fill(located, true, true),
            Home::Everywhere(_) | Home::Node(_) | Home::System => Ok(()),
        }
    }

    /// Type, name and presence of a key column stay as they are.
    fn guard_key(&self, key: &str, located: &Located) -> Result<(), Fault> {
        let mut depth = 0;
        for (i, token) in self.tokens.iter().enumerate() {
            if token.is_punct(self.sql, '(') {
                depth += 1;
            } else if token.is_punct(self.sql, ')') {
                depth -= 1;
            }
            let named = matches!(token.kind, Kind::Word | Kind::QuotedIdent)
                && *lex::fold_ident(token.text(self.sql)) == *key;
            if depth != 0 || !named || i == 0 {
                continue;
            }
            let word = |at: usize, w: &str| self.tokens.get(at).is_some_and(|t| t.is_word(self.sql, w));
            let before = |w: &str| word(i - 1, w);
            let harmless =
                word(i + 1, "set") && !word(i + 2, "data") || (word(i + 1, "drop") && !before("drop"));
            let touched = before("column")
                || before("rename")
                || before("drop")
                || before("alter")
                || before("add")
                || before("exists")
                || before("to");
            if touched && !harmless {
                return Err(Fault::new(
                    Code::KEY_UPDATE,
                    format!(
                        "{}.{key} is the sharding key: ALTER TABLE can't change, rename, drop or add it",
                        located.name
                    ),
                )
                .hint("Create a table with the new key and insert the rows there."));
            }
        }
        Ok(())
    }

    /// New or rewritten columns of rows that are there must get the same values wherever copies are,
    /// and no numbers that each node counts by itself.
    fn guard_fill(&self, located: &Located, several: bool, copies: bool) -> Result<(), Fault> {
        let word = |w: &str| self.tokens.iter().any(|t| t.is_word(self.sql, w));
        let catalog = &self.view.database.catalog;
        let counts = [
            "serial",
            "bigserial",
            "smallserial",
            "serial4",
            "serial8",
            "serial2",
            "identity",
            "nextval",
        ];
        let found = counts
            .into_iter()
            .find(|w| word(w) && word("add"))
            .map(str::to_owned)
            .or_else(|| {
                if !several || !(word("add") || word("type")) {
                    return None;
                }
                // The rows that are there would get each node's own time.
                let words = fixed::found(self.sql, self.tokens);
                let now = words
                    .first()
                    .map(|w| self.tokens[w.first].text(self.sql).to_owned());
                let unlike = || functions::first_unlike(self.sql, catalog);
                now.or_else(|| if copies { unlike() } else { None })
            });
        let counted = found.as_deref().is_some_and(|f| counts.contains(&f));
        match found {
            None => Ok(()),
            Some(what) => Err(Fault::new(
                Code::BROADCAST_DIVERGES,
                format!(
                    "{what} would fill the rows of {} on each node by itself",
                    located.name
                ),
            )
            .hint(if counted {
                "Add a bigint column and fill it yourself, or name it in the rules: generate: {column: snowflake}."
            } else {
                "Add the column without a default, UPDATE it with constants, then SET DEFAULT."
            })),
        }
    }
}

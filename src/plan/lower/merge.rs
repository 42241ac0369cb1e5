//! MERGE → a write whose target, sources and expressions are known, and which must have all its rows on one node.
//!
//! Only where nothing is inserted does its ON condition leave out rows: a source row without a match is one that
//! WHEN NOT MATCHED acts upon.

use sqlparser::ast::{self, MergeAction, MergeClauseKind, MergeInsertKind, MergeUpdateKind};
use sqlparser::tokenizer::Token;

use super::query::unreadable;
use super::words::Word;
use super::{Lower, Unreadable};
use crate::plan::query::{Assignment, OneNode, Root, Source, Write};

/// Forms that the parser doesn't read: a join as the source gets parentheses, DEFAULT VALUES a list.
pub(super) fn prepare(words: Vec<Word>) -> Vec<Word> {
    let mut depth = 0i32;
    let mut level = Vec::with_capacity(words.len());
    for word in &words {
        depth -= i32::from(word.token == Token::RParen);
        level.push(depth);
        depth += i32::from(word.token == Token::LParen);
    }
    let top = |from: usize, name: &str| (from..words.len()).find(|&i| level[i] == 0 && words[i].is(name));
    let Some(merge) = top(0, "merge") else {
        return words;
    };
    let source = top(merge, "using");
    let when = top(merge, "when").unwrap_or(words.len());
    let on = source.and_then(|s| (s..when).rev().find(|&i| level[i] == 0 && words[i].is("on")));
    let joined = |(s, o): (usize, usize)| (s..o).any(|i| level[i] == 0 && words[i].is("join"));
    let wrap = source.zip(on).filter(|at| joined(*at));
    let mut out = Vec::with_capacity(words.len() + 4);
    let mut i = 0;
    while let Some(word) = words.get(i) {
        if wrap.is_some_and(|(_, on)| on == i) {
            out.push(Word::made(Token::RParen, word));
        }
        let defaults = i > when && word.is("default") && words.get(i + 1).is_some_and(|w| w.is("values"));
        if defaults {
            for token in [
                Token::make_word("VALUES", None),
                Token::LParen,
                Token::make_word("NULL", None),
                Token::RParen,
            ] {
                out.push(Word::made(token, word));
            }
            i += 2;
            continue;
        }
        out.push(word.clone());
        if wrap.is_some_and(|(source, _)| source == i) {
            out.push(Word::made(Token::LParen, word));
        }
        i += 1;
    }
    out
}

impl Lower<'_> {
    pub(super) fn merge(&self, m: &ast::Merge) -> Result<Root, Unreadable> {
        if m.output.is_some() {
            return unreadable("MERGE … RETURNING");
        }
        let Source::Table(table) = self.factor(&m.table)? else {
            return unreadable("the target of MERGE");
        };
        let mut write = Write {
            ctes: Vec::new(),
            recursive: false,
            table,
            from: vec![self.factor(&m.source)?],
            set: Vec::new(),
            filter: None,
            returning: Vec::new(),
            one_node: Some(OneNode::Merge),
        };
        let mut narrows = true;
        let value = |e: &ast::Expr| {
            Ok::<_, Unreadable>(Assignment {
                columns: Vec::new(),
                value: self.expr(e)?,
            })
        };
        for clause in &m.clauses {
            match clause.clause_kind {
                MergeClauseKind::Matched => {}
                MergeClauseKind::NotMatched
                | MergeClauseKind::NotMatchedByTarget
                | MergeClauseKind::NotMatchedBySource => narrows = false,
            }
            if let Some(e) = &clause.predicate {
                write.set.push(value(e)?);
            }
            match &clause.action {
                MergeAction::Insert(insert) => {
                    narrows = false;
                    let MergeInsertKind::Values(values) = &insert.kind else {
                        return unreadable("MERGE of another dialect");
                    };
                    if insert.insert_predicate.is_some() {
                        return unreadable("MERGE of another dialect");
                    }
                    for e in values.rows.iter().flat_map(|row| &row.content) {
                        write.set.push(value(e)?);
                    }
                }
                MergeAction::Update(update) => {
                    let MergeUpdateKind::Set(assignments) = &update.kind else {
                        return unreadable("MERGE of another dialect");
                    };
                    if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                        return unreadable("MERGE of another dialect");
                    }
                    write.set.extend(self.assignments(assignments)?);
                }
                MergeAction::Delete { .. } | MergeAction::DoNothing { .. } => {}
            }
        }
        if narrows {
            write.filter = Some(self.expr(&m.on)?);
        } else {
            write.set.push(value(&m.on)?);
        }
        Ok(Root::Update(Box::new(write)))
    }
}

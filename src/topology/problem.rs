//! What is wrong with a rules file, where, and what to write instead. Prints as one line:
//! `file:line:column: what is wrong; what to write`.

use std::fmt;
use std::path::PathBuf;

/// One error (or warning) in the rules. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    pub line: u32,
    pub column: u32,
    pub message: String,
    /// What to write instead; may be empty.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file.display(),
            self.line,
            self.column,
            self.message
        )?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// A place in one of the loaded files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Pos {
    /// Index into the list of loaded files.
    pub file: usize,
    pub line: u32,
    pub column: u32,
}

/// A problem whose file is still an index.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub pos: Pos,
    pub message: String,
    pub fix: String,
}

impl Finding {
    pub fn new(pos: Pos, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            pos,
            message: message.into(),
            fix: fix.into(),
        }
    }

    pub fn into_problem(self, files: &[PathBuf]) -> Problem {
        Problem {
            file: files.get(self.pos.file).cloned().unwrap_or_default(),
            line: self.pos.line.max(1),
            column: self.pos.column.max(1),
            message: self.message,
            fix: self.fix,
        }
    }
}

/// The candidate most like `word`, if one is close enough to be a slip of the finger.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (distance(&word, &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= (c.chars().count().max(word.chars().count()) / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// `did you mean "x"?`, else the list of what there is.
pub(crate) fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, candidates.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<&str> = candidates.into_iter().take(30).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!("write one of: {}", all.join(", "))
    }
}

/// Levenshtein distance with transpositions of neighbours counted as one edit.
fn distance(a: &str, b: &str) -> usize {
    // Long names are never slips of a short one; this also bounds the work on hostile input.
    const LONGEST_COMPARED: usize = 64;
    let a: Vec<char> = a.chars().take(LONGEST_COMPARED).collect();
    let b: Vec<char> = b.chars().take(LONGEST_COMPARED).collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        assert_eq!(nearest("replcias", ["primary", "replicas"]), Some("replicas"));
        assert_eq!(nearest("primray", ["primary", "replicas"]), Some("primary"));
        assert_eq!(nearest("port", ["primary", "replicas"]), None);
    }
}

//! `shop verify`: after a load has stopped, do the books balance, and does every row lie where its key
//! says? Reads from primaries only.

mod books;
mod placement;

use anyhow::Result;

use crate::db::Db;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Holds,
    Broken,
    /// Can't be asked of this database.
    Skipped,
}

#[derive(Clone, Debug)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
    /// What was counted, or what is wrong.
    pub detail: String,
}

impl Check {
    fn new(name: &str, holds: bool, detail: String) -> Check {
        let outcome = if holds { Outcome::Holds } else { Outcome::Broken };
        Check {
            name: name.to_owned(),
            outcome,
            detail,
        }
    }

    fn skipped(name: &str, why: String) -> Check {
        Check {
            name: name.to_owned(),
            outcome: Outcome::Skipped,
            detail: why,
        }
    }

    /// A check whose questions could not be asked: that is broken too, never silently fine.
    fn from_answer(name: &str, answer: Result<Check>) -> Check {
        answer.unwrap_or_else(|error| Check::new(name, false, format!("{error:#}")))
    }
}

/// Runs all checks, prints them as a table, and says whether all hold.
pub async fn run(db: &Db) -> Result<bool> {
    let mut checks = books::check(db).await?;
    checks.extend(placement::check(db).await);
    print(&checks);
    Ok(checks.iter().all(|check| check.outcome != Outcome::Broken))
}

fn print(checks: &[Check]) {
    let width = checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0);
    println!();
    for check in checks {
        let word = match check.outcome {
            Outcome::Holds => "ok     ",
            Outcome::Broken => "BROKEN ",
            Outcome::Skipped => "skipped",
        };
        println!("  {word}  {:<width$}  {}", check.name, check.detail);
    }
    let broken = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Broken)
        .count();
    println!();
    match broken {
        0 => println!("verify: every check holds"),
        1 => println!("verify: 1 check is broken"),
        many => println!("verify: {many} checks are broken"),
    }
}

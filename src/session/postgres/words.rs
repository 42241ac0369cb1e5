//! A server's error in the client's words: it was sent another text or another statement name than
//! the client wrote, so positions and names are led back to the client's own.

use std::borrow::Cow;

use super::session::Session;
use crate::model::{Code, Fault};
use crate::pipeline::Failure;
use crate::plan::{Part, Statement, Text};

/// A statement of this many bytes may take milliseconds to plan.
const LONG: usize = 32 * 1024;

impl Session {
    /// A statement that is read at once. None: `read` has more to do, or an error to tell.
    pub fn read_now(&mut self, sql: &str) -> Option<Statement> {
        let view = self.view();
        (sql.len() < LONG).then(|| self.shared.planner.read(sql, &view).ok())?
    }

    /// Reads a statement. What can't be read here may be no SQL at all: then a server says so better.
    pub async fn read(&mut self, sql: &str) -> Result<Statement, Failure> {
        let view = self.view();
        let planned = if sql.len() < LONG {
            self.shared.planner.read(sql, &view)
        } else {
            // The other sessions of this core go on meanwhile.
            let (shared, view, sql) = (self.shared.clone(), view.clone(), sql.to_owned());
            let planned = tokio::task::spawn_blocking(move || shared.planner.read(&sql, &view)).await;
            planned.map_err(|_| Fault::internal("planning ended early"))?
        };
        let fault: Fault = match planned {
            Ok(statement) => return Ok(statement),
            Err(fault) => fault,
        };
        if fault.code == Code::UNREADABLE
            && let Err(said @ Failure::Server(_)) = Box::pin(self.grammar(sql)).await
        {
            return Err(said);
        }
        Err(fault.into())
    }
}

/// An error of a statement that was sent as these parts.
pub(super) fn in_statement(failure: Failure, parts: &[Part], text: &str) -> Failure {
    let spliced = || {
        parts.iter().filter_map(|part| match &part.text {
            Text::Original => None,
            Text::Spliced(sent) => Some(&**sent),
        })
    };
    if spliced().next().is_none() {
        return failure;
    }
    with_position(failure, |at| {
        let mut places = spliced().map(|sent| led_back(at, sent, text));
        let first = places.next().flatten();
        if places.all(|place| place == first) {
            first
        } else {
            None
        }
    })
}

/// An error of a text that was sent for another.
pub(super) fn in_text(failure: Failure, sent: &str, text: &str) -> Failure {
    with_position(failure, |at| led_back(at, sent, text))
}

/// An error of a statement that stands `before` characters behind the beginning of its message.
pub(super) fn in_message(failure: Failure, before: usize) -> Failure {
    with_position(failure, |at| Some(at + before))
}

/// An error that may name the statement as it is called on the server.
pub(super) fn of_statement(failure: Failure, name: &[u8]) -> Failure {
    failure.edited(|code, text| {
        let said = std::str::from_utf8(text)
            .ok()
            .filter(|said| code == b'M' && said.contains("\"margay_"));
        let Some(said) = said else {
            return Some(Cow::Borrowed(text));
        };
        let (before, rest) = said.split_once("\"margay_").unwrap_or((said, ""));
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let name = String::from_utf8_lossy(name);
        Some(Cow::Owned(format!("{before}\"{name}{after}").into_bytes()))
    })
}

pub(super) fn with_position(failure: Failure, map: impl Fn(usize) -> Option<usize>) -> Failure {
    failure.edited(|code, text| {
        if code != b'P' {
            return Some(Cow::Borrowed(text));
        }
        let at: usize = std::str::from_utf8(text).ok()?.parse().ok()?;
        Some(Cow::Owned(map(at)?.to_string().into_bytes()))
    })
}

/// Where the character `at` (from 1) of `sent` stands in `text`. None: it is one of Margay's own.
fn led_back(at: usize, sent: &str, text: &str) -> Option<usize> {
    let prefix = sent.chars().zip(text.chars()).take_while(|(a, b)| a == b).count();
    if at <= prefix {
        return Some(at);
    }
    let (long, short) = (sent.chars().count(), text.chars().count());
    let suffix = sent
        .chars()
        .rev()
        .zip(text.chars().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let from_end = long.checked_sub(at)?;
    if from_end < suffix {
        short.checked_sub(from_end)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::led_back;

    #[test]
    fn a_position_is_led_back_over_what_was_spliced_in() {
        let (sent, text) = ("SELECT x FROM t_03 AS t WHERE y", "SELECT x FROM t WHERE y");
        assert_eq!(led_back(8, sent, text), Some(8));
        assert_eq!(led_back(31, sent, text), Some(23));
        assert_eq!(led_back(17, sent, text), None);
        assert_eq!(led_back(99, sent, text), None);
    }
}

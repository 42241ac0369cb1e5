//! Command tags (`SELECT 3`, `INSERT 0 5`): combining those of several parts. Must not look at rows.

use crate::model::{Code, Fault};

/// The tag of several parts that did different rows: the first one's words, the sum of the counts.
/// Tags without a count (`CREATE TABLE`) must be the same. Tags come without their terminating NUL.
pub fn sum_tags<'a>(tags: impl IntoIterator<Item = &'a [u8]>) -> Result<String, Fault> {
    combine(tags, |so_far, count| {
        so_far.checked_add(count).ok_or_else(disagree)
    })
}

/// The tag of several parts that did the same to copies of the same rows: all must say the same.
/// Without a count (DDL) the first one's is told: the others may have done the same in other words.
pub fn same_tags<'a>(tags: impl IntoIterator<Item = &'a [u8]>) -> Result<String, Fault> {
    let mut tags = tags.into_iter().peekable();
    if let Some(first) = tags.peek().filter(|tag| tag_count(tag).is_none()) {
        return Ok(String::from_utf8_lossy(first).into_owned());
    }
    combine(tags, |so_far, count| {
        if so_far == count {
            Ok(count)
        } else {
            Err(disagree())
        }
    })
}

/// The number of rows in a tag: `SELECT 3`, `INSERT 0 3`, `COPY 3`; None for `BEGIN` and such.
pub fn tag_count(tag: &[u8]) -> Option<u64> {
    split(tag).1
}

/// A tag with this many rows: `with_count("SELECT 1", 7)` is `SELECT 7`; `INSERT` keeps its 0.
/// A bare word (`SELECT`) gets a count too.
pub fn with_count(tag: &str, count: u64) -> String {
    let (words, _) = split(tag.as_bytes());
    let words = String::from_utf8_lossy(words);
    if words == "INSERT" {
        format!("INSERT 0 {count}")
    } else {
        format!("{words} {count}")
    }
}

/// A tag's words, without counts, and its count. INSERT's legacy OID (always 0) belongs to the
/// words: `INSERT 0` and 3.
fn split(tag: &[u8]) -> (&[u8], Option<u64>) {
    let Some(space) = tag.iter().rposition(|&b| b == b' ') else {
        return (tag, None);
    };
    let (words, last) = tag.split_at(space);
    let number = last.strip_prefix(b" ").unwrap_or(last);
    let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    match std::str::from_utf8(number)
        .ok()
        .filter(|_| digits)
        .and_then(|n| n.parse().ok())
    {
        Some(count) => (words, Some(count)),
        None => (tag, None),
    }
}

fn combine<'a>(
    tags: impl IntoIterator<Item = &'a [u8]>,
    with: impl Fn(u64, u64) -> Result<u64, Fault>,
) -> Result<String, Fault> {
    let mut tags = tags.into_iter();
    let Some(first) = tags.next() else {
        return Err(Fault::internal("no command tag to combine"));
    };
    let (words, mut total) = split(first);
    for tag in tags {
        let (its_words, count) = split(tag);
        if its_words != words {
            return Err(disagree());
        }
        total = match (total, count) {
            (Some(so_far), Some(count)) => Some(with(so_far, count)?),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(disagree()),
        };
    }
    let words = String::from_utf8_lossy(words);
    Ok(match total {
        Some(total) => format!("{words} {total}"),
        None => words.into_owned(),
    })
}

fn disagree() -> Fault {
    Fault::new(
        Code::PLACEMENT_MISMATCH,
        "the servers report different results of the same statement",
    )
    .hint("compare the copies of the table on all nodes; the statement was not carried out as one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        assert_eq!(
            sum_tags([b"INSERT 0 2".as_slice(), b"INSERT 0 5"]).unwrap(),
            "INSERT 0 7"
        );
        assert_eq!(
            sum_tags([b"UPDATE 0".as_slice(), b"UPDATE 5", b"UPDATE 1"]).unwrap(),
            "UPDATE 6"
        );
        assert_eq!(
            sum_tags([b"CREATE TABLE".as_slice(), b"CREATE TABLE"]).unwrap(),
            "CREATE TABLE"
        );
        assert_eq!(sum_tags([b"DELETE 3".as_slice()]).unwrap(), "DELETE 3");
    }

    #[test]
    fn tags_that_disagree_are_refused() {
        assert!(sum_tags([b"INSERT 0 2".as_slice(), b"UPDATE 5"]).is_err());
        assert!(sum_tags([b"UPDATE 2".as_slice(), b"UPDATE"]).is_err());
        assert!(sum_tags([b"UPDATE 18446744073709551615".as_slice(), b"UPDATE 1"]).is_err());
        assert!(sum_tags(std::iter::empty()).is_err());
        assert!(same_tags([b"UPDATE 2".as_slice(), b"UPDATE 3"]).is_err());
        assert_eq!(
            same_tags([b"UPDATE 2".as_slice(), b"UPDATE 2"]).unwrap(),
            "UPDATE 2"
        );
    }

    #[test]
    fn count_is_read_and_set() {
        assert_eq!(tag_count(b"INSERT 0 12"), Some(12));
        assert_eq!(tag_count(b"SELECT 3"), Some(3));
        assert_eq!(tag_count(b"BEGIN"), None);
        assert_eq!(tag_count(b"CREATE TABLE"), None);
        assert_eq!(with_count("SELECT", 4), "SELECT 4");
        assert_eq!(with_count("SELECT 9", 4), "SELECT 4");
        assert_eq!(with_count("INSERT 0 9", 4), "INSERT 0 4");
        assert_eq!(with_count("INSERT", 4), "INSERT 0 4");
    }
}

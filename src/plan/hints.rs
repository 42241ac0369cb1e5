//! Hints in comments: `/* margay: primary */`, `/* margay: key=42 */`, `/* margay: shard=3 */`.

use crate::model::{Code, Fault};

use super::compile::Hints;
use super::lex::{Kind, Lexer};
use super::types::ReadHint;

/// Reads the hints of a statement. Several may stand in one comment, separated by commas, or in
/// several comments.
pub(super) fn read(sql: &str, standard_strings: bool) -> Result<Hints, Fault> {
    let mut hints = Hints::default();
    // Hints are rare: the word decides whether it is worth lexing.
    if memchr::memmem::find(sql.as_bytes(), b"margay:").is_none() {
        return Ok(hints);
    }
    for token in Lexer::new(sql, standard_strings).filter(|t| t.kind == Kind::Comment) {
        let text = token.text(sql);
        let inner = text
            .strip_prefix("/*")
            .and_then(|t| t.strip_suffix("*/"))
            .or_else(|| text.strip_prefix("--"))
            .unwrap_or(text)
            .trim();
        let Some(list) = inner.strip_prefix("margay:") else {
            continue;
        };
        // A key may hold commas (composite keys): it reaches to the end of the comment.
        let mut rest = list.trim();
        while !rest.is_empty() {
            if let Some(key) = rest.strip_prefix("key=") {
                hints.key = Some(unquote(key.trim()));
                break;
            }
            let (one, after) = rest.split_once(',').unwrap_or((rest, ""));
            hint(one.trim(), &mut hints)?;
            rest = after.trim();
        }
    }
    Ok(hints)
}

fn unquote(text: &str) -> String {
    super::lex::unquote(text).unwrap_or_else(|| text.to_string())
}

fn hint(text: &str, hints: &mut Hints) -> Result<(), Fault> {
    match text.split_once('=').map(|(k, v)| (k.trim(), v.trim())) {
        None if text == "primary" => hints.read = Some(ReadHint::Primary),
        None if text == "replica" => hints.read = Some(ReadHint::Replica),
        Some(("shard", name)) => hints.shard = Some(name.into()),
        _ => {
            return Err(
                Fault::new(Code::BAD_HINT, format!("the hint '{text}' isn't known"))
                    .hint("Known are primary, replica, key=VALUE and shard=N (or its period)."),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_from_comments_only() {
        let h = read(
            "/* margay: primary, shard=3 */ SELECT '/* margay: shard=9 */'",
            true,
        )
        .unwrap();
        assert_eq!((h.read, h.shard.as_deref()), (Some(ReadHint::Primary), Some("3")));
        assert_eq!(
            read("SELECT 1 /* margay: key='a,b' */", true)
                .unwrap()
                .key
                .as_deref(),
            Some("a,b")
        );
        assert!(read("/* margay: replicas */ SELECT 1", true).is_err());
        assert_eq!(
            read("/* other */ SELECT 'margay: x'", true).unwrap(),
            Hints::default()
        );
    }
}

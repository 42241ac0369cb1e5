//! The startup message's parameters as session settings: as PostgreSQL has it, they are the
//! session's defaults, to which RESET goes back.

use crate::backend::Settings;
use crate::model::{Code, Fault};
use crate::wire::postgres::frontend::Startup;

/// Parameters that are no settings.
const NOT_SETTINGS: &[&str] = &["user", "database", "options", "replication"];

/// Settings whose value is a list of names: each is quoted by itself.
const NAME_LISTS: &[&str] = &[
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
];

/// Reads all parameters; `options` first, since those given by name win.
pub(super) fn startup_settings(startup: &Startup<'_>) -> Result<Settings, Fault> {
    let mut settings = Settings::default();
    // Margay's own connections have a name, which is not the client's.
    settings.set("application_name", "''");
    if let Some(options) = startup.get("options") {
        for (name, value) in read_options(text(options)?)? {
            settings.set(&name, &literal(&name, &value));
        }
    }
    for (name, value) in startup.params() {
        let (name, value) = (text(name)?, text(value)?);
        if NOT_SETTINGS.contains(&name) || name.starts_with("_pq_.") {
            continue;
        }
        settings.set(name, &literal(name, value));
    }
    Ok(settings)
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes)
        .map_err(|_| Fault::new(Code::PROTOCOL, "a startup parameter isn't valid UTF-8"))
}

/// A raw value as the right-hand side of SET.
pub(super) fn literal(name: &str, value: &str) -> String {
    if NAME_LISTS.iter().any(|list| list.eq_ignore_ascii_case(name)) {
        let names: Vec<String> = name_list(value).iter().map(|name| string(name)).collect();
        if !names.is_empty() {
            return names.join(", ");
        }
    }
    string(value)
}

/// E'…' so that a backslash means the same whatever standard_conforming_strings says.
fn string(value: &str) -> String {
    if value.contains('\\') {
        format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", value.replace('\'', "''"))
    }
}

/// `"$user", public` → `$user`, `public`: unquoted names are folded.
pub(super) fn name_list(value: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let name;
        match rest.strip_prefix(['"', '\'']) {
            Some(inner) => {
                let quote = if rest.starts_with('"') { '"' } else { '\'' };
                let mut text = String::new();
                let mut chars = inner.char_indices().peekable();
                let mut end = inner.len();
                while let Some((at, c)) = chars.next() {
                    if c != quote {
                        text.push(c);
                    } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
                        text.push(c);
                        chars.next();
                    } else {
                        end = at + c.len_utf8();
                        break;
                    }
                }
                name = text;
                rest = inner[end..].trim_start();
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                name = rest[..end].trim().to_lowercase();
                rest = &rest[end..];
            }
        }
        if !name.is_empty() {
            names.push(name);
        }
        rest = rest.trim_start().strip_prefix(',').unwrap_or("").trim_start();
    }
    names
}

/// `-c name=value -cname=value --name=value`, words separated by blanks, `\` takes the next
/// character as it is.
fn read_options(options: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut settings = Vec::new();
    let mut words = split_words(options).into_iter();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next().unwrap_or_default()
        } else if let Some(rest) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            rest.to_owned()
        } else {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                format!("unrecognized startup option \"{word}\""),
            ));
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(Fault::new(
                Code::PROTOCOL,
                format!("startup option \"{assignment}\" has no value"),
            ));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_ascii_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_a_server_reads_its_command_line() {
        let read = read_options(r"-c geqo=off --work-mem=4MB -csearch_path=a\ b").expect("valid");
        let read: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            read,
            [("geqo", "off"), ("work_mem", "4MB"), ("search_path", "a b")]
        );
        assert!(read_options("-x").is_err());
    }

    #[test]
    fn a_list_of_names_is_quoted_name_by_name() {
        assert_eq!(
            literal("search_path", r#""$user", Public,"a""b""#),
            r#"'$user', 'public', 'a"b'"#
        );
        assert_eq!(literal("DateStyle", "ISO, DMY"), "'ISO, DMY'");
        assert_eq!(literal("application_name", r"it's\n"), r"E'it''s\\n'");
    }
}

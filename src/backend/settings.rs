//! Session settings (GUCs) as a client set them, and the SQL that takes a connection from one set
//! to another. Values are kept as written; nothing here judges them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Name → value, the value as it stands on the right-hand side of `SET name = …`. Ordered by name,
/// so that equal settings compare and print equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Settings {
    values: BTreeMap<Box<str>, Box<str>>,
}

/// Changing one of these changes what may be set and what `role` is, so it goes first.
const SESSION_USER: &str = "session_authorization";
const ROLE: &str = "role";

impl Settings {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|v| &**v)
    }

    /// `name` is folded to lower case: PostgreSQL takes setting names in any case, quoted or not.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_ascii_lowercase().into(), value.into());
    }

    pub fn reset(&mut self, name: &str) {
        self.values.remove(&*name.to_ascii_lowercase());
    }

    pub fn reset_all(&mut self) {
        self.values.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(n, v)| (&**n, &**v))
    }

    /// One batch of SET and RESET that takes a connection from `self` to `target`; None: they are
    /// equal. Sent as one simple query it applies as a whole or not at all.
    pub fn diff_sql(&self, target: &Settings) -> Option<String> {
        if self == target {
            return None;
        }
        let mut sql = String::new();
        let user_changes = self.get(SESSION_USER) != target.get(SESSION_USER);
        let mut put = |name: &str, value: Option<&str>| {
            // Writing to a String can't fail.
            let _ = match value {
                // `SET name = …` takes no interval.
                Some(value) if name == "timezone" && is_interval(value) => {
                    write!(sql, "SET TIME ZONE {value};")
                }
                Some(value) => write!(sql, "SET {} = {value};", setting_name(name)),
                None => write!(sql, "RESET {};", setting_name(name)),
            };
        };
        if user_changes {
            put(SESSION_USER, target.get(SESSION_USER));
        }
        for (name, _) in self.iter().filter(|(name, _)| *name != SESSION_USER) {
            if target.get(name).is_none() {
                put(name, None);
            }
        }
        for (name, value) in target.iter().filter(|(name, _)| *name != SESSION_USER) {
            if self.get(name) != Some(value) || (user_changes && name == ROLE) {
                put(name, Some(value));
            }
        }
        Some(sql)
    }
}

/// `INTERVAL '+05:45' HOUR TO MINUTE`, which only SET TIME ZONE takes.
fn is_interval(value: &str) -> bool {
    let word = value.get(.."interval".len());
    word.is_some_and(|word| word.eq_ignore_ascii_case("interval"))
}

/// A setting's name as an identifier: each part of `extension.name` is quoted for itself.
pub fn setting_name(name: &str) -> String {
    let parts: Vec<String> = name
        .split('.')
        .map(|part| format!("\"{}\"", part.replace('"', "\"\"")))
        .collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_may_be_an_interval() {
        let target = settings(&[("timezone", "INTERVAL '+05:45' HOUR TO MINUTE")]);
        let sql = Settings::default().diff_sql(&target);
        assert_eq!(
            sql.as_deref(),
            Some("SET TIME ZONE INTERVAL '+05:45' HOUR TO MINUTE;")
        );
    }

    fn settings(all: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        all.iter().for_each(|(name, value)| settings.set(name, value));
        settings
    }

    #[test]
    fn equal_settings_need_no_sql() {
        let one = settings(&[("TimeZone", "'UTC'"), ("search_path", "a, b")]);
        let other = settings(&[("search_path", "a, b"), ("timezone", "'UTC'")]);
        assert_eq!(one.diff_sql(&other), None);
    }

    #[test]
    fn what_is_gone_is_reset_and_what_differs_is_set_as_written() {
        let from = settings(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let to = settings(&[("b", "2"), ("c", "'x'';--'"), ("my.var", "on")]);
        let sql = from.diff_sql(&to).expect("they differ");
        assert_eq!(sql, r#"RESET "a";SET "c" = 'x'';--';SET "my"."var" = on;"#);
    }

    #[test]
    fn session_user_goes_first_and_role_is_set_again_after_it() {
        let from = settings(&[("role", "r")]);
        let to = settings(&[("role", "r"), ("session_authorization", "u"), ("a", "1")]);
        let sql = from.diff_sql(&to).expect("they differ");
        assert_eq!(
            sql,
            r#"SET "session_authorization" = u;SET "a" = 1;SET "role" = r;"#
        );
    }

    #[test]
    fn a_quote_in_a_name_can_not_end_it() {
        let sql = settings(&[("a\"; drop", "1")])
            .diff_sql(&Settings::default())
            .expect("they differ");
        assert_eq!(sql, r#"RESET "a""; drop";"#);
    }
}

//! The JSON Schema of the rules file: for editors (`margay schema`), and what `shape` checks a file by.

use serde_json::Value;

use super::file::Rules;

/// JSON Schema (2020-12) of one rules file.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Rules).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Margay rules".into());
    }
    schema
}

/// For a folder of files: a file of it may leave out what another has.
#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn print() {
        println!("{}", serde_json::to_string_pretty(&json_schema()).unwrap());
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a misspelt key would be taken in silence.
    #[test]
    fn every_map_of_the_schema_is_closed_or_one_of_names() {
        fn walk(value: &Value, maps: &mut usize) {
            match value {
                Value::Object(map) => {
                    if map.get("type") == Some(&"object".into()) {
                        assert!(map.contains_key("additionalProperties"), "{value:#}");
                        *maps += 1;
                    }
                    map.values().for_each(|v| walk(v, maps));
                }
                Value::Array(items) => items.iter().for_each(|v| walk(v, maps)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let mut maps = 0;
        walk(&json_schema(), &mut maps);
        assert!(maps > 20, "{maps}");
    }
}

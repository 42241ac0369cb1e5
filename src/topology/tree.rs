//! A YAML document as a tree in which every key and value knows its line and column. Reading stops
//! at the first syntax error; everything that comes after (shape, meaning) can then report all of
//! its problems at once. Also a `serde` source, so that typed structs are read from the (merged) tree.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::problem::{Finding, Pos};

/// A rules file longer than this is a mistake: the largest real ones have a few thousand lines.
const LONGEST_FILE_BYTES: usize = 4 << 20;
/// Nodes after expansion of aliases; keeps an alias bomb from eating the memory.
const MOST_NODES: usize = 200_000;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub pos: Pos,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_pos: Pos,
    pub value: Node,
}

impl Node {
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|e| &e.value)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// What this is, in a reader's words.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Int(_) => "a whole number",
            Data::Float(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }
}

/// Reads one file. The error is the parser's, at its place.
pub(crate) fn read(text: &str, file: usize) -> Result<Node, Finding> {
    let start = Pos {
        file,
        line: 1,
        column: 1,
    };
    if text.len() > LONGEST_FILE_BYTES {
        return Err(Finding::new(
            start,
            "the file is longer than 4 MiB",
            "split it into a folder of files",
        ));
    }
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.with_snippet = false;
    options.emit_comments = false;
    if let Some(budget) = options.budget.as_mut() {
        budget.max_nodes = MOST_NODES;
        budget.max_depth = 64;
        budget.max_documents = 1;
    }
    options.alias_limits.max_total_replayed_events = MOST_NODES;
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(raw.value.place(raw.defined, file)),
        Err(error) => Err(syntax(&error, file)),
    }
}

fn syntax(error: &serde_saphyr::Error, file: usize) -> Finding {
    let pos = error.location().map_or(
        Pos {
            file,
            line: 1,
            column: 1,
        },
        |l| at(l, file),
    );
    let mut message = error.without_snippet().to_string();
    // The library ends its text with the place, which is printed in front already.
    if let Some(cut) = message.rfind(" at line ") {
        message.truncate(cut);
    }
    let message = message.lines().next().unwrap_or("not YAML").trim().to_owned();
    Finding::new(
        pos,
        format!("this can't be read as YAML: {message}"),
        "correct the syntax at this place",
    )
}

fn at(location: Location, file: usize) -> Pos {
    Pos {
        file,
        line: location.line() as u32,
        column: location.column() as u32,
    }
}

/// The tree as the library hands it over.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Raw {
    fn place(self, location: Location, file: usize) -> Node {
        let data = match self {
            Raw::Null => Data::Null,
            Raw::Bool(b) => Data::Bool(b),
            Raw::Int(i) => Data::Int(i),
            Raw::Float(x) => Data::Float(x),
            Raw::Text(s) => Data::Text(s),
            Raw::List(items) => Data::List(
                items
                    .into_iter()
                    .map(|i| i.value.place(i.defined, file))
                    .collect(),
            ),
            Raw::Map(entries) => Data::Map(
                entries
                    .into_iter()
                    .map(|(k, v)| Entry {
                        key_pos: at(k.defined, file),
                        key: k.value,
                        value: v.value.place(v.defined, file),
                    })
                    .collect(),
            ),
        };
        Node {
            pos: at(location, file),
            data,
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("YAML")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
                Ok(Raw::Int(v.into()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
                Ok(Raw::Int(v.into()))
            }
            fn visit_i128<E>(self, v: i128) -> Result<Raw, E> {
                Ok(Raw::Int(v))
            }
            fn visit_u128<E>(self, v: u128) -> Result<Raw, E> {
                Ok(i128::try_from(v).map_or(Raw::Float(v as f64), Raw::Int))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Raw, E> {
                Ok(Raw::Float(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
                Ok(Raw::Text(v.to_owned()))
            }
            fn visit_string<E>(self, v: String) -> Result<Raw, E> {
                Ok(Raw::Text(v))
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Raw, D::Error> {
                Raw::deserialize(d)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Raw::Map(entries))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Why a typed struct could not be read from a tree. The shape was checked before, so that this is
/// only seen where schema and structs disagree.
#[derive(Debug)]
pub(crate) struct ReadError(pub String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl<'de> IntoDeserializer<'de, ReadError> for &'de Node {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.data {
            Data::Null => visitor.visit_unit(),
            Data::Bool(b) => visitor.visit_bool(*b),
            Data::Int(i) => match (i64::try_from(*i), u64::try_from(*i)) {
                (Ok(i), _) => visitor.visit_i64(i),
                (_, Ok(u)) => visitor.visit_u64(u),
                _ => Err(de::Error::custom("a number out of range")),
            },
            Data::Float(x) => visitor.visit_f64(*x),
            Data::Text(s) => visitor.visit_borrowed_str(s),
            Data::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Data::Map(entries) => visitor.visit_map(MapDeserializer::new(
                entries.iter().map(|e| (e.key.as_str(), &e.value)),
            )),
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.data {
            Data::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.data {
            Data::Text(s) => visitor.visit_enum(s.as_str().into_deserializer()),
            Data::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant(&entries[0])),
            _ => Err(de::Error::custom("one of several alternatives expected")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// `{name: content}` as an enum's variant.
struct Variant<'de>(&'de Entry);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = ReadError;
    type Variant = Self;
    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), ReadError> {
        let name: StrDeserializer<'de, ReadError> = self.0.key.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = ReadError;
    fn unit_variant(self) -> Result<(), ReadError> {
        Err(de::Error::custom("a word expected, not a map"))
    }
    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, ReadError> {
        seed.deserialize(&self.0.value)
    }
    fn tuple_variant<V: de::Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.0.value.deserialize_any(visitor)
    }
    fn struct_variant<V: de::Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.0.value.deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(String, u32, u32)> {
        let tree = read(text, 0).expect("valid YAML");
        tree.entries()
            .iter()
            .map(|e| (e.key.clone(), e.key_pos.line, e.key_pos.column))
            .collect()
    }

    #[test]
    fn keys_and_values_know_their_place() {
        let text = "a: 1\nb: {c: [x, 2026-01]}\nno: yes\n10: ten\n";
        assert_eq!(
            lines(text),
            [
                ("a".into(), 1, 1),
                ("b".into(), 2, 1),
                ("no".into(), 3, 1),
                ("10".into(), 4, 1)
            ]
        );
        let tree = read(text, 0).unwrap();
        let Data::List(items) = &tree.get("b").unwrap().get("c").unwrap().data else {
            panic!("a list")
        };
        assert_eq!((items[1].pos.line, items[1].pos.column), (2, 12));
        assert!(matches!(&items[1].data, Data::Text(s) if s == "2026-01"));
        assert!(matches!(&tree.get("no").unwrap().data, Data::Text(s) if s == "yes"));
    }

    #[test]
    fn both_places_of_a_duplicate_key_are_kept() {
        assert_eq!(lines("a: 1\na: 2\n").len(), 2);
    }

    #[test]
    fn an_alias_bomb_is_an_error() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let p = i - 1;
            text += &format!("a{i}: &a{i} [*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p}]\n");
        }
        assert!(read(&text, 0).is_err());
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let finding = read("a: 1\nb: [1, 2\nc: 3\n", 0).unwrap_err();
        assert!(finding.pos.line >= 2, "{finding:?}");
    }
}

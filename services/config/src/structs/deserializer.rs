//! The tree of a file as a deserializer.

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::Error;
use super::spanned;
use crate::diagnostics::Diagnostic;
use crate::names::truncated;
use crate::node::{Entry, Node, Value};

/// Takes the errors of keys that no struct knows.
pub(super) type Report<'r> = &'r dyn Fn(Diagnostic);

/// The entries of a map as a struct.
pub(super) struct MapDeserializer<'de, 'r> {
    /// The entries, all of which the struct has.
    pub(super) entries: &'r [&'de Entry],
    pub(super) report: Report<'r>,
}

impl<'de> Deserializer<'de> for MapDeserializer<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries {
            entries: self.entries.iter().copied(),
            value: None,
            path: "",
            report: self.report,
        })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A value of the tree.
struct NodeDeserializer<'de, 'p> {
    node: &'de Node,
    /// Keys and places that lead to the value, such as `labels[2].name`.
    path: String,
    report: Report<'p>,
}

impl<'de> NodeDeserializer<'de, '_> {
    /// Gives the value to the visitor; errors get its place.
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Self { node, path, report } = &self;
        let visited = match &node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
                path,
                report: *report,
            }),
            Value::Map(map) => visitor.visit_map(Entries {
                entries: map.entries.iter(),
                value: None,
                path,
                report: *report,
            }),
        };
        visited.map_err(|error| error.at(path, node.span))
    }

    /// Reports the keys of a map that a struct with these fields does not have.
    fn report_unknown(&self, fields: &'static [&'static str]) {
        let Some(map) = self.node.as_map() else {
            return;
        };
        for entry in &map.entries {
            let key = entry.key.value.as_str();
            if !fields.contains(&key) {
                let (key_shown, path) = (truncated(key), truncated(&self.path));
                let message = format!("unknown key `{key_shown}` in `{path}`");
                let unknown = Diagnostic::error(entry.key.span, message);
                let unknown = unknown.suggest(key, fields.iter().copied());
                (self.report)(unknown);
            }
        }
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (path, span) = (self.path.clone(), self.node.span);
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| error.at(&path, span))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == spanned::NAME {
            return visitor.visit_map(SpannedParts {
                part: 0,
                node: self,
            });
        }
        self.report_unknown(fields);
        self.visit(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (path, span) = (self.path.clone(), self.node.span);
        let visited = match &self.node.value {
            Value::String(word) => visitor.visit_enum(word.as_str().into_deserializer()),
            Value::Map(map) if map.entries.len() == 1 => visitor.visit_enum(Variant {
                entry: &map.entries[0],
                path: &self.path,
                report: self.report,
            }),
            _ => return self.visit(visitor),
        };
        visited.map_err(|error: Error| error.at(&path, span))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The items of a list.
struct Items<'de, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    path: &'p str,
    report: Report<'p>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((at, node)) = self.items.next() else {
            return Ok(None);
        };
        let path = format!("{}[{at}]", self.path);
        let item = NodeDeserializer {
            node,
            path: path.clone(),
            report: self.report,
        };
        let read = seed.deserialize(item);
        read.map(Some).map_err(|error| error.at(&path, node.span))
    }
}

/// The entries of a map.
struct Entries<'de, 'p, I> {
    entries: I,
    value: Option<&'de Entry>,
    path: &'p str,
    report: Report<'p>,
}

/// Returns the path of a key of the map at `path`.
fn below(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

impl<'de, I: Iterator<Item = &'de Entry>> MapAccess<'de> for Entries<'de, '_, I> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        let Some(entry) = self.value else {
            return Ok(None);
        };
        let key = StrDeserializer::new(&entry.key.value);
        let read = seed.deserialize(key);
        let read = read
            .map_err(|error: Error| error.at(&below(self.path, &entry.key.value), entry.key.span));
        read.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.value.take() else {
            return Err(serde::de::Error::custom("has a value without a key"));
        };
        let path = below(self.path, &entry.key.value);
        let read = seed.deserialize(NodeDeserializer {
            node: &entry.node,
            path: path.clone(),
            report: self.report,
        });
        // A value may be refused after it was read.
        read.map_err(|error| error.at(&path, entry.node.span))
    }
}

/// The parts of a value with its position.
struct SpannedParts<'de, 'p> {
    part: usize,
    node: NodeDeserializer<'de, 'p>,
}

impl<'de> MapAccess<'de> for SpannedParts<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(name) = spanned::FIELDS.get(self.part) else {
            return Ok(None);
        };
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let span = self.node.node.span;
        let part = self.part;
        self.part += 1;
        let number = match part {
            0 => span.file.number(),
            1 => span.start,
            2 => span.end,
            _ => {
                return seed.deserialize(NodeDeserializer {
                    node: self.node.node,
                    path: self.node.path.clone(),
                    report: self.node.report,
                });
            }
        };
        seed.deserialize(UsizeDeserializer::new(number))
    }
}

/// A variant of an enum that holds something: a map with its name as the only key.
struct Variant<'de, 'p> {
    entry: &'de Entry,
    path: &'p str,
    report: Report<'p>,
}

impl<'de, 'p> EnumAccess<'de> for Variant<'de, 'p> {
    type Error = Error;
    type Variant = VariantValue<'de, 'p>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Error> {
        let key = &self.entry.key;
        let variant = seed.deserialize(StrDeserializer::new(&key.value));
        let variant = variant.map_err(|error: Error| error.at(self.path, key.span))?;
        let value = NodeDeserializer {
            node: &self.entry.node,
            path: below(self.path, &key.value),
            report: self.report,
        };
        Ok((variant, VariantValue(value)))
    }
}

struct VariantValue<'de, 'p>(NodeDeserializer<'de, 'p>);

impl<'de> VariantAccess<'de> for VariantValue<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.visit(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.report_unknown(fields);
        self.0.visit(visitor)
    }
}

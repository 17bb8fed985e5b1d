//! A value with its position as a field.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::source::{FileId, Span, Spanned};

/// The name by which a deserializer of this crate knows that a position is wanted.
pub(super) const NAME: &str = "$motet_config::Spanned";
/// The parts of the value in the order in which they are given.
pub(super) const FIELDS: &[&str] = &["file", "start", "end", "value"];

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(NAME, FIELDS, SpannedVisitor(PhantomData))
    }
}

struct SpannedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
    type Value = Spanned<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a configuration file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spanned<T>, A::Error> {
        let mut number = || -> Result<usize, A::Error> {
            let entry: Option<(String, usize)> = map.next_entry()?;
            entry.map(|(_, number)| number).ok_or_else(unplaced)
        };
        let (file, start, end) = (FileId::of_number(number()?), number()?, number()?);
        let value: Option<(String, T)> = map.next_entry()?;
        let (_, value) = value.ok_or_else(unplaced)?;
        Ok(Spanned::new(value, Span { file, start, end }))
    }
}

/// Returns the error of a deserializer that knows no positions.
fn unplaced<E: Error>() -> E {
    E::custom("has no position: it was not read from a configuration file")
}

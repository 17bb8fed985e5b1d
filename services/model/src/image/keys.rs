//! The keys of tasks that take images.

use motet_config::Spanned;
use serde::Deserialize;
use serde::de::{self, Deserializer, Error};
use serde_json::{Value, json};

use crate::text::{NonEmpty, VectorDtype, Word};

/// Range of the key `max_pixels`.
const PIXELS: std::ops::RangeInclusive<u64> = 1..=1 << 28;
/// Most pixels of an image where the configuration does not say.
const PIXELS_MAX: u64 = 25_000_000;
/// Range of the key `max_bytes`.
const BYTES: std::ops::RangeInclusive<u64> = 1..=1 << 30;

/// The keys of all tasks that take images; each task has some of them. `None` is what the model's
/// own files say, or the usual.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ImageKeys {
    /// Engine; `None` is `auto`.
    #[serde(default)]
    pub(super) engine: Option<Spanned<NonEmpty>>,
    /// Most pixels of an image.
    #[serde(default, deserialize_with = "pixels")]
    pub(super) max_pixels: Option<u64>,
    /// Most bytes of an image as it is sent; `None` is the limit of the process.
    #[serde(default, deserialize_with = "bytes")]
    pub(super) max_bytes: Option<u64>,
    /// Scaling of vectors to length 1.
    #[serde(default)]
    pub(super) normalize: Option<bool>,
    /// Type in which vectors are answered; `None` is `f32`.
    #[serde(default)]
    pub(super) output_dtype: Option<Spanned<Word<VectorDtype>>>,
}

impl ImageKeys {
    /// Returns the most pixels of an image.
    pub(super) fn max_pixels(&self) -> u64 {
        self.max_pixels.unwrap_or(PIXELS_MAX)
    }
}

/// Returns the JSON schema of a key.
pub(super) fn schema(key: &str) -> Value {
    let range = |range: std::ops::RangeInclusive<u64>| {
        let (least, most) = (range.start(), range.end());
        json!({ "type": "integer", "minimum": least, "maximum": most })
    };
    match key {
        "max_pixels" => range(PIXELS),
        "max_bytes" => range(BYTES),
        _ => crate::text::key_schema(key),
    }
}

fn pixels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, PIXELS).map(Some)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, BYTES).map(Some)
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, D::Error> {
    let value = i64::deserialize(deserializer)?;
    let found = u64::try_from(value)
        .ok()
        .filter(|value| range.contains(value));
    found.ok_or_else(|| {
        let expected = format!("between {} and {}", range.start(), range.end());
        D::Error::invalid_value(de::Unexpected::Signed(value), &&*expected)
    })
}

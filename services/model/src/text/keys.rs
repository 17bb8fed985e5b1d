//! The keys of tasks with an encoder.

use std::fmt;
use std::marker::PhantomData;

use motet_config::{Spanned, list_of};
use motet_models::{Aggregation, Pooling};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, de};
use serde_json::{Value, json};

use super::call_settings::{PROMPT_BYTES_MAX, Truncate};
use super::vector_dtype::VectorDtype;
use super::zero_shot::HypothesisTemplate;

/// Range of the key `max_tokens`. The model itself has a limit, too.
const MAX_TOKENS: std::ops::RangeInclusive<usize> = 2..=1 << 20;

/// The keys of all tasks with an encoder; each task has some of them. `None` is what the model's
/// own files say, or the usual.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct TextKeys {
    /// Engine; `None` is `auto`.
    #[serde(default)]
    pub(super) engine: Option<Spanned<NonEmpty>>,
    /// Adapter (LoRA) whose changes the weights get: the name of one that comes with the model, or
    /// the source of another.
    #[serde(default)]
    pub(super) adapter: Option<Spanned<NonEmpty>>,
    /// Most tokens of a row; `None` is the limit of the model itself.
    #[serde(default)]
    pub(super) max_tokens: Option<Spanned<MaxTokens>>,
    /// Treatment of longer texts; `None` is to cut them, on the side that the model's files say.
    #[serde(default)]
    pub(super) truncate: Option<Spanned<Word<Truncate>>>,
    /// Name of the prompt before each text; `None` is the default prompt of the model's files.
    #[serde(default)]
    pub(super) prompt_name: Option<Spanned<NonEmpty>>,
    /// Text of the prompt before each text, instead of `prompt_name`; may be empty for none.
    #[serde(default)]
    pub(super) prompt: Option<Spanned<String>>,
    /// Pooling of token vectors.
    #[serde(default)]
    pub(super) pooling: Option<Spanned<Word<Pooling>>>,
    /// Scaling of vectors to length 1.
    #[serde(default)]
    pub(super) normalize: Option<bool>,
    /// Type in which vectors are answered; `None` is `f32`.
    #[serde(default)]
    pub(super) output_dtype: Option<Spanned<Word<VectorDtype>>>,
    /// Label whose score is that of a text, for a reranker with several.
    #[serde(default)]
    pub(super) label: Option<Spanned<NonEmpty>>,
    /// `true` if each text to classify comes with a second one.
    #[serde(default)]
    pub(super) pair: Option<bool>,
    /// Making of spans of labels of tokens; `None` is `simple`.
    #[serde(default)]
    pub(super) aggregation: Option<Word<Aggregation>>,
    /// Template of the hypotheses that labels make; `None` is `This example is {}.`
    #[serde(default)]
    pub(super) hypothesis_template: Option<Template>,
    /// `true` if several of the caller's labels may fit a text.
    #[serde(default)]
    pub(super) multi_label: Option<bool>,
}

impl TextKeys {
    /// Returns the most tokens of a row that the configuration allows.
    pub(super) fn max_tokens(&self) -> Option<usize> {
        self.max_tokens.map(|limit| limit.value.0)
    }
}

/// Returns the JSON schema of a key.
pub(crate) fn schema(key: &str) -> Value {
    match key {
        "engine" => json!({ "enum": ["auto", "packed", "candle"] }),
        "adapter" => json!({
            "type": "string",
            "description": "a LoRA adapter: one of the model's own, file:PATH or hf:ORG/NAME",
        }),
        "max_tokens" => json!({
            "type": "integer",
            "minimum": MAX_TOKENS.start(),
            "maximum": MAX_TOKENS.end(),
        }),
        "truncate" => json!({ "enum": names(&Truncate::WORDS) }),
        "prompt_name" => json!({
            "type": "string",
            "description": "a prompt of config_sentence_transformers.json",
        }),
        "prompt" => json!({ "type": "string", "maxLength": PROMPT_BYTES_MAX }),
        "pooling" => json!({ "enum": names(&Pooling::NAMES) }),
        "normalize" => json!({ "type": "boolean" }),
        "output_dtype" => json!({
            "enum": names(&VectorDtype::WORDS),
            "description": "for embed: the type in which vectors are answered",
        }),
        "label" => json!({
            "type": "string",
            "description": "for rerank: the label that says that a text is relevant",
        }),
        "pair" => json!({
            "type": "boolean",
            "description": "for classify: whether each text comes with a second one, `pair`",
        }),
        "aggregation" => json!({ "enum": names(&Aggregation::WORDS) }),
        "hypothesis_template" => json!({
            "type": "string",
            "pattern": "\\{\\}",
            "maxLength": PROMPT_BYTES_MAX,
            "description": "for classify_zero_shot: a text with `{}` where the label goes",
        }),
        "multi_label" => json!({
            "type": "boolean",
            "description": "for classify_zero_shot: whether each label is scored by itself",
        }),
        _ => Value::Bool(true),
    }
}

/// A text that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NonEmpty(pub(crate) String);

impl<'de> Deserialize<'de> for NonEmpty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.is_empty() {
            true => Err(D::Error::custom("is empty")),
            false => Ok(Self(text)),
        }
    }
}

/// The most tokens of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MaxTokens(pub(super) usize);

impl<'de> Deserialize<'de> for MaxTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = i64::deserialize(deserializer)?;
        let count = usize::try_from(value).ok();
        match count.filter(|count| MAX_TOKENS.contains(count)) {
            Some(count) => Ok(Self(count)),
            None => {
                let (least, most) = (MAX_TOKENS.start(), MAX_TOKENS.end());
                let range = format!("between {least} and {most}");
                Err(D::Error::invalid_value(
                    de::Unexpected::Signed(value),
                    &&*range,
                ))
            }
        }
    }
}

/// A template of hypotheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(pub(super) HypothesisTemplate);

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let template = HypothesisTemplate::parse(&text);
        template.map(Self).map_err(D::Error::custom)
    }
}

/// Values that are written as words.
pub(crate) trait Words: Copy + 'static {
    /// The words, and the value of each.
    const WORDS: &'static [(&'static str, Self)];
    /// The words alone.
    const NAMES: &'static [&'static str];
}

impl Words for Truncate {
    const WORDS: &'static [(&'static str, Self)] = &Self::WORDS;
    const NAMES: &'static [&'static str] = &names(&Self::WORDS);
}

impl Words for Pooling {
    const WORDS: &'static [(&'static str, Self)] = &Self::NAMES;
    const NAMES: &'static [&'static str] = &names(&Self::NAMES);
}

impl Words for VectorDtype {
    const WORDS: &'static [(&'static str, Self)] = &Self::WORDS;
    const NAMES: &'static [&'static str] = &names(&Self::WORDS);
}

impl Words for Aggregation {
    const WORDS: &'static [(&'static str, Self)] = &Self::WORDS;
    const NAMES: &'static [&'static str] = &names(&Self::WORDS);
}

const fn names<T, const N: usize>(words: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = words[at].0;
        at += 1;
    }
    names
}

/// A value that is written as one of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<T>(pub(crate) T);

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WordVisitor(PhantomData))
    }
}

struct WordVisitor<T>(PhantomData<T>);

impl<T: Words> Visitor<'_> for WordVisitor<T> {
    type Value = Word<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", list_of(T::NAMES))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Word<T>, E> {
        let mut words = T::WORDS.iter();
        let found = words.find(|(known, _)| *known == word);
        let found = found.map(|(_, value)| Word(*value));
        found.ok_or_else(|| E::unknown_variant(word, T::NAMES))
    }
}

#[cfg(test)]
mod tests {
    use motet_config::{Colour, Diagnostics, Sources, parse, structs};
    use motet_models::TruncationSide;

    use super::*;

    fn read(text: &str) -> (Option<TextKeys>, String) {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let file = sources.add("motet.yaml", "", text);
        let root = parse(&sources, file, &mut diagnostics).unwrap();
        let map = root.as_map().unwrap();
        let keys = structs::read(map, "model `m`", root.span, &mut diagnostics);
        (keys, diagnostics.render(&sources, Colour::Never))
    }

    #[test]
    fn every_key_is_read() {
        let (keys, report) = read(
            "engine: packed\nadapter: hf:a/b\nmax_tokens: 128\ntruncate: left\n\
             prompt_name: query\nprompt: \"\"\npooling: cls\nnormalize: false\n\
             output_dtype: binary\nlabel: good\npair: true\naggregation: max\n\
             hypothesis_template: about {}\nmulti_label: true\n",
        );
        assert_eq!(report, "");
        let keys = keys.unwrap();
        assert_eq!(keys.engine.unwrap().value.0, "packed");
        assert_eq!(keys.adapter.unwrap().value.0, "hf:a/b");
        assert_eq!(keys.max_tokens.unwrap().value.0, 128);
        let left = Truncate::Cut(TruncationSide::Left);
        assert_eq!(keys.truncate.unwrap().value.0, left);
        assert_eq!(keys.prompt_name.unwrap().value.0, "query");
        assert_eq!(keys.prompt.unwrap().value, "");
        assert_eq!(keys.pooling.unwrap().value.0, Pooling::Cls);
        assert_eq!(keys.normalize, Some(false));
        assert_eq!(keys.output_dtype.unwrap().value.0, VectorDtype::Binary);
        assert_eq!(keys.label.unwrap().value.0, "good");
        assert_eq!((keys.pair, keys.multi_label), (Some(true), Some(true)));
        assert_eq!(keys.aggregation.unwrap().0, Aggregation::Max);
        assert_eq!(keys.hypothesis_template.unwrap().0.with("x"), "about x");
        // All keys are in the schema, and have a meaning.
        for key in structs::fields::<TextKeys>() {
            assert_ne!(schema(key), Value::Bool(true), "{key}");
        }
    }

    #[test]
    fn every_mistake_is_reported() {
        for (text, expected) in [
            ("engine: \"\"\n", "`engine` is empty"),
            ("label: 5\n", "`label` must be a string, not an integer"),
            (
                "max_tokens: 1\n",
                "`max_tokens` is 1, but must be between 2 and 1048576",
            ),
            (
                "max_tokens: -5\n",
                "`max_tokens` is -5, but must be between 2 and 1048576",
            ),
            (
                "max_tokens: many\n",
                "`max_tokens` must be an integer, not a string",
            ),
            (
                "truncate: middle\n",
                "`truncate` must be one of `error`, `right` and `left`",
            ),
            ("pooling: 3\n", "`pooling` must be one of"),
            ("pooling: maen\n", "did you mean `mean`?"),
            (
                "output_dtype: i8\n",
                "`output_dtype` must be one of `f32`, `f16`, `int8` and `binary`",
            ),
            (
                "normalize: 1\n",
                "`normalize` must be `true` or `false`, not an integer",
            ),
            (
                "hypothesis_template: about\n",
                "`hypothesis_template` has `{}` 0 times",
            ),
        ] {
            let (keys, report) = read(text);
            assert!(keys.is_none(), "{text}");
            assert!(report.contains(expected), "{text}\n{report}");
        }
    }
}

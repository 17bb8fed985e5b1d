//! Tasks with an encoder as [`Task`]s.

use std::marker::PhantomData;

use motet_proto::signature::Signature;
use serde_json::Value;

use super::EncoderKind;
use super::check::{CheckedText, check};
use super::facts::facts;
use super::keys::{TextKeys, schema};
use super::text_model::TextModel;
use crate::task::{BoxError, CheckContext, Facts, LoadContext, Problem, Task};

/// Group of the tasks whose outputs one pass gives.
const GROUP: &str = "vectors";

/// The task of a kind.
pub(super) struct TextTask<K>(PhantomData<fn() -> K>);

impl<K: EncoderKind> Task for TextTask<K> {
    const NAME: &'static str = K::KIND.name;
    const ABOUT: &'static str = K::KIND.about;
    const NEEDS_SOURCE: bool = true;
    const GROUP: Option<&'static str> = match K::KIND.names_beside_others {
        [] => None,
        _ => Some(GROUP),
    };

    type Config = TextKeys;
    type Checked = CheckedText;
    type Model = TextModel;

    fn keys() -> &'static [&'static str] {
        K::KIND.keys
    }

    fn key_schema(key: &str) -> Value {
        schema(key)
    }

    fn check(
        keys: &TextKeys,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, CheckedText), Vec<Problem>> {
        check(keys, context)
    }

    fn facts(checked: &CheckedText) -> Result<Facts, BoxError> {
        facts(checked)
    }

    fn load(checked: CheckedText, context: &LoadContext) -> Result<TextModel, BoxError> {
        TextModel::load(checked, context)
    }
}

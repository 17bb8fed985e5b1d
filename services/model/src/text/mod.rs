//! The tasks that come with motet and take texts. Those that take images are in `image`.
//!
//! A task with an encoder is one file with its [`TextKind`]; it implements [`EncoderTask`] and
//! shares everything else:
//!
//! * `embed`, `embed_sparse`, `embed_tokens`, `rerank`, `classify`, `zero_shot`, `classify_tokens`:
//!   the tasks with an encoder.
//! * `encoder_task`: [`EncoderTask`], the differences between these; `model_tasks`: [`ModelTasks`],
//!   the tasks of one model.
//! * `text_task`: each of these as a [`Task`](crate::task::Task); `keys`: their keys; `check`: a
//!   configuration against the model's files.
//! * `facts`: what is known of a model before it is loaded.
//! * `text_model`: a loaded model, from texts to rows and from vectors to an answer.
//! * `call_settings`: [`CallSettings`], the settings of a call and their defaults.
//! * `windowed_text`: texts in as many rows as it takes; `row_origins`: the texts of a call's rows.
//! * `text_codec`: [`TextCodec`], texts to token ids before the batcher, vectors to tensors after.
//! * `split`: texts to chunks, without an encoder.
//! * `ports`: names of ports and parameters, and how a signature is written.

mod call_settings;
mod check;
mod classify;
mod classify_tokens;
mod embed;
mod embed_sparse;
mod embed_tokens;
mod encoder_task;
mod facts;
mod keys;
mod model_tasks;
pub(crate) mod ports;
mod rerank;
mod row_origins;
mod split;
mod text_codec;
mod text_model;
mod text_task;
mod vector_dtype;
mod windowed_text;
mod zero_shot;

pub use call_settings::Truncate;
#[cfg(test)]
pub(crate) use call_settings::{CallDefaults, Prompt};
pub(crate) use call_settings::{CallSettings, activation, score_kind as score_kind_of};
pub(crate) use check::engine as engine_of;
pub(crate) use classify::highest;
pub(crate) use encoder_task::{
    AnswerForm, BuildTask, BuiltTask, TaskError, TaskSettings, VectorForm,
};
pub(crate) use keys::{NonEmpty, Word, schema as key_schema};
#[cfg(test)]
pub(crate) use model_tasks::ModelTask;
pub(crate) use model_tasks::ModelTasks;
pub(crate) use text_codec::TextCodec;
pub(crate) use text_model::finite;
#[cfg(test)]
pub(crate) use text_model::{EncodeRow, ModelHeads, RowValues, TextModel};
pub(crate) use vector_dtype::VectorDtype;
pub use zero_shot::HypothesisTemplate;

use call_settings::PROMPT_BYTES_MAX;
use text_task::TextTask;

use crate::task::TaskKind;

/// The text that tokenizers are warmed up with.
const WARM_UP_TEXT: &str = "Where does the first answer come from, and how fast?";

/// A task with an encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextKind {
    /// The word in the configuration, such as `embed`.
    pub(crate) name: &'static str,
    /// The keys of `models` that are the task's own.
    keys: &'static [&'static str],
    /// A description of the task in one line.
    about: &'static str,
    /// Names of its outputs in a model that has other tasks, too: the task's own name, and the one
    /// that tells it from those of others. Empty for a task that is always the only one.
    names_beside_others: &'static [(&'static str, &'static str)],
    /// Makes the task of a model.
    pub(crate) build: BuildTask,
}

/// A type for each task with an encoder.
trait EncoderKind: Send + Sync + 'static {
    const KIND: TextKind;
}

/// Makes the types, and the list of all.
macro_rules! encoder_kinds {
    ($($name:ident: $kind:expr),* $(,)?) => {
        $(
            struct $name;

            impl EncoderKind for $name {
                const KIND: TextKind = $kind;
            }
        )*

        /// Every task with an encoder, in the order of the documentation.
        pub(crate) const KINDS: &[TextKind] = &[$($kind),*];

        fn encoder_kinds() -> Vec<TaskKind> {
            vec![$(TaskKind::of::<TextTask<$name>>()),*]
        }
    };
}

encoder_kinds! {
    Embed: embed::KIND,
    EmbedTokens: embed_tokens::KIND,
    EmbedSparse: embed_sparse::KIND,
    Rerank: rerank::KIND,
    Classify: classify::KIND,
    ZeroShot: zero_shot::KIND,
    ClassifyTokens: classify_tokens::KIND,
}

impl TextKind {
    /// Returns the task of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|task| task.name == name)
    }
}

/// Returns the tasks that take texts.
pub(crate) fn kinds() -> impl Iterator<Item = TaskKind> {
    let split = TaskKind::of::<split::Preprocess>();
    std::iter::once(split).chain(encoder_kinds())
}

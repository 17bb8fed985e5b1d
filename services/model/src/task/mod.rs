//! Tasks of models: the table of tasks, and how a model of each answers a call.
//!
//! A task is one file with its row of the table. Those with an encoder implement [`EncoderTask`]
//! and share everything else:
//!
//! * `split`: texts to chunks, on the CPU pool; no encoder and no batcher.
//! * `embed`, `embed_sparse`, `embed_tokens`, `rerank`, `classify`, `zero_shot`, `classify_tokens`:
//!   the tasks with an encoder.
//! * `encoder_task`: [`EncoderTask`], the differences between these; `model_tasks`: [`ModelTasks`],
//!   the tasks of one model.
//! * `batched_encoder`: [`BatchedEncoder`], a call from request to response through the batcher.
//! * `call_settings`: [`CallSettings`], the settings of a call and their defaults.
//! * `windowed_text`: texts in as many rows as it takes; `row_origins`: the texts of a call's rows.
//! * `text_codec`: [`TextCodec`], texts to token ids before the batcher, vectors to tensors after.
//! * `runner`: [`Runner`], a running model of either kind.
//! * `ports`: names of ports and parameters, and how a signature is written.

mod batched_encoder;
mod call_settings;
mod classify;
mod classify_tokens;
mod embed;
mod embed_sparse;
mod embed_tokens;
mod encoder_task;
mod model_tasks;
mod ports;
mod rerank;
mod row_origins;
mod runner;
mod split;
mod text_codec;
mod windowed_text;
mod zero_shot;

pub(crate) use batched_encoder::BatchedEncoder;
pub use call_settings::Truncate;
pub(crate) use call_settings::{
    CallDefaults, CallSettings, PROMPT_BYTES_MAX, Prompt, max_tokens_range,
};
pub(crate) use encoder_task::{
    AnswerForm, BuildTask, BuiltTask, TaskError, TaskSettings, VectorForm,
};
pub(crate) use model_tasks::{ModelTask, ModelTasks};
pub(crate) use runner::Runner;
pub(crate) use split::{Splitter, default_chunks, signature as splitter_signature};
pub(crate) use text_codec::TextCodec;
pub use zero_shot::HypothesisTemplate;

/// A task that a model of the configuration can have.
#[derive(Clone, Copy, Debug)]
pub struct TaskKind {
    /// The word in the configuration, such as `embed`.
    pub name: &'static str,
    /// The keys of `models` that are the task's own, beside those of its engine.
    keys: &'static [&'static str],
    /// A description of the task in one line.
    pub about: &'static str,
    /// Names of its outputs in a model that has other tasks, too: the task's own name, and the one
    /// that tells it from those of others. Empty for a task that is always the only one.
    pub names_beside_others: &'static [(&'static str, &'static str)],
    /// The implementation of the task.
    pub(crate) engine: Engine,
}

/// The implementation of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    /// A tokenizer and the CPU pool.
    Splitter,
    /// An encoder behind a batcher.
    Encoder(BuildTask),
}

/// Keys of tasks without an encoder.
const SPLITTER_KEYS: &[&str] = &["source", "tokenizer"];
/// Keys of tasks with an encoder.
const ENCODER_KEYS: &[&str] = &[
    "source",
    "device",
    "engine",
    "dtype",
    "threads",
    "max_tokens",
    "batcher",
];

/// Every task, in the order of the documentation.
pub const TASKS: &[TaskKind] = &[
    split::KIND,
    embed::KIND,
    embed_tokens::KIND,
    embed_sparse::KIND,
    rerank::KIND,
    classify::KIND,
    zero_shot::KIND,
    classify_tokens::KIND,
];

impl TaskKind {
    /// Returns the keys of `models` that mean something for the task, `task` and `endpoint` apart.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        let of_engine = match self.engine {
            Engine::Splitter => SPLITTER_KEYS,
            Engine::Encoder(_) => ENCODER_KEYS,
        };
        of_engine.iter().chain(self.keys).copied()
    }

    /// Returns whether `key` means something for the task.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.keys().any(|known| known == key)
    }

    /// Returns whether the task may be one of several of a model.
    pub fn has_room_for_others(&self) -> bool {
        !self.names_beside_others.is_empty()
    }

    /// Returns the task of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TASKS.iter().find(|task| task.name == name)
    }
}

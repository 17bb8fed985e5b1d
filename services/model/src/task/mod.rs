//! Tasks as types: what a model is configured with, which tensors it takes and gives, how it is
//! loaded, and how it computes a batch. Every task is one, those that come with motet too.
//!
//! * `definition`: [`Task`], from the keys of a configuration to a [`LoadedModel`].
//! * `loaded_model`: [`LoadedModel`], from a request to rows, from rows to results, from these to
//!   an answer.
//! * `request`: [`Request`], the tensors and parameters of a call.
//! * `answer`: [`Answer`], its outputs, which must be those that the signature promises.
//! * `check_context`, `load_context`: [`CheckContext`] and [`LoadContext`], what a task gets to
//!   check a configuration and to load a model.
//! * `problem`: [`Problem`], a mistake in a configuration.
//! * `sources`: files and tokenizers of models' sources, each read once.
//! * `facts`: [`Facts`], what is known of a model before it is loaded.
//! * `folder`, `weights`: [`ModelFolder`], a model's files, and [`Weights`], its tensors.
//! * `tensors`: rows to one Candle tensor and back: [`stack`], [`pad`], [`pack`], [`split_rows`].
//! * `ports`: [`input`] and [`output`] of signatures.
//! * `statuses`: why a call has no answer: [`invalid_arguments`], [`over_limits`],
//!   [`model_failed`].
//! * `kind`, `registry`: [`TaskKind`], a task whose type is forgotten, and [`Tasks`], all of them.
//! * `executor`, `runner`: batches and calls of any model.
//! * `erased`: models whose types are forgotten.

mod answer;
mod check_context;
mod definition;
mod erased;
mod executor;
mod facts;
mod folder;
mod kind;
mod load_context;
mod loaded_model;
mod ports;
mod problem;
mod registry;
mod request;
mod runner;
mod sources;
mod statuses;
mod tensors;
mod weights;

pub use motet_batcher::{BatchError, Layout, RowError};
pub use motet_config::{Span, Spanned};
pub use motet_models::{DeviceSpec, Precision};
pub use motet_proto::signature::{Parameter, Port, Signature};
pub use motet_proto::{ElementType, Tensor};

pub use crate::limits::Limits;
pub use answer::Answer;
pub use check_context::{CheckContext, OtherModel};
pub use definition::{BoxError, Task};
pub use facts::Facts;
pub use folder::{FolderError, ModelFolder};
pub use kind::TaskKind;
pub use load_context::LoadContext;
pub(crate) use load_context::OpenedDevices;
pub use loaded_model::{
    Batching, LoadedModel, Measurements, Preparation, PreparedRow, PreparedRows, Worker,
};
pub use ports::{input, output};
pub use problem::Problem;
pub use registry::{TaskNameError, Tasks};
pub use request::Request;
pub use statuses::{invalid_arguments, model_failed, over_limits};
pub use tensors::{batch_error, pack, pad, split_rows, stack};
pub use weights::Weights;

pub(crate) use check_context::ReadKeys;
#[cfg(test)]
pub(crate) use erased::Named;
pub(crate) use erased::{Checked, RunModel, StartContext, StartModel};
#[cfg(test)]
pub(crate) use executor::BatchRow;
pub(crate) use load_context::Shared;
#[cfg(test)]
pub(crate) use runner::Runner;
pub(crate) use sources::{OpenedSources, OpenedText};

#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! * `input`: files, their formats, and the rows in them.
//! * `settings`: what a batch is asked to do; `plan`: that, bound to inputs, in units of rows.
//! * `planning`: a plan made, or compared with one that is there.
//! * `binding`: columns of the files against the pipeline.
//! * `output`: rows with their answers, as lines of a part; `path`: values of answers; `columns`:
//!   types of columns; `parquet`: the same as columns.
//! * `files`: disks and object stores, which keep files; nothing else knows which of them does.
//! * `postgres`: rows of queries, and tables of answers; `database`: names of databases.
//! * `folder`: the folder of a batch; `part`: a unit being written.
//! * `worker`: the units of one worker; `reading`: their rows, ahead of it; `computing`: each of
//!   them; `gate`: calls in flight and calls a second; `ids`: ids that repeat.
//! * `finish`: the whole, counted; `status`: how far it is; `retry`: rows with errors, once more.
//! * `progress`: what a worker has done so far; `task`: tasks that end with their handle.
//! * `error`: [`BatchError`]; `hash`: digests; `waiting`: waiting for servers.

mod binding;
#[cfg(any(feature = "parquet", feature = "postgres"))]
mod columns;
mod computing;
mod database;
mod error;
mod files;
mod finish;
mod folder;
mod gate;
mod hash;
mod ids;
mod input;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod part;
mod path;
mod plan;
mod planning;
#[cfg(feature = "postgres")]
mod postgres;
mod progress;
mod reading;
mod retry;
mod settings;
mod status;
mod task;
#[cfg(any(feature = "postgres", feature = "stores"))]
mod waiting;
mod worker;

pub use database::is_database;
pub use error::{BatchError, Verdict};
pub use files::Files;
pub use finish::{Success, finish};
pub use folder::Folder;
pub use gate::InFlight;
pub use hash::sha256;
pub use input::InputFormat;
pub use plan::{PipelineParts, Plan};
pub use planning::{Asked, Batch, prepare};
pub use progress::{Progress, Snapshot};
pub use retry::rows_with_errors;
pub use settings::{ErrorPlace, OutputFormat, QueryText, Settings};
pub use status::{Status, WorkerStatus, status};
pub use worker::{ErrorsMax, Outcome, Shard, WorkerOptions, work};

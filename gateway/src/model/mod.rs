//! Models as nodes call them, wherever they run.
//!
//! * [`client`](ModelClient): a model as one node calls it.
//! * [`cache`]: answers kept row by row, in front of the call.
//! * [`backend`](Backend): a model and the way to it, shared by all nodes that call it.
//! * [`service`](ModelService): the model service of this process.
//! * `in_process`: inference without the wire form, for a model of this process.

pub mod cache;

mod backend;
mod client;
mod in_process;
mod service;

pub use backend::{Backend, ModelDescription};
pub use client::ModelClient;
pub use service::ModelService;

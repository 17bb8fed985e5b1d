//! Models of a configuration behind batchers, each served over the Open Inference Protocol.
//!
//! The path of a request is the order of the modules:
//!
//! * `server`: the gRPC service for a set of models ([`ModelServer`]).
//! * [`Model`]: one model; it counts and times its calls.
//! * `call`: what a request says (parameters, tensors, wanted outputs), checked against the signature; and its answer.
//! * `task`: texts to tokens, tokens to the batcher, vectors to tensors ([`Limits`] bound what a call may ask for).
//! * `pool`: the threads for everything that is neither waiting nor the forward pass.
//! * `executor`: the forward pass, asked for by the batcher's threads; `cores`: where and when it is computed.
//!
//! Before any of it, `blueprint` checks a model of the configuration against the model's files without touching weights
//! ([`Resolver`], [`Blueprint`]), and `load` makes a running [`Model`] of it ([`Loader`]).

mod blueprint;
mod call;
mod cores;
mod executor;
mod gate;
mod load;
mod model;
mod observer;
mod pool;
mod refusal;
mod server;
mod statistics;
mod task;
mod trace;
mod warm_up;

#[cfg(test)]
mod tests;

pub use blueprint::{Blueprint, Problem, Resolver, check};
pub use load::{LoadError, Loader};
pub use model::Model;
pub use server::{LocalService, ModelServer};
pub use task::Limits;

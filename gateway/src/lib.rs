//! Pipelines: parse, check, plan, execute and serve graphs of model calls.
//!
//! The rooms, from the ground up. A room imports only from rooms that stand on a lower floor;
//! `tests/rooms.rs` checks it.
//!
//! | floor | room | what it holds |
//! |---|---|---|
//! | 0 | [`scalar`] | a single value of no element type yet |
//! | 0 | [`compute`] | computations beside the async runtime, and their cancellation |
//! | 0 | [`policy`] | policies of calls as plain state: backoff, breaker, token bucket, latencies |
//! | 0 | [`protobuf`] | messages whose type is known at run time, and tensors in them |
//! | 1 | [`call`] | one call under policies, generic over what is called; the policies and their settings |
//! | 2 | [`syntax`] | a pipeline file as written |
//! | 3 | [`grpc`] | methods of gRPC servers outside |
//! | 3 | [`ops`] | steps that run inside the gateway |
//! | 4 | [`check`] | a pipeline's meaning: every mistake of a file, or a checked pipeline |
//! | 4 | [`schema`] | the JSON schema of pipeline files |
//! | 5 | [`model`] | models as nodes call them: client, cache, backend |
//! | 6 | [`plan`] | a checked pipeline bound to what it calls, with what is learnt of its nodes |
//! | 7 | [`exec`] | the run of one request through a plan |
//! | 8 | [`serve`] | the gRPC surfaces, and loading pipelines |

// Before the rooms, which apply its list of kinds.
#[macro_use]
pub mod kinds;

pub mod call;
pub mod check;
pub mod compute;
pub mod exec;
pub mod grpc;
pub mod model;
pub mod ops;
pub mod plan;
pub mod policy;
pub mod protobuf;
pub mod scalar;
pub mod schema;
pub mod serve;
pub mod syntax;

#[cfg(test)]
mod testing;

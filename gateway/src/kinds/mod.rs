//! The kinds of nodes: one folder for each, with one file for each stage that a node passes.
//!
//! | file | stage | it has |
//! |---|---|---|
//! | `syntax.rs` | a file is read | `Spec`: the node as written |
//! | `check.rs` | a pipeline is checked | `Draft` and `Checked`: the node with its types |
//! | `plan.rs` | a checked pipeline is bound | `Bound`: the node with what it calls |
//! | `exec.rs` | a request runs | how a `Bound` runs |
//! | `schema.rs` | editors ask | the JSON schema of the node's keys |
//!
//! Each file is a part of the room that it is named after, and implements that room's traits for
//! kinds: `ReadKind` and `KindSyntax`; `CheckKind`, `BuildKind` and `CheckedKind`; `BindKind` and
//! `BoundKind`; `RunKind`. A new kind is a new folder, a `mod` line and a row of `node_kinds!`.

pub mod ensemble;
pub mod fallback;
pub mod grpc;
pub mod map;
pub mod model;
pub mod op;
pub mod pipeline;
pub mod split;
pub mod switch;
pub mod value;

/// Applies a macro to the list of all kinds: for each its documentation, the key that chooses it
/// in a file, its folder and its variant in the enums of the rooms. A message that names several
/// kinds names them in this order.
macro_rules! node_kinds {
    ($apply:ident) => {
        $apply! {
            /// A model of the configuration.
            "model" => model::Model,
            /// A method of a gRPC server.
            "grpc" => grpc::Grpc,
            /// A step inside the gateway.
            "op" => op::Op,
            /// Values that are written out or come from elsewhere.
            "value" => value::Value,
            /// The first arm that does not fail.
            "fallback" => fallback::Fallback,
            /// The first arm whose condition holds.
            "switch" => switch::Switch,
            /// One arm by weight.
            "split" => split::Split,
            /// All arms at once, combined.
            "ensemble" => ensemble::Ensemble,
            /// A body for each element of a list.
            "map" => map::Map,
            /// Another pipeline.
            "pipeline" => pipeline::Pipeline,
        }
    };
}

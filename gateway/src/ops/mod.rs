//! Ops: small pure steps that run inside the gateway.
//!
//! * [`OPS`]: what there is, for people.
//! * [`signature`]: the ports that an op has for given arguments, for the check.

mod cast;
pub mod combine;
mod error;
mod forms;
mod gather;
mod nearest;
mod numbers;
mod rank;
mod run;
pub mod signature;
mod table;
pub mod template;

pub use error::{OUTPUT_BYTES_MAX, OpError};
pub use run::{is_heavy, run};
pub use table::{K_MAX, OPS, OpDoc, OpForm};

/// Which op a node runs, with the form that its arguments chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// `topk` by similarity. Inputs `query: float[D]`, `keys: float[N,D]`; outputs
    /// `index: i32[K]`, `score: float[K]`, best first. Parameters `k: int`, `metric: string`.
    TopKNearest,
    /// `topk` by a given score. Input `score: float[N]`; outputs `index: i32[K]`,
    /// `score: float[K]`, highest first. Parameter `k: int`.
    TopKScore,
    /// `gather`. Inputs: columns `T[N,...]` in the file's order, then `index: i32[K]` last;
    /// outputs: the columns under their own names, `T[K,...]`. No parameters.
    Gather,
    /// `concat` of lists. Inputs `T[N1,...]`, `T[N2,...]`, ... in the file's order; output
    /// `out: T[N,...]`, one after the other. No parameters.
    ConcatLists,
    /// `concat` of strings. Inputs `string`, ... in the file's order; output `out: string`.
    /// Parameter `separator: string`, default empty.
    ConcatStrings,
    /// `select`. Inputs of any type; outputs the same values under the same names. No
    /// parameters.
    Select,
    /// `template`. Inputs in the file's order, single values or lists; output `out: string` or
    /// `string[N]`. Parameter `text: string`, whose places are the indices of the inputs.
    Template,
    /// `normalize`. Input `vector: float[...,D]`; output `out`, of the same type. Parameter
    /// `method: string`.
    Normalize,
    /// `threshold`. Input `score: float[N]`; outputs `index: i32[K]`, `score: float[K]`. Parameter
    /// `min: float`.
    Threshold,
    /// `argmax`. Inputs `score: float[L]` or `float[N,L]`, and `labels: T[L]` where there are
    /// labels; outputs `index`, `score` and, with labels, `label`. No parameters.
    ArgMax,
    /// `mmr`. Inputs, outputs and `k` as for `topk` by similarity; parameter `lambda: float`.
    Mmr,
    /// `rrf`. Inputs `i32[K1]`, ...; outputs `index: i32[K]`, `score: float[K]`. Parameters
    /// `k: int`, `top: int`.
    Rrf,
    /// `length`. Input `of: T[N,...]`; output `out: int`. No parameters.
    Length,
    /// `cast`. Input `value: T[...]`; output `out`, of the element type that the parameter
    /// `to: string` names.
    Cast,
    /// `default`. Inputs `value: T[...]`, which may be absent, and `default: T[...]`; output
    /// `out: T[...]`, the value where there is one. No parameters.
    Default,
}

impl OpKind {
    /// The name in a pipeline file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopKNearest | Self::TopKScore => "topk",
            Self::Gather => "gather",
            Self::ConcatLists | Self::ConcatStrings => "concat",
            Self::Select => "select",
            Self::Template => "template",
            Self::Normalize => "normalize",
            Self::Threshold => "threshold",
            Self::ArgMax => "argmax",
            Self::Mmr => "mmr",
            Self::Rrf => "rrf",
            Self::Length => "length",
            Self::Cast => "cast",
            Self::Default => "default",
        }
    }
}

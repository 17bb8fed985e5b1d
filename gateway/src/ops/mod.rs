//! Ops: small pure steps that run inside the gateway.
//!
//! * [`OPS`]: what there is, for people.
//! * [`signature`]: the ports that an op has for given arguments, for the check.

pub mod combine;
mod rank;
mod run;
pub mod signature;
mod table;

pub use run::{OUTPUT_BYTES_MAX, OpError, is_heavy, run};
pub use table::{K_MAX, OPS, OPS_NOT_YET, OpDoc, OpForm};

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
            Self::Default => "default",
        }
    }
}

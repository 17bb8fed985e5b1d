//! [`Facts`]: properties of a model that are known before it is loaded, for people.

use std::collections::BTreeMap;

use serde::Serialize;

/// Properties of a model that are known before it is loaded, for people. All of them may be
/// missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// Family of the architecture, such as `bert`.
    pub family: Option<String>,
    /// Number of values of its weights.
    pub parameters: Option<u64>,
    /// Types in which these are stored, with the number of tensors of each.
    pub stored: BTreeMap<String, usize>,
    /// Number format of the computation.
    pub dtype: Option<String>,
    /// The device that it runs on.
    pub device: Option<String>,
    /// The engine that computes it.
    pub engine: Option<String>,
    /// The reason for which it does, where the configuration leaves it to motet.
    pub engine_reason: Option<String>,
    /// Bytes that its weights take in the memory of the device.
    pub memory_bytes: Option<u64>,
    /// Limits of a call, by name, such as `max_tokens`.
    pub limits: BTreeMap<String, u64>,
    /// Names of the tensors in its files that are not used.
    pub unused_weights: Vec<String>,
    /// Choices that its files leave open, and how they were made.
    pub guesses: Vec<String>,
}

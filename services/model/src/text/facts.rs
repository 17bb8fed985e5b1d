//! Facts of models with an encoder.

use std::collections::BTreeMap;

use motet_models::{DeviceSpec, Head};

use super::check::CheckedText;
use crate::task::{BoxError, Facts};

/// Returns what the files of a model say of it, and what loading it here would take.
///
/// # Errors
/// Files that cannot be read, or a device that is not there.
pub(super) fn facts(checked: &CheckedText) -> Result<Facts, BoxError> {
    let device = checked.device.open()?;
    let heads: Vec<&Head> = checked.tasks.iter().map(|task| &task.head).collect();
    let found = checked
        .files
        .facts(&heads, checked.engine, &device, checked.precision)?;
    let max_tokens = checked.defaults.max_tokens as u64;
    Ok(Facts {
        family: Some(found.family),
        parameters: Some(found.parameters),
        stored: found.stored,
        dtype: Some(found.precision.to_string()),
        device: Some(DeviceSpec::of(&device).to_string()),
        engine_reason: found.engine_reason.map(str::to_owned),
        engine: Some(found.engine.to_string()),
        memory_bytes: Some(found.memory_bytes),
        limits: BTreeMap::from([("max_tokens".to_owned(), max_tokens)]),
        unused_weights: found.unused,
        guesses: found.guesses,
    })
}

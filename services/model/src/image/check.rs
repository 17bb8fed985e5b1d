//! A model of images: its keys against its files.

use std::collections::BTreeMap;

use motet_models::{DeviceSpec, EngineSpec, Head, ImageProcessor, ModelFiles, Precision};
use motet_proto::signature::Signature;

use super::image_task::{Answers, Build};
use super::keys::ImageKeys;
use crate::task::{BoxError, CheckContext, Facts, Problem};
use crate::text::engine_of;

/// A model of images that was checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckedImages {
    pub(super) answers: Answers,
    pub(super) head: Head,
    pub(super) files: ModelFiles,
    pub(super) processor: ImageProcessor,
    pub(super) device: DeviceSpec,
    pub(super) engine: EngineSpec,
    pub(super) precision: Precision,
    /// Most pixels of an image.
    pub(super) max_pixels: u64,
    /// Most bytes of an image as it is sent.
    pub(super) max_bytes: Option<usize>,
}

/// Checks the keys of a model against its files. Returns its ports and parameters.
///
/// # Errors
/// Every mistake.
pub(super) fn check(
    keys: &ImageKeys,
    context: &CheckContext<'_>,
    build: Build,
) -> Result<(Signature, CheckedImages), Vec<Problem>> {
    let mut problems = Vec::new();
    let engine = engine_of(keys.engine.as_ref(), context, &mut problems);
    // The reader of the configuration reports a source that is missing.
    let opened = context.source().map(|source| {
        let files = context.image_model("source", source)?;
        let (answers, head) = build(&files, keys, context)?;
        let source_problem =
            |error: motet_models::LoadError| context.source_problem(error.to_string());
        files.check(&head).map_err(source_problem)?;
        let processor = files.image_processor().map_err(source_problem)?;
        Ok((files, answers, head, processor))
    });
    let opened = match opened {
        Some(Ok(opened)) => Some(opened),
        Some(Err(problem)) => {
            problems.push(problem);
            None
        }
        None => None,
    };
    let (Some((device, engine)), Some((files, answers, head, processor)), []) =
        (engine, opened, &problems[..])
    else {
        return Err(problems);
    };
    let checked = CheckedImages {
        answers,
        head,
        files,
        processor,
        device,
        engine,
        precision: context.precision(),
        max_pixels: keys.max_pixels(),
        max_bytes: keys.max_bytes.map(|bytes| bytes as usize),
    };
    Ok((checked.answers.signature(), checked))
}

/// Returns what the files of a model say of it, and what loading it here would take.
///
/// # Errors
/// Files that cannot be read, or a device that is not there.
pub(super) fn facts(checked: &CheckedImages) -> Result<Facts, BoxError> {
    let device = checked.device.open()?;
    let heads = [&checked.head];
    let found = checked
        .files
        .facts(&heads, checked.engine, &device, checked.precision)?;
    let [height, width] = checked.processor.size();
    let mut limits = BTreeMap::from([
        ("height".to_owned(), height as u64),
        ("max_pixels".to_owned(), checked.max_pixels),
        ("width".to_owned(), width as u64),
    ]);
    if let Some(bytes) = checked.max_bytes {
        limits.insert("max_bytes".to_owned(), bytes as u64);
    }
    Ok(Facts {
        family: Some(found.family),
        parameters: Some(found.parameters),
        stored: found.stored,
        dtype: Some(found.precision.to_string()),
        device: Some(DeviceSpec::of(&device).to_string()),
        engine_reason: found.engine_reason.map(str::to_owned),
        engine: Some(found.engine.to_string()),
        memory_bytes: Some(found.memory_bytes),
        limits,
        unused_weights: found.unused,
        guesses: found.guesses,
    })
}

//! A model with a head is refused where it would not be computed: the answers would be those of
//! another model.

use crate::architecture::TensorRef;
use crate::checkpoint::{Checkpoint, without_wrappers};
use crate::config::ModelConfig;
use crate::error::LoadError;
use crate::family::CONFIG;
use crate::source::Source;

/// Prefixes of the tensors of heads, beside those of the encoder: classifiers and rerankers, of
/// texts and of tokens (the first three), question answering, ColBERT. The heads of pre-training
/// are not among them; models are published with these to be used without.
const HEADS: [&str; 5] = [
    "classifier.",
    "pre_classifier.",
    "score.",
    "qa_outputs.",
    "linear.",
];

/// Refuses weights with tensors of a head that are not among `used`, unless a pooling module says
/// that the model gives vectors.
pub(super) fn refuse(
    model: &Source,
    checkpoint: &Checkpoint,
    config: &ModelConfig,
    used: &[&TensorRef],
) -> Result<(), LoadError> {
    if config.has_pooling {
        return Ok(());
    }
    if let Some(score) = config.logit_score {
        let row = score.yes as usize;
        if !used.iter().any(|tensor| tensor.rows == (row..row + 1)) {
            return Err(LoadError::Unsupported {
                model: model.clone(),
                file: "modules.json".to_owned(),
                reason: "the module LogitScore says that the model gives scores of pairs, which \
                         are those of the task `rerank`"
                    .to_owned(),
            });
        }
    }
    let is_head = |name: &&str| {
        let name = without_wrappers(name, &[]);
        HEADS.iter().any(|head| name.starts_with(head))
    };
    let unused = checkpoint.unused(used.iter().copied());
    let Some(tensor) = unused.into_iter().find(is_head) else {
        return Ok(());
    };
    if config.architecture.embedding.patches().is_some() {
        return Err(LoadError::Unsupported {
            model: model.clone(),
            file: CONFIG.to_owned(),
            reason: format!(
                "the weights hold a head ({tensor}), which would not be computed; it is that of \
                 the task `classify_images`"
            ),
        });
    }
    let classes = match &config.classes[..] {
        [] => "not set".to_owned(),
        classes => format!("`{}`", classes.join("`, `")),
    };
    Err(LoadError::Unsupported {
        model: model.clone(),
        file: CONFIG.to_owned(),
        reason: format!(
            "architectures is {classes} and the weights hold a head ({tensor}), which would not be \
             computed; supported: an encoder without a head, or with modules.json and a Pooling \
             module, which say that it gives vectors"
        ),
    })
}

//! `rerank`: a score for each text against a query, by the model's own head for pairs if it has
//! one, else by late interaction.
//!
//! * `cross_encoder`: query and text in one row, scored by a head of the model.
//! * `late_interaction`: query and texts in rows of their own, scored by their token vectors.

mod cross_encoder;
mod late_interaction;

use motet_models::{Level, ModelFiles};
use motet_proto::signature::{Port, Signature};
use motet_proto::types::ElementType;

use super::TextKind;
use super::encoder_task::{BuiltTask, TaskError, TaskSettings};
use super::ports::{QUERY, SCORE, port, symbol, texts};

pub(super) const KIND: TextKind = TextKind {
    name: "rerank",
    keys: &[
        "engine",
        "adapter",
        "max_tokens",
        "truncate",
        "prompt_name",
        "prompt",
        "label",
    ],
    about: "a score for each text against a query",
    names_beside_others: &[],
    build,
};

fn build(files: &ModelFiles, settings: &TaskSettings) -> Result<BuiltTask, TaskError> {
    if let Some(classifier) = files.find_classifier(Level::Text)? {
        return cross_encoder::build(files, classifier, settings);
    }
    if let Some(label) = &settings.label {
        let message = "`label` has no meaning for this model: it has no labels, and scores texts \
                       by late interaction";
        return Err(TaskError::Setting {
            key: "label",
            span: label.span,
            message: message.to_owned(),
        });
    }
    let mut head = files.token_head()?;
    if files.config().token_vectors_file().is_none() {
        // Vectors that were not trained for it are compared by their directions.
        head = head.normalized(true);
    }
    Ok(BuiltTask::new(late_interaction::LateInteraction, head))
}

/// `query: string, text: string[N] -> score: float[N]`
fn signature() -> Signature {
    Signature {
        inputs: vec![query(), texts()],
        outputs: vec![port(SCORE, ElementType::F32, vec![symbol("N")])],
        parameters: Vec::new(),
    }
}

fn query() -> Port {
    port(QUERY, ElementType::String, Vec::new())
}

//! `embed`: one vector for each text.

use motet_models::architecture::{HeadModule, Readout};
use motet_models::{ModelFiles, Values};
use motet_proto::signature::Signature;
use motet_proto::types::{Dim, ElementType};
use motet_proto::{Tensor, TensorError};

use super::TextKind;
use super::encoder_task::{
    AnswerForm, BuiltTask, EncoderTask, TaskError, TaskSettings, refuse_sparse,
    refuse_token_vectors,
};
use super::ports::{EMBEDDING, port, symbol, texts};
use crate::request::Outputs;

pub(super) const KIND: TextKind = TextKind {
    name: "embed",
    keys: &[
        "engine",
        "max_tokens",
        "truncate",
        "prompt_name",
        "prompt",
        "pooling",
        "normalize",
    ],
    about: "one vector for each text",
    names_beside_others: &[(EMBEDDING, EMBEDDING)],
    build,
};

#[derive(Debug)]
struct Embed;

fn build(files: &ModelFiles, settings: &TaskSettings) -> Result<BuiltTask, TaskError> {
    refuse_sparse(files)?;
    refuse_token_vectors(files)?;
    let config = files.config();
    let mut head = config.head.clone();
    if let Some(pooling) = settings.pooling {
        let pooled = Readout::Pooled(vec![pooling.value]);
        let [own, chosen] = [&head.readout, &pooled].map(|r| r.size(config.hidden_size()));
        if own != chosen
            && head
                .modules
                .iter()
                .any(|module| *module != HeadModule::UnitLength)
        {
            return Err(TaskError::Setting {
                key: "pooling",
                span: pooling.span,
                message: format!(
                    "`pooling` gives vectors of {chosen} values, but the modules after it take \
                     those of the model's own, which have {own}"
                ),
            });
        }
        head.readout = pooled;
    }
    let normalize = settings.normalize.unwrap_or(head.is_normalized());
    Ok(BuiltTask::new(Embed, head.normalized(normalize)))
}

impl EncoderTask for Embed {
    /// `text: string[N] -> embedding: float[N,D]`
    fn signature(&self, size: usize) -> Signature {
        let dims = vec![symbol("N"), Dim::Fixed(size)];
        Signature {
            inputs: vec![texts()],
            outputs: vec![port(EMBEDDING, ElementType::F32, dims)],
            parameters: Vec::new(),
        }
    }

    fn has_token_vectors(&self) -> bool {
        false
    }

    fn answers_vectors(&self) -> bool {
        true
    }

    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let count = rows.len();
        let mut values = Vec::with_capacity(count * form.vectors.size);
        for vector in &rows {
            form.vectors.append(vector.as_slice(), &mut values);
        }
        let embedding = Tensor::from_values(vec![count, form.vectors.size], values)?;
        Ok(vec![(EMBEDDING, embedding)])
    }
}

//! `embed_tokens`: one vector for each token of each text.

use motet_models::{ModelFiles, TextRole, Values};
use motet_proto::signature::Signature;
use motet_proto::types::{Dim, ElementType};
use motet_proto::{Tensor, TensorError};

use super::TextKind;
use super::encoder_task::{
    AnswerForm, BuiltTask, EncoderTask, TaskError, TaskSettings, refuse_sparse,
};
use super::ports::{EMBEDDING, ROW, port, symbol, texts};
use crate::request::Outputs;

pub(super) const KIND: TextKind = TextKind {
    name: "embed_tokens",
    keys: &[
        "engine",
        "adapter",
        "max_tokens",
        "truncate",
        "prompt_name",
        "prompt",
        "normalize",
    ],
    about: "one vector for each token of each text",
    names_beside_others: &[(EMBEDDING, "token_embedding"), (ROW, "token_row")],
    build,
};

#[derive(Debug)]
struct EmbedTokens;

fn build(files: &ModelFiles, settings: &TaskSettings) -> Result<BuiltTask, TaskError> {
    refuse_sparse(files)?;
    let head = files.token_head()?;
    let normalize = settings.normalize.unwrap_or(head.is_normalized());
    let head = head.normalized(normalize);
    Ok(BuiltTask::new(EmbedTokens, head))
}

impl EncoderTask for EmbedTokens {
    /// `text: string[N] -> embedding: float[T,D], row: i32[T]`
    fn signature(&self, size: usize) -> Signature {
        let dims = vec![symbol("T"), Dim::Fixed(size)];
        Signature {
            inputs: vec![texts()],
            outputs: vec![
                port(EMBEDDING, ElementType::F32, dims),
                port(ROW, ElementType::I32, vec![symbol("T")]),
            ],
            parameters: Vec::new(),
        }
    }

    fn role(&self, _: usize, of_call: TextRole) -> Option<TextRole> {
        Some(of_call)
    }

    fn has_token_vectors(&self) -> bool {
        true
    }

    fn answers_vectors(&self) -> bool {
        true
    }

    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let count = rows.iter().map(Values::rows).sum();
        let mut values = Vec::with_capacity(count * form.vectors.size);
        let mut numbers = Vec::with_capacity(count);
        for (number, row) in (0i32..).zip(&rows) {
            for vector in row.iter() {
                form.vectors.append(vector, &mut values);
            }
            numbers.extend(std::iter::repeat_n(number, row.rows()));
        }
        let embedding = Tensor::from_values(vec![count, form.vectors.size], values)?;
        let row = Tensor::from_values(vec![count], numbers)?;
        Ok(vec![(EMBEDDING, embedding), (ROW, row)])
    }
}

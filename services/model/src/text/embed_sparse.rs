//! `embed_sparse`: for each text the words of the vocabulary that it is about, with their weights.

use motet_models::{ModelFiles, Values};
use motet_proto::signature::Signature;
use motet_proto::types::ElementType;
use motet_proto::{Tensor, TensorError};

use super::TextKind;
use super::encoder_task::{AnswerForm, BuiltTask, EncoderTask, TaskError, TaskSettings};
use super::ports::{INDEX, ROW, WEIGHT, port, symbol, texts};
use crate::request::Outputs;

pub(super) const KIND: TextKind = TextKind {
    name: "embed_sparse",
    keys: &[
        "engine",
        "adapter",
        "max_tokens",
        "truncate",
        "prompt_name",
        "prompt",
    ],
    about: "a sparse vector over the vocabulary for each text",
    names_beside_others: &[
        (INDEX, "sparse_index"),
        (WEIGHT, "sparse_weight"),
        (ROW, "sparse_row"),
    ],
    build,
};

#[derive(Debug)]
struct EmbedSparse;

fn build(files: &ModelFiles, _: &TaskSettings) -> Result<BuiltTask, TaskError> {
    Ok(BuiltTask::new(EmbedSparse, files.sparse_head()?))
}

impl EncoderTask for EmbedSparse {
    /// `text: string[N] -> index: i32[M], weight: float[M], row: i32[M]`
    fn signature(&self, _: usize) -> Signature {
        let of_values = |name, element| port(name, element, vec![symbol("M")]);
        Signature {
            inputs: vec![texts()],
            outputs: vec![
                of_values(INDEX, ElementType::I32),
                of_values(WEIGHT, ElementType::F32),
                of_values(ROW, ElementType::I32),
            ],
            parameters: Vec::new(),
        }
    }

    /// A row has fewer values than its vocabulary has words, but more than tokens.
    fn has_token_vectors(&self) -> bool {
        true
    }

    fn outputs(&self, rows: Vec<Values>, _: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let count = rows.iter().map(Values::rows).sum();
        let (mut index, mut weight) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut numbers = Vec::with_capacity(count);
        for (number, row) in (0i32..).zip(&rows) {
            for value in row.iter() {
                index.push(value[0] as i32);
                weight.push(value[1]);
                numbers.push(number);
            }
        }
        Ok(vec![
            (INDEX, Tensor::from_values(vec![count], index)?),
            (WEIGHT, Tensor::from_values(vec![count], weight)?),
            (ROW, Tensor::from_values(vec![count], numbers)?),
        ])
    }
}

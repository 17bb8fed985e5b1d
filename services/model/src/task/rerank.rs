//! `rerank`: a score for each text against a query, by late interaction.

use motet_models::late_interaction::maxsim_all;
use motet_models::{Head, Values};
use motet_proto::signature::Signature;
use motet_proto::types::ElementType;
use motet_proto::{Tensor, TensorError};

use super::ports::{QUERY, SCORE, TEXT, port, symbol, texts};
use super::{EncoderTask, Engine, OutputSettings, TaskKind};
use crate::request::{Inputs, Outputs};

pub(super) const KIND: TaskKind = TaskKind {
    name: "rerank",
    keys: &[
        "source",
        "device",
        "dtype",
        "threads",
        "max_tokens",
        "batcher",
    ],
    about: "a score for each text against a query",
    engine: Engine::Encoder(&Rerank),
};

/// The query is the first row, its texts follow.
#[derive(Debug)]
struct Rerank;

impl EncoderTask for Rerank {
    /// `query: string, text: string[N] -> score: float[N]`
    fn signature(&self, _: usize) -> Signature {
        Signature {
            inputs: vec![port(QUERY, ElementType::String, Vec::new()), texts()],
            outputs: vec![port(SCORE, ElementType::F32, vec![symbol("N")])],
            parameters: Vec::new(),
        }
    }

    fn head(&self, _: OutputSettings, _: &Head) -> Head {
        Head::tokens().normalized(true)
    }

    /// Without texts there are no rows: nothing is to be ranked.
    fn texts<'i>(&self, inputs: &'i Inputs) -> Vec<&'i str> {
        let mut texts = inputs.texts(TEXT);
        if !texts.is_empty() {
            texts.splice(0..0, inputs.texts(QUERY));
        }
        texts
    }

    fn field(&self, row: usize) -> String {
        match row.checked_sub(1) {
            None => QUERY.to_owned(),
            Some(text) => format!("{TEXT}[{text}]"),
        }
    }

    fn has_token_vectors(&self) -> bool {
        true
    }

    fn outputs(&self, rows: Vec<Values>, _: usize) -> Result<Outputs, TensorError> {
        let scores = match rows.split_first() {
            Some((query, texts)) => maxsim_all(query, &texts.iter().collect::<Vec<_>>()),
            None => Vec::new(),
        };
        let score = Tensor::from_values(vec![scores.len()], scores)?;
        Ok(vec![(SCORE, score)])
    }
}

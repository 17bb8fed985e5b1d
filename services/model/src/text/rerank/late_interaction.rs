//! Scores of texts against a query by late interaction: each by itself, compared by their tokens.

use motet_models::late_interaction::maxsim_all;
use motet_models::{TextRole, Values};
use motet_proto::signature::Signature;
use motet_proto::{Tensor, TensorError};

use crate::request::{Inputs, Outputs};
use crate::text::encoder_task::{AnswerForm, EncoderTask, RowText};
use crate::text::ports::{QUERY, SCORE, TEXT};

/// The query is the first row, its texts follow.
#[derive(Debug)]
pub(super) struct LateInteraction;

impl EncoderTask for LateInteraction {
    fn signature(&self, _: usize) -> Signature {
        super::signature()
    }

    /// Without texts there are no rows: nothing is to be ranked.
    fn rows<'i>(&self, inputs: &'i Inputs) -> Vec<RowText<'i>> {
        let mut texts = inputs.texts(TEXT);
        if !texts.is_empty() {
            texts.splice(0..0, inputs.texts(QUERY));
        }
        texts.into_iter().map(RowText::One).collect()
    }

    fn field(&self, row: usize) -> String {
        match row.checked_sub(1) {
            None => QUERY.to_owned(),
            Some(text) => format!("{TEXT}[{text}]"),
        }
    }

    fn has_prompt(&self, row: usize) -> bool {
        row == 0
    }

    fn role(&self, row: usize, _: TextRole) -> Option<TextRole> {
        Some(match row {
            0 => TextRole::Query,
            _ => TextRole::Document,
        })
    }

    fn query_rows(&self) -> usize {
        1
    }

    fn has_token_vectors(&self) -> bool {
        true
    }

    fn outputs(&self, rows: Vec<Values>, _: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let scores = match rows.split_first() {
            Some((query, texts)) => maxsim_all(query, &texts.iter().collect::<Vec<_>>()),
            None => Vec::new(),
        };
        let score = Tensor::from_values(vec![scores.len()], scores)?;
        Ok(vec![(SCORE, score)])
    }
}

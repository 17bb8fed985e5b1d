//! What differs between the tasks that have an encoder: which texts make its rows, and what becomes of the vectors.

use motet_models::{RowEmbedding, TokenVectors, late_interaction::maxsim_all};
use motet_proto::{Tensor, TensorError};

use crate::blueprint::{Head, names};
use crate::call::{Inputs, Outputs};

impl Head {
    /// The texts of the encoder's rows. For `rerank` the query is the first, unless there is nothing to rank.
    pub(super) fn texts(self, inputs: &Inputs) -> Vec<&str> {
        let mut texts = inputs.texts(names::TEXT);
        if self == Self::Rerank && !texts.is_empty() {
            texts.splice(0..0, inputs.texts(names::QUERY));
        }
        texts
    }

    /// Where a row's text is in the request.
    pub(super) fn field(self, row: usize) -> String {
        match (self, row) {
            (Self::Rerank, 0) => names::QUERY.to_owned(),
            (Self::Rerank, row) => format!("{}[{}]", names::TEXT, row - 1),
            _ => format!("{}[{row}]", names::TEXT),
        }
    }

    /// Whether a call holds the vectors of all its tokens.
    pub(super) fn keeps_tokens(self) -> bool {
        self != Self::Embed
    }

    /// The output tensors of a call. `rows` are its vectors, each of `size` or a multiple of it, in the order of its texts.
    pub(super) fn assemble(
        self,
        rows: Vec<RowEmbedding>,
        size: usize,
    ) -> Result<Outputs, TensorError> {
        match self {
            Self::Embed => {
                let mut values = Vec::with_capacity(rows.len() * size);
                let count = rows.len();
                for row in rows.into_iter().filter_map(RowEmbedding::pooled) {
                    values.extend_from_slice(&row);
                }
                let embedding = Tensor::from_values(vec![count, size], values)?;
                Ok(vec![(names::EMBEDDING, embedding)])
            }
            Self::EmbedTokens => {
                let rows = tokens(rows);
                let count = rows.iter().map(TokenVectors::len).sum();
                let mut values = Vec::with_capacity(count * size);
                let mut numbers = Vec::with_capacity(count);
                for (number, row) in (0i32..).zip(&rows) {
                    values.extend_from_slice(row.as_slice());
                    numbers.extend(std::iter::repeat_n(number, row.len()));
                }
                Ok(vec![
                    (
                        names::EMBEDDING,
                        Tensor::from_values(vec![count, size], values)?,
                    ),
                    (names::ROW, Tensor::from_values(vec![count], numbers)?),
                ])
            }
            Self::Rerank => {
                let rows = tokens(rows);
                let scores = match rows.split_first() {
                    Some((query, texts)) => maxsim_all(query, &texts.iter().collect::<Vec<_>>()),
                    None => Vec::new(),
                };
                let score = Tensor::from_values(vec![scores.len()], scores)?;
                Ok(vec![(names::SCORE, score)])
            }
        }
    }
}

fn tokens(rows: Vec<RowEmbedding>) -> Vec<TokenVectors> {
    rows.into_iter().filter_map(RowEmbedding::tokens).collect()
}

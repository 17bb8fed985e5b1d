//! Texts to chunks.

use std::sync::Arc;

use motet_models::{Chunk, Chunker, ChunkerError, ChunkerOptions, Tokenizer};
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::signature::Signature;
use motet_proto::{Tensor, TensorError};
use motet_runtime::status::{internal, invalid_argument};
use rayon::prelude::*;
use tonic::Status;

use super::{Cost, Limits};
use crate::blueprint::names;
use crate::call::{Inputs, Outputs, Reply, Settings};
use crate::pool::Pool;
use crate::refusal;

/// Cleans texts and splits them, on the pool; there is nothing to batch.
#[derive(Debug)]
pub(crate) struct Preprocess {
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// Chunks of a call that does not say.
    pub(crate) chunks: ChunkerOptions,
    pub(crate) pool: Pool,
    pub(crate) limits: Limits,
}

impl Preprocess {
    pub(super) async fn run(
        &self,
        mut request: ModelInferRequest,
        signature: Arc<Signature>,
        settings: Settings,
        reply: Reply,
    ) -> Result<(ModelInferResponse, Cost), Status> {
        let chunker = Chunker::new(self.tokenizer.clone(), self.options(&settings))
            .map_err(|error| invalid_argument(field(&error), error.to_string()).build())?;
        let limits = self.limits;
        let job = move || {
            let (inputs, form) = Inputs::take(&mut request, &signature, &limits)?;
            let texts = inputs.texts(names::TEXT);
            let response = reply.tensors(&split(&chunker, &texts)?, form);
            Ok::<_, Status>((response, texts.len()))
        };
        let done = self.pool.run(tracing::info_span!("preprocess"), job).await;
        let done = done.map_err(|error| refusal::pool(&error).build())?;
        let (response, rows) = done.value?;
        let cost = Cost {
            queue: done.waited,
            infer: done.ran,
            rows,
            ..Cost::default()
        };
        Ok((response, cost))
    }
    /// What a call says. An overlap that nobody asked for gives way to short chunks.
    fn options(&self, settings: &Settings) -> ChunkerOptions {
        let max_tokens = settings
            .count(names::MAX_TOKENS)
            .unwrap_or(self.chunks.max_tokens);
        let overlap = settings
            .count(names::OVERLAP)
            .unwrap_or_else(|| self.chunks.overlap.min(max_tokens / 2));
        ChunkerOptions {
            max_tokens,
            overlap,
        }
    }
}

/// The parameter that the chunker refuses.
fn field(error: &ChunkerError) -> &'static str {
    match error {
        ChunkerError::TooSmall { .. } | ChunkerError::TooLarge { .. } => names::MAX_TOKENS,
        ChunkerError::OverlapTooLarge { .. } => names::OVERLAP,
    }
}

fn split(chunker: &Chunker, texts: &[&str]) -> Result<Outputs, Status> {
    let chunks: Vec<(i32, Chunk)> = texts
        .par_iter()
        .enumerate()
        .map(|(row, text)| {
            let chunks = chunker.split(text).map_err(|error| {
                invalid_argument(format!("{}[{row}]", names::TEXT), error.to_string()).build()
            })?;
            let chunks = chunks.into_iter();
            Ok(chunks.map(|chunk| (index(row), chunk)).collect::<Vec<_>>())
        })
        .collect::<Result<Vec<_>, Status>>()?
        .into_iter()
        .flatten()
        .collect();
    let column = |value: fn(&(i32, Chunk)) -> i32| {
        let values: Vec<i32> = chunks.iter().map(value).collect();
        Tensor::from_values(vec![values.len()], values)
    };
    let columns = || -> Result<Outputs, TensorError> {
        Ok(vec![
            (
                names::TEXT,
                Tensor::strings(chunks.iter().map(|(_, chunk)| &chunk.text)),
            ),
            (names::SOURCE, column(|(source, _)| *source)?),
            (names::START, column(|(_, chunk)| index(chunk.start))?),
            (names::END, column(|(_, chunk)| index(chunk.end))?),
            (names::TOKENS, column(|(_, chunk)| index(chunk.tokens))?),
        ])
    };
    columns().map_err(|error| internal(error.to_string()).into())
}

/// Texts and lists are far too short for this to lose anything.
fn index(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

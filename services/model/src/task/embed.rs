//! `embed`: one vector for each text.

use motet_models::{ModelConfig, RowEmbedding, RowOutput};
use motet_proto::signature::Signature;
use motet_proto::types::{Dim, ElementType};
use motet_proto::{Tensor, TensorError};

use super::ports::{EMBEDDING, port, symbol, texts};
use super::{EncoderTask, Engine, OutputSettings, TaskKind};
use crate::request::Outputs;

pub(super) const KIND: TaskKind = TaskKind {
    name: "embed",
    keys: &[
        "source",
        "device",
        "dtype",
        "threads",
        "max_tokens",
        "pooling",
        "normalize",
        "batcher",
    ],
    about: "one vector for each text",
    engine: Engine::Encoder(&Embed),
};

#[derive(Debug)]
struct Embed;

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

    fn row_output(&self, settings: OutputSettings, _: &ModelConfig) -> RowOutput {
        let OutputSettings { pooling, normalize } = settings;
        RowOutput::Pooled { pooling, normalize }
    }

    fn has_token_vectors(&self) -> bool {
        false
    }

    fn outputs(&self, rows: Vec<RowEmbedding>, size: usize) -> Result<Outputs, TensorError> {
        let count = rows.len();
        let mut values = Vec::with_capacity(count * size);
        for vector in rows.into_iter().filter_map(RowEmbedding::pooled) {
            values.extend_from_slice(&vector);
        }
        let embedding = Tensor::from_values(vec![count, size], values)?;
        Ok(vec![(EMBEDDING, embedding)])
    }
}

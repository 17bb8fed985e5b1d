//! `embed`: one vector for each text.

use motet_models::architecture::Readout;
use motet_models::{Head, Values};
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

    fn head(&self, settings: OutputSettings, own: &Head) -> Head {
        let OutputSettings { pooling, normalize } = settings;
        let head = Head {
            readout: pooling.map_or(own.readout, Readout::Pooled),
            modules: own.modules.clone(),
        };
        let normalize = normalize.unwrap_or(own.is_normalized());
        head.normalized(normalize)
    }

    fn has_token_vectors(&self) -> bool {
        false
    }

    fn outputs(&self, rows: Vec<Values>, size: usize) -> Result<Outputs, TensorError> {
        let count = rows.len();
        let mut values = Vec::with_capacity(count * size);
        for vector in &rows {
            values.extend_from_slice(vector.as_slice());
        }
        let embedding = Tensor::from_values(vec![count, size], values)?;
        Ok(vec![(EMBEDDING, embedding)])
    }
}

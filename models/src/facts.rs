//! [`ModelFacts`]: what the files of a model say of it, for people.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Device;
use motet_kernels::gemm::keeps_f16;
use serde::Deserialize;

use crate::architecture::{Head, Pooling, Readout, TensorRef};
use crate::checkpoint::Checkpoint;
use crate::device::Precision;
use crate::engine::EngineSpec;
use crate::error::LoadError;
use crate::family::CONFIG;
use crate::source::{Modality, ModelFiles, TOKENIZER};

/// What the files of a model say of it, and what loading it would take. Of the weights, headers are
/// read.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFacts {
    /// `model_type` in config.json.
    pub family: String,
    /// Number of values of the weights that are used.
    pub parameters: u64,
    /// Types in which these are stored, with the number of tensors of each.
    pub stored: BTreeMap<String, usize>,
    /// Names of the tensors that are not used, such as those of a pre-training head.
    pub unused: Vec<String>,
    /// The engine that computes: `packed` or `candle`.
    pub engine: EngineSpec,
    /// The reason for which it does, where `auto` chose it.
    pub engine_reason: Option<&'static str>,
    /// Number format of the computation.
    pub precision: Precision,
    /// Bytes that the weights take in the memory of the device, without what a batch needs.
    pub memory_bytes: u64,
    /// Choices that the files leave open, and how they were made.
    pub guesses: Vec<String>,
}

#[derive(Deserialize)]
struct Family {
    model_type: String,
}

/// Parts of a model for texts and images.
#[derive(Deserialize)]
struct Parts {
    vision_config: Option<serde::de::IgnoredAny>,
}

impl ModelFiles {
    /// Returns the facts of the model with these heads, on a device.
    ///
    /// # Errors
    /// Weights whose headers cannot be read, or that lack a tensor.
    pub fn facts(
        &self,
        heads: &[&Head],
        engine: EngineSpec,
        device: &Device,
        precision: Precision,
    ) -> Result<ModelFacts, LoadError> {
        let config = self.config();
        let checkpoint = Checkpoint::for_heads(self, heads)?;
        let of_encoder = config.architecture.tensors();
        let of_heads: Vec<&TensorRef> = heads.iter().flat_map(|head| head.tensors()).collect();
        let is_packed = engine.is_packed(device.is_cpu());
        let precision = precision.on(device);
        let tables: Vec<&TensorRef> = config.architecture.embedding.tensors();
        let words = config.architecture.embedding.tokens();
        let words = words.map(|tokens| &tokens.words);
        let mut seen = BTreeSet::new();
        let (mut parameters, mut memory_bytes, mut stored) = (0, 0, BTreeMap::new());
        for tensor in of_encoder.iter().chain(&of_heads) {
            let Some((name, element)) = checkpoint.stored(tensor) else {
                continue;
            };
            // A matrix may have two uses, such as that of words and of what predicts them.
            if !seen.insert((name, tensor.rows.start, tensor.rows.end)) {
                continue;
            }
            let values = (tensor.len() * tensor.row_size()) as u64;
            let is_product =
                tensor.shape.len() == 2 && of_encoder.contains(tensor) && !tables.contains(tensor);
            // That of patches has a dimension for colours, rows and columns each.
            let is_matrix = matches!(tensor.shape.len(), 2 | 4);
            let is_table = tables.contains(tensor);
            // With the change of an adapter, values are no longer those of a smaller type.
            let kept_as = if checkpoint.is_adapted(name) {
                "f32"
            } else {
                &*element
            };
            let bytes = match (is_packed, precision, kept_as) {
                (true, Precision::Int8, _) if is_product => 1,
                // Packed in the fewest bits that hold them.
                (true, _, "bf16") if is_matrix => 2,
                (true, _, "f16") if is_table || is_matrix && keeps_f16() => 2,
                (true, _, _) => 4,
                (false, _, _) => precision.dtype().size_in_bytes() as u64,
            };
            parameters += values;
            // Of rows that tokens share, each token has a copy.
            let kept = match words == Some(*tensor) {
                true => (config.vocabulary() * tensor.row_size()) as u64,
                false => values,
            };
            memory_bytes += kept * bytes;
            *stored.entry(element).or_default() += 1;
        }
        let used = of_encoder.into_iter().chain(of_heads);
        let unused = checkpoint
            .unused(used)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let family: Option<Family> = self.with_json(|json| json.optional(CONFIG))?;
        Ok(ModelFacts {
            // A module of sentence-transformers has no file that says so.
            family: family.map_or_else(|| "StaticEmbedding".to_owned(), |it| it.model_type),
            parameters,
            stored,
            unused,
            engine: match is_packed {
                true => EngineSpec::Packed,
                false => EngineSpec::Candle,
            },
            engine_reason: engine.reason(device.is_cpu()),
            precision,
            memory_bytes,
            guesses: self.guesses(heads)?,
        })
    }

    /// Returns the choices that the files leave open.
    fn guesses(&self, heads: &[&Head]) -> Result<Vec<String>, LoadError> {
        let mut guesses = Vec::new();
        if self.modality() == Modality::Images {
            if heads.contains(&&Head::pooled(Pooling::Cls)) {
                guesses.push(
                    "no file says how an image's vector is made: it is that of the class token, \
                     after the last norm"
                        .to_owned(),
                );
            }
            return Ok(guesses);
        }
        let is_pooled = |head: &&&Head| **head == &self.config().head.clone().normalized(false);
        let pooled = heads.iter().find(is_pooled).map(|head| &head.readout);
        if let (Some(Readout::Pooled(_)), false) = (pooled, self.config().has_pooling) {
            guesses.push(
                "no modules.json says how a text's vector is made: it is the mean of all tokens, \
                 as sentence-transformers takes it"
                    .to_owned(),
            );
        }
        let parts: Option<Parts> = self.with_json(|json| json.optional(CONFIG))?;
        if parts.is_some_and(|parts| parts.vision_config.is_some()) {
            guesses.push(
                "the model is for texts and images: texts are computed, and the weights of the \
                 part for images are not used"
                    .to_owned(),
            );
        }
        let adapters = self.adapters()?;
        if !adapters.is_empty() && self.adapter().is_none() {
            guesses.push(format!(
                "the model comes with the adapters {}, and none is used: `adapter: {}` takes one",
                adapters.join(", "),
                adapters[0]
            ));
        }
        if self.with_json(|json| (json.read)(TOKENIZER))?.is_none() {
            guesses.push(
                "there is no tokenizer.json: the tokenizer is made of the vocabulary and \
                 tokenizer_config.json"
                    .to_owned(),
            );
        }
        Ok(guesses)
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_is_described() {
        let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap();
        let head = files.config().head.clone();
        let facts = |engine: EngineSpec, precision| {
            files
                .facts(&[&head], engine, &Device::Cpu, precision)
                .unwrap()
        };
        let packed = facts(EngineSpec::Auto, Precision::F16);
        // As sentence-transformers counts, without the pooler.
        assert_eq!(packed.parameters, 22_565_376);
        assert_eq!(packed.family, "bert");
        assert_eq!(packed.stored.keys().collect::<Vec<_>>(), ["f16"]);
        assert_eq!(packed.precision, Precision::F32);
        // A quarter is the table of words; the products are in 16 bits where the processor widens
        // these in one instruction.
        let bytes_of_value = packed.memory_bytes as f64 / packed.parameters as f64;
        let expected = if keeps_f16() { 2.0..2.1 } else { 2.9..3.1 };
        assert!(expected.contains(&bytes_of_value), "{bytes_of_value}");
        assert!(
            packed.unused.is_empty() && packed.guesses.is_empty(),
            "{packed:?}"
        );
        let small = facts(EngineSpec::Auto, Precision::Int8);
        assert!(small.memory_bytes < packed.memory_bytes, "{small:?}");
        assert_eq!(
            facts(EngineSpec::Candle, Precision::F32).engine,
            EngineSpec::Candle
        );
    }
}

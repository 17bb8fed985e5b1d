//! The heads of token vectors and of sparse vectors that a model has by its files.

use crate::architecture::{
    Head, HeadActivation, HeadModule, Linear, Readout, Scope, SparsePooling, TensorRef,
};
use crate::checkpoint::Checkpoint;
use crate::config::{self, Projection};
use crate::error::LoadError;
use crate::family;
use crate::source::ModelFiles;
use crate::tokenizer;

/// File of the head of BGE-M3 that gives each token a weight, without its ending.
const SPARSE_LINEAR: &str = "sparse_linear";
/// File of the head of BGE-M3 that gives each token but the first a vector.
const COLBERT_LINEAR: &str = "colbert_linear";
/// Roles of the special tokens that have no weight in BGE-M3.
const WITHOUT_WEIGHT: [&str; 5] = [
    "cls_token",
    "sep_token",
    "eos_token",
    "pad_token",
    "unk_token",
];

impl ModelFiles {
    /// Returns the head that gives a vector for each token: the projection that the model's files
    /// have for it (ColBERT, BGE-M3), else the encoder's vectors as they are, of length 1 where
    /// those of texts are.
    ///
    /// # Errors
    /// Weights that cannot be read or lack the projection, and one of another size than the files
    /// say.
    pub fn token_head(&self) -> Result<Head, LoadError> {
        let config = self.config();
        let Some(token_vectors) = &config.token_vectors else {
            let Some(file) = self.head_file(COLBERT_LINEAR)? else {
                return Ok(Head::tokens().normalized(config.head.is_normalized()));
            };
            let mut head = Head::tokens();
            head.readout = Readout::AfterFirst;
            let linear = self.linear_of_file(&file)?;
            return Ok(projected(head, linear).normalized(true));
        };
        let Projection::Weights { size } = token_vectors.projection else {
            return Ok(config.head.clone());
        };
        let checkpoint = Checkpoint::open(self)?;
        let hidden = config.hidden_size();
        let linear = |outputs| Linear::new("linear", hidden, outputs).in_scope(Scope::Model);
        let outputs = outputs(&checkpoint, &linear(1)).or(size).unwrap_or(hidden);
        if let Some(size) = size.filter(|size| *size != outputs) {
            return Err(LoadError::Unsupported {
                model: self.source().clone(),
                file: "artifact.metadata".to_owned(),
                reason: format!(
                    "dim is {size}, but the projection (linear.weight) has {outputs} outputs"
                ),
            });
        }
        let linear = without_absent_bias(&checkpoint, linear(outputs));
        Ok(projected(Head::tokens(), linear).normalized(true))
    }

    /// Returns the head that gives an image its vector, of a model of images: that of its family,
    /// then the modules of sentence-transformers.
    ///
    /// # Errors
    /// Weights that cannot be read, and values of the configuration that are not supported.
    pub fn image_head(&self) -> Result<Head, LoadError> {
        let checkpoint = Checkpoint::open(self)?;
        let is_stored = |tensor: &TensorRef| checkpoint.shape(tensor).is_some();
        let architecture = &self.config().architecture;
        self.with_json(|json| {
            let own = family::images::head(json, architecture, &is_stored)?;
            config::with_modules(json, architecture.hidden, own)
        })
    }

    /// Returns the head that gives sparse vectors over the vocabulary: the weights of the text's
    /// own tokens where the model has a head for these (BGE-M3), else its logits of words, pooled
    /// as its files say, or the greatest of all tokens.
    ///
    /// # Errors
    /// A family without a head that predicts words, and weights that cannot be read.
    pub fn sparse_head(&self) -> Result<Head, LoadError> {
        if let Some(file) = self.head_file(SPARSE_LINEAR)? {
            let linear = self.linear_of_file(&file)?;
            if linear.outputs() != 1 {
                return Err(LoadError::Unsupported {
                    model: self.source().clone(),
                    file,
                    reason: format!(
                        "it has {} values for each token; supported: 1",
                        linear.outputs()
                    ),
                });
            }
            let skipped = self.with_json(|json| tokenizer::special_ids(json, &WITHOUT_WEIGHT))?;
            let activation = HeadActivation::Relu;
            let weights = Head::tokens().then(HeadModule::Dense { linear, activation });
            return Ok(weights.then(HeadModule::TokenWeights { skipped }));
        }
        let checkpoint = Checkpoint::open(self)?;
        let config = self.config();
        let is_stored = |tensor: &TensorRef| checkpoint.shape(tensor).is_some();
        let words =
            self.with_json(|json| family::masked_words(json, &config.architecture, is_stored));
        let pooling = config.sparse.unwrap_or(SparsePooling {
            sum: false,
            log_twice: false,
        });
        Ok(words?.then(HeadModule::Sparse(pooling)))
    }

    /// Returns the product that a file has by itself: `weight` and, if it is there, `bias`.
    fn linear_of_file(&self, file: &str) -> Result<Linear, LoadError> {
        let mut checkpoint = Checkpoint::open(self)?;
        checkpoint.open_file(self, file)?;
        let hidden = self.config().hidden_size();
        let linear = |outputs: usize| {
            let weight = TensorRef::new("weight", &[outputs, hidden]);
            let bias = TensorRef::new("bias", &[outputs]);
            Linear {
                weight: weight.in_scope(Scope::File(file.to_owned())),
                bias: Some(bias.in_scope(Scope::File(file.to_owned()))),
            }
        };
        let linear = linear(outputs(&checkpoint, &linear(1)).unwrap_or(1));
        checkpoint.check(&linear.weight)?;
        Ok(without_absent_bias(&checkpoint, linear))
    }
}

fn projected(head: Head, linear: Linear) -> Head {
    let activation = HeadActivation::Identity;
    head.then(HeadModule::Dense { linear, activation })
}

/// Returns the number of outputs of a product as it is stored, if it is there.
fn outputs(checkpoint: &Checkpoint, linear: &Linear) -> Option<usize> {
    checkpoint.shape(&linear.weight)?.first().copied()
}

/// Returns a product without its bias if none is stored.
fn without_absent_bias(checkpoint: &Checkpoint, linear: Linear) -> Linear {
    let is_stored = |bias: &TensorRef| checkpoint.shape(bias).is_some();
    match linear.bias.as_ref().is_some_and(is_stored) {
        true => linear,
        false => linear.without_bias(),
    }
}

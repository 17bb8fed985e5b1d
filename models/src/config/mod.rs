//! The configuration of a model, read from its JSON files without touching the weights.
//!
//! * The encoder by its family (config.json), as an [`Architecture`].
//! * `modules`: what is made of the encoder's vectors, by the modules of sentence-transformers;
//!   `pooling`: one of these. `truncation`: token limit and the side that is cut.
//! * `images`: models of images.
//! * `chat`: texts as messages of a chat, and the score of a language model's next word.
//! * `prompts`: [`Prompts`], what is put before texts.
//! * `token_vectors`: models of token vectors, and how queries and documents become rows.

mod chat;
mod images;
mod modules;
mod pooling;
mod prompts;
mod token_vectors;
mod truncation;

use serde::Deserialize;

use crate::architecture::{Architecture, Head, SparsePooling, TextRows};
use crate::error::LoadError;
use crate::family;
use crate::source::JsonFiles;
use crate::tokenizer::TruncationSide;

pub(crate) use chat::{ChatSettings, LogitScore};
pub(crate) use images::with_modules;
pub(crate) use modules::transformer_folder;
pub use prompts::{Prompts, UnknownPrompt};
pub use token_vectors::TextRole;
pub(crate) use token_vectors::{Expansion, Projection, RowRules, TokenVectors};

use modules::Vectors;
use truncation::Truncation;

/// The configuration of a model: all that is known before its weights are read.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Description of the encoder (config.json).
    pub architecture: Architecture,
    /// Result of a row if nothing else is asked for: one vector, by the modules in modules.json
    /// (the mean of all tokens without that file). Of a model of token vectors a vector for each
    /// token; [`token_head`](crate::ModelFiles::token_head) also has a projection in the weights.
    pub head: Head,
    /// Maximum tokens of a row, special tokens included: the least of sentence_bert_config.json's,
    /// tokenizer_config.json's, and the number of positions.
    pub max_tokens: usize,
    /// Side at which longer texts are cut (tokenizer_config.json).
    pub truncation_side: TruncationSide,
    /// Prompts to put before texts (config_sentence_transformers.json).
    pub prompts: Prompts,
    /// `false` if the tokens of a prompt are left out of pooling (`include_prompt` in
    /// 1_Pooling/config.json).
    pub pools_prompt: bool,
    /// `true` if the model is given the types of tokens, as `model_input_names` in
    /// tokenizer_config.json says.
    pub(crate) takes_token_types: bool,
    /// Rules by which texts become rows.
    pub(crate) text_rows: TextRows,
    /// Classes that the weights were saved as (`architectures` in config.json), which may have a
    /// head beside the encoder.
    pub(crate) classes: Vec<String>,
    /// Pooling to sparse vectors over the vocabulary, if modules.json says that the model gives
    /// these (SpladePooling).
    pub sparse: Option<SparsePooling>,
    /// `true` if a pooling module in modules.json says that the model gives vectors.
    pub(crate) has_pooling: bool,
    /// Making of a chat's messages from texts, for a model that takes such.
    pub(crate) chat: Option<ChatSettings>,
    /// The tokens whose logits make a score, if modules.json says so (LogitScore).
    pub(crate) logit_score: Option<LogitScore>,
    /// Rules by which queries and documents become rows, if the files say that the model gives a
    /// vector for each token.
    pub(crate) token_vectors: Option<TokenVectors>,
}

#[derive(Default, Deserialize)]
struct Classes {
    architectures: Option<Vec<String>>,
}

/// Inputs that the model takes of its tokenizer.
#[derive(Default, Deserialize)]
struct TokenizerInputs {
    model_input_names: Option<Vec<String>>,
    tokenizer_class: Option<String>,
}

impl TokenizerInputs {
    /// Returns whether types of tokens are among them. Without names, all classes of tokenizers of
    /// models with types have them, but for the generic one of transformers 5.
    fn has_token_types(&self) -> bool {
        match &self.model_input_names {
            Some(names) => names.iter().any(|name| name == "token_type_ids"),
            None => self.tokenizer_class.as_deref() != Some("TokenizersBackend"),
        }
    }
}

impl ModelConfig {
    /// Returns the file that says that the model gives a vector for each token, for late
    /// interaction, if one does.
    pub fn token_vectors_file(&self) -> Option<&'static str> {
        let token_vectors = self.token_vectors.as_ref();
        token_vectors.map(|token_vectors| token_vectors.file)
    }

    /// Number of values of an embedding.
    pub fn hidden_size(&self) -> usize {
        self.architecture.hidden
    }

    /// Number of token ids.
    pub fn vocabulary(&self) -> usize {
        self.architecture.vocabulary()
    }

    /// Reads the JSON files.
    pub(crate) fn read(json: &JsonFiles<'_>) -> Result<Self, LoadError> {
        let architecture = family::describe(json)?;
        let own_text = family::own_text(json, &architecture)?;
        let (own_head, text_rows) = match own_text {
            Some(text) => (Some(text.head), text.rows),
            None => (None, TextRows::default()),
        };
        // A module of static embeddings has no such file.
        let Classes { architectures } = json.optional(family::CONFIG)?.unwrap_or_default();
        let classes = architectures.unwrap_or_default();
        let token_vectors = TokenVectors::read(json, &classes, modules::mask(json)?)?;
        let mut prompts = Prompts::read(json)?;
        if let Some(token_vectors) = &token_vectors {
            token_vectors.check(json, &architecture)?;
            prompts.add_roles(token_vectors);
        }
        let vectors = match token_vectors {
            None => Vectors::OfText,
            Some(_) => Vectors::OfTokens,
        };
        let modules = modules::read(json, architecture.hidden, vectors, own_head)?;
        let head = match token_vectors.as_ref().map(|vectors| vectors.projection) {
            None | Some(Projection::Modules { unit_length: false }) => modules.head,
            Some(_) => modules.head.normalized(true),
        };
        let chat = ChatSettings::read(json, &classes, modules.has_pooling)?;
        let logit_score = modules::logit_score(json, architecture.vocabulary())?;
        let truncation = Truncation::read(json)?;
        let max_tokens = architecture.max_tokens;
        let inputs: TokenizerInputs = json.optional("tokenizer_config.json")?.unwrap_or_default();
        Ok(Self {
            takes_token_types: inputs.has_token_types(),
            text_rows,
            architecture,
            classes,
            has_pooling: modules.has_pooling,
            truncation_side: truncation.side,
            pools_prompt: modules.pools_prompt,
            sparse: modules.sparse,
            prompts,
            head,
            token_vectors,
            chat,
            logit_score,
            max_tokens: match (text_rows, truncation.max_tokens) {
                (TextRows::Usual | TextRows::Padded { .. }, Some(limit)) => limit.min(max_tokens),
                // The tokenizer of static embeddings has no such settings.
                _ => max_tokens,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_of_tokens_are_taken_as_the_files_of_the_tokenizer_say() {
        for (config, expected) in [
            (json!({}), true),
            (json!({"tokenizer_class": "BertTokenizer"}), true),
            (json!({"tokenizer_class": "PreTrainedTokenizerFast"}), true),
            (json!({"tokenizer_class": "TokenizersBackend"}), false),
            (
                json!({"model_input_names": ["input_ids", "attention_mask"]}),
                false,
            ),
            (
                json!({
                    "model_input_names": ["input_ids", "token_type_ids"],
                    "tokenizer_class": "TokenizersBackend",
                }),
                true,
            ),
        ] {
            let inputs: TokenizerInputs = serde_json::from_value(config.clone()).unwrap();
            assert_eq!(inputs.has_token_types(), expected, "{config}");
        }
    }
}

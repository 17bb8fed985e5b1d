//! Models that split texts: a tokenizer without weights.

use std::sync::Arc;

use motet_config::{Span, Spanned};
use motet_models::{ChunkerOptions, Tokenizer};
use motet_proto::signature::Signature;

use super::files::Opened;
use super::{Problem, Resolver};
use crate::spec::{ModelSpec, TokenizerSpec};
use crate::task::{default_chunks, splitter_signature};

/// How to load a model that splits texts.
#[derive(Clone, Debug)]
pub(crate) struct SplitterModel {
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// Options of a call that sets no parameters.
    pub(crate) default: ChunkerOptions,
}

/// The tokenizer of a splitter.
struct TokenizerChoice {
    /// The key that names it, and where.
    key: &'static str,
    span: Span,
    opened: Opened,
    /// The `max_tokens` of the model that it was taken from.
    max_tokens: Option<usize>,
}

impl Resolver<'_> {
    /// # Errors
    /// As [`Resolver::resolve`].
    pub(super) fn resolve_splitter(
        &self,
        spec: &ModelSpec,
    ) -> Result<(Signature, SplitterModel), Vec<Problem>> {
        let choice = self.tokenizer(spec)?;
        let (files, tokenizer) = choice.opened;
        let max_tokens = choice.max_tokens.unwrap_or(usize::MAX);
        let max_tokens = max_tokens.min(files.config().max_tokens);
        let chunk_tokens_max = max_tokens.saturating_sub(tokenizer.special_tokens());
        let min = ChunkerOptions::MAX_TOKENS_MIN;
        if chunk_tokens_max < min {
            let message = format!(
                "the model takes {chunk_tokens_max} tokens of text in a row; \
                 chunks need at least {min}"
            );
            return Err(vec![Problem::new(spec, choice.key, choice.span, message)]);
        }
        let default = default_chunks(chunk_tokens_max);
        let signature = splitter_signature(default, chunk_tokens_max);
        Ok((signature, SplitterModel { tokenizer, default }))
    }

    fn tokenizer(&self, spec: &ModelSpec) -> Result<TokenizerChoice, Vec<Problem>> {
        let one = |problem| vec![problem];
        match (&spec.tokenizer, &spec.source) {
            (Some(reference), _) => match &reference.value {
                TokenizerSpec::Model(name) => self.tokenizer_of_model(name, reference.span),
                TokenizerSpec::Source(source) => {
                    let source = Spanned::new(source.clone(), reference.span);
                    let opened = self.files.open(spec, "tokenizer", &source);
                    Ok(TokenizerChoice {
                        key: "tokenizer",
                        span: reference.span,
                        opened: opened.map_err(one)?,
                        max_tokens: None,
                    })
                }
            },
            (None, Some(source)) => Ok(TokenizerChoice {
                key: "source",
                span: source.span,
                opened: self.files.open(spec, "source", source).map_err(one)?,
                max_tokens: None,
            }),
            (None, None) => Err(Vec::new()),
        }
    }

    /// Returns the tokenizer of another model of the configuration, whose own mistakes are reported
    /// there.
    fn tokenizer_of_model(&self, name: &str, span: Span) -> Result<TokenizerChoice, Vec<Problem>> {
        let other = self.models.iter().find(|model| model.name.value == name);
        let other = other.filter(|other| other.is_local());
        let source = other.and_then(|other| other.source.as_ref());
        let (Some(other), Some(source)) = (other, source) else {
            return Err(Vec::new());
        };
        let opened = self.files.open(other, "source", source);
        Ok(TokenizerChoice {
            key: "tokenizer",
            span,
            opened: opened.map_err(|_| Vec::new())?,
            max_tokens: other.max_tokens.map(|limit| limit.value),
        })
    }
}

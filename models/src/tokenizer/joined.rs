//! Rows of texts that were tokenized before, so that a text in several rows is tokenized once.

use super::{PairError, TokenIds, Tokenizer, TokenizerError, TruncationSide};

impl Tokenizer {
    /// Returns the ids of a text's tokens, without special tokens and without a limit.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        self.append(text, &mut ids, usize::MAX)?;
        Ok(ids)
    }

    /// Returns the row of a pair of texts, given by the [`ids`](Self::ids) of each, with the types
    /// and special tokens of a pair, cut to `max_tokens` or the model's limit. Only the first text
    /// is cut, at the given side.
    ///
    /// # Errors
    /// A second text that leaves no room for the first, and a tokenizer without pairs.
    pub fn join_pair(
        &self,
        first: &[u32],
        second: &[u32],
        max_tokens: usize,
        side: TruncationSide,
    ) -> Result<TokenIds, PairError> {
        // A conversation is one text, whose tokens are not those of its parts.
        let template = self.pair_template.as_ref().filter(|_| self.chat.is_none());
        let template = template.ok_or(PairError::NoTemplate)?;
        let limit = max_tokens.min(self.max_tokens);
        let special = template.len();
        let room = limit.saturating_sub(special + second.len());
        if room == 0 {
            return Err(PairError::SecondTooLong {
                tokens: second.len(),
                special,
                limit,
            });
        }
        let mut ids = Vec::with_capacity(special + second.len() + first.len().min(room));
        template.begin(&mut ids);
        let kept = match side {
            TruncationSide::Right => &first[..first.len().min(room)],
            TruncationSide::Left => &first[first.len().saturating_sub(room)..],
        };
        ids.extend(kept);
        template.separate(&mut ids);
        ids.extend(second);
        let types = template.token_types([kept.len(), second.len()]);
        template.end(&mut ids);
        Ok(TokenIds {
            ids,
            types,
            cut: first.len() - kept.len(),
            ..TokenIds::default()
        })
    }
}

//! The text of a conversation as a row. Only the last of its texts, the document, is cut: what
//! stands around it is what the model was trained with.

use super::Chat;
use crate::tokenizer::{
    PairError, TokenIds, Tokenizer, TokenizerError, TruncationSide, leave_most, most_counted,
};

/// Texts in the place of the last one that have no token in common at their beginning and end: what
/// the tokens of both conversations have in common is what stands around it.
const FILLERS: [&str; 2] = ["0", "1 2 3 4"];

/// Frame of the last text of a conversation.
struct Frame {
    /// The tokens with the first filler.
    filled: Vec<u32>,
    /// Number of the tokens before the text.
    before: usize,
    /// Number of those after it.
    after: usize,
}

impl Tokenizer {
    /// Returns the row of a conversation with a prompt and a text or a pair, cut to `max_tokens` or
    /// the model's limit.
    ///
    /// # Errors
    /// Texts and a frame that leave no room for a token of the last text, and what the template or
    /// the tokenizer library refuses.
    pub(in crate::tokenizer) fn encode_conversation(
        &self,
        chat: &Chat,
        prompt: &str,
        texts: &[&str],
        max_tokens: usize,
        side: TruncationSide,
    ) -> Result<TokenIds, PairError> {
        let limit = max_tokens.min(self.max_tokens);
        let most = most_counted(limit, side);
        let mut ids = Vec::new();
        self.append(&chat.render(prompt, texts)?, &mut ids, most)?;
        let cut_at_least = leave_most(&mut ids, 0, most);
        let cut = ids.len().saturating_sub(limit);
        if cut > 0 {
            let frame = self.frame(chat, prompt, texts)?;
            if frame.before + frame.after >= limit {
                let first = texts.first().filter(|_| texts.len() > 1);
                let first = first.map_or(Ok(0), |first| self.count(first))?;
                return Err(PairError::FirstTooLong {
                    tokens: first,
                    special: (frame.before + frame.after).saturating_sub(first),
                    limit,
                });
            }
            match side {
                TruncationSide::Right => {
                    ids.truncate(limit - frame.after);
                    ids.extend(&frame.filled[frame.filled.len() - frame.after..]);
                }
                TruncationSide::Left => {
                    // The text's first token may be one with the sign before it.
                    let start = in_common(ids.iter(), frame.filled.iter()).min(frame.before);
                    ids.drain(start..start + cut);
                }
            }
        }
        Ok(TokenIds {
            ids,
            cut,
            cut_at_least,
            ..TokenIds::default()
        })
    }

    fn frame(&self, chat: &Chat, prompt: &str, texts: &[&str]) -> Result<Frame, TokenizerError> {
        let filled = |filler| {
            let mut texts = texts.to_vec();
            if let Some(last) = texts.last_mut() {
                *last = filler;
            }
            self.ids(&chat.render(prompt, &texts)?)
        };
        let [filled, other] = [filled(FILLERS[0])?, filled(FILLERS[1])?];
        let before = in_common(filled.iter(), other.iter());
        let after = in_common(filled[before..].iter().rev(), other[before..].iter().rev());
        Ok(Frame {
            filled,
            before,
            after,
        })
    }
}

/// Returns the number of tokens that two rows have in common from their beginning.
fn in_common<'a>(
    left: impl Iterator<Item = &'a u32>,
    right: impl Iterator<Item = &'a u32>,
) -> usize {
    left.zip(right).take_while(|(a, b)| a == b).count()
}

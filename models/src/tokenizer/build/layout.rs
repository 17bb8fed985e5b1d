//! The ids that a family gives the pieces of its model of sentencepiece, and the special tokens
//! around its texts.

use super::Names;
use super::proto::{Kind, Piece};

/// Layout of the ids of a family.
pub(super) struct Layout {
    /// Tokens before the pieces of the file, in place of as many of these as `replaced` says.
    pub(super) before: &'static [&'static str],
    pub(super) replaced: usize,
    /// Token after the last piece.
    pub(super) after: Option<&'static str>,
    /// The token of text that no piece has, where it is not the one that the file has for it.
    pub(super) unknown: Option<u32>,
    /// Special tokens around texts.
    pub(super) around: Around,
    /// Changes of signs before anything else.
    pub(super) signs: Signs,
}

/// Signs of texts: of punctuation, and spaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signs {
    Kept,
    /// Those of punctuation in ASCII are left out, then spaces around a text and all but one of
    /// several. Letters are small if tokenizer_config.json does not say otherwise.
    LeftOut,
}

/// Special tokens around texts.
pub(super) enum Around {
    /// Always, those before and after a text.
    Both([&'static str; 2], Pair),
    /// Those that tokenizer_config.json asks for; without that the first, not the last.
    Chosen([&'static str; 2]),
    /// Always the second, after a text.
    Last([&'static str; 2]),
}

/// Pairs of texts.
#[derive(Clone, Copy)]
pub(super) enum Pair {
    /// The token after a text is twice between two.
    TwoSigns,
    /// Tokens of the second text have another type.
    Types,
}

pub(super) const KINDS: [(Names, Layout); 6] = [
    (
        Names {
            classes: &["XLMRobertaTokenizer"],
            model_types: &["xlm-roberta", "new"],
        },
        // The file has `<unk>`, `<s>` and `</s>` first.
        Layout {
            before: &["<s>", "<pad>", "</s>", "<unk>"],
            replaced: 3,
            after: Some("<mask>"),
            unknown: Some(3),
            around: Around::Both(["<s>", "</s>"], Pair::TwoSigns),
            signs: Signs::Kept,
        },
    ),
    (
        Names {
            classes: &["CamembertTokenizer"],
            model_types: &["camembert"],
        },
        // The file has `<unk>` first, and has `<s>` and `</s>` as pieces of its own.
        Layout {
            before: &[
                "<s>NOTUSED",
                "<pad>",
                "</s>NOTUSED",
                "<unk>",
                "<unk>NOTUSED",
            ],
            replaced: 1,
            after: Some("<mask>"),
            unknown: Some(3),
            around: Around::Both(["<s>", "</s>"], Pair::TwoSigns),
            signs: Signs::Kept,
        },
    ),
    (
        Names {
            classes: &["DebertaV2Tokenizer"],
            model_types: &["deberta-v2"],
        },
        Layout {
            before: &[],
            replaced: 0,
            after: Some("[MASK]"),
            unknown: None,
            around: Around::Both(["[CLS]", "[SEP]"], Pair::Types),
            signs: Signs::Kept,
        },
    ),
    (
        Names {
            classes: &["LlamaTokenizer"],
            model_types: &["llama", "mistral"],
        },
        Layout {
            before: &[],
            replaced: 0,
            after: None,
            unknown: None,
            around: Around::Chosen(["<s>", "</s>"]),
            signs: Signs::Kept,
        },
    ),
    (
        Names {
            classes: &["GemmaTokenizer"],
            model_types: &["gemma3_text"],
        },
        Layout {
            before: &[],
            replaced: 0,
            after: None,
            unknown: None,
            around: Around::Chosen(["<bos>", "<eos>"]),
            signs: Signs::Kept,
        },
    ),
    (
        Names {
            classes: &["SiglipTokenizer"],
            model_types: &["siglip", "siglip_text_model"],
        },
        Layout {
            before: &[],
            replaced: 0,
            after: None,
            unknown: None,
            around: Around::Last(["", "</s>"]),
            signs: Signs::LeftOut,
        },
    ),
];

impl Layout {
    /// Returns the tokens of the ids with their scores and kinds, in the order of the ids.
    ///
    /// # Errors
    /// A piece of the file that is replaced and is a part of texts.
    pub(super) fn tokens(&self, pieces: &[Piece]) -> Result<Vec<Token>, String> {
        let (replaced, kept) = pieces
            .split_at_checked(self.replaced)
            .unwrap_or((pieces, &[]));
        let is_of_texts = |piece: &&Piece| !piece.is(Kind::Unknown) && !piece.is(Kind::Control);
        if let Some(piece) = replaced.iter().find(is_of_texts) {
            let text = piece.text.as_deref().unwrap_or_default();
            return Err(format!(
                "`{text}` is among the first {} pieces, which this family has for special tokens",
                self.replaced
            ));
        }
        let special = |text: &&str| Token {
            text: (*text).to_owned(),
            // One that is not in texts, and that no text is split into.
            score: if text.ends_with("NOTUSED") {
                -100.0
            } else {
                0.0
            },
            kind: Kind::Control,
        };
        let mut tokens: Vec<Token> = self.before.iter().map(special).collect();
        tokens.extend(kept.iter().map(Token::of));
        let is_there = |text: &str| tokens.iter().any(|token| token.text == text);
        let after = self.after.filter(|text| !is_there(text));
        tokens.extend(after.iter().map(special));
        Ok(tokens)
    }
}

/// A token of a vocabulary.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

impl Token {
    fn of(piece: &Piece) -> Self {
        Self {
            text: piece.text.clone().unwrap_or_default(),
            score: piece.score.unwrap_or_default(),
            kind: piece.kind(),
        }
    }
}

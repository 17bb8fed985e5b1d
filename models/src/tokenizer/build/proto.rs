//! The file of a model of sentencepiece: the parts of its protocol buffer that say how a text is
//! split (`sentencepiece_model.proto` of sentencepiece).

use prost::Message;

/// A model of sentencepiece.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(message, repeated, tag = "1")]
    pub(super) pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    pub(super) trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    pub(super) normalizer: Option<Normalizer>,
}

/// A piece of the vocabulary; its id is its place.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Piece {
    #[prost(string, optional, tag = "1")]
    pub(super) text: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(super) score: Option<f32>,
    #[prost(enumeration = "Kind", optional, tag = "3")]
    pub(super) kind: Option<i32>,
}

/// Kinds of pieces; one without a kind is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
pub(super) enum Kind {
    Normal = 1,
    Unknown = 2,
    /// Never found in a text, such as the begin of a text.
    Control = 3,
    /// Found in a text as a whole, before all others.
    UserDefined = 4,
    Unused = 5,
    /// A byte, `<0x00>` to `<0xFF>`, of characters that no piece has.
    Byte = 6,
}

impl Piece {
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind.unwrap_or(Kind::Normal as i32) == kind as i32
    }
}

/// Settings with which a model was trained.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Trainer {
    #[prost(enumeration = "Algorithm", optional, tag = "3", default = "Unigram")]
    pub(super) algorithm: Option<i32>,
    #[prost(bool, optional, tag = "22", default = true)]
    pub(super) split_by_whitespace: Option<bool>,
    #[prost(bool, optional, tag = "24")]
    pub(super) treat_whitespace_as_suffix: Option<bool>,
    #[prost(bool, optional, tag = "35")]
    pub(super) byte_fallback: Option<bool>,
}

/// Algorithms that split a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
pub(super) enum Algorithm {
    Unigram = 1,
    Bpe = 2,
    Word = 3,
    Char = 4,
}

/// Settings of what happens to a text before it is split.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Normalizer {
    /// Rules for characters, compiled.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3", default = true)]
    pub(super) add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4", default = true)]
    pub(super) remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5", default = true)]
    pub(super) escape_whitespaces: Option<bool>,
}

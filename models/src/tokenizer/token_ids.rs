//! The token ids of one row.

/// The token ids of one row, special tokens included. An empty text has none if the model puts no
/// special tokens around a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenIds {
    pub(super) ids: Vec<u32>,
    /// Empty if all are 0.
    pub(super) types: Vec<u32>,
    /// Tokens that did not fit.
    pub(super) cut: usize,
    /// `true` if there are more that did not fit.
    pub(super) cut_at_least: bool,
    /// Tokens at the beginning that are not pooled.
    pub(super) unpooled: usize,
    /// Tokens at the end that are not attended to.
    pub(super) unattended: usize,
    /// Places of tokens that give no vector.
    pub(super) dropped: Vec<u32>,
}

impl TokenIds {
    /// Returns the ids, at most the model's token limit.
    pub fn as_slice(&self) -> &[u32] {
        &self.ids
    }

    /// Returns the type of each token, as [`crate::RowInput::types`]: empty if all are 0.
    pub fn types(&self) -> &[u32] {
        &self.types
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the number of tokens at the beginning that are left out of pooling, as
    /// [`crate::RowInput::unpooled`].
    pub fn unpooled(&self) -> usize {
        self.unpooled
    }

    /// Returns the row with its first tokens left out of pooling.
    #[must_use]
    pub fn with_unpooled(self, unpooled: usize) -> Self {
        Self { unpooled, ..self }
    }

    /// Returns the number of tokens at the end that no token attends to, as
    /// [`crate::RowInput::unattended`].
    pub fn unattended(&self) -> usize {
        self.unattended
    }

    /// Returns the places of tokens that give no vector, as [`crate::RowInput::dropped`].
    pub fn dropped(&self) -> &[u32] {
        &self.dropped
    }

    /// Returns the number of tokens that were cut, since the text was longer than the limit.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// Returns whether [`cut`](Self::cut) is not the number of all tokens that were cut: the text
    /// is so long that counting stopped.
    pub fn cut_at_least(&self) -> bool {
        self.cut_at_least
    }

    /// Returns whether the text was longer than the limit and was cut.
    pub fn truncated(&self) -> bool {
        self.cut > 0
    }
}

/// Ids from elsewhere; they are checked against the model when they are encoded.
impl From<Vec<u32>> for TokenIds {
    fn from(ids: Vec<u32>) -> Self {
        Self {
            ids,
            ..Self::default()
        }
    }
}

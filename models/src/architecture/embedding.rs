//! Token ids, or images, to the vectors that enter the first layer.

use super::{Linear, Norm, PatchEmbedding, TensorRef};

/// The elements of a row, and their way to the vectors that enter the first layer.
#[allow(clippy::large_enum_variant, reason = "there is one for each model")]
#[derive(Clone, Debug, PartialEq)]
pub enum Embedding {
    /// A text: token ids.
    Tokens(TokenEmbedding),
    /// An image: patches.
    Patches(PatchEmbedding),
}

impl From<TokenEmbedding> for Embedding {
    fn from(tokens: TokenEmbedding) -> Self {
        Self::Tokens(tokens)
    }
}

impl From<PatchEmbedding> for Embedding {
    fn from(patches: PatchEmbedding) -> Self {
        Self::Patches(patches)
    }
}

impl Embedding {
    /// Returns the embedding of token ids, if rows are texts.
    pub fn tokens(&self) -> Option<&TokenEmbedding> {
        match self {
            Self::Tokens(tokens) => Some(tokens),
            Self::Patches(_) => None,
        }
    }

    /// Returns the embedding of patches, if rows are images.
    pub fn patches(&self) -> Option<&PatchEmbedding> {
        match self {
            Self::Tokens(_) => None,
            Self::Patches(patches) => Some(patches),
        }
    }

    /// Returns the tensor that every checkpoint of the model has.
    pub(crate) fn anchor(&self) -> &TensorRef {
        match self {
            Self::Tokens(tokens) => &tokens.words,
            Self::Patches(patches) => &patches.product.weight,
        }
    }

    pub(crate) fn tensors(&self) -> Vec<&TensorRef> {
        match self {
            Self::Tokens(tokens) => tokens.tensors(),
            Self::Patches(patches) => patches.tensors(),
        }
    }
}

/// The sum of a vector of the word and, for most families, one of its position and one of its type,
/// then a norm, and for some a product that widens the result, which may have a norm, too.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbedding {
    /// The vector of each token id, `[vocabulary, size]`; with `shared`, of some of them each.
    pub words: TensorRef,
    /// The row of `words` that each id has, and its factor; `None` where every id has its own.
    pub shared: Option<SharedRows>,
    /// The vector of each position of a row, from the first token's on, `[positions, size]`. A
    /// family that begins to count at 2 leaves out the first rows of its table. `None` for a family
    /// that knows positions in attention only.
    pub positions: Option<TensorRef>,
    /// How the tokens of a row are counted.
    pub counting: Counting,
    /// The vector of each token type, `[types, size]`; `None` for a family without types.
    pub types: Option<TensorRef>,
    /// Factor of the sum.
    pub scale: f32,
    /// The norm of the sum.
    pub norm: Option<Norm>,
    /// From the size of the tables to the hidden size; `None` where they are the same.
    pub projection: Option<Linear>,
    /// The norm of what the projection gives; without one there is none.
    pub projected_norm: Option<Norm>,
}

/// A table of words that is smaller than the vocabulary, or whose rows have factors: the vector of
/// a token id is a row, times a number.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedRows {
    /// The row of each token id, `[vocabulary]`; the id itself without it.
    pub rows: Option<TensorRef>,
    /// The factor of each token id, `[vocabulary]`; 1 without it.
    pub factors: Option<TensorRef>,
}

/// Which row of the table of positions a token takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// The first token of a row takes row 0, the next one row 1.
    All,
    /// Tokens with this id, the one that others pad rows with, take row 0 and are not counted. The
    /// others take row 1 and those that follow. Rows are not padded here, but a text may hold the
    /// token by its name.
    But(u32),
    /// There is no table of positions: every token takes row 0.
    None,
}

impl Counting {
    /// Returns which row each token of a row of ids takes.
    pub fn positions(self, ids: &[u32]) -> impl Iterator<Item = u32> + Clone {
        let mut next = self.first();
        ids.iter().map(move |id| match self {
            Self::None => 0,
            Self::But(padding) if *id == padding => 0,
            _ => {
                next += 1;
                next - 1
            }
        })
    }

    /// Returns the row of the first token that is counted.
    fn first(self) -> u32 {
        match self {
            Self::All | Self::None => 0,
            Self::But(_) => 1,
        }
    }
}

impl TokenEmbedding {
    /// Returns the embedding of a vector for each token id, and nothing else.
    pub fn of_words(words: TensorRef) -> Self {
        Self {
            words,
            shared: None,
            positions: None,
            counting: Counting::None,
            types: None,
            scale: 1.0,
            norm: None,
            projection: None,
            projected_norm: None,
        }
    }

    /// Returns the maximum number of tokens of a row that the table of positions has a vector for;
    /// without a table there is no such limit.
    pub fn max_tokens(&self) -> usize {
        let first = self.counting.first() as usize;
        let positions = self.positions.as_ref();
        positions.map_or(usize::MAX, |table| table.len().saturating_sub(first))
    }

    /// Returns the number of token ids.
    pub fn vocabulary(&self) -> usize {
        let rows = self.shared.as_ref().and_then(|shared| shared.rows.as_ref());
        rows.unwrap_or(&self.words).len()
    }

    /// Returns the number of values of the sum, before the projection.
    pub fn size(&self) -> usize {
        self.words.row_size()
    }

    pub(crate) fn tensors(&self) -> Vec<&TensorRef> {
        let shared = self.shared.iter();
        let shared = shared.flat_map(|shared| shared.rows.iter().chain(&shared.factors));
        let tables = std::iter::once(&self.words)
            .chain(&self.positions)
            .chain(shared);
        let norms = self.norm.iter().chain(&self.projected_norm);
        let projection = self.projection.iter().flat_map(Linear::tensors);
        tables
            .chain(&self.types)
            .chain(norms.flat_map(Norm::tensors))
            .chain(projection)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_tokens_are_not_counted_where_the_family_does_not() {
        let ids = [5, 1, 7, 1, 1, 8];
        for (counting, expected) in [
            (Counting::All, [0, 1, 2, 3, 4, 5]),
            (Counting::But(1), [1, 0, 2, 0, 0, 3]),
            (Counting::But(9), [1, 2, 3, 4, 5, 6]),
            (Counting::None, [0; 6]),
        ] {
            let found: Vec<u32> = counting.positions(&ids).collect();
            assert_eq!(found, expected, "{counting:?}");
        }
    }
}

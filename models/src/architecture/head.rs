//! From the last layer's token vectors to what a row gives back.

/// Result of a row: which vectors, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// Which vectors are made of the token vectors.
    pub readout: Readout,
    /// The form of each of them.
    pub output: Output,
}

/// Which vectors are made of a row's token vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Readout {
    /// A vector for each token, special tokens included.
    EveryToken,
    /// One vector for the row.
    Pooled(Pooling),
}

/// How the token vectors of a row become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The mean over all tokens, special tokens included.
    #[default]
    Mean,
    /// The vector of the first token.
    Cls,
}

/// The form of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// As it is.
    Raw,
    /// Scaled to length 1.
    UnitLength,
}

impl Head {
    /// Token vectors of length 1, as late interaction takes them.
    pub const TOKENS: Self = Self {
        readout: Readout::EveryToken,
        output: Output::UnitLength,
    };

    /// Returns a head of one vector for the row.
    pub const fn pooled(pooling: Pooling, output: Output) -> Self {
        Self {
            readout: Readout::Pooled(pooling),
            output,
        }
    }
}

impl Output {
    /// Returns the form of vectors that are normalized, or not.
    pub fn normalized(normalize: bool) -> Self {
        if normalize {
            Self::UnitLength
        } else {
            Self::Raw
        }
    }
}

//! The memory that a group of rows is computed in.

use std::sync::{Mutex, PoisonError};

use super::aligned::Aligned;
use super::blocks::Columns;
use super::int8;

/// Memory for so many tokens.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) tokens: usize,
    /// Those of the model's vectors.
    pub(super) columns: Columns,
    /// The tokens' vectors between layers, `[T, H]`.
    pub(super) x: Aligned<f32>,
    /// Intermediate values of a layer: queries, keys and values, `[T, 3 H]`, then the feed-forward
    /// part, `[T, I]`.
    pub(super) inside: Aligned<f32>,
    /// The left side of a product of bytes.
    pub(super) left: int8::Left,
}

/// Workspaces that nobody uses at the moment; as many as were ever used at once.
#[derive(Debug)]
pub(super) struct Workspaces {
    columns: Columns,
    free: Mutex<Vec<Workspace>>,
}

impl Workspaces {
    pub(super) fn new(columns: Columns) -> Self {
        Self {
            columns,
            free: Mutex::default(),
        }
    }

    /// Lends a workspace for so many tokens.
    pub(super) fn with<T>(&self, tokens: usize, work: impl FnOnce(&mut Workspace) -> T) -> T {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let columns = self.columns;
        let lent = free().pop();
        let mut space = lent.unwrap_or_else(|| Workspace {
            tokens,
            columns,
            x: Aligned::default(),
            inside: Aligned::default(),
            left: int8::Left::default(),
        });
        space.tokens = tokens;
        space.x.resize(tokens * columns.count);
        let done = work(&mut space);
        free().push(space);
        done
    }
}

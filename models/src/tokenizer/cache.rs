//! One tokenizer for all models of the same files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Tokenizer;
use crate::error::LoadError;
use crate::source::{ModelFiles, Origin};

/// Tokenizers in use, by the files that they were made of. One that nobody holds any more is
/// dropped; the cache does not keep it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct TokenizerCache(Arc<Mutex<HashMap<Origin, Weak<Tokenizer>>>>);

impl TokenizerCache {
    /// Returns the tokenizer of these files, read if nobody holds it yet.
    ///
    /// # Errors
    /// As [`Tokenizer::load`].
    pub fn get(&self, files: &ModelFiles) -> Result<Arc<Tokenizer>, LoadError> {
        let origin = files.origin();
        let entries = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = entries().get(&origin).and_then(Weak::upgrade);
        if let Some(tokenizer) = known {
            return Ok(tokenizer);
        }
        // Two who ask at once both read it, and the first one's is kept.
        let tokenizer = Arc::new(Tokenizer::load(files)?);
        let mut entries = entries();
        entries.retain(|_, entry| entry.strong_count() > 0);
        if let Some(first) = entries.get(&origin).and_then(Weak::upgrade) {
            return Ok(first);
        }
        entries.insert(origin, Arc::downgrade(&tokenizer));
        Ok(tokenizer)
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_is_shared_while_it_is_in_use() {
        let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap();
        let cache = TokenizerCache::default();
        let first = cache.get(&files).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.get(&files).unwrap()));
        let left = Arc::downgrade(&first);
        drop(first);
        assert!(left.upgrade().is_none(), "the cache does not keep it");
    }
}

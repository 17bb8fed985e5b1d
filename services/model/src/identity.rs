//! [`Identity`]: what a model was loaded from.

use std::path::PathBuf;
use std::sync::Arc;

use motet_config::Fingerprint;

/// The text of a model in its configuration, and the version of the files that it names. Models
/// with equal ones answer alike: loading one in place of the other would change nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    text: Arc<str>,
    folders: Arc<[(PathBuf, Fingerprint)]>,
}

impl Identity {
    pub(crate) fn new(text: &str, folders: Vec<(PathBuf, Fingerprint)>) -> Self {
        Self {
            text: text.into(),
            folders: folders.into(),
        }
    }

    /// Returns the files alone.
    pub(crate) fn of_files(&self) -> Self {
        Self {
            text: "".into(),
            folders: self.folders.clone(),
        }
    }
}

//! The module MultiVectorMask: which tokens give a vector.

use serde::Deserialize;

use crate::error::LoadError;
use crate::source::JsonFiles;

/// Settings of the module.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    skiplist_words: Option<Vec<String>>,
    skiplist_tasks: Option<Tasks>,
    keep_only_token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Tasks {
    One(String),
    Several(Vec<String>),
}

/// Tokens that give a vector, as the module MultiVectorMask says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    /// Tokens of queries that give none.
    pub(super) skipped_in_queries: Vec<String>,
    /// Tokens of documents that give none.
    pub(super) skipped_in_documents: Vec<String>,
    /// Ids of the only tokens of documents that give one.
    pub(super) only: Option<Vec<u32>>,
}

impl Mask {
    /// Reads the settings; the module may have no file.
    ///
    /// # Errors
    /// A key that is not known, and a task other than those of queries and documents.
    pub(crate) fn read(json: &JsonFiles<'_>, file: &str) -> Result<Self, LoadError> {
        let config: Config = json.optional(file)?.unwrap_or_default();
        let words = config.skiplist_words.unwrap_or_default();
        let tasks = match config.skiplist_tasks {
            None => vec!["document".to_owned()],
            Some(Tasks::One(task)) => vec![task],
            Some(Tasks::Several(tasks)) => tasks,
        };
        let is_known = |task: &&String| ["query", "document"].contains(&task.as_str());
        if let Some(task) = tasks.iter().find(|task| !is_known(task)) {
            let reason = format!("skiplist_tasks names `{task}`; supported: query, document");
            return Err(json.unsupported(file, reason));
        }
        let skipped = |of: &str| match tasks.iter().any(|task| task == of) {
            true => words.clone(),
            false => Vec::new(),
        };
        Ok(Self {
            skipped_in_queries: skipped("query"),
            skipped_in_documents: skipped("document"),
            only: config.keep_only_token_ids.filter(|ids| !ids.is_empty()),
        })
    }
}

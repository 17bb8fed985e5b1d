//! [`Tasks`]: the tasks that models of a configuration can have.

use motet_config::truncated;

use super::{Task, TaskKind};

/// The tasks that models of a configuration can have, in the order of their registration. Cheap to
/// clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Vec<TaskKind>);

/// A name that a task cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskNameError {
    /// Another task has it.
    #[error("there are two tasks `{0}`: give one of them another name")]
    Taken(String),
    /// It is not of the form of names.
    #[error(
        "`{0}` cannot be the name of a task: it starts with a lower-case letter, and has letters, \
         digits and `_`"
    )]
    Malformed(String),
}

impl Tasks {
    /// Returns a registry without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the registry with a task of this type.
    ///
    /// # Errors
    /// If its name is taken, or is none.
    pub fn with<T: Task>(mut self) -> Result<Self, TaskNameError> {
        let name = T::NAME;
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_well || !name.chars().all(is_word) {
            return Err(TaskNameError::Malformed(truncated(name)));
        }
        if self.find(name).is_some() {
            return Err(TaskNameError::Taken(name.to_owned()));
        }
        self.0.push(TaskKind::of::<T>());
        Ok(self)
    }

    /// Returns a registry with these tasks, whose names differ.
    pub(crate) fn of(kinds: impl IntoIterator<Item = TaskKind>) -> Self {
        Self(kinds.into_iter().collect())
    }

    /// Returns the task of this name.
    pub fn find(&self, name: &str) -> Option<TaskKind> {
        self.iter().find(|task| task.name() == name)
    }

    /// Returns all tasks.
    pub fn iter(&self) -> impl Iterator<Item = TaskKind> + '_ {
        self.0.iter().copied()
    }
}

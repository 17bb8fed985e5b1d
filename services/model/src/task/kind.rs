//! [`TaskKind`]: a task whose type is forgotten.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use motet_config::{Diagnostics, Map, Span, structs};
use motet_proto::signature::Signature;
use serde_json::Value;

use super::check_context::ReadKeys;
use super::erased::{Checked, CheckedTask};
use super::{CheckContext, Problem, Task};

/// A task that a model of the configuration can have.
#[derive(Clone, Copy)]
pub struct TaskKind(&'static dyn AnyTask);

/// The functions of a [`Task`] without its type.
trait AnyTask: Send + Sync {
    fn name(&self) -> &'static str;
    fn about(&self) -> &'static str;
    fn own_keys(&self) -> &'static [&'static str];
    fn model_keys(&self) -> &'static [&'static str];
    fn needs_source(&self) -> bool;
    fn group(&self) -> Option<&'static str>;
    fn unit(&self) -> &'static str;
    fn key_schema(&self, key: &str) -> Value;
    fn read_keys(
        &self,
        map: &Map,
        what: &str,
        at: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<ReadKeys>;
    fn check(
        &self,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Arc<dyn Checked>), Vec<Problem>>;
}

struct Erased<T>(PhantomData<fn() -> T>);

impl<T: Task> AnyTask for Erased<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn about(&self) -> &'static str {
        T::ABOUT
    }

    fn own_keys(&self) -> &'static [&'static str] {
        T::keys()
    }

    fn model_keys(&self) -> &'static [&'static str] {
        T::MODEL_KEYS
    }

    fn needs_source(&self) -> bool {
        T::NEEDS_SOURCE
    }

    fn group(&self) -> Option<&'static str> {
        T::GROUP
    }

    fn unit(&self) -> &'static str {
        T::UNIT
    }

    fn key_schema(&self, key: &str) -> Value {
        T::key_schema(key)
    }

    fn read_keys(
        &self,
        map: &Map,
        what: &str,
        at: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<ReadKeys> {
        let keys: T::Config = structs::read(map, what, at, diagnostics)?;
        Some(Arc::new(keys))
    }

    fn check(
        &self,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Arc<dyn Checked>), Vec<Problem>> {
        // Keys that could not be read are reported by their reader.
        let keys: Option<&T::Config> = context.model.config();
        let (signature, checked) = T::check(keys.ok_or(Vec::new())?, context)?;
        Ok((signature, Arc::new(CheckedTask::<T>(checked))))
    }
}

impl TaskKind {
    /// Returns the task of a type.
    pub fn of<T: Task>() -> Self {
        Self(&Erased::<T>(PhantomData))
    }

    /// Returns the word in the configuration, such as `embed`.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Returns a description of the task in one line.
    pub fn about(&self) -> &'static str {
        self.0.about()
    }

    /// Returns the keys of `models` that mean something for the task, `task` and `endpoint` apart.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        let of_model = self.0.model_keys().iter();
        of_model.chain(self.0.own_keys()).copied()
    }

    /// Returns whether a key means something for the task.
    pub fn has_key(&self, key: &str) -> bool {
        self.keys().any(|known| known == key)
    }

    /// Returns the name of the group of tasks that one model may have at once.
    pub fn group(&self) -> Option<&'static str> {
        self.0.group()
    }

    /// Returns the unit in which rows of the task have their cost, such as `tokens`.
    pub fn unit(&self) -> &'static str {
        self.0.unit()
    }

    pub(crate) fn own_keys(&self) -> &'static [&'static str] {
        self.0.own_keys()
    }

    pub(crate) fn needs_source(&self) -> bool {
        self.0.needs_source()
    }

    pub(crate) fn key_schema(&self, key: &str) -> Value {
        self.0.key_schema(key)
    }

    /// Reads the task's own keys of a model. Mistakes are added to `diagnostics`.
    pub(crate) fn read_keys(
        &self,
        map: &Map,
        what: &str,
        at: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<ReadKeys> {
        self.0.read_keys(map, what, at, diagnostics)
    }

    pub(crate) fn check(
        &self,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Arc<dyn Checked>), Vec<Problem>> {
        self.0.check(context)
    }
}

impl fmt::Debug for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskKind").field(&self.name()).finish()
    }
}

//! Users of the models of a repository, and the source of these models.

use std::sync::Arc;

use futures::future::BoxFuture;
use motet_proto::signature::Signature;
use tonic::Status;

use crate::resolve::ResolvedModel;

/// A change of one model, by its name in the configuration.
#[derive(Clone, Debug)]
pub enum Change<'n> {
    /// A model with this signature gets the name, or takes the place of the one that has it.
    Put(&'n str, Arc<Signature>),
    /// The model of this name goes.
    Remove(&'n str),
}

/// Those who use the models of a repository, such as pipelines, and must agree to every change.
pub trait ModelUsers: Send + Sync {
    /// Returns whether a change would suit them now, before the model is read.
    ///
    /// # Errors
    /// The reason against it.
    fn check(&self, change: &Change<'_>) -> Result<(), Status>;

    /// Waits until what they had begun before they could do without a model has ended.
    fn settled<'s>(&'s self, name: &'s str) -> BoxFuture<'s, ()>;

    /// Makes a change, by `make`, while nothing changes among them.
    ///
    /// # Errors
    /// The reason against it; `make` was not called then.
    fn change(&self, change: &Change<'_>, make: &mut dyn FnMut()) -> Result<(), Status>;
}

/// Finds models by name.
pub trait FindModel: Send + Sync {
    /// Finds the model of a name in the text of a configuration, or in the process's own without
    /// one, checks it, and fetches its files where they are not on this machine.
    ///
    /// # Errors
    /// NOT_FOUND, or INVALID_ARGUMENT with all mistakes of the text.
    fn find<'f>(
        &'f self,
        name: &'f str,
        config: Option<&'f str>,
    ) -> BoxFuture<'f, Result<FoundModel, Status>>;
}

/// A model that was found.
#[derive(Clone, Debug)]
pub struct FoundModel {
    /// The model.
    pub model: ResolvedModel,
    /// `true` if the process's own configuration names it.
    pub is_configured: bool,
}

/// The users of a model that nobody uses but by calls.
pub(super) struct Nobody;

impl ModelUsers for Nobody {
    fn check(&self, _: &Change<'_>) -> Result<(), Status> {
        Ok(())
    }

    fn settled<'s>(&'s self, _: &'s str) -> BoxFuture<'s, ()> {
        Box::pin(std::future::ready(()))
    }

    fn change(&self, _: &Change<'_>, make: &mut dyn FnMut()) -> Result<(), Status> {
        make();
        Ok(())
    }
}

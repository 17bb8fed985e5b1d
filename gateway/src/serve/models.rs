//! Changes of the models that pipelines call, while the gateway serves.

use std::sync::Arc;

use motet_proto::signature::Signature;

use super::gateway::GatewayError;
use super::load::ReflectedServices;
use super::load::catalog::LoadCatalog;
use super::pipeline::ServedPipeline;
use super::registry::{Pipelines, Registry};
use crate::check::SignatureSource;

/// A change of a model of this process.
#[derive(Debug, Clone)]
pub enum ModelChange<'n> {
    /// A model with this signature gets a name, or takes the place of the one that has it.
    Put(&'n str, Arc<Signature>),
    /// The model of a name goes.
    Remove(&'n str),
}

impl ModelChange<'_> {
    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        match self {
            Self::Put(name, _) | Self::Remove(name) => name,
        }
    }
}

/// Returns whether these pipelines could go on after a change.
///
/// # Errors
/// Those that could not, and the reason.
pub(super) fn check(
    registry: &Registry,
    signatures: &dyn SignatureSource,
    change: &ModelChange<'_>,
    pipelines: &Pipelines,
) -> Result<(), GatewayError> {
    let name = change.name();
    if pipelines.contains_key(name) {
        return Err(GatewayError::NameOfPipeline {
            name: name.to_owned(),
        });
    }
    let models = registry.models();
    let Some(model) = models.get(name) else {
        return Ok(());
    };
    if !model.is_local() {
        return Err(GatewayError::ModelElsewhere {
            name: name.to_owned(),
            address: model.address().to_owned(),
        });
    }
    let callers = callers(pipelines, name);
    if callers.is_empty() {
        return Ok(());
    }
    match change {
        ModelChange::Remove(_) => Err(GatewayError::ModelCalled {
            name: name.to_owned(),
            callers,
        }),
        ModelChange::Put(_, after) => {
            let catalog = LoadCatalog {
                registry,
                models: signatures,
                reflected: &ReflectedServices::default(),
                pipelines,
            };
            // Nothing was checked against a signature that is not known.
            let Ok(before) = catalog.model(name) else {
                return Ok(());
            };
            after
                .serves(&before)
                .map_err(|difference| GatewayError::ModelDiffers {
                    name: name.to_owned(),
                    callers,
                    difference,
                })
        }
    }
}

/// Returns the names of the pipelines that call a model, directly or through others.
fn callers(pipelines: &Pipelines, model: &str) -> Vec<String> {
    let calls = |served: &ServedPipeline| {
        let mut backends = served.plan.backends().iter();
        backends.any(|backend| backend.model() == model)
    };
    let callers = pipelines.iter().filter(|(_, served)| calls(served));
    callers.map(|(name, _)| name.clone()).collect()
}

//! Changes of several models and pipelines at once, as of a configuration that has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::gateway::{Gateway, GatewayError};
use super::models::{self, ModelChange};
use super::pipeline::ServedPipeline;
use super::registry::Pipelines;
use crate::check::{self, CheckedPipeline};
use crate::syntax::PIPELINES_MAX;

/// A change of several models and pipelines at once.
#[derive(Debug)]
pub struct Update<'u> {
    /// Changes of models of this process. One that goes does so afterwards, by itself.
    pub models: Vec<ModelChange<'u>>,
    /// Names of the pipelines that others take the place of.
    pub replaced: BTreeSet<String>,
    /// The pipelines that do, each after those that it calls, checked against the models as they
    /// are after the change.
    pub pipelines: Vec<CheckedPipeline>,
}

impl Gateway {
    /// Makes a change of several models and pipelines. `make` changes the models, while no pipeline
    /// is loaded or unloaded. A pipeline that stays as it is goes on with what it has learnt.
    /// Returns whether a pipeline has changed.
    ///
    /// # Errors
    /// When something cannot be served, or pipelines that are not replaced could not go on; nothing
    /// has changed then, and `make` was not called.
    pub fn update(&self, update: Update<'_>, make: impl FnOnce()) -> Result<bool, GatewayError> {
        let _one_at_a_time = self.changing();
        let registry = self.registry();
        let before = registry.pipelines();
        let mut others = (*before).clone();
        others.retain(|name, _| !update.replaced.contains(name));
        for change in &update.models {
            models::check(registry, self.signatures(), change, &others)?;
        }
        let models = registry.all_models();
        for change in &update.models {
            if let ModelChange::Put(name, signature) = change
                && let Some(backend) = self.backend(name)
            {
                registry.put_model(backend, signature.clone());
            }
        }
        let next = self.next_pipelines(&before, others, update.pipelines);
        let (next, is_changed) = match next {
            Ok(next) => next,
            Err(error) => {
                registry.set_all_models(models);
                return Err(error);
            }
        };
        make();
        for change in &update.models {
            match change {
                ModelChange::Put(name, _) => {
                    if let Some(backend) = registry.models().get(*name) {
                        backend.rows().renew();
                    }
                }
                ModelChange::Remove(name) => registry.remove_model(name),
            }
        }
        let gone = before.iter().filter(|(name, _)| !next.contains_key(*name));
        let gone: Vec<Arc<ServedPipeline>> = gone.map(|(_, served)| served.clone()).collect();
        self.publish(next)?;
        for served in gone {
            self.forget(&served);
        }
        Ok(is_changed)
    }

    /// Returns the pipelines after a change, and whether there was one. `others` are those that are
    /// not replaced.
    fn next_pipelines(
        &self,
        before: &Pipelines,
        others: Pipelines,
        pipelines: Vec<CheckedPipeline>,
    ) -> Result<(Pipelines, bool), GatewayError> {
        let mut next = others.clone();
        let mut changed = BTreeSet::new();
        for pipeline in pipelines {
            let name = pipeline.name.clone();
            if self.registry().has_model(&name) {
                return Err(GatewayError::NameOfModel { name });
            }
            let mut names = next.keys().filter(|other| **other != name);
            if let Some((other, symbol)) =
                names.find_map(|other| Some((other, check::shared_symbol(other, &name)?)))
            {
                let other = other.clone();
                return Err(GatewayError::SymbolTaken { other, symbol });
            }
            if next.len() >= PIPELINES_MAX {
                let limit = PIPELINES_MAX;
                return Err(GatewayError::Full { limit });
            }
            let is_same = |served: &&Arc<ServedPipeline>| {
                *served.plan.pipeline == pipeline
                    && served.plan.composition.called.is_disjoint(&changed)
            };
            let served = match before.get(&name).filter(is_same) {
                Some(served) => served.clone(),
                None => {
                    changed.insert(name.clone());
                    self.prepare(pipeline, &next)?
                }
            };
            next.insert(name, served);
        }
        let removed = before.keys().filter(|name| !next.contains_key(*name));
        changed.extend(removed.cloned());
        self.relink_others(before, &others, &changed, &mut next)?;
        Ok((next, !changed.is_empty()))
    }

    /// Binds those of the others that call what has changed to it.
    fn relink_others(
        &self,
        before: &Pipelines,
        others: &Pipelines,
        changed: &BTreeSet<String>,
        next: &mut Pipelines,
    ) -> Result<(), GatewayError> {
        let calls = |served: &ServedPipeline| !served.plan.composition.called.is_disjoint(changed);
        let mut left: Vec<_> = others
            .iter()
            .filter(|(name, served)| !changed.contains(*name) && calls(served))
            .collect();
        for name in changed {
            let is_caller = |served: &ServedPipeline| served.plan.composition.called.contains(name);
            let callers = left.iter().filter(|(_, served)| is_caller(served));
            let callers: Vec<String> = callers.map(|(name, _)| (*name).clone()).collect();
            if callers.is_empty() {
                continue;
            }
            let name = name.clone();
            match (before.get(&name), next.get(&name)) {
                (_, None) => return Err(GatewayError::Called { name, callers }),
                (Some(then), Some(now)) if !then.pipeline().is_called_like(now.pipeline()) => {
                    return Err(GatewayError::CalledDifferently { name, callers });
                }
                _ => {}
            }
        }
        // Each after those that it calls, whose chains of calls are shorter.
        left.sort_by_key(|(_, served)| served.plan.composition.depth());
        for (name, served) in left {
            let relinked = self.prepare(served.plan.pipeline.clone(), next)?;
            next.insert(name.clone(), relinked);
        }
        Ok(())
    }
}

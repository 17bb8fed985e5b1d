//! Pipelines that call a pipeline which is replaced or taken away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::serve::gateway::{Gateway, GatewayError};
use crate::serve::pipeline::ServedPipeline;

impl Gateway {
    /// Makes those that call a pipeline call its new form, which must be called in the same way.
    pub(in crate::serve) fn rebind(
        &self,
        before: &ServedPipeline,
        after: &ServedPipeline,
        pipelines: &mut BTreeMap<String, Arc<ServedPipeline>>,
    ) -> Result<(), GatewayError> {
        let name = &after.plan.pipeline.name;
        let called = callers(pipelines, name);
        if called.is_empty() {
            return Ok(());
        }
        if called.contains(name) {
            return Err(GatewayError::CallsItself {
                name: name.clone(),
                by_way_of: called,
            });
        }
        if !before.plan.pipeline.is_called_like(&after.plan.pipeline) {
            return Err(GatewayError::CalledDifferently {
                name: name.clone(),
                callers: called,
            });
        }
        // Each after those that it calls itself.
        let mut left = called;
        while !left.is_empty() {
            let is_ready = |caller: &String| {
                let served = pipelines.get(caller);
                served.is_none_or(|served| {
                    let calls = served.plan.pipelines();
                    !calls.iter().any(|plan| left.contains(&plan.pipeline.name))
                })
            };
            let Some(at) = left.iter().position(is_ready) else {
                return Err(GatewayError::CallsItself {
                    name: name.clone(),
                    by_way_of: left,
                });
            };
            let caller = left.swap_remove(at);
            if let Some(served) = pipelines.get(&caller) {
                let rebound = self.prepare(served.plan.pipeline.clone(), pipelines)?;
                pipelines.insert(caller, rebound);
            }
        }
        Ok(())
    }
}

/// The names of the pipelines that call the pipeline `name`, themselves or by way of others.
pub(in crate::serve) fn callers(
    pipelines: &BTreeMap<String, Arc<ServedPipeline>>,
    name: &str,
) -> Vec<String> {
    let all = pipelines.iter();
    all.filter(|(_, served)| served.plan.composition.called.contains(name))
        .map(|(caller, _)| caller.clone())
        .collect()
}

//! Pipelines that call a pipeline which is replaced or taken away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::Plan;
use crate::serve::gateway::{Gateway, GatewayError};
use crate::serve::registry::Served;

impl Gateway {
    /// Makes those that call a pipeline call its new form, which must be called in the same way.
    pub(in crate::serve) fn rebind(
        &self,
        before: &Served,
        after: &Served,
        pipelines: &mut BTreeMap<String, Arc<Served>>,
    ) -> Result<(), GatewayError> {
        let name = &after.plan.pipeline.name;
        let called = callers(pipelines, name);
        if called.is_empty() {
            return Ok(());
        }
        if called.contains(name) {
            return Err(GatewayError::Called(format!(
                "pipeline {name} would call itself, by way of {}",
                called.join(", ")
            )));
        }
        if !before.plan.pipeline.is_called_like(&after.plan.pipeline) {
            return Err(GatewayError::Called(format!(
                "pipeline {name} is called by {}, and its inputs or outputs are others now: \
                 unload them first",
                called.join(", ")
            )));
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
                return Err(GatewayError::Called(format!(
                    "the pipelines {} call each other",
                    left.join(", ")
                )));
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

/// The pipelines that call one, themselves or by way of others.
pub(in crate::serve) fn callers(
    pipelines: &BTreeMap<String, Arc<Served>>,
    name: &str,
) -> Vec<String> {
    fn calls(plan: &Plan, name: &str) -> bool {
        let called = plan.pipelines();
        called
            .iter()
            .any(|plan| plan.pipeline.name == name || calls(plan, name))
    }
    let all = pipelines.iter();
    all.filter(|(_, served)| calls(&served.plan, name))
        .map(|(caller, _)| caller.clone())
        .collect()
}

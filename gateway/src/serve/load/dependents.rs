//! Dependents of a pipeline: the pipelines that call it, directly or through others.

use std::sync::Arc;

use crate::check::CheckedPipeline;
use crate::serve::gateway::GatewayError;
use crate::serve::pipeline::ServedPipeline;
use crate::serve::registry::Pipelines;

/// Binds the dependents of a replaced pipeline to its new form, in `pipelines`, which has the new
/// form already. `prepare` binds one pipeline to those of a map.
///
/// # Errors
/// When the new form has other inputs or outputs, or calls one of its dependents, or when a
/// dependent cannot be bound.
pub(in crate::serve) fn relink_dependents(
    before: &ServedPipeline,
    after: &ServedPipeline,
    pipelines: &mut Pipelines,
    prepare: impl Fn(Arc<CheckedPipeline>, &Pipelines) -> Result<Arc<ServedPipeline>, GatewayError>,
) -> Result<(), GatewayError> {
    let name = &after.plan.pipeline.name;
    let mut left = dependents(pipelines, name);
    if left.is_empty() {
        return Ok(());
    }
    if left.contains(name) {
        return Err(GatewayError::CallsItself {
            name: name.clone(),
            by_way_of: left,
        });
    }
    if !before.plan.pipeline.is_called_like(&after.plan.pipeline) {
        return Err(GatewayError::CalledDifferently {
            name: name.clone(),
            callers: left,
        });
    }
    // Each after those that it calls, whose chains of calls are shorter.
    left.sort_by_cached_key(|dependent| {
        let served = pipelines.get(dependent);
        served.map_or(0, |served| served.plan.composition.depth())
    });
    for dependent in left {
        if let Some(served) = pipelines.get(&dependent) {
            let relinked = prepare(served.plan.pipeline.clone(), pipelines)?;
            pipelines.insert(dependent, relinked);
        }
    }
    Ok(())
}

/// Returns the names of the pipelines that call the pipeline `name`, directly or through others.
pub(in crate::serve) fn dependents(pipelines: &Pipelines, name: &str) -> Vec<String> {
    let all = pipelines.iter();
    all.filter(|(_, served)| served.plan.composition.called.contains(name))
        .map(|(dependent, _)| dependent.clone())
        .collect()
}

//! Availability: whether a pipeline can answer, degraded or not, while some models are away.

use super::{BoundBody, Graph, Plan};
use crate::check::Source;
use crate::model::Backend;

/// Tells whether a model is there.
pub(crate) type IsUp<'a> = &'a dyn Fn(&Backend) -> bool;

impl Plan {
    /// Returns whether requests can be answered, degraded or not, while the models for which
    /// `is_up` is false are away. A request that takes another way than most may still fail.
    pub fn can_answer(&self, is_up: &dyn Fn(&Backend) -> bool) -> bool {
        let required = self.pipeline.values().filter(|column| !column.optional);
        let mut sources = required.map(|column| &column.source);
        let can = self.graph.nodes_that_can(is_up);
        sources.all(|source| is_there(source, &can))
    }
}

impl BoundBody {
    /// Returns whether the body can have results while some models are away.
    pub(crate) fn can_answer(&self, is_up: IsUp<'_>) -> bool {
        let can = self.graph.nodes_that_can(is_up);
        let mut sources = self.results.iter().flatten();
        sources.all(|source| is_there(source, &can))
    }
}

impl Graph {
    /// Returns for each node whether it can have results: its own or its substitutes.
    fn nodes_that_can(&self, is_up: IsUp<'_>) -> Vec<bool> {
        let mut can = Vec::with_capacity(self.nodes.len());
        // Each node comes after those that it needs, as arguments and as substitutes.
        for (node, edges) in self.nodes.iter().zip(&self.topology.edges) {
            let all = |nodes: &[usize]| nodes.iter().all(|at| can.get(*at) == Some(&true));
            let substitutes = edges.substitutes.as_deref();
            let own = all(&edges.dependencies) && node.step.bound().can_answer(is_up);
            can.push(own || substitutes.is_some_and(all));
        }
        can
    }
}

fn is_there(source: &Source, can: &[bool]) -> bool {
    match source {
        Source::Node { node, .. } => can.get(*node) == Some(&true),
        Source::Input(_) | Source::Literal(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{FakeModel, backend, plans_over};

    const CALLED: &str = "
pipeline: called
inputs: { text: \"string[N]\", zero: \"float[N]\" }
nodes:
  b: { model: away, in: { text: $text }, on_error: { use: { size: $zero } } }
outputs: { size: $b.size }
";

    #[test]
    fn a_pipeline_can_answer_if_it_can_do_without_what_is_away() {
        let away = "{ model: away, in: { text: $text } }";
        let here = "{ model: here, in: { text: $text } }";
        for (node, expected) in [
            (here.to_owned(), true),
            (away.to_owned(), false),
            (
                "{ model: away, in: { text: $text }, on_error: { use: { size: $zero } } }".into(),
                true,
            ),
            (
                "{ model: here, in: { text: $text }, on_error: { use: { size: $b.size } } }\n  \
                 b: { model: away, in: { text: $text } }"
                    .into(),
                true,
            ),
            (
                "{ model: away, in: { text: $text }, on_error: { use: { size: $b.size } } }\n  \
                 b: { model: away, in: { text: $text } }"
                    .into(),
                false,
            ),
            (format!("{{ fallback: [ {away}, {here} ] }}"), true),
            (format!("{{ fallback: [ {away}, {away} ] }}"), false),
            (
                format!("{{ fallback: [ {away}, {{ value: {{ size: $zero }} }} ] }}"),
                true,
            ),
            (
                format!("{{ ensemble: {{ of: [ {away}, {here} ], combine: mean, quorum: 1 }} }}"),
                true,
            ),
            (
                format!("{{ ensemble: {{ of: [ {away}, {here} ], combine: mean }} }}"),
                false,
            ),
            (format!("{{ switch: [ {{ default: {here} }} ] }}"), true),
            (
                format!(
                    "{{ switch: [ {{ when: \"length(text) > 1\", do: {away} }}, \
                     {{ default: {here} }} ] }}"
                ),
                false,
            ),
            (
                format!(
                    "{{ split: {{ arms: [ {{ weight: 1, do: {here} }} ], \
                     shadow: [ {{ percent: 1, do: {away} }} ] }} }}"
                ),
                true,
            ),
            (
                "{ map: { over: $text, on_item_error: drop, \
                 do: { model: away, in: { text: $item } } } }"
                    .into(),
                true,
            ),
            (
                "{ map: { over: $text, do: { model: away, in: { text: $item } } } }".into(),
                false,
            ),
            (
                "{ pipeline: called, in: { text: $text, zero: $zero } }".into(),
                true,
            ),
        ] {
            let yaml = format!(
                "
pipeline: p
inputs: {{ text: \"string[N]\", zero: \"float[N]\" }}
nodes:
  a: {node}
outputs: {{ size: $a.size }}
"
            );
            let model = FakeModel::lengths();
            let backends = [backend("away", &model), backend("here", &model)];
            let plan = plans_over(&[CALLED, &yaml], &backends);
            let can = plan.can_answer(&|backend| backend.model() == "here");
            assert_eq!(can, expected, "{node}");
            assert!(plan.can_answer(&|_| true), "{node}");
        }
    }
}

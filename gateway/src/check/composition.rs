//! Pipelines that call pipelines: how much one request runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::checked::Node;
use crate::syntax::CallTarget;

/// The most nodes that one request may run, those of called pipelines included.
pub const REQUEST_NODES_MAX: u64 = 100_000;
/// The most pipelines that may call each other in a chain.
pub const CALL_DEPTH_MAX: usize = 16;

/// The size of a pipeline together with all pipelines that it calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Composition {
    /// The most nodes that a request runs, those of called pipelines included. The body of a `map`
    /// counts once: its elements are counted when they are there.
    pub nodes: u64,
    /// The pipelines that are called, themselves or by way of others.
    pub called: BTreeSet<String>,
    /// The longest chain of calls, from this pipeline down.
    deepest: Vec<String>,
    /// The chain of calls that brings most nodes, from this pipeline down.
    heaviest: Vec<String>,
}

/// A pipeline that is too much for one request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompositionError {
    /// Too many nodes.
    #[error(
        "a request to pipeline `{}` would run {nodes} nodes, most of them by way of {}: \
         the limit is {REQUEST_NODES_MAX}",
        path[0],
        path.join(" -> ")
    )]
    Nodes {
        /// How many.
        nodes: u64,
        /// The chain of calls that brings most of them.
        path: Vec<String>,
    },
    /// Too long a chain of calls.
    #[error("pipelines call each other {CALL_DEPTH_MAX} deep at most, but here {}: {}",
        path.len(), path.join(" -> "))]
    Depth {
        /// The chain.
        path: Vec<String>,
    },
}

impl Composition {
    /// Adds up the nodes of the pipeline `name`; `called` returns the composition of a pipeline
    /// that a node calls.
    ///
    /// # Errors
    /// When a request would run too many nodes, or calls are nested too deeply.
    pub fn of(
        name: &str,
        nodes: &[Arc<Node>],
        called: impl Fn(&str) -> Option<Self>,
    ) -> Result<Self, CompositionError> {
        let mut calls = Vec::new();
        let mut own = 0;
        collect(nodes, &mut own, &mut calls);
        let mut all = Self {
            nodes: own,
            called: BTreeSet::new(),
            deepest: Vec::new(),
            heaviest: Vec::new(),
        };
        let mut most = 0;
        for call in calls {
            all.called.insert(call.to_owned());
            let Some(inner) = called(call) else { continue };
            all.nodes = all.nodes.saturating_add(inner.nodes);
            all.called.extend(inner.called);
            if inner.deepest.len() > all.deepest.len() {
                all.deepest = inner.deepest;
            }
            if inner.nodes > most {
                most = inner.nodes;
                all.heaviest = inner.heaviest;
            }
        }
        all.deepest.insert(0, name.to_owned());
        all.heaviest.insert(0, name.to_owned());
        if all.deepest.len() > CALL_DEPTH_MAX {
            return Err(CompositionError::Depth { path: all.deepest });
        }
        if all.nodes > REQUEST_NODES_MAX {
            return Err(CompositionError::Nodes {
                nodes: all.nodes,
                path: all.heaviest,
            });
        }
        Ok(all)
    }

    /// The number of pipelines in the longest chain of calls, this one included.
    pub fn depth(&self) -> usize {
        self.deepest.len()
    }
}

/// Counts nodes, those inside nodes included, and notes each call of a pipeline.
fn collect<'n>(nodes: &'n [Arc<Node>], count: &mut u64, calls: &mut Vec<&'n str>) {
    for node in nodes {
        *count += 1;
        if let Some(CallTarget::Pipeline(name)) = node.kind.target() {
            calls.push(name);
        }
        for body in node.kind.bodies() {
            collect(&body.nodes, count, calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::call::Policies;
    use crate::check::{Body, NodeKind, Source};
    use crate::kinds::{map, model, pipeline};

    fn node(kind: NodeKind) -> Arc<Node> {
        Arc::new(Node {
            name: "n".to_owned(),
            kind,
            inputs: Vec::new(),
            outputs: Vec::new(),
            parameters: Vec::new(),
            policies: Policies::default(),
            on_error: None,
            when: None,
            dependencies: Vec::new(),
        })
    }

    fn call(name: &str) -> Arc<Node> {
        node(NodeKind::Pipeline(pipeline::check::Checked {
            pipeline: name.to_owned(),
            inputs: Vec::new(),
        }))
    }

    fn model() -> Arc<Node> {
        node(NodeKind::Model(model::check::Checked {
            model: "m".to_owned(),
        }))
    }

    fn map(nodes: Vec<Arc<Node>>) -> Arc<Node> {
        node(NodeKind::Map(map::check::Checked {
            body: Body {
                name: "body".to_owned(),
                nodes,
                results: vec![None::<Source>],
            },
            over: 1,
            max_items: 10,
            concurrency: 1,
            on_item_error: map::syntax::ItemError::Fail,
        }))
    }

    /// Composes pipelines, each after those that it calls.
    fn compose(pipelines: &[(&str, Vec<Arc<Node>>)]) -> Result<Composition, CompositionError> {
        let mut known: HashMap<&str, Composition> = HashMap::new();
        let mut last = None;
        for (name, nodes) in pipelines {
            let composed = Composition::of(name, nodes, |called| known.get(called).cloned())?;
            known.insert(name, composed.clone());
            last = Some(composed);
        }
        Ok(last.unwrap())
    }

    #[test]
    fn nodes_of_called_pipelines_count_for_each_call() {
        let composed = compose(&[
            ("leaf", vec![model(), model()]),
            (
                "middle",
                vec![call("leaf"), map(vec![call("leaf"), model()])],
            ),
            ("top", vec![call("middle"), call("leaf"), call("middle")]),
        ])
        .unwrap();
        // 2; 1 + 2 + 1 + 1 + 2 + 1 = 8; 3 + 8 + 2 + 8.
        assert_eq!(composed.nodes, 21);
        assert_eq!(composed.depth(), 3);
        let called: Vec<&str> = composed.called.iter().map(String::as_str).collect();
        assert_eq!(called, ["leaf", "middle"]);
    }

    #[test]
    fn too_many_nodes_are_refused_with_the_way_to_them() {
        let many = |name: &str| (0..1000).map(|_| call(name)).collect::<Vec<_>>();
        let error = compose(&[
            ("a", (0..1000).map(|_| model()).collect()),
            ("b", many("a")),
            ("c", many("b")),
        ])
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a request to pipeline `b` would run 1001000 nodes, most of them by way of b -> a: \
             the limit is 100000"
        );
    }

    #[test]
    fn a_chain_of_calls_has_a_limit() {
        let names: Vec<String> = (0..=CALL_DEPTH_MAX).map(|i| format!("p{i}")).collect();
        let chain = |length: usize| {
            let pipelines: Vec<(&str, Vec<Arc<Node>>)> = (0..length)
                .map(|i| {
                    let nodes = match i {
                        0 => vec![model()],
                        _ => vec![call(&names[i - 1])],
                    };
                    (names[i].as_str(), nodes)
                })
                .collect();
            compose(&pipelines)
        };
        assert_eq!(chain(CALL_DEPTH_MAX).unwrap().depth(), CALL_DEPTH_MAX);
        let error = chain(CALL_DEPTH_MAX + 1).unwrap_err().to_string();
        assert!(
            error.starts_with("pipelines call each other 16 deep at most, but here 17: p16 -> p15"),
            "{error}"
        );
    }
}

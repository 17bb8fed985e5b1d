//! Pipelines that call pipelines: how much one request runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::checked::Node;
use crate::syntax::CallTarget;

/// The most nodes that one request may run, those of called pipelines included.
pub const REQUEST_NODES_MAX: u64 = 100_000;
/// The most pipelines that may call each other in a chain.
pub const CALL_DEPTH_MAX: usize = 16;
/// The most graphs inside each other: a pipeline, the bodies of its nodes, the pipelines that these
/// call, and so on. The run of a request, and everything that walks through a pipeline, takes stack
/// for each; a thread of the runtime has 2 MiB.
pub const NESTING_MAX: usize = 32;

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
    /// The longest chain of graphs inside each other, from this pipeline down.
    innermost: Vec<String>,
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
    /// Too many graphs inside each other.
    #[error("graphs are {NESTING_MAX} deep inside each other at most, but here {}: {}",
        path.len(), path.join(" -> "))]
    Nesting {
        /// The graphs, from the outermost one: pipelines and bodies of nodes.
        path: Vec<String>,
    },
}

impl Composition {
    /// Adds up the nodes of the pipeline `name`; `called` returns the composition of a pipeline
    /// that a node calls.
    ///
    /// # Errors
    /// When a request would run too many nodes, or calls or bodies are nested too deeply.
    pub fn of(
        name: &str,
        nodes: &[Arc<Node>],
        called: impl Fn(&str) -> Option<Self>,
    ) -> Result<Self, CompositionError> {
        let mut own = Collected::default();
        own.collect(nodes);
        let calls = own.calls;
        let mut all = Self {
            nodes: own.nodes,
            called: BTreeSet::new(),
            deepest: Vec::new(),
            heaviest: Vec::new(),
            innermost: own.innermost.into_iter().map(str::to_owned).collect(),
        };
        let mut most = 0;
        for call in calls {
            all.called.insert(call.name.to_owned());
            let Some(inner) = called(call.name) else {
                continue;
            };
            if call.bodies.len() + inner.innermost.len() > all.innermost.len() {
                let bodies = call.bodies.iter().map(|body| (*body).to_owned());
                all.innermost = bodies.chain(inner.innermost).collect();
            }
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
        all.innermost.insert(0, name.to_owned());
        if all.deepest.len() > CALL_DEPTH_MAX {
            return Err(CompositionError::Depth { path: all.deepest });
        }
        if all.nodes > REQUEST_NODES_MAX {
            return Err(CompositionError::Nodes {
                nodes: all.nodes,
                path: all.heaviest,
            });
        }
        if all.innermost.len() > NESTING_MAX {
            return Err(CompositionError::Nesting {
                path: all.innermost,
            });
        }
        Ok(all)
    }

    /// The number of pipelines in the longest chain of calls, this one included.
    pub fn depth(&self) -> usize {
        self.deepest.len()
    }
}

/// A call of a pipeline.
struct CollectedCall<'n> {
    name: &'n str,
    /// The bodies around it, from the outermost one.
    bodies: Vec<&'n str>,
}

/// The nodes of one pipeline, without those of the pipelines that it calls.
#[derive(Default)]
struct Collected<'n> {
    /// The number of nodes, those inside nodes included.
    nodes: u64,
    calls: Vec<CollectedCall<'n>>,
    /// The bodies around the nodes that are looked at, from the outermost one.
    around: Vec<&'n str>,
    /// The longest chain of bodies inside each other.
    innermost: Vec<&'n str>,
}

impl<'n> Collected<'n> {
    /// Adds `nodes` and those inside them. The recursion is as deep as bodies are in the file,
    /// which the depth of YAML limits.
    fn collect(&mut self, nodes: &'n [Arc<Node>]) {
        if self.around.len() > self.innermost.len() {
            self.innermost.clone_from(&self.around);
        }
        for node in nodes {
            self.nodes += 1;
            if let Some(CallTarget::Pipeline(name)) = node.kind.target() {
                let bodies = self.around.clone();
                self.calls.push(CollectedCall { name, bodies });
            }
            for body in node.kind.bodies() {
                self.around.push(&body.name);
                self.collect(&body.nodes);
                self.around.pop();
            }
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

    #[test]
    fn bodies_and_calls_inside_each_other_have_one_limit() {
        // A chain of pipelines, each of which calls the next inside one, two, ... bodies.
        let nested = |bodies: usize, inner: Arc<Node>| (0..bodies).fold(inner, |n, _| map(vec![n]));
        let composed = compose(&[
            ("leaf", vec![nested(10, model())]),
            ("middle", vec![nested(9, call("leaf"))]),
            ("top", vec![nested(10, call("middle"))]),
        ])
        .unwrap();
        assert_eq!(composed.innermost.len(), 11 + 10 + 11);
        let error = compose(&[
            ("leaf", vec![nested(10, model())]),
            ("top", vec![model(), nested(21, call("leaf"))]),
        ])
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with(
                "graphs are 32 deep inside each other at most, but here 33: top -> body -> body"
            ) && error.contains("body -> leaf -> body"),
            "{error}"
        );
    }
}

//! Kinds of nodes, as written: the keys of which each node has exactly one.

use std::fmt::Debug;

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Span, Spanned};

use super::body::{BodySpec, NodeName};
use super::{EndpointRef, Expression, NodeSpec, Reference};

/// Reads the keys of one kind.
pub(crate) trait ReadKind: Sized {
    /// Reads the entry whose key chose the kind, and the kind's other keys of `node`. `None` where
    /// that cannot be read, which is reported.
    fn read(
        entry: &Entry,
        node: &mut MapReader<'_>,
        name: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>>;
}

/// A node of one kind, as written.
pub(crate) trait KindSyntax: Debug {
    /// Returns the bodies of the node, in the file's order.
    fn bodies(&self) -> Vec<&BodySpec> {
        Vec::new()
    }

    /// Returns `true` if the node has arguments and settings of its own, under `in` and `with`. A
    /// node with bodies does not: its bodies say themselves what they read.
    fn has_arguments(&self) -> bool {
        self.bodies().is_empty()
    }

    /// Returns the references that the kind's own keys make, without those inside its bodies.
    fn references(&self) -> Vec<WrittenReference<'_>> {
        Vec::new()
    }

    /// Returns `true` if a value of the kind's own keys could not be read, which was reported.
    fn has_errors(&self) -> bool {
        false
    }

    /// Returns what the node calls, if it calls anything.
    fn target(&self) -> Option<CallTarget<'_>> {
        None
    }

    /// Returns `true` if literals of the node take their types from the arms beside it.
    fn takes_types_of_arms(&self) -> bool {
        false
    }

    /// Returns `true` if the bodies run one after the other, so that their times add up.
    fn runs_bodies_in_turn(&self) -> bool {
        false
    }
}

/// The callee of a node outside its graph, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTarget<'a> {
    /// A model of the configuration.
    Model(&'a str),
    /// Another pipeline.
    Pipeline(&'a str),
    /// A service of a gRPC server.
    Service {
        /// The server.
        endpoint: &'a EndpointRef,
        /// The full name of the service.
        service: &'a str,
    },
}

/// A reference, and where it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrittenReference<'a> {
    /// The reference.
    pub(crate) reference: &'a Reference,
    /// Its place.
    pub(crate) span: Span,
}

impl<'a> WrittenReference<'a> {
    /// Returns the references that a condition makes.
    pub(crate) fn of_condition(condition: &'a Expression) -> Vec<Self> {
        let mut references = Vec::new();
        condition.references(&mut references);
        let written = references.into_iter().map(|reference| Self {
            reference,
            span: reference.target.span,
        });
        written.collect()
    }
}

impl<'a> From<&'a Spanned<Reference>> for WrittenReference<'a> {
    fn from(written: &'a Spanned<Reference>) -> Self {
        Self {
            reference: &written.value,
            span: written.span,
        }
    }
}

macro_rules! kind_spec {
    ($($(#[$doc:meta])* $key:literal => $module:ident :: $variant:ident,)*) => {
        /// The kind of a node, as written.
        #[derive(Debug, Clone, PartialEq)]
        pub enum KindSpec {
            $($(#[$doc])* $variant(crate::kinds::$module::syntax::Spec),)*
        }

        /// The keys that choose the kind of a node.
        pub(crate) const KINDS: &[&str] = &[$($key),*];

        impl KindSpec {
            /// Returns the node as one of its kind.
            pub(crate) fn syntax(&self) -> &dyn KindSyntax {
                match self {
                    $(Self::$variant(spec) => spec,)*
                }
            }

            fn read(
                entry: &Entry,
                node: &mut MapReader<'_>,
                name: NodeName<'_>,
                diagnostics: &mut Diagnostics,
            ) -> Option<Spanned<Self>> {
                match entry.key.value.as_str() {
                    $($key => {
                        let spec = ReadKind::read(entry, node, name, diagnostics)?;
                        Some(spec.map(Self::$variant))
                    })*
                    _ => None,
                }
            }
        }
    };
}

node_kinds!(kind_spec);

impl KindSpec {
    /// Returns the steps and graphs inside the node, in the file's order.
    pub fn bodies(&self) -> Vec<&BodySpec> {
        self.syntax().bodies()
    }
}

impl NodeSpec {
    /// Returns the number of nodes that this is, with all that are inside it.
    pub fn count(&self) -> usize {
        let bodies = self.kind.iter().flat_map(|kind| kind.value.bodies());
        1 + bodies
            .flat_map(|body| body.nodes.iter().map(Self::count))
            .sum::<usize>()
    }

    /// Visits the callees of this node and of all nodes inside it, with their places. The depth of
    /// the recursion is that of the file, which its reader limits.
    pub fn visit_targets<'s>(&'s self, visit: &mut impl FnMut(CallTarget<'s>, Span)) {
        let Some(kind) = &self.kind else { return };
        if let Some(target) = kind.value.syntax().target() {
            visit(target, kind.span);
        }
        for body in kind.value.bodies() {
            for node in &body.nodes {
                node.visit_targets(visit);
            }
        }
    }
}

/// Reads the kind of a node; `None` if it is not clear, which is reported.
pub(super) fn kind(
    map: &mut MapReader<'_>,
    name: &Spanned<String>,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<KindSpec>> {
    let found: Vec<&Entry> = KINDS.iter().filter_map(|key| map.get(key)).collect();
    match found.as_slice() {
        [first, second, ..] => diagnostics.push(
            Diagnostic::error(second.key.span, format!("{what} is two kinds at once"))
                .label(format!("and `{}`", second.key.value))
                .also(first.key.span, format!("`{}`", first.key.value))
                .help("keep one, and give the other a node of its own"),
        ),
        [entry] => return KindSpec::read(entry, map, NodeName(name), diagnostics),
        [] if !KINDS.iter().any(|key| map.has_misspelling_of(key)) => diagnostics.push(
            Diagnostic::error(name.span, format!("{what} does not say what it runs")).help(
                "add `model: NAME` for a model of the configuration, or `op: NAME` for a step \
                 inside the gateway",
            ),
        ),
        [] => {}
    }
    None
}

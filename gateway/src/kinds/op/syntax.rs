//! `op`: a step inside the gateway.

use motet_config::{Diagnostics, Entry, MapReader, Spanned};

use crate::syntax::arms::callee_name;
use crate::syntax::{KindSyntax, NodeName, ReadKind};

/// `op`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The name of the op.
    pub op: String,
}

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        _: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let name = callee_name(entry, diagnostics)?;
        Some(name.map(|op| Self { op }))
    }
}

impl KindSyntax for Spec {}

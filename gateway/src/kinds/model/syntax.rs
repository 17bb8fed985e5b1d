//! `model`: a model of the configuration.

use motet_config::{Diagnostics, Entry, MapReader, Spanned};

use crate::syntax::arms::callee_name;
use crate::syntax::{CallTarget, KindSyntax, NodeName, ReadKind};

/// `model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The name of the model, with its version where one is chosen.
    pub model: String,
}

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        _: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let name = callee_name(entry, diagnostics)?;
        Some(name.map(|model| Self { model }))
    }
}

impl KindSyntax for Spec {
    fn target(&self) -> Option<CallTarget<'_>> {
        Some(CallTarget::Model(&self.model))
    }
}

//! `fallback`: the first arm that does not fail.

use motet_config::{Diagnostics, Entry, MapReader, Spanned};

use crate::syntax::arms::plain_arms;
use crate::syntax::{BodySpec, KindSyntax, NodeName, ReadKind};

/// `fallback`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The arms, in the order in which they are tried.
    pub arms: Vec<BodySpec>,
}

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        name: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let arms = plain_arms(entry, name, diagnostics)?;
        Some(Spanned::new(Self { arms }, entry.key.span))
    }
}

impl KindSyntax for Spec {
    fn bodies(&self) -> Vec<&BodySpec> {
        self.arms.iter().collect()
    }

    fn runs_bodies_in_turn(&self) -> bool {
        true
    }
}

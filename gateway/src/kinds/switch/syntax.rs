//! `switch`: the first arm whose condition holds.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};

use crate::syntax::arms::arms;
use crate::syntax::body::body;
use crate::syntax::condition::condition;
use crate::syntax::{BodySpec, Expression, KindSyntax, NodeName, ReadKind, WrittenReference};

/// `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The arms, in the order in which their conditions are tried.
    pub cases: Vec<CaseSpec>,
}

/// One arm of a `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseSpec {
    /// When it runs.
    pub when: Case,
    /// Its body.
    pub body: BodySpec,
}

/// When an arm of a `switch` runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Case {
    /// When this holds.
    When(Spanned<Expression>),
    /// When none before it ran.
    Default,
    /// Could not be read, which was reported.
    Broken,
}

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        name: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let cases = cases(entry, name, diagnostics)?;
        Some(Spanned::new(Self { cases }, entry.key.span))
    }
}

impl KindSyntax for Spec {
    fn bodies(&self) -> Vec<&BodySpec> {
        self.cases.iter().map(|case| &case.body).collect()
    }

    fn references(&self) -> Vec<WrittenReference<'_>> {
        let conditions = self.cases.iter().filter_map(|case| match &case.when {
            Case::When(when) => Some(&when.value),
            Case::Default | Case::Broken => None,
        });
        conditions
            .flat_map(WrittenReference::of_condition)
            .collect()
    }

    fn has_errors(&self) -> bool {
        self.cases.iter().any(|case| case.when == Case::Broken)
    }
}

fn cases(
    entry: &Entry,
    name: NodeName<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<CaseSpec>> {
    let items = arms(entry, 1, diagnostics)?;
    let mut cases = Vec::with_capacity(items.len());
    for (item, i) in items.iter().zip(1..) {
        let arm_name = name.arm(i, item.span);
        let what = format!("arm {i} of `switch`");
        let Some(mut map) = MapReader::new(item, &*what, arm_name.span, diagnostics) else {
            continue;
        };
        let (when, otherwise) = (map.get("when"), map.get("default"));
        let step = match otherwise {
            Some(step) => {
                if let Some(when) = when {
                    diagnostics.push(
                        Diagnostic::error(
                            when.key.span,
                            format!("{what} has a condition and is the default"),
                        )
                        .also(step.key.span, "`default`"),
                    );
                }
                if i < items.len() {
                    diagnostics.push(
                        Diagnostic::error(step.key.span, "no arm after `default` can ever run")
                            .help("put `default` last"),
                    );
                }
                Some(step)
            }
            None => {
                if when.is_none()
                    && !map.has_misspelling_of("when")
                    && !map.has_misspelling_of("default")
                {
                    diagnostics.push(
                        Diagnostic::error(arm_name.span, format!("{what} has no condition")).help(
                            "write `{ when: \"score > 0.5\", do: { ... } }`, or `{ default: \
                             { ... } }` for the last",
                        ),
                    );
                }
                map.required(
                    "do",
                    "it is what the arm runs, such as `{ model: NAME, in: { ... } }`",
                )
            }
        };
        let when = match (otherwise, when) {
            (Some(_), _) => Case::Default,
            (None, None) => Case::Broken,
            (None, Some(when)) => condition(when, diagnostics).map_or(Case::Broken, Case::When),
        };
        if let Some(body) = step.and_then(|step| body(&step.node, arm_name, diagnostics)) {
            cases.push(CaseSpec { when, body });
        }
        map.finish(diagnostics);
    }
    (cases.len() == items.len()).then_some(cases)
}

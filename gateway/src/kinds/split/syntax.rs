//! `split`: weighted arms, and shadow arms that are only compared.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned, values};

use crate::syntax::arms::arms;
use crate::syntax::body::body;
use crate::syntax::output::only_reference;
use crate::syntax::{BodySpec, KindSyntax, NodeName, ReadKind, Reference, WrittenReference};

/// `split`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Requests with equal values of this take the same arm.
    pub sticky: Option<Spanned<Reference>>,
    /// The arms.
    pub arms: Vec<WeightedSpec>,
    /// Arms whose results are compared, and never answered.
    pub shadow: Vec<ShadowSpec>,
}

/// One arm of a `split`.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedSpec {
    /// How often it runs, relative to the weights of the others.
    pub weight: Spanned<f64>,
    /// Its body.
    pub body: BodySpec,
}

/// One shadow arm of a `split`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowSpec {
    /// The share of requests that run it too, in percent.
    pub percent: f64,
    /// Its body.
    pub body: BodySpec,
}

/// The most of a weight.
const WEIGHT_MAX: f64 = 1e6;

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        name: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let spec = split(entry, name, diagnostics)?;
        Some(Spanned::new(spec, entry.key.span))
    }
}

impl KindSyntax for Spec {
    fn bodies(&self) -> Vec<&BodySpec> {
        let arms = self.arms.iter().map(|arm| &arm.body);
        arms.chain(self.shadow.iter().map(|shadow| &shadow.body))
            .collect()
    }

    fn references(&self) -> Vec<WrittenReference<'_>> {
        self.sticky.iter().map(WrittenReference::from).collect()
    }
}

fn split(entry: &Entry, name: NodeName<'_>, diagnostics: &mut Diagnostics) -> Option<Spec> {
    let mut map = MapReader::new(&entry.node, "`split`", entry.key.span, diagnostics)?;
    let sticky = map
        .get("sticky")
        .map(|e| only_reference(&e.node, "`sticky`", diagnostics));
    let mut arms_spec = None;
    if let Some(list) = map.required(
        "arms",
        "for example `arms: [{ weight: 95, do: { ... } }, { weight: 5, do: { ... } }]`",
    ) && let Some(items) = arms(list, 1, diagnostics)
    {
        let mut read = Vec::with_capacity(items.len());
        for (item, i) in items.iter().zip(1..) {
            let arm_name = name.arm(i, item.span);
            let what = format!("arm {i} of `split`");
            let Some(mut map) = MapReader::new(item, &*what, arm_name.span, diagnostics) else {
                continue;
            };
            let weight = map
                .required("weight", "how often the arm runs, beside the other weights")
                .and_then(|e| values::number(e, 0.0..=WEIGHT_MAX, diagnostics));
            let step = map.required("do", "it is what the arm runs");
            let body = step.and_then(|step| body(&step.node, arm_name, diagnostics));
            map.finish(diagnostics);
            if let (Some(weight), Some(body)) = (weight, body) {
                read.push(WeightedSpec { weight, body });
            }
        }
        if read.len() == items.len() {
            if read.iter().all(|arm| arm.weight.value == 0.0) {
                diagnostics.push(Diagnostic::error(
                    list.key.span,
                    "every weight is 0: no arm could ever run",
                ));
            }
            arms_spec = Some(read);
        }
    }
    let shadow = shadows(map.get("shadow"), name, diagnostics);
    map.finish(diagnostics);
    Some(Spec {
        sticky: match sticky {
            Some(sticky) => Some(sticky?),
            None => None,
        },
        arms: arms_spec?,
        shadow: shadow?,
    })
}

fn shadows(
    entry: Option<&Entry>,
    name: NodeName<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<ShadowSpec>> {
    let Some(entry) = entry else {
        return Some(Vec::new());
    };
    let items = arms(entry, 1, diagnostics)?;
    let mut read = Vec::with_capacity(items.len());
    for (item, i) in items.iter().zip(1..) {
        let arm_name = name.shadow(i, item.span);
        let what = format!("shadow {i} of `split`");
        let Some(mut map) = MapReader::new(item, &*what, arm_name.span, diagnostics) else {
            continue;
        };
        let percent = map
            .required("percent", "of the requests, how many also run this arm")
            .and_then(|e| values::number(e, 0.0..=100.0, diagnostics));
        let step = map.required("do", "it is what the arm runs");
        let body = step.and_then(|step| body(&step.node, arm_name, diagnostics));
        map.finish(diagnostics);
        if let (Some(percent), Some(body)) = (percent, body) {
            read.push(ShadowSpec {
                percent: percent.value,
                body,
            });
        }
    }
    (read.len() == items.len()).then_some(read)
}

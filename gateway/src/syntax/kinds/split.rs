//! `split`: weighted arms, and shadow arms that are only compared.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, values};

use super::{Name, arms, body};
use crate::syntax::output::only_reference;
use crate::syntax::{ShadowSpec, SplitSpec, WeightedSpec};

/// The most of a weight.
const WEIGHT_MAX: f64 = 1e6;

pub(super) fn split(
    entry: &Entry,
    name: Name<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<SplitSpec> {
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
    Some(SplitSpec {
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
    name: Name<'_>,
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

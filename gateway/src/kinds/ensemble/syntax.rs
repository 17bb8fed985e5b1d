//! `ensemble`: several arms at once, combined.

use std::time::Duration;

use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value as Yaml, nearest, values,
};

use crate::call::layers::deadline::DEADLINE_RANGE;
use crate::syntax::arms::plain_arms;
use crate::syntax::{BodySpec, KindSyntax, NodeName, ReadKind};

/// `ensemble`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The arms.
    pub of: Vec<BodySpec>,
    /// How their results become one.
    pub combine: Spanned<CombineSpec>,
    /// How many arms must succeed; all by default.
    pub quorum: Option<usize>,
    /// How long to wait for arms.
    pub deadline: Option<Spanned<Duration>>,
}

/// How the results of arms become one.
#[derive(Debug, Clone, PartialEq)]
pub enum CombineSpec {
    /// The mean of numbers.
    Mean,
    /// The mean of numbers, each arm with its weight.
    WeightedMean(Vec<f64>),
    /// The largest number.
    Max,
    /// The value that most arms gave.
    Vote,
    /// Reciprocal rank fusion of ranked lists.
    Rrf {
        /// The constant added to each rank.
        k: i64,
    },
    /// Lists one after the other.
    Concat,
}

/// Default constant of reciprocal rank fusion.
const RRF_K: i64 = 60;
/// The most that it can be.
const RRF_K_MAX: i64 = 1_000_000;

const WORDS: [(&str, CombineSpec); 5] = [
    ("mean", CombineSpec::Mean),
    ("max", CombineSpec::Max),
    ("vote", CombineSpec::Vote),
    ("rrf", CombineSpec::Rrf { k: RRF_K }),
    ("concat", CombineSpec::Concat),
];

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        name: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let spec = ensemble(entry, name, diagnostics)?;
        Some(Spanned::new(spec, entry.key.span))
    }
}

impl KindSyntax for Spec {
    fn bodies(&self) -> Vec<&BodySpec> {
        self.of.iter().collect()
    }
}

fn ensemble(entry: &Entry, name: NodeName<'_>, diagnostics: &mut Diagnostics) -> Option<Spec> {
    let mut map = MapReader::new(&entry.node, "`ensemble`", entry.key.span, diagnostics)?;
    let of = map
        .required(
            "of",
            "for example `of: [{ model: a, in: { ... } }, { model: b, in: { ... } }]`",
        )
        .and_then(|list| plain_arms(list, name, diagnostics));
    let combine = map
        .required(
            "combine",
            "`mean`, `max`, `vote`, `rrf`, `concat` or `{ weighted_mean: [...] }`",
        )
        .and_then(|e| combine(e, diagnostics));
    let arms = of.as_ref().map_or(1, Vec::len);
    let quorum = map
        .get("quorum")
        .and_then(|e| values::count(e, 1..=arms, diagnostics));
    let deadline = map
        .get("deadline")
        .and_then(|e| values::duration(e, DEADLINE_RANGE.0..=DEADLINE_RANGE.1, diagnostics));
    map.finish(diagnostics);
    let (of, combine) = (of?, combine?);
    if let CombineSpec::WeightedMean(weights) = &combine.value
        && weights.len() != of.len()
    {
        diagnostics.push(Diagnostic::error(
            combine.span,
            format!(
                "`weighted_mean` has a weight for each arm: {} for {} arms",
                weights.len(),
                of.len()
            ),
        ));
        return None;
    }
    Some(Spec {
        of,
        combine,
        quorum: quorum.map(|q| q.value),
        deadline,
    })
}

fn combine(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<CombineSpec>> {
    let span = entry.node.span;
    match &entry.node.value {
        Yaml::String(word) => {
            if let Some((_, combine)) = WORDS.iter().find(|(w, _)| w == word) {
                return Some(Spanned::new(combine.clone(), span));
            }
            let words = WORDS.map(|(w, _)| w);
            let diagnostic = Diagnostic::error(
                span,
                format!("nothing combines by `{}`", motet_config::truncated(word)),
            );
            diagnostics.push(match nearest(word, words) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None if word == "weighted_mean" => {
                    diagnostic.help("write `{ weighted_mean: [0.5, 0.3, 0.2] }`")
                }
                None => diagnostic.help(
                    "there are `mean`, `{ weighted_mean: [...] }`, `max`, `vote`, `rrf` and \
                     `concat`",
                ),
            });
            None
        }
        Yaml::Map(_) => {
            let mut map = MapReader::new(&entry.node, "`combine`", entry.key.span, diagnostics)?;
            let weights = map.get("weighted_mean");
            let rrf = map.get("rrf");
            map.finish(diagnostics);
            match (weights, rrf) {
                (Some(e), None) => weighted(e, diagnostics),
                (None, Some(e)) => {
                    let mut map = MapReader::new(&e.node, "`rrf`", e.key.span, diagnostics)?;
                    let k = map
                        .get("k")
                        .map(|e| values::int(e, 1..=RRF_K_MAX, diagnostics));
                    map.finish(diagnostics);
                    let k = match k {
                        Some(k) => k?.value,
                        None => RRF_K,
                    };
                    Some(CombineSpec::Rrf { k })
                }
                _ => {
                    diagnostics.push(Diagnostic::error(
                        span,
                        "`combine` is one of `{ weighted_mean: [...] }` and `{ rrf: { k: 60 } }`",
                    ));
                    None
                }
            }
            .map(|combine| Spanned::new(combine, span))
        }
        _ => {
            diagnostics.push(Diagnostic::error(
                span,
                format!(
                    "`combine` must be a word or a map, not {}",
                    entry.node.kind()
                ),
            ));
            None
        }
    }
}

fn weighted(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<CombineSpec> {
    let number = |node: &motet_config::Node| match node.value {
        Yaml::Float(x) => Some(x),
        #[allow(clippy::cast_precision_loss)]
        Yaml::Int(n) => Some(n as f64),
        _ => None,
    };
    let weights: Option<Vec<f64>> = entry
        .node
        .as_list()
        .and_then(|items| items.iter().map(number).collect());
    let weights = weights
        .filter(|w| w.iter().all(|w| w.is_finite() && *w >= 0.0) && w.iter().sum::<f64>() > 0.0);
    if weights.is_none() {
        diagnostics.push(Diagnostic::error(
            entry.node.span,
            "`weighted_mean` is a list of numbers from 0 on, one for each arm, not all 0",
        ));
    }
    weights.map(CombineSpec::WeightedMean)
}

//! Labels of a caller's own by a classifier that was trained on natural-language inference: how
//! much a text entails a hypothesis about it.

use super::ScoreKind;

/// The two logits of a classifier of natural-language inference that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entailment {
    /// Number of the logit that the text entails the hypothesis.
    pub entails: usize,
    /// Number of the logit that it contradicts it.
    pub contradicts: usize,
}

impl Entailment {
    /// Finds the two among the labels by their names: the first that begins with `entail`, and the
    /// first that begins with `contra`. A model with no label of the second kind has its
    /// contradiction first, or last where the entailment is first, as transformers takes it.
    /// `None` without a label of the first kind, or with only one label.
    pub fn of_labels(labels: &[String]) -> Option<Self> {
        let beginning_with = |start: &str| {
            let mut labels = labels.iter();
            labels.position(|label| label.to_lowercase().starts_with(start))
        };
        let entails = beginning_with("entail")?;
        let by_place = if entails == 0 { labels.len() - 1 } else { 0 };
        let contradicts = beginning_with("contra").unwrap_or(by_place);
        (entails != contradicts).then_some(Self {
            entails,
            contradicts,
        })
    }

    /// Returns the scores of hypotheses about one text from the logits of each: with
    /// [`ScoreKind::Softmax`] all together, with [`ScoreKind::Sigmoid`] each by itself, its
    /// entailment against its contradiction. [`ScoreKind::Raw`] gives the logits of entailment.
    /// Scores are finite for all finite logits.
    pub fn scores<'l>(
        self,
        logits: impl IntoIterator<Item = &'l [f32]>,
        kind: ScoreKind,
    ) -> Vec<f32> {
        let logits = logits.into_iter();
        if kind == ScoreKind::Sigmoid {
            let by_itself = |logits: &[f32]| {
                let mut both = [logits[self.contradicts], logits[self.entails]];
                ScoreKind::Softmax.apply(&mut both);
                both[1]
            };
            return logits.map(by_itself).collect();
        }
        let mut scores: Vec<f32> = logits.map(|logits| logits[self.entails]).collect();
        kind.apply(&mut scores);
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logits_that_count_are_found_by_the_names_of_the_labels() {
        for (labels, expected) in [
            (
                &["contradiction", "neutral", "entailment"][..],
                Some((2, 0)),
            ),
            (&["ENTAILMENT", "NEUTRAL", "CONTRADICTION"], Some((0, 2))),
            (&["neutral", "entailment", "contradiction"], Some((1, 2))),
            (&["entailment", "not_entailment"], Some((0, 1))),
            (&["not_entailment", "entails"], Some((1, 0))),
            (&["refuted", "unknown", "entailed"], Some((2, 0))),
            (&["entailment"], None),
            (&["LABEL_0", "LABEL_1", "LABEL_2"], None),
            (&["not_entailment", "neutral"], None),
        ] {
            let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
            let found = Entailment::of_labels(&labels);
            let found = found.map(|found| (found.entails, found.contradicts));
            assert_eq!(found, expected, "{labels:?}");
        }
    }

    #[test]
    fn scores_are_of_all_hypotheses_together_or_of_each_by_itself() {
        let of = Entailment {
            entails: 2,
            contradicts: 0,
        };
        let logits: [&[f32]; 2] = [&[1.0, 9.0, 3.0], &[5.0, 0.0, 2.0]];
        let close = |kind: ScoreKind, logits: &[&[f32]], expected: &[f32]| {
            let found = of.scores(logits.iter().copied(), kind);
            let pairs = found.iter().zip(expected);
            let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                found.len() == expected.len() && far < 1e-6,
                "{kind:?}: {found:?}"
            );
        };
        close(ScoreKind::Softmax, &logits, &[0.731_058_6, 0.268_941_4]);
        close(ScoreKind::Sigmoid, &logits, &[0.880_797, 0.047_425_9]);
        close(ScoreKind::Raw, &logits, &[3.0, 2.0]);
        close(ScoreKind::Softmax, &[], &[]);
        let huge: [&[f32]; 2] = [&[f32::MIN, 0.0, f32::MAX], &[f32::MAX, 0.0, f32::MIN]];
        close(ScoreKind::Softmax, &huge, &[1.0, 0.0]);
        close(ScoreKind::Sigmoid, &huge, &[1.0, 0.0]);
    }
}

//! From logits to scores.

/// How logits become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreKind {
    /// The logits themselves.
    Raw,
    /// Each logit by itself, to a number between 0 and 1.
    Sigmoid,
    /// All logits together, to numbers between 0 and 1 whose sum is 1.
    Softmax,
}

impl ScoreKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Sigmoid, Self::Softmax];

    /// Returns the name of the kind in requests and responses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
        }
    }

    /// Returns the kind that a class of torch computes, by its path.
    pub(super) fn of_torch_class(path: &str) -> Option<Self> {
        let (module, class) = path.rsplit_once('.')?;
        match class {
            _ if !module.starts_with("torch.") => None,
            "Identity" => Some(Self::Raw),
            "Sigmoid" => Some(Self::Sigmoid),
            _ => None,
        }
    }

    /// Turns the logits of one text or token into scores, in place. They are finite for all finite
    /// logits.
    pub fn apply(self, logits: &mut [f32]) {
        match self {
            Self::Raw => {}
            Self::Sigmoid => {
                for x in logits {
                    *x = 1.0 / (1.0 + (-*x).exp());
                }
            }
            Self::Softmax => {
                let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for x in logits.iter_mut() {
                    *x = (*x - greatest).exp();
                }
                let sum: f32 = logits.iter().sum();
                for x in logits {
                    *x /= sum;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ScoreKind, logits: &[f32]) -> Vec<f32> {
        let mut scores = logits.to_vec();
        kind.apply(&mut scores);
        scores
    }

    #[test]
    fn scores_are_those_of_the_definition_and_finite_for_any_finite_logits() {
        use ScoreKind::{Raw, Sigmoid, Softmax};
        let max = f32::MAX;
        let table: [(ScoreKind, &[f32], &[f32]); 12] = [
            (Raw, &[9.0, -10.0], &[9.0, -10.0]),
            (Sigmoid, &[0.0], &[0.5]),
            (Sigmoid, &[9.0, 10.0], &[0.999_876_6, 0.999_954_6]),
            (Sigmoid, &[0.0, 0.0], &[0.5, 0.5]),
            (Sigmoid, &[max, -max], &[1.0, 0.0]),
            (Softmax, &[1.0, 3.0], &[0.119_202_92, 0.880_797_1]),
            (Softmax, &[-60.0, 40.0], &[0.0, 1.0]),
            (Softmax, &[1000.0, 999.0], &[0.731_058_6, 0.268_941_4]),
            (Softmax, &[max, -max, max], &[0.5, 0.0, 0.5]),
            (Softmax, &[-1e30, -1e30], &[0.5, 0.5]),
            (Softmax, &[7.0], &[1.0]),
            (Softmax, &[], &[]),
        ];
        for (kind, logits, expected) in table {
            let found = of(kind, logits);
            let close = found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(
                close && found.len() == expected.len(),
                "{kind:?} {logits:?}: {found:?}"
            );
        }
    }

    #[test]
    fn high_logits_stay_apart() {
        let scores = of(ScoreKind::Sigmoid, &[9.0, 10.0, 11.0]);
        assert!(scores[0] < scores[1] && scores[1] < scores[2], "{scores:?}");
    }

    #[test]
    fn classes_of_torch_are_told_by_their_path() {
        for (path, expected) in [
            ("torch.nn.modules.linear.Identity", Some(ScoreKind::Raw)),
            (
                "torch.nn.modules.activation.Sigmoid",
                Some(ScoreKind::Sigmoid),
            ),
            ("torch.nn.modules.activation.Tanh", None),
            ("mine.Sigmoid", None),
            ("Sigmoid", None),
        ] {
            assert_eq!(ScoreKind::of_torch_class(path), expected, "{path}");
        }
    }
}

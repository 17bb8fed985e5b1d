//! Labels of tokens to labelled spans of the text.

use std::ops::Range;

/// How the tokens of a word, and words that belong together, become one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// Each token is a span, with the whole name of its label, such as `B-PER`.
    None,
    /// Neighbouring tokens with labels of one name, such as `B-PER` and `I-PER`, are a span of the
    /// mean score. Tokens of one word may differ.
    #[default]
    Simple,
    /// As `Simple` over whole words, each with the label of its first token.
    First,
    /// As `Simple` over whole words, each with the label whose mean score is highest.
    Average,
    /// As `Simple` over whole words, each with the label of its surest token.
    Max,
}

impl Aggregation {
    /// All ways, by the words of configurations.
    pub const WORDS: [(&str, Self); 5] = [
        ("none", Self::None),
        ("simple", Self::Simple),
        ("first", Self::First),
        ("average", Self::Average),
        ("max", Self::Max),
    ];
}

/// The name of the label of tokens that belong to no span.
const OUTSIDE: &str = "O";

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanToken {
    /// The part of the text, in any unit.
    pub place: Range<usize>,
    /// `true` if it goes on with the word of the token before it.
    pub continues_word: bool,
}

/// A part of a text with a label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabeledSpan<'l> {
    /// The part of the text, in the unit of the tokens.
    pub place: Range<usize>,
    /// Name of the label; without `B-` and its like where tokens were put together.
    pub label: &'l str,
    /// Probability of the label: the mean of those of its tokens or words.
    pub score: f32,
}

/// Returns the spans of a text, in its order. `scores` are the probabilities of all labels for each
/// token, one token after the other. Spans of the label `O` are left out.
///
/// A token with `B-` or `S-` begins a span, one with `I-`, `E-` or a name without such a prefix
/// goes on with a span of the same name, and nothing goes on after `E-` and `S-`.
///
/// # Panics
/// If there are not as many scores as tokens times labels.
pub fn spans<'l>(
    tokens: &[SpanToken],
    scores: &[f32],
    labels: &'l [String],
    aggregation: Aggregation,
) -> Vec<LabeledSpan<'l>> {
    assert_eq!(
        scores.len(),
        tokens.len() * labels.len(),
        "a score of each label"
    );
    let scores: Vec<&[f32]> = scores.chunks_exact(labels.len().max(1)).collect();
    let units = match aggregation {
        Aggregation::None | Aggregation::Simple => {
            let each = tokens.iter().zip(&scores);
            each.map(|(token, scores)| unit(token.place.clone(), scores))
                .collect()
        }
        Aggregation::First | Aggregation::Average | Aggregation::Max => {
            words(tokens, &scores, aggregation)
        }
    };
    if aggregation == Aggregation::None {
        let named = units.into_iter().map(|unit| LabeledSpan {
            place: unit.place,
            label: &labels[unit.label],
            score: unit.score,
        });
        return named.filter(|span| span.label != OUTSIDE).collect();
    }
    let tags: Vec<(Position, &str)> = labels.iter().map(|label| tag(label, labels)).collect();
    let mut spans: Vec<(LabeledSpan<'l>, usize)> = Vec::new();
    let mut is_open = false;
    for Unit {
        place,
        label,
        score,
    } in units
    {
        let (position, name) = tags[label];
        let goes_on = is_open && matches!(position, Position::Inside | Position::End);
        match spans.last_mut() {
            Some((span, units)) if goes_on && span.label == name => {
                span.place.end = place.end;
                span.score += score;
                *units += 1;
            }
            _ => {
                let span = LabeledSpan {
                    place,
                    label: name,
                    score,
                };
                spans.push((span, 1));
            }
        }
        is_open = matches!(position, Position::Begin | Position::Inside);
    }
    let mean = |(mut span, units): (LabeledSpan<'l>, usize)| {
        span.score /= units as f32;
        span
    };
    let spans = spans.into_iter().map(mean);
    spans.filter(|span| span.label != OUTSIDE).collect()
}

/// A token or a word with its label.
struct Unit {
    place: Range<usize>,
    label: usize,
    score: f32,
}

/// Returns a unit with the label of the highest score, the first of several.
fn unit(place: Range<usize>, scores: &[f32]) -> Unit {
    let mut label = 0;
    for (at, score) in scores.iter().enumerate() {
        if *score > scores[label] {
            label = at;
        }
    }
    Unit {
        place,
        label,
        score: scores[label],
    }
}

/// Returns the words that tokens make.
fn words(tokens: &[SpanToken], scores: &[&[f32]], aggregation: Aggregation) -> Vec<Unit> {
    let mut words = Vec::new();
    let mut first = 0;
    while first < tokens.len() {
        let others = tokens[first + 1..].iter();
        let end = first + 1 + others.take_while(|token| token.continues_word).count();
        let place = tokens[first].place.start..tokens[end - 1].place.end;
        let of_word = &scores[first..end];
        words.push(match aggregation {
            Aggregation::Average => {
                let mut mean = of_word[0].to_vec();
                for scores in &of_word[1..] {
                    mean.iter_mut().zip(*scores).for_each(|(sum, x)| *sum += x);
                }
                let count = of_word.len() as f32;
                mean.iter_mut().for_each(|sum| *sum /= count);
                unit(place, &mean)
            }
            Aggregation::Max => {
                let units = of_word.iter().map(|scores| unit(place.clone(), scores));
                // The first of equally sure ones.
                let surer = |best: Unit, next: Unit| {
                    if next.score > best.score { next } else { best }
                };
                units
                    .reduce(surer)
                    .unwrap_or_else(|| unit(place, of_word[0]))
            }
            _ => unit(place, of_word[0]),
        });
        first = end;
    }
    words
}

#[derive(Clone, Copy)]
enum Position {
    Begin,
    Inside,
    End,
    Single,
}

/// Returns where a token is in its span, and the name of the span. Prefixes of ends and of single
/// tokens are such where another label has the same name with `B-` or `I-`.
fn tag<'l>(label: &'l str, labels: &[String]) -> (Position, &'l str) {
    let Some((prefix, name)) = label.split_once('-') else {
        return (Position::Inside, label);
    };
    let is_begun = || {
        let begun =
            |other: &String| matches!(other.split_once('-'), Some(("B" | "I", n)) if n == name);
        labels.iter().any(begun)
    };
    match prefix {
        "B" => (Position::Begin, name),
        "I" => (Position::Inside, name),
        "E" | "L" if is_begun() => (Position::End, name),
        "S" | "U" if is_begun() => (Position::Single, name),
        _ => (Position::Inside, label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 8] = [
        "O", "B-PER", "I-PER", "E-PER", "S-PER", "I-LOC", "B-LOC", "MISC",
    ];

    /// Tokens of 2 characters; words that begin with `#` go on with the word before.
    fn tokens(words: &[&str]) -> Vec<SpanToken> {
        let token = |(at, word): (usize, &&str)| SpanToken {
            place: 2 * at..2 * at + 2,
            continues_word: word.starts_with('#'),
        };
        words.iter().enumerate().map(token).collect()
    }

    /// Scores in which each token's label has 0.9, or what stands behind the label.
    fn scores(tokens: &[&str]) -> Vec<f32> {
        let of_token = |token: &&str| {
            let (label, sure) = token
                .trim_start_matches('#')
                .split_once(' ')
                .unwrap_or((token.trim_start_matches('#'), "0.9"));
            let sure: f32 = sure.parse().unwrap();
            let label = LABELS.iter().position(|name| *name == label).unwrap();
            let mut scores = vec![(1.0 - sure) / 7.0; LABELS.len()];
            scores[label] = sure;
            scores
        };
        tokens.iter().flat_map(of_token).collect()
    }

    fn found(of: &[&str], aggregation: Aggregation) -> Vec<(usize, usize, String)> {
        let labels = LABELS.map(str::to_owned);
        let spans = spans(&tokens(of), &scores(of), &labels, aggregation);
        let span =
            |span: LabeledSpan<'_>| (span.place.start, span.place.end, span.label.to_owned());
        spans.into_iter().map(span).collect()
    }

    #[test]
    fn tokens_of_one_name_are_one_span_as_their_prefixes_say() {
        type Expected<'a> = &'a [(usize, usize, &'a str)];
        let table: [(&[&str], Expected<'_>); 12] = [
            (&[], &[]),
            (&["O", "O"], &[]),
            (
                &["B-PER", "I-PER", "O", "I-PER"],
                &[(0, 4, "PER"), (6, 8, "PER")],
            ),
            (&["B-PER", "B-PER"], &[(0, 2, "PER"), (2, 4, "PER")]),
            (&["I-PER", "I-LOC"], &[(0, 2, "PER"), (2, 4, "LOC")]),
            (
                &["B-PER", "I-LOC", "I-LOC"],
                &[(0, 2, "PER"), (2, 6, "LOC")],
            ),
            (
                &["B-PER", "I-PER", "E-PER", "I-PER"],
                &[(0, 6, "PER"), (6, 8, "PER")],
            ),
            (
                &["S-PER", "S-PER", "I-PER"],
                &[(0, 2, "PER"), (2, 4, "PER"), (4, 6, "PER")],
            ),
            (
                &["MISC", "MISC", "O", "MISC"],
                &[(0, 4, "MISC"), (6, 8, "MISC")],
            ),
            (&["E-PER", "E-PER"], &[(0, 2, "PER"), (2, 4, "PER")]),
            (&["B-LOC", "E-PER"], &[(0, 2, "LOC"), (2, 4, "PER")]),
            (&["I-LOC"], &[(0, 2, "LOC")]),
        ];
        for (of, expected) in table {
            let found = found(of, Aggregation::Simple);
            let found: Vec<_> = found.iter().map(|(s, e, l)| (*s, *e, l.as_str())).collect();
            assert_eq!(found, expected, "{of:?}");
        }
    }

    #[test]
    fn a_letter_before_a_hyphen_is_a_prefix_where_spans_of_that_name_begin() {
        let labels = ["E-mail", "S-Bahn", "B-PER", "E-PER", "L-X", "I-X"].map(str::to_owned);
        let names: Vec<&str> = labels.iter().map(|label| tag(label, &labels).1).collect();
        assert_eq!(names, ["E-mail", "S-Bahn", "PER", "PER", "X", "X"]);
    }

    #[test]
    fn words_have_one_label_by_the_way_that_is_asked_for() {
        let of = ["B-PER 0.5", "#I-LOC 0.8", "#I-LOC 0.4", "I-PER 0.6"];
        let expect = |aggregation, expected: &[(usize, usize, &str)]| {
            let found = found(&of, aggregation);
            let found: Vec<_> = found.iter().map(|(s, e, l)| (*s, *e, l.as_str())).collect();
            assert_eq!(found, expected, "{aggregation:?}");
        };
        expect(
            Aggregation::None,
            &[
                (0, 2, "B-PER"),
                (2, 4, "I-LOC"),
                (4, 6, "I-LOC"),
                (6, 8, "I-PER"),
            ],
        );
        expect(
            Aggregation::Simple,
            &[(0, 2, "PER"), (2, 6, "LOC"), (6, 8, "PER")],
        );
        expect(Aggregation::First, &[(0, 8, "PER")]);
        expect(Aggregation::Average, &[(0, 6, "LOC"), (6, 8, "PER")]);
        expect(Aggregation::Max, &[(0, 6, "LOC"), (6, 8, "PER")]);
    }

    #[test]
    fn the_score_of_a_span_is_the_mean_of_its_units() {
        let of = ["B-PER 0.5", "I-PER 0.7", "#I-PER 0.9"];
        let labels = LABELS.map(str::to_owned);
        let score = |aggregation| {
            let spans = spans(&tokens(&of), &scores(&of), &labels, aggregation);
            assert_eq!(spans.len(), 1);
            spans[0].score
        };
        assert!((score(Aggregation::Simple) - 0.7).abs() < 1e-6);
        assert!((score(Aggregation::First) - 0.6).abs() < 1e-6);
        assert!((score(Aggregation::Average) - 0.65).abs() < 1e-6);
        assert!((score(Aggregation::Max) - 0.7).abs() < 1e-6);
    }
}

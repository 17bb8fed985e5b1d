//! Merges of BPE, of the scores that sentencepiece gives pieces.

use std::collections::HashMap;

use super::layout::Token;
use super::proto::Kind;

/// Returns the pairs of pieces that make another, those of the piece with the highest score first.
/// Only normal pieces are parts of others.
pub(super) fn of_scores(tokens: &[Token]) -> Vec<[&str; 2]> {
    let normal = tokens.iter().filter(|token| token.kind == Kind::Normal);
    let places: HashMap<&str, usize> = (normal.clone().map(|token| token.text.as_str()))
        .zip(0..)
        .collect();
    let mut merges: Vec<(f32, usize, [&str; 2])> = Vec::new();
    for token in normal {
        let (text, place) = (token.text.as_str(), places[token.text.as_str()]);
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if places.contains_key(left) && places.contains_key(right) {
                merges.push((token.score, place, [left, right]));
            }
        }
    }
    // Stable, so that splits of one piece stay in their order.
    merges.sort_by(|(score, place, _), (other_score, other_place, _)| {
        other_score.total_cmp(score).then(place.cmp(other_place))
    });
    merges.into_iter().map(|(_, _, merge)| merge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_piece_with_the_highest_score_is_merged_first() {
        let token = |(text, score, kind): (&str, f32, Kind)| Token {
            text: text.to_owned(),
            score,
            kind,
        };
        let tokens = [
            ("<s>", 0.0, Kind::Control),
            ("ab", -2.0, Kind::Normal),
            ("bc", -1.0, Kind::Normal),
            ("abc", -3.0, Kind::Normal),
            ("c<s>", -0.5, Kind::Normal),
            ("a", -4.0, Kind::Normal),
            ("b", -5.0, Kind::Normal),
            ("c", -6.0, Kind::Normal),
        ]
        .map(token);
        let expected = [["b", "c"], ["a", "b"], ["a", "bc"], ["ab", "c"]];
        assert_eq!(of_scores(&tokens), expected);
    }
}

//! Pairs of sentences that people have scored.

use std::path::Path;

use crate::{Embedder, cosine};

pub(crate) struct Pairs {
    first: Vec<String>,
    second: Vec<String>,
    scores: Vec<f64>,
}

impl Pairs {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path);
        let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut pairs = Self {
            first: Vec::new(),
            second: Vec::new(),
            scores: Vec::new(),
        };
        for line in text.lines() {
            let [first, second, score] = &fields(line)[..] else {
                panic!("not three fields: {line}");
            };
            pairs.first.push(first.clone());
            pairs.second.push(second.clone());
            pairs.scores.push(score.parse().expect("a number"));
        }
        pairs
    }

    /// Returns Spearman's correlation of the cosines with the scores.
    pub(crate) async fn correlation(&self, embedder: &Embedder<'_>) -> f64 {
        let first = embedder.queries(&self.first).await;
        let second = embedder.queries(&self.second).await;
        let cosines = first.iter().zip(&second);
        let cosines: Vec<f64> = cosines.map(|(a, b)| f64::from(cosine(a, b))).collect();
        pearson(&ranks(&cosines), &ranks(&self.scores))
    }
}

/// Returns the fields of a line of CSV; a quoted one may have commas and doubled quotes.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().expect("there is one from the start");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

/// Returns the rank of each value; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut rank = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let mean = rank as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|at| ranks[*at] = mean);
        rank += equal.len();
    }
    ranks
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (of_a, of_b) = (mean(a), mean(b));
    let sum = |of: &mut dyn Iterator<Item = f64>| of.sum::<f64>();
    let both = sum(&mut a.iter().zip(b).map(|(x, y)| (x - of_a) * (y - of_b)));
    let squares = |of: &[f64], mean: f64| sum(&mut of.iter().map(|x| (x - mean).powi(2)));
    both / (squares(a, of_a) * squares(b, of_b)).sqrt()
}

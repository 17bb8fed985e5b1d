//! Names that are similar to one that does not exist.

/// Names are similar whose edits are at most half of their characters.
const LIKE_ENOUGH: f64 = 0.5;

/// Returns the known names that are similar to `given`, at most `most`, the most similar first.
pub(crate) fn nearest<'a>(
    given: &str,
    known: impl Iterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    let likeness = |name: &'a str| (strsim::normalized_damerau_levenshtein(given, name), name);
    let similar = |(likeness, _): &(f64, &str)| *likeness >= LIKE_ENOUGH;
    let mut names: Vec<(f64, &str)> = known.map(likeness).filter(similar).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.truncate(most);
    names.into_iter().map(|(_, name)| name).collect()
}

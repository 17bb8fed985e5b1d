//! Names in messages: near ones, lists of them, long ones cut.

/// Longest name, in bytes, that [`nearest`] compares: the comparison is quadratic.
const COMPARED_BYTES_MAX: usize = 64;

/// Longest name, in characters, that a message shows.
const SHOWN_CHARS_MAX: usize = 80;

/// Returns the names in quotes, as a part of a sentence: `` `a`, `b` and `c` ``.
pub fn list_of<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Returns the candidate that `name` is most likely a misspelling of, by the Damerau-Levenshtein
/// distance without regard to case: at most a third of the longer name's characters differ.
///
/// `None` when no candidate is near enough, or when `name` is one of them and nothing else is.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if name.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let folded = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|c| *c != name)
        .map(|c| {
            let distance = strsim::damerau_levenshtein(&folded, &c.to_lowercase());
            (distance, c)
        })
        .filter(|(distance, c)| {
            let longest = folded.chars().count().max(c.chars().count());
            *distance <= (longest / 3).max(1) && *distance < longest
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// Returns `name` for a message, cut after 80 characters.
pub fn truncated(name: &str) -> String {
    let mut shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < name.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_name() {
        let names = ["embedding", "text", "score", "index", "k"];
        for (slip, expected) in [
            ("embeding", Some("embedding")),
            ("Embedding", Some("embedding")),
            ("txet", Some("text")),
            ("scores", Some("score")),
            ("embedding", None),
            ("zzz", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, names), expected, "{slip}");
        }
        assert_eq!(nearest(&"x".repeat(100), names), None);
    }

    #[test]
    fn a_list_reads_as_a_part_of_a_sentence() {
        assert_eq!(list_of::<&str>(&[]), "none");
        assert_eq!(list_of(&["a"]), "`a`");
        assert_eq!(list_of(&["a", "b", "c"]), "`a`, `b` and `c`");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = "ü".repeat(SHOWN_CHARS_MAX + 1);
        for (name, expected) in [
            ("", String::new()),
            ("name", "name".to_owned()),
            (&long[2..], long[2..].to_owned()),
            (&long, format!("{}...", &long[2..])),
        ] {
            assert_eq!(truncated(name), expected);
        }
    }
}

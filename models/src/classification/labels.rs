//! Labels: the names of a head's logits.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::LoadError;
use crate::family::CONFIG;
use crate::source::JsonFiles;

#[derive(Deserialize)]
struct Config {
    /// Names by number, as text.
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
}

/// Returns the names of the labels of a head with `rows` logits, whose last weight is `tensor`:
/// those of `id2label` in config.json in the order of their numbers, else `LABEL_0` and so on.
///
/// # Errors
/// Numbers that are not 0 to the number of labels, and another number of labels than the head has.
pub(super) fn read(
    json: &JsonFiles<'_>,
    rows: usize,
    tensor: &str,
) -> Result<Vec<String>, LoadError> {
    let Config {
        id2label,
        num_labels,
    } = json.required(CONFIG)?;
    let refuse = |reason: String| json.unsupported(CONFIG, reason);
    let labels = id2label.map_or_else(
        || Ok((0..num_labels.unwrap_or(rows)).map(default_name).collect()),
        |names| in_order(names).map_err(refuse),
    )?;
    if labels.len() != rows {
        let key = "id2label";
        let reason = format!(
            "{key} has {} labels, but the head has {rows} ({tensor}): they must be as many",
            labels.len()
        );
        return Err(refuse(reason));
    }
    Ok(labels)
}

fn default_name(number: usize) -> String {
    format!("LABEL_{number}")
}

/// Returns names in the order of their numbers.
fn in_order(names: BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let count = names.len();
    let mut labels = vec![None; count];
    for (key, name) in names {
        let number = key.parse::<usize>();
        let Some(label) = number.ok().and_then(|number| labels.get_mut(number)) else {
            return Err(format!(
                "id2label has {count} labels and one of them has the number `{key}`; numbers are 0 \
                 to {}, without gaps",
                count - 1
            ));
        };
        *label = Some(name);
    }
    let named = labels.into_iter().collect::<Option<Vec<_>>>();
    named.ok_or_else(|| "id2label has a number twice".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, name): &(&str, &str)| ((*key).to_owned(), (*name).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn labels_are_in_the_order_of_their_numbers_not_of_the_file() {
        let many: Vec<_> = (0..12).map(|n| (n.to_string(), default_name(n))).collect();
        let many = many.into_iter().collect();
        let expected: Vec<_> = (0..12).map(default_name).collect();
        assert_eq!(in_order(many), Ok(expected));
        let found = in_order(names(&[("1", "yes"), ("0", "no")]));
        assert_eq!(found.unwrap(), ["no", "yes"]);
        assert_eq!(in_order(names(&[])), Ok(Vec::new()));
    }

    #[test]
    fn gaps_and_numbers_that_are_none_are_refused() {
        for (pairs, key) in [
            (&[("0", "a"), ("2", "c")][..], "2"),
            (&[("1", "b")], "1"),
            (&[("0", "a"), ("x", "b")], "x"),
            (&[("-1", "a")], "-1"),
        ] {
            let error = in_order(names(pairs)).unwrap_err();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
        let twice = in_order(names(&[("0", "a"), ("00", "b")]));
        assert!(twice.unwrap_err().contains("twice"));
    }
}

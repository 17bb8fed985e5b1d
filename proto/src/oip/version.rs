//! Versions of models. A configuration names a model `classifier`, or `classifier@4` where it has
//! several versions; in messages, name and version are separate fields.

use std::cmp::Ordering;

/// Version of a model whose name has none.
pub const VERSION: &str = "1";

/// Separator of name and version.
const SEPARATOR: char = '@';

/// Splits the name of a model in a configuration into name and version, if it has one.
pub fn split_version(model: &str) -> (&str, Option<&str>) {
    match model.split_once(SEPARATOR) {
        Some((name, version)) => (name, Some(version)),
        None => (model, None),
    }
}

/// Finds the model of a configuration that a request means by a name and a version.
///
/// An empty version means the model with exactly this configured name, else the newest version of
/// `name`: the greatest number, or the last in lexical order where versions are not numbers.
pub fn find_version<'m>(
    models: impl IntoIterator<Item = &'m str>,
    name: &str,
    version: &str,
) -> Option<&'m str> {
    let mut newest: Option<(&str, &str)> = None;
    for model in models {
        let (base, own) = split_version(model);
        let own = own.unwrap_or(VERSION);
        if version.is_empty() && model == name || base == name && own == version {
            return Some(model);
        }
        let is_newer = newest.is_none_or(|(_, best)| by_age(best, own).is_lt());
        if version.is_empty() && base == name && is_newer {
            newest = Some((model, own));
        }
    }
    newest.map(|(model, _)| model)
}

/// Orders two versions from old to new.
fn by_age(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_its_version_or_the_newest() {
        let models = ["minilm", "judge@9", "judge@10", "judge@2", "eye@b", "eye@a"];
        for (name, version, found) in [
            ("minilm", "", Some("minilm")),
            ("minilm", "1", Some("minilm")),
            ("minilm", "2", None),
            ("judge", "", Some("judge@10")),
            ("judge", "2", Some("judge@2")),
            ("judge", "1", None),
            ("judge@9", "", Some("judge@9")),
            ("judge@9", "9", None),
            ("eye", "", Some("eye@b")),
            ("missing", "", None),
            ("", "", None),
        ] {
            assert_eq!(
                find_version(models, name, version),
                found,
                "{name} {version}"
            );
        }
        // A model without a version wins over versions of the same name.
        assert_eq!(find_version(["a@7", "a"], "a", ""), Some("a"));
        assert_eq!(split_version("judge@9"), ("judge", Some("9")));
        assert_eq!(split_version("minilm"), ("minilm", None));
    }
}

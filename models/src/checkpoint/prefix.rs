//! Prefixes of the encoder's names in a file, and former names of tensors.

use crate::architecture::Architecture;

/// Prefixes of the tools that wrap a model before it is saved: parallel training (`module.`),
/// compilation (`_orig_mod.`), a class around the model (`model.`).
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// Returns the prefix of the encoder's tensors among `names`: any wrappers, and one of the family's
/// own, so that a tensor that every file has is found behind it. Of several, the shortest; `""` if
/// there is none.
pub(super) fn find<'a>(
    names: impl Iterator<Item = &'a str>,
    architecture: &Architecture,
) -> String {
    let anchor = &architecture.embedding.anchor().name;
    let prefixes = names.filter_map(|name| name.strip_suffix(anchor.as_str()));
    let known = |prefix: &&str| without_wrappers(prefix, architecture.prefixes).is_empty();
    let shortest = prefixes.filter(known).min_by_key(|prefix| prefix.len());
    shortest.unwrap_or_default().to_owned()
}

/// Returns the prefix of the tensors around the encoder, whose own prefix is `encoder`: the
/// wrappers before the family's prefix.
pub(super) fn of_model(encoder: &str, family: &[&str]) -> String {
    // The longest of the family's: one may end like another.
    let family = family.iter().filter_map(|prefix| encoder.rfind(prefix));
    let wrappers = family.min().map_or(encoder, |at| &encoder[..at]);
    wrappers.to_owned()
}

/// Returns a name without the wrappers before it, and without the prefixes of a family among them.
pub(crate) fn without_wrappers<'a>(mut name: &'a str, family: &[&str]) -> &'a str {
    let known = |name: &'a str| {
        let mut prefixes = WRAPPERS.iter().chain(family);
        prefixes.find_map(|prefix| name.strip_prefix(prefix))
    };
    while let Some(rest) = known(name) {
        name = rest;
    }
    name
}

/// Returns the name that a scale or shift of a layer norm has in files that began as TensorFlow's.
pub(super) fn former_name(name: &str) -> Option<String> {
    let former = |ending: &str, former: &str| {
        let norm = name.strip_suffix(ending)?;
        Some(format!("{norm}{former}"))
    };
    former("LayerNorm.weight", "LayerNorm.gamma")
        .or_else(|| former("LayerNorm.bias", "LayerNorm.beta"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_told_from_names() {
        for (name, family, expected) in [
            ("module.bert.pooler", &["bert."][..], "pooler"),
            ("module.bert.pooler", &[], "bert.pooler"),
            ("_orig_mod.module.model.score.weight", &[], "score.weight"),
            ("bert._orig_mod.pooler", &["bert."], "pooler"),
            ("classifier.weight", &["bert."], "classifier.weight"),
            ("modules.x", &[], "modules.x"),
            ("module.nomic_bert.x", &["bert.", "nomic_bert."], "x"),
        ] {
            assert_eq!(without_wrappers(name, family), expected, "{name}");
        }
    }

    #[test]
    fn a_model_has_the_wrappers_of_its_encoder() {
        for (encoder, family, expected) in [
            ("bert.", &["bert."][..], ""),
            ("module.bert.", &["bert."], "module."),
            ("bert._orig_mod.", &["bert."], ""),
            ("", &["bert."], ""),
            ("module.", &["bert."], "module."),
            ("module.nomic_bert.", &["bert.", "nomic_bert."], "module."),
            ("model.", &["model."], ""),
            ("module.model.", &["model."], "module."),
        ] {
            assert_eq!(of_model(encoder, family), expected, "{encoder}");
        }
    }

    #[test]
    fn former_names_are_those_of_layer_norms() {
        for (name, expected) in [
            ("a.LayerNorm.weight", Some("a.LayerNorm.gamma")),
            ("a.LayerNorm.bias", Some("a.LayerNorm.beta")),
            ("a.dense.weight", None),
        ] {
            assert_eq!(former_name(name).as_deref(), expected);
        }
    }
}

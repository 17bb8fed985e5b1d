//! Tensors as torch saves them with a parametrization that changes them: `X.weight` under the name
//! `X.parametrizations.weight.original`, beside the two factors of its adapters.

use std::collections::BTreeMap;

/// Part of a parametrized tensor's name between its module's name and its own.
const BEFORE: &str = ".parametrizations.";
/// Ending of the tensor itself.
const ORIGINAL: &str = ".original";
/// Endings of the factors of adapters.
const FACTORS: [&str; 2] = [".0.lora_A", ".0.lora_B"];

/// Gives tensors with adapters their plain names, and takes out the factors, by these names. What
/// has another parametrization is left as it is: its tensors are not found.
pub(super) fn take<T>(tensors: &mut BTreeMap<String, T>) -> BTreeMap<String, [T; 2]> {
    let originals: Vec<String> = tensors
        .keys()
        .filter(|name| name.ends_with(ORIGINAL) && name.contains(BEFORE))
        .cloned()
        .collect();
    let mut changes = BTreeMap::new();
    for original in originals {
        let stem = original.strip_suffix(ORIGINAL).unwrap_or_default();
        let all = tensors.range(format!("{stem}.")..);
        let count = all.take_while(|(name, _)| name.starts_with(&format!("{stem}.")));
        let factors = FACTORS.map(|ending| format!("{stem}{ending}"));
        let is_known = factors.iter().all(|name| tensors.contains_key(name));
        if count.count() != 1 + FACTORS.len() || !is_known {
            continue;
        }
        let plain = stem.replacen(BEFORE, ".", 1);
        let [first, second] = factors.map(|name| tensors.remove(&name));
        let tensor = tensors.remove(&original);
        if let (Some(tensor), Some(first), Some(second)) = (tensor, first, second) {
            tensors.insert(plain.clone(), tensor);
            changes.insert(plain, [first, second]);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_with_adapters_have_plain_names() {
        let names = [
            "a.parametrizations.weight.0.lora_A",
            "a.parametrizations.weight.0.lora_B",
            "a.parametrizations.weight.original",
            "a.bias",
            // Another parametrization after the first.
            "b.parametrizations.weight.0.lora_A",
            "b.parametrizations.weight.0.lora_B",
            "b.parametrizations.weight.1.base",
            "b.parametrizations.weight.original",
            // One that is none of an adapter's.
            "c.parametrizations.weight.original",
            "c.parametrizations.weight.original0",
        ];
        let mut tensors: BTreeMap<String, usize> = names
            .iter()
            .enumerate()
            .map(|(at, name)| ((*name).to_owned(), at))
            .collect();
        let changes = take(&mut tensors);
        assert_eq!(changes, BTreeMap::from([("a.weight".to_owned(), [0, 1])]));
        let mut expected: Vec<&str> = names[3..].to_vec();
        expected.push("a.weight");
        expected.sort_unstable();
        assert_eq!(tensors.keys().collect::<Vec<_>>(), expected);
        assert_eq!(tensors["a.weight"], 2);
    }
}

//! [`plan`]: which files of a repository a model is made of.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

const MODULES: &str = "modules.json";
const TOKENIZER: &str = "tokenizer.json";
/// Weights in one file.
const SINGLE: &str = "model.safetensors";
/// The list of the files of weights in parts.
const INDEX: &str = "model.safetensors.index.json";
/// Endings of files with settings and vocabularies.
const SETTINGS: [&str; 3] = [".json", ".txt", ".jinja"];
/// Vocabularies of sentencepiece, which are read where there is no tokenizer.json.
const SENTENCEPIECE: &str = ".model";
/// Heads that have files by themselves, as safetensors or as torch saves them.
const HEADS: [&str; 2] = ["colbert_linear", "sparse_linear"];
/// Settings and weights of an adapter, in the model's folder or in one inside it.
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];
/// Endings of weights that are not read.
const OTHER_WEIGHTS: [&str; 9] = [
    ".bin", ".gguf", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pth", ".ckpt",
];

/// The files of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Their paths.
    pub(crate) files: BTreeSet<String>,
    /// `false` while there may be more: a file that says so has not been read.
    pub(crate) is_whole: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Plan {
    /// Returns files with weights, none of which is read, if there are no others.
    pub(crate) fn only_other_weights(&self, paths: &BTreeSet<String>) -> Vec<String> {
        let is_read = |path: &String| path.ends_with(".safetensors");
        if !self.is_whole || self.files.iter().any(is_read) {
            return Vec::new();
        }
        let is_other = |path: &&String| ends_with_any(path, &OTHER_WEIGHTS);
        paths.iter().filter(is_other).cloned().collect()
    }
}

/// Returns which of the files of a repository, or of a folder, are those of its model: settings,
/// tokenizer and weights of the model and of its modules, in the one format that is read. `read`
/// returns the content of a file, or `None` if it is not there yet.
pub(crate) fn plan(paths: &BTreeSet<String>, read: impl Fn(&str) -> Option<Vec<u8>>) -> Plan {
    let mut plan = Plan {
        files: BTreeSet::new(),
        is_whole: true,
    };
    add_settings(&mut plan, paths, "");
    add_adapters(&mut plan, paths);
    let folders = match paths.contains(MODULES) {
        false => vec![String::new()],
        true => match read(MODULES) {
            Some(bytes) => folders(&bytes),
            None => {
                plan.is_whole = false;
                return plan;
            }
        },
    };
    for folder in folders {
        add_settings(&mut plan, paths, &folder);
        add_weights(&mut plan, paths, &folder, &read);
    }
    plan
}

/// Returns the folders of the modules, each empty or with a slash at its end.
fn folders(modules: &[u8]) -> Vec<String> {
    // A file that does not parse is reported by who loads the model.
    let modules: Vec<Module> = serde_json::from_slice(modules).unwrap_or_default();
    let folder = |module: Module| match module.path.trim_matches('/') {
        "" | "." => String::new(),
        path => format!("{}/", path.strip_prefix("./").unwrap_or(path)),
    };
    modules.into_iter().map(folder).collect()
}

/// Returns the names of the files of a folder.
fn names<'p>(paths: &'p BTreeSet<String>, folder: &'p str) -> impl Iterator<Item = &'p str> {
    let names = paths
        .iter()
        .filter_map(move |path| path.strip_prefix(folder));
    names.filter(|name| !name.contains('/'))
}

fn add_settings(plan: &mut Plan, paths: &BTreeSet<String>, folder: &str) {
    let has_tokenizer = paths.contains(&format!("{folder}{TOKENIZER}"));
    for name in names(paths, folder) {
        let is_vocabulary = name.ends_with(SENTENCEPIECE) && !has_tokenizer;
        if ends_with_any(name, &SETTINGS) || is_vocabulary {
            plan.files.insert(format!("{folder}{name}"));
        }
    }
}

/// Adds the adapters that lie in the model's folder, or each in a folder inside it.
fn add_adapters(plan: &mut Plan, paths: &BTreeSet<String>) {
    let [settings, weights] = ADAPTER;
    for path in paths {
        let Some(folder) = path.strip_suffix(settings) else {
            continue;
        };
        let weights = format!("{folder}{weights}");
        let is_near = match folder.strip_suffix('/') {
            Some(name) => !name.contains('/'),
            None => folder.is_empty(),
        };
        if is_near {
            plan.files.insert(path.clone());
            plan.files.extend(paths.get(&weights).cloned());
        }
    }
}

/// Adds the weights of a folder: in one file, or in the files that the index names, or in the only
/// one of this format; and those of heads by themselves.
fn add_weights(
    plan: &mut Plan,
    paths: &BTreeSet<String>,
    folder: &str,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) {
    let path = |name: &str| format!("{folder}{name}");
    let mut heads = Vec::new();
    for head in HEADS {
        let files = ["safetensors", "pt"].map(|ending| format!("{head}.{ending}"));
        let mut files = files.into_iter().filter(|name| paths.contains(&path(name)));
        heads.extend(files.next());
    }
    let weights = || names(paths, folder).filter(|name| name.ends_with(".safetensors"));
    let others: Vec<&str> = weights()
        .filter(|name| !heads.iter().any(|head| head == name) && *name != ADAPTER[1])
        .collect();
    if paths.contains(&path(SINGLE)) {
        plan.files.insert(path(SINGLE));
    } else if paths.contains(&path(INDEX)) {
        match read(&path(INDEX)) {
            // One that does not parse is reported by who loads the model.
            Some(bytes) => {
                let index: Option<Index> = serde_json::from_slice(&bytes).ok();
                let shards = index
                    .into_iter()
                    .flat_map(|index| index.weight_map.into_values());
                let shards = shards.map(|shard| path(&shard));
                plan.files
                    .extend(shards.filter(|shard| paths.contains(shard)));
            }
            None => plan.is_whole = false,
        }
    } else if let [only] = others[..] {
        plan.files.insert(path(only));
    }
    plan.files.extend(heads.iter().map(|head| path(head)));
}

fn ends_with_any(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans for files, some of which can be read: `path` or `path = content`.
    fn check(files: &[&str], expected: &[&str], is_whole: bool) {
        let split = |line: &&str| match line.split_once(" = ") {
            Some((path, content)) => (path.to_owned(), Some(content.to_owned())),
            None => ((*line).to_owned(), None),
        };
        let files: BTreeMap<String, Option<String>> = files.iter().map(split).collect();
        let paths = files.keys().cloned().collect();
        let plan = plan(&paths, |path| Some(files.get(path)?.clone()?.into_bytes()));
        let found: Vec<&str> = plan.files.iter().map(String::as_str).collect();
        assert_eq!(
            (found, plan.is_whole),
            (expected.to_vec(), is_whole),
            "{files:?}"
        );
    }

    #[test]
    fn only_what_a_model_is_made_of_is_planned() {
        check(
            &[
                ".gitattributes",
                "README.md",
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "pytorch_model.bin",
                "tf_model.h5",
                "flax_model.msgpack",
                "rust_model.ot",
                "onnx/model.onnx",
                "onnx/config.json",
                "openvino/openvino_model.xml",
                "openvino/openvino_model.bin",
                "model.gguf",
                "vocab.txt",
                "spiece.model",
                "chat_template.jinja",
                "modeling_x.py",
                "image.png",
            ],
            &[
                "chat_template.jinja",
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "vocab.txt",
            ],
            true,
        );
    }

    #[test]
    fn the_index_says_which_shards_are_needed() {
        let files = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "stray.safetensors",
        ];
        let index = r#"model.safetensors.index.json = {"weight_map":{
            "a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors",
            "c":"../../x","d":"absent.safetensors"}}"#;
        check(
            &[&files[..], &["model.safetensors.index.json"]].concat(),
            &["config.json", "model.safetensors.index.json"],
            false,
        );
        check(
            &[&files[..], &[index]].concat(),
            &[
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
            true,
        );
        check(
            &[
                "model.safetensors",
                "model.safetensors.index.json",
                "model-1.safetensors",
            ],
            &["model.safetensors", "model.safetensors.index.json"],
            true,
        );
        check(&["only.safetensors"], &["only.safetensors"], true);
        check(&["one.safetensors", "two.safetensors"], &[], true);
    }

    #[test]
    fn modules_have_folders() {
        let files = [
            "config_sentence_transformers.json",
            "0_Transformer/config.json",
            "0_Transformer/model.safetensors",
            "0_Transformer/pytorch_model.bin",
            "0_Transformer/spm.model",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "3_Other/config.json",
            "onnx/model.safetensors",
        ];
        let modules = r#"modules.json = [{"path":"0_Transformer"},{"path":"./1_Pooling/"},
            {"path":"2_Dense"},{"path":"../.."}]"#;
        check(
            &[&files[..], &["modules.json"]].concat(),
            &["config_sentence_transformers.json", "modules.json"],
            false,
        );
        check(
            &[&files[..], &[modules]].concat(),
            &[
                "0_Transformer/config.json",
                "0_Transformer/model.safetensors",
                "0_Transformer/spm.model",
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "config_sentence_transformers.json",
                "modules.json",
            ],
            true,
        );
    }

    #[test]
    fn heads_by_themselves_are_planned_once() {
        check(
            &[
                "model.safetensors",
                "colbert_linear.pt",
                "sparse_linear.pt",
                "sparse_linear.safetensors",
                "training_args.pt",
            ],
            &[
                "colbert_linear.pt",
                "model.safetensors",
                "sparse_linear.safetensors",
            ],
            true,
        );
    }

    #[test]
    fn adapters_are_planned_with_the_model_and_by_themselves() {
        check(
            &[
                "config.json",
                "weights.safetensors",
                "query/adapter_config.json",
                "query/adapter_model.safetensors",
                "query/README.md",
                "passage/adapter_config.json",
                "passage/adapter_model.bin",
                "checkpoints/step-1/adapter_config.json",
                "my_adapter_config.json",
            ],
            &[
                "config.json",
                "my_adapter_config.json",
                "passage/adapter_config.json",
                "query/adapter_config.json",
                "query/adapter_model.safetensors",
                "weights.safetensors",
            ],
            true,
        );
        check(
            &[
                "adapter_config.json",
                "adapter_model.safetensors",
                "model.safetensors",
                "training_args.bin",
            ],
            &[
                "adapter_config.json",
                "adapter_model.safetensors",
                "model.safetensors",
            ],
            true,
        );
        check(
            &[
                "adapter_config.json",
                "adapter_model.safetensors",
                "README.md",
            ],
            &["adapter_config.json", "adapter_model.safetensors"],
            true,
        );
    }

    #[test]
    fn weights_that_are_not_read_are_told() {
        for (files, expected) in [
            (
                &["config.json", "pytorch_model.bin"][..],
                &["pytorch_model.bin"][..],
            ),
            (&["config.json", "onnx/model.onnx"], &["onnx/model.onnx"]),
            (&["pytorch_model.bin", "model.safetensors"], &[]),
            (&["config.json"], &[]),
        ] {
            let paths = files.iter().map(|path| (*path).to_owned()).collect();
            let plan = plan(&paths, |_| None);
            assert_eq!(plan.only_other_weights(&paths), expected, "{files:?}");
        }
    }
}

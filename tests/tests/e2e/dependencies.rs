//! The directions of dependencies between the crates.

use std::collections::{BTreeMap, BTreeSet};

use motet_tests::packages;

/// The crates of this workspace, each with those that it may depend on.
const ALLOWED: [(&str, &[&str]); 20] = [
    ("motet-all-minilm-l6-v2", &[]),
    ("motet-config", &[]),
    ("motet-hub", &["motet-config"]),
    ("motet-proto", &[]),
    ("motet-rows", &["motet-config"]),
    ("motet-batch", &["motet-config", "motet-rows"]),
    ("motet-kernels", &[]),
    (
        "motet-models",
        &["motet-all-minilm-l6-v2", "motet-config", "motet-kernels"],
    ),
    ("motet-batcher", &[]),
    ("motet-batcher-simulator", &["motet-batcher"]),
    ("motet-runtime", &["motet-proto", "motet-config"]),
    (
        "motet-service",
        &[
            "motet-config",
            "motet-hub",
            "motet-proto",
            "motet-models",
            "motet-batcher",
            "motet-runtime",
        ],
    ),
    (
        "motet-stream",
        &["motet-config", "motet-rows", "motet-runtime"],
    ),
    (
        "motet-gateway",
        &["motet-config", "motet-proto", "motet-runtime"],
    ),
    (
        "motet",
        &[
            "motet-batch",
            "motet-config",
            "motet-gateway",
            "motet-hub",
            "motet-service",
            "motet-proto",
            "motet-rows",
            "motet-runtime",
            "motet-stream",
        ],
    ),
    // Examples are written against what is public.
    ("motet-example-magika", &["motet"]),
    ("motet-example-nsfw", &["motet"]),
    ("motet-example-voice", &["motet"]),
    (
        "motet-fuzz",
        &[
            "motet",
            "motet-config",
            "motet-gateway",
            "motet-models",
            "motet-proto",
            "motet-runtime",
        ],
    ),
    (
        "motet-tests",
        &[
            "motet",
            "motet-config",
            "motet-gateway",
            "motet-proto",
            "motet-runtime",
        ],
    ),
];

/// Parts of the names of packages that a crate must not depend on, directly or indirectly.
const NEVER: [(&str, &[&str]); 12] = [
    ("motet-config", &["candle", "tonic", "prost", "tokio"]),
    ("motet-hub", &["candle", "tonic", "prost"]),
    ("motet-gateway", &["candle", "tokenizers", "safetensors"]),
    ("motet-runtime", &["candle", "tokenizers", "safetensors"]),
    ("motet-proto", &["candle", "tokenizers"]),
    ("motet-batcher", &["candle", "tonic", "prost"]),
    ("motet-batcher-simulator", &["candle", "tonic", "prost"]),
    (
        "motet-kernels",
        &["candle", "safetensors", "tokenizers", "tokio"],
    ),
    // prost reads files of sentencepiece; messages of gRPC are none of its business.
    ("motet-models", &["tonic", "motet-proto", "tokio", "hyper"]),
    ("motet-stream", &["candle", "tokenizers"]),
    ("motet-rows", &["candle", "tonic", "prost", "hyper"]),
    ("motet-batch", &["candle", "tonic", "prost", "clap"]),
];

/// Normal and build dependencies of every package, by name.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let packages = packages::resolved();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages.values() {
        let of_users = package.dependencies.iter().filter(|d| d.normal || d.build);
        graph
            .entry(package.name.clone())
            .or_default()
            .extend(of_users.map(|d| packages[&d.id].name.clone()));
    }
    graph
}

#[test]
fn crates_depend_on_each_other_one_way() {
    let graph = graph();
    let ours: BTreeSet<&str> = graph
        .keys()
        .map(String::as_str)
        .filter(|name| *name == "motet" || name.starts_with("motet-"))
        .collect();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, known, "a new crate needs its place in the table");
    for (name, allowed) in ALLOWED {
        let found = graph[name].iter().filter(|d| ours.contains(d.as_str()));
        for dependency in found {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
    for (name, never) in NEVER {
        let mut seen = BTreeSet::from([name]);
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            for dependency in graph.get(next).into_iter().flatten() {
                if seen.insert(dependency) {
                    open.push(dependency);
                }
            }
        }
        for part in never {
            let found = seen.iter().find(|package| package.contains(part));
            assert!(found.is_none(), "{name} needs {found:?}");
        }
    }
}

//! The directions in which the crates depend on each other.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The crates of this workspace, each with those that it may depend on.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("motet-config", &[]),
    ("motet-proto", &[]),
    ("motet-models", &[]),
    ("motet-batcher", &[]),
    ("motet-batcher-simulator", &["motet-batcher"]),
    ("motet-runtime", &["motet-proto", "motet-config"]),
    (
        "motet-service",
        &[
            "motet-config",
            "motet-proto",
            "motet-models",
            "motet-batcher",
            "motet-runtime",
        ],
    ),
    (
        "motet-gateway",
        &["motet-config", "motet-proto", "motet-runtime"],
    ),
    (
        "motet",
        &[
            "motet-config",
            "motet-gateway",
            "motet-service",
            "motet-proto",
            "motet-runtime",
        ],
    ),
    (
        "motet-tests",
        &["motet", "motet-gateway", "motet-proto", "motet-runtime"],
    ),
];

/// What a crate and everything below it must never need, as a part of a package's name.
const NEVER: [(&str, &[&str]); 7] = [
    ("motet-config", &["candle", "tonic", "prost", "tokio"]),
    ("motet-gateway", &["candle", "tokenizers", "safetensors"]),
    ("motet-runtime", &["candle", "tokenizers", "safetensors"]),
    ("motet-proto", &["candle", "tokenizers"]),
    ("motet-batcher", &["candle", "tonic", "prost"]),
    ("motet-batcher-simulator", &["candle", "tonic", "prost"]),
    ("motet-models", &["tonic", "prost", "tokio", "hyper"]),
];

/// What cargo prints.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(motet_tests::repository())
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Normal and build dependencies of every package, by name.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let version = cargo(&["--version", "--verbose"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    // What only other platforms need is not on this machine.
    let platform = ["--filter-platform", host.expect("a host")];
    let metadata = ["metadata", "--format-version", "1", "--offline", "--locked"];
    let metadata = cargo(&[&metadata[..], &platform[..]].concat());
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let of_users = |dependency: &&Value| {
            list(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"] != "dev")
        };
        let dependencies = list(&node["deps"]);
        let dependencies = dependencies.iter().filter(of_users);
        graph
            .entry(names[&text(&node["id"])].clone())
            .or_default()
            .extend(dependencies.map(|d| names[&text(&d["pkg"])].clone()));
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

//! The published packages have all that a registry asks for.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use motet_tests::repository;
use serde_json::Value;

/// The crates that are not published.
const PRIVATE: [&str; 7] = [
    "motet-batcher-simulator",
    "motet-example-magika",
    "motet-example-nsfw",
    "motet-example-voice",
    "motet-fuzz",
    "motet-tests",
    "my-models",
];
/// The most bytes of a package that registries take without being asked. The files are counted
/// before they are compressed.
const PACKAGE_BYTES_MAX: u64 = 10_000_000;
/// Weights are as large as they are: a registry has to be asked for more room.
const LARGE: [&str; 1] = ["motet-all-minilm-l6-v2"];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the packages of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let metadata = [
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ];
    let metadata: Value = serde_json::from_str(&cargo(&metadata)).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("a name")
}

fn is_published(package: &Value) -> bool {
    package["publish"].is_null()
}

#[test]
fn a_package_says_what_it_is() {
    let packages = packages();
    let private: BTreeSet<&str> = packages
        .iter()
        .filter(|p| !is_published(p))
        .map(name)
        .collect();
    assert_eq!(private, BTreeSet::from(PRIVATE));
    for package in packages.iter().filter(|p| is_published(p)) {
        let name = name(package);
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let description = text("description");
        assert!(
            (20..=100).contains(&description.len()),
            "{name}: {description}"
        );
        assert!(!text("license").is_empty(), "{name} has no licence");
        let manifest = text("manifest_path");
        let folder = Path::new(&manifest).parent().expect("a folder");
        let readme = folder.join(text("readme"));
        let readme = std::fs::read_to_string(&readme).expect("a README");
        assert!(
            readme.starts_with(&format!("# {name}\n")),
            "{name}'s README"
        );
        // Pages of a registry have no files of the repository beside them.
        for link in ["](../", "](src", "](docs", "](services"] {
            assert!(!readme.contains(link), "{name}'s README has a link {link}");
        }
        for (key, most) in [("keywords", 5), ("categories", 5)] {
            let words = package[key].as_array().expect("a list").len();
            assert!((1..=most).contains(&words), "{name} has {words} {key}");
        }
        for dependency in package["dependencies"].as_array().expect("a list") {
            let on = dependency["name"].as_str().expect("a name");
            let is_for_users = dependency["kind"] != "dev";
            assert!(
                !is_for_users || dependency["req"] != "*",
                "{name} needs {on} in any version"
            );
            assert!(!is_for_users || !PRIVATE.contains(&on), "{name} needs {on}");
        }
    }
}

#[test]
fn a_package_has_what_it_needs_and_not_too_much() {
    for package in packages().iter().filter(|p| is_published(p)) {
        let name = name(package);
        let list = [
            "package",
            "--list",
            "--offline",
            "--allow-dirty",
            "-p",
            name,
        ];
        let listed = cargo(&list);
        let files: BTreeSet<&str> = listed.lines().collect();
        let manifest = package["manifest_path"].as_str().expect("a path");
        let folder = Path::new(manifest).parent().expect("a folder");
        for needed in ["Cargo.toml", "README.md", "LICENSE-APACHE"] {
            assert!(files.contains(needed), "{name} lacks {needed}");
        }
        for target in package["targets"].as_array().expect("a list") {
            let is_built = |kind: &Value| ["lib", "bin", "custom-build"].iter().any(|k| kind == k);
            if target["kind"]
                .as_array()
                .expect("a list")
                .iter()
                .any(is_built)
            {
                let source = Path::new(target["src_path"].as_str().expect("a path"));
                let source = source.strip_prefix(folder).expect("in the package");
                let source = source.to_str().expect("text");
                assert!(files.contains(source), "{name} lacks {source}");
            }
        }
        let size = |file: &&str| std::fs::metadata(folder.join(file)).map_or(0, |m| m.len());
        let bytes: u64 = files.iter().map(size).sum();
        let is_large = bytes > PACKAGE_BYTES_MAX;
        assert_eq!(is_large, LARGE.contains(&name), "{name} has {bytes} bytes");
    }
}

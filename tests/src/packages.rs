//! The packages that this workspace is built from, as `cargo metadata` reports them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// A package, as resolved for this machine's platform.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `true` for a package of this workspace.
    pub ours: bool,
    /// Its licence, an SPDX expression.
    pub licence: Option<String>,
    /// Where its source code is kept, as its authors say.
    pub repository: Option<String>,
    /// The folder of its sources.
    pub folder: PathBuf,
    /// Packages that it needs, by the keys of [`resolved`].
    pub dependencies: Vec<Dependency>,
}

/// A package that another needs.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Its key in [`resolved`].
    pub id: String,
    /// `true` when the code needs it itself.
    pub normal: bool,
    /// `true` when a build script needs it.
    pub build: bool,
}

/// Returns the platform that this machine's toolchain builds for, such as
/// `x86_64-unknown-linux-gnu`.
///
/// # Panics
/// When cargo does not run.
pub fn host() -> String {
    let version = cargo(&["--version", "--verbose"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("a host").to_owned()
}

/// Every package of Cargo.lock that this platform needs, by cargo's id.
///
/// # Panics
/// When cargo does not run, or Cargo.lock is out of date.
pub fn resolved() -> BTreeMap<String, Package> {
    // The packages that only other platforms need are not on this machine.
    let platform = ["--filter-platform", &host()];
    let features: &[&str] = match cfg!(feature = "kafka") {
        true => &["--features", "motet-tests/kafka"],
        false => &[],
    };
    let metadata = ["metadata", "--format-version", "1", "--offline", "--locked"];
    let metadata = cargo(&[&metadata[..], &platform[..], features].concat());
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let nodes = list(&metadata["resolve"]["nodes"]).iter();
    let mut dependencies: BTreeMap<String, Vec<Dependency>> = nodes
        .map(|node| {
            let dependencies = list(&node["deps"]).iter().map(dependency);
            (text(&node["id"]), dependencies.collect())
        })
        .collect();
    let packages = list(&metadata["packages"]).iter();
    packages
        .map(|package| {
            let id = text(&package["id"]);
            let optional = |key: &str| package[key].as_str().map(str::to_owned);
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let package = Package {
                name: text(&package["name"]),
                version: text(&package["version"]),
                ours: package["source"].is_null(),
                licence: optional("license"),
                repository: optional("repository"),
                folder: manifest.parent().expect("a folder").to_owned(),
                dependencies: dependencies.remove(&id).unwrap_or_default(),
            };
            (id, package)
        })
        .collect()
}

fn dependency(value: &Value) -> Dependency {
    let has = |kind: Value| {
        let kinds = list(&value["dep_kinds"]);
        kinds.iter().any(|k| k["kind"] == kind)
    };
    Dependency {
        id: text(&value["pkg"]),
        normal: has(Value::Null),
        build: has("build".into()),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

/// Runs cargo and returns what it printed.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(crate::repository())
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

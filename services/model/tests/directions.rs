//! The modules of the crate use each other in one direction: each only those after it in the list.

use std::fs;
use std::path::{Path, PathBuf};

/// All modules, in the order in which a request passes them; then those that use none of these.
const MODULES: [&str; 26] = [
    "server",
    "repository",
    "registry",
    "loader",
    "model",
    "memory_budget",
    "resolve",
    "spec",
    "image",
    "text",
    "task",
    "statistics",
    "observer",
    "model_health",
    "status_of",
    "request",
    "limits",
    "call_cost",
    "cpu_pool",
    "core_permits",
    "per_encoder",
    "token_vectors",
    "hub_sources",
    "identity",
    "in_flight",
    "trace",
];

/// Returns the modules of the crate that a source file names, with the lines that name them.
fn uses(source: &str) -> Vec<(&str, &str)> {
    let code = source.lines().map(str::trim);
    let code = code.filter(|line| !line.starts_with("//"));
    code.flat_map(|line| {
        line.split("crate::").skip(1).map(move |rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            (&rest[..end.unwrap_or(rest.len())], line)
        })
    })
    .collect()
}

/// Returns the source files of a module, those of its folders among them.
fn files(source: &Path, module: &str) -> Vec<PathBuf> {
    let file = source.join(format!("{module}.rs"));
    if file.exists() {
        return vec![file];
    }
    files_in(&source.join(module))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let entries = entries.map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_in(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn modules_use_each_other_in_one_direction() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = fs::read_to_string(source.join("lib.rs")).expect("lib.rs");
    let mut declared: Vec<&str> = root
        .lines()
        .filter_map(|line| {
            line.trim_start_matches("pub ")
                .strip_prefix("mod ")?
                .strip_suffix(';')
        })
        .filter(|module| *module != "tests")
        .collect();
    let mut listed = MODULES.to_vec();
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(declared, listed, "a new module needs its place in the list");

    for (at, module) in MODULES.iter().enumerate() {
        let paths = files(&source, module);
        assert!(!paths.is_empty(), "{module} has no files");
        for path in paths {
            let text = fs::read_to_string(&path).expect("a source file");
            for (used, line) in uses(&text) {
                let allowed = used == *module || MODULES[at + 1..].contains(&used);
                assert!(
                    allowed,
                    "{}: {module} must not use {used}: {line}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn uses_are_found_where_they_stand() {
    let source = "use crate::task::{A, B};\n// crate::server\nlet x = crate::model::y(crate::Z);\n";
    let found: Vec<&str> = uses(source).into_iter().map(|(used, _)| used).collect();
    assert_eq!(found, ["task", "model", "Z"]);
}

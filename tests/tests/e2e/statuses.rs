//! Every error that a client sees is made by `motet_runtime::status`, from a `Reason`.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that words an answer which cannot be read as tonic does: one rule recognises both.
const OF_TONIC: &str = "gateway/src/call/transport.rs";

/// The constructors of `tonic::Status` that take a bare text.
const BARE: [&str; 19] = [
    "new",
    "with_details",
    "with_metadata",
    "aborted",
    "already_exists",
    "cancelled",
    "data_loss",
    "deadline_exceeded",
    "failed_precondition",
    "internal",
    "invalid_argument",
    "not_found",
    "out_of_range",
    "permission_denied",
    "resource_exhausted",
    "unauthenticated",
    "unavailable",
    "unimplemented",
    "unknown",
];

/// All Rust files below `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns whether a file holds only tests, or helpers of tests.
fn is_of_tests(path: &Path) -> bool {
    const OF_TESTS: [&str; 4] = ["tests", "tests.rs", "testing.rs", "loom_tests.rs"];
    path.iter()
        .any(|part| OF_TESTS.iter().any(|name| part == *name))
}

#[test]
fn production_code_makes_no_bare_status() {
    let repository = motet_tests::repository();
    let mut files = Vec::new();
    for folder in [
        "gateway/src",
        "services/model/src",
        "services/runtime/src",
        "services/cli/src",
    ] {
        sources(&repository.join(folder), &mut files);
    }
    let status = repository.join("services/runtime/src/status");
    let (mut read, mut found) = (0, Vec::new());
    for path in files {
        let inside = path.strip_prefix(&repository).expect("a file of ours");
        if path.starts_with(&status) || inside.ends_with(OF_TONIC) || is_of_tests(inside) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file that can be read");
        let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        read += 1;
        for name in BARE {
            if production.contains(&format!("Status::{name}(")) {
                found.push(format!("{}: Status::{name}", inside.display()));
            }
        }
    }
    assert!(read > 100, "only {read} files were read");
    assert!(found.is_empty(), "use motet_runtime::status: {found:#?}");
}

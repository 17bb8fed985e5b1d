//! Modules import downwards only: each uses only modules above it in the list of `src/lib.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The modules in the order of the list in the crate's documentation.
fn documented(lib: &str) -> Vec<String> {
    lib.lines()
        .filter_map(|line| line.strip_prefix("//! * `")?.split_once('`'))
        .map(|(module, _)| module.to_owned())
        .collect()
}

/// The sources of a module: its file, or all files of its folder.
fn sources(src: &Path, module: &str) -> Vec<(String, String)> {
    let file = src.join(format!("{module}.rs"));
    let mut open = vec![if file.exists() {
        file
    } else {
        src.join(module)
    }];
    let mut sources = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder that can be read");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let text = fs::read_to_string(&path).expect("a file that can be read");
            sources.push((path.display().to_string(), text));
        }
    }
    sources
}

/// The modules that a source names after `crate::`, outside comments.
fn used(source: &str) -> BTreeSet<&str> {
    let code = source.lines().filter(|line| !line.trim().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|path| {
            let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
            &path[..end.unwrap_or(path.len())]
        })
        .collect()
}

#[test]
fn modules_import_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    let order = documented(&lib);
    let declared: BTreeSet<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let listed: BTreeSet<&str> = order.iter().map(String::as_str).collect();
    assert_eq!(listed, declared, "src/lib.rs lists every module");
    let mut imports = 0;
    for (position, module) in order.iter().enumerate() {
        for (path, source) in sources(&src, module) {
            for name in used(&source).into_iter().filter(|name| *name != module) {
                let above = order[..position].iter().any(|other| other == name);
                assert!(
                    above,
                    "{path}: crate::{name} is not above {module} in src/lib.rs"
                );
                imports += 1;
            }
        }
    }
    assert!(imports > 50, "{imports} imports found");
}

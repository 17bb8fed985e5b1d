//! The directions in which the rooms of this crate import from each other.

#[path = "rooms/imports.rs"]
mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use imports::{ModulePath, imports};

/// The rooms, each with its floor. A room may import from rooms of lower floors only.
const ROOMS: [(&str, u8); 14] = [
    ("scalar", 0),
    ("compute", 0),
    ("policy", 0),
    ("protobuf", 0),
    ("call", 1),
    ("syntax", 2),
    ("grpc", 3),
    ("ops", 3),
    ("check", 4),
    ("schema", 4),
    ("model", 5),
    ("plan", 6),
    ("exec", 7),
    ("serve", 8),
];

/// The folder with one folder for each kind of node. The files of a kind belong to the rooms that
/// they are named after: `kinds/map/check.rs` to `check`.
const KINDS: &str = "kinds";

/// Compiled for unit tests only: these may import from everywhere.
fn is_for_tests(file: &Path) -> bool {
    let name = |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs";
    file.iter().any(name) || file == Path::new("testing.rs")
}

/// Returns a room and its floor; `None` for what is in no room.
fn room_of(module: &[String]) -> Option<(&'static str, u8)> {
    let name = match module.first()?.as_str() {
        KINDS => module.get(2)?,
        _ => module.first()?,
    };
    ROOMS.into_iter().find(|(room, _)| room == name)
}

/// Describes what is wrong with an import of `to` by the module `from`, if anything is.
fn fault(from: &[String], to: &[String]) -> Option<String> {
    let shown = || format!("{} imports crate::{}", from.join("::"), to.join("::"));
    let Some((room, floor)) = room_of(from) else {
        return Some(format!("{}, but is in no room itself", shown()));
    };
    match room_of(to) {
        None => Some(format!("{}, which is in no room", shown())),
        Some((other, _)) if other == room => None,
        Some((_, below)) if below < floor => None,
        Some((other, above)) => Some(format!(
            "{}: {other} is on floor {above}, {room} on floor {floor}",
            shown()
        )),
    }
}

/// Returns the Rust files below a folder, by their paths in it.
fn rust_files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// Returns the path of the module that a file is: `kinds::map` for `kinds/map/mod.rs`.
fn module_of(file: &Path) -> ModulePath {
    let mut module: ModulePath = file
        .with_extension("")
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

#[test]
fn rooms_import_downwards_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&source);
    let mut faults = Vec::new();
    let mut arrows = BTreeSet::new();
    for file in files.iter().filter(|file| !is_for_tests(file)) {
        let module = module_of(file);
        let text = fs::read_to_string(source.join(file)).unwrap();
        for import in imports(&text, &module) {
            faults.extend(fault(&module, &import));
            let ends = (room_of(&module), room_of(&import));
            arrows.extend(ends.0.zip(ends.1).map(|(a, b)| (a.0, b.0)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The files were read: these arrows are what the crate is made of.
    for arrow in [("serve", "exec"), ("exec", "plan"), ("plan", "check")] {
        assert!(arrows.contains(&arrow), "{arrow:?} not in {arrows:?}");
    }
}

#[test]
fn every_module_of_the_crate_is_a_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = fs::read_dir(source).unwrap();
    let found: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().path().with_extension(""))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !["lib", "testing", KINDS].contains(&name.as_str()))
        .collect();
    let known = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(found, known, "a new room needs a floor");
}

#[test]
fn every_kind_of_node_has_a_file_for_each_room_that_it_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(KINDS);
    let mut kinds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let kind = entry.unwrap().path();
        if !kind.is_dir() {
            continue;
        }
        kinds += 1;
        let entries = fs::read_dir(&kind).unwrap();
        let found: BTreeSet<String> = entries
            .map(|entry| entry.unwrap().path().with_extension(""))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        let expected = ["check", "exec", "mod", "plan", "schema", "syntax"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(expected), "{}", kind.display());
    }
    assert!(kinds >= 10, "{kinds}");
}

#[test]
fn an_arrow_that_does_not_go_down_is_a_fault() {
    let path = |text: &str| -> ModulePath { text.split("::").map(str::to_owned).collect() };
    for (from, to, is_fault) in [
        ("exec::run", "plan::Graph", false),
        ("exec::run", "exec::step", false),
        ("plan::bind", "exec::run", true),
        // Rooms of one floor do not know each other.
        ("grpc::method", "ops::OpKind", true),
        // A file of a kind counts as a part of the room that it is named after.
        ("kinds::map::exec", "kinds::map::plan::Map", false),
        ("kinds::map::exec", "exec::run::Run", false),
        ("kinds::map::syntax", "kinds::map::exec", true),
        ("kinds::map::syntax", "check::Node", true),
        ("syntax::kind", "kinds::map::syntax::MapSpec", false),
        ("syntax::kind", "kinds::map::check", true),
        // Modules outside the rooms.
        ("exec::run", "testing::plan", true),
        ("kinds::map", "syntax::Map", true),
        ("kinds", "syntax::Map", true),
        ("exec::run", "kinds::map", true),
    ] {
        let found = fault(&path(from), &path(to));
        assert_eq!(found.is_some(), is_fault, "{from} -> {to}: {found:?}");
    }
}

#[test]
fn a_file_is_a_module() {
    for (file, module) in [
        ("lib.rs", ""),
        ("scalar.rs", "scalar"),
        ("exec/mod.rs", "exec"),
        ("kinds/map/exec.rs", "kinds::map::exec"),
        ("kinds/map/mod.rs", "kinds::map"),
    ] {
        assert_eq!(module_of(Path::new(file)).join("::"), module);
    }
    for (file, expected) in [
        ("testing.rs", true),
        ("exec/tests.rs", true),
        ("exec/tests/kinds.rs", true),
        ("exec/run.rs", false),
    ] {
        assert_eq!(is_for_tests(Path::new(file)), expected, "{file}");
    }
}

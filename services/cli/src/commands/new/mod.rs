//! `motet new`: a project with a task of its own, which builds, passes its test and serves as it
//! is.
//!
//! * `template`: its files, with places such as `{{name}}`.
//! * `weights`: the weights of its model.

mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::args::NewArgs;
use crate::output;

/// Version of Candle that a project's tensors must have to be those of motet.
const CANDLE: &str = "0.11";
/// Version of tonic whose `Status` motet's is.
const TONIC: &str = "0.14";

/// Names that Cargo refuses, or that would hide a crate of the project's own dependencies.
const RESERVED: [&str; 12] = [
    "alloc",
    "candle-core",
    "candle-nn",
    "core",
    "deps",
    "motet",
    "proc-macro",
    "serde",
    "std",
    "test",
    "tonic",
    "build",
];

/// Words of the language, which no crate may be called.
const KEYWORDS: &str = " abstract as async await become box break const continue crate do dyn else \
    enum extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    pub ref return self static struct super trait true try type typeof unsafe unsized use virtual \
    where while yield ";

/// The files of a project, with their paths in it.
const FILES: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("src/main.rs", include_str!("template/src/main.rs.txt")),
    ("src/lib.rs", include_str!("template/src/lib.rs.txt")),
    (
        "tests/serve.rs",
        include_str!("template/tests/serve.rs.txt"),
    ),
    ("motet.yaml", include_str!("template/motet.yaml.txt")),
    ("Dockerfile", include_str!("template/Dockerfile.txt")),
    ("README.md", include_str!("template/README.md.txt")),
    (".gitignore", include_str!("template/gitignore.txt")),
];

/// Writes the project.
///
/// # Errors
/// For a name that no package may have, a folder that exists, and one that cannot be written.
pub(super) fn run(args: &NewArgs) -> anyhow::Result<()> {
    check_name(&args.name)?;
    let folder = args
        .path
        .clone()
        .unwrap_or_else(|| PathBuf::from(&args.name));
    let motet = dependency(args.motet.as_deref())?;
    write(&folder, &args.name, &motet)?;
    let shown = folder.display();
    output::print(&format!(
        "wrote {shown}: a task, its configuration, a test, a Dockerfile\n\n  \
         cd {shown}\n  cargo test\n  cargo run --release -- up motet.yaml\n"
    ))
}

/// Refuses what no package may be called.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_word) {
        bail!(
            "`{name}` cannot be the name of a project: it starts with a lower-case letter, and has \
             letters, digits, `-` and `_`"
        );
    }
    if RESERVED.contains(&name) || KEYWORDS.contains(&format!(" {name} ")) {
        bail!("`{name}` cannot be the name of a project: it means something else to Cargo or Rust");
    }
    Ok(())
}

/// Returns the dependency on motet: the version of this program, or a checkout of its repository.
fn dependency(checkout: Option<&Path>) -> anyhow::Result<String> {
    let Some(checkout) = checkout else {
        return Ok(format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    };
    let package = checkout.join("services/cli");
    let package = fs::canonicalize(&package)
        .with_context(|| format!("{} is no checkout of motet", checkout.display()))?;
    Ok(format!("{{ path = {:?} }}", package.display().to_string()))
}

/// Writes all files into a folder that does not exist.
fn write(folder: &Path, name: &str, motet: &str) -> anyhow::Result<()> {
    if folder.exists() {
        bail!(
            "{} exists already; name another folder with --path",
            folder.display()
        );
    }
    for (path, template) in FILES {
        let text = fill(template, name, motet);
        write_file(&folder.join(path), text.as_bytes())?;
    }
    write_file(
        &folder.join("weights/model.safetensors"),
        &weights::safetensors(),
    )
}

/// Returns a file of the project.
fn fill(template: &str, name: &str, motet: &str) -> String {
    template
        .replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{motet}}", motet)
        .replace("{{candle}}", CANDLE)
        .replace("{{tonic}}", TONIC)
        .replace("{{rust}}", env!("CARGO_PKG_RUST_VERSION"))
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = written.and_then(|()| fs::write(path, bytes));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_cargo_takes() {
        for good in ["my-models", "ranker", "a1_b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("My", "starts with a lower-case letter"),
            ("1a", "starts with a lower-case letter"),
            ("a b", "letters, digits"),
            ("../a", "starts with"),
            ("", "starts with"),
            ("motet", "means something else"),
            ("fn", "means something else"),
            ("test", "means something else"),
        ] {
            let error = check_name(bad).unwrap_err().to_string();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    /// The project's tensors and errors are those of motet only if the versions agree.
    #[test]
    fn the_versions_are_those_of_the_workspace() {
        let workspace = include_str!("../../../../../Cargo.toml");
        for (name, version) in [
            ("candle-core", CANDLE),
            ("candle-nn", CANDLE),
            ("tonic", TONIC),
        ] {
            let line = workspace
                .lines()
                .find(|line| line.starts_with(&format!("{name} =")));
            let line = line.unwrap_or_else(|| panic!("{name} is not in Cargo.toml"));
            assert!(line.contains(&format!("\"{version}")), "{line}");
        }
    }

    /// The page on models of one's own shows the same task.
    #[test]
    fn the_page_has_the_task_of_the_template() {
        let page = include_str!("../../../docs/own_model.md");
        let template = include_str!("template/src/lib.rs.txt");
        let code = template
            .split_once("\n\n")
            .map_or("", |(_, code)| code.trim());
        assert!(page.contains(&code.replace("pub struct", "struct")));
    }

    /// A member of the workspace is such a project: built, tested and served with everything else.
    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_example_is_a_new_project() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/my-models");
        let motet = "{ path = \"../../../services/cli\" }";
        let mut files: Vec<(PathBuf, Vec<u8>)> = FILES
            .iter()
            .map(|(path, template)| {
                let text = fill(template, "my-models", motet);
                // Profiles are the workspace's.
                let text = text.split("\n# Matrix products").next().unwrap_or_default();
                (example.join(path), text.as_bytes().to_vec())
            })
            .collect();
        let weights = example.join("weights/model.safetensors");
        files.push((weights, weights::safetensors()));
        for (path, bytes) in files {
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                write_file(&path, &bytes).unwrap();
            }
            let found = fs::read(&path).unwrap_or_default();
            assert!(
                found == bytes,
                "{} is another; UPDATE_GOLDEN=1 writes it",
                path.display()
            );
        }
    }

    #[test]
    fn every_place_is_filled_and_nothing_is_overwritten() {
        let folder = std::env::temp_dir().join(format!("motet-new-{}", std::process::id()));
        write(&folder, "my-models", "\"1\"").unwrap();
        for (path, _) in FILES {
            let text = fs::read_to_string(folder.join(path)).unwrap();
            assert!(!text.contains("{{") && !text.is_empty(), "{path}\n{text}");
        }
        let error = write(&folder, "my-models", "\"1\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("exists already"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}

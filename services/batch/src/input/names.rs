//! The files that patterns name.

use std::path::{Path, PathBuf};

use super::InputFormat;
use crate::error::BatchError;

/// Returns the files of some patterns, each once: those of a pattern in alphabetical order. A name
/// that is a file is one, also with characters of patterns.
///
/// # Errors
/// A name without a file, a pattern that fits none, a folder.
pub(crate) fn expand_names(names: &[String]) -> Result<Vec<PathBuf>, BatchError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for name in names {
        let path = Path::new(name);
        let paths = match (path.is_file(), name.contains(['*', '?', '['])) {
            (false, true) => matches(name)?,
            _ => vec![path.to_owned()],
        };
        for path in paths {
            if path.is_dir() {
                return Err(BatchError::cannot(format!(
                    "{0} is a folder: name its files, such as {0}/*.jsonl",
                    path.display()
                )));
            }
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>, BatchError> {
    let paths = glob::glob(pattern)
        .map_err(|error| BatchError::cannot(format!("`{pattern}` is no pattern: {error}")))?;
    let paths: Result<Vec<PathBuf>, _> = paths.collect();
    let paths = paths.map_err(|error| BatchError::reading(error.path(), error.error()))?;
    let files: Vec<PathBuf> = paths.into_iter().filter(|p| !p.is_dir()).collect();
    match files.is_empty() {
        true => Err(BatchError::cannot(format!("no file fits `{pattern}`"))),
        false => Ok(files),
    }
}

/// Returns the format that a file's name says, without `.gz` or `.zst` at its end.
///
/// # Errors
/// When it says none.
pub(crate) fn format_of(path: &Path) -> Result<InputFormat, BatchError> {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let name = name.strip_suffix(".zst").unwrap_or(name);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("jsonl" | "ndjson") => Ok(InputFormat::Jsonl),
        Some("csv") => Ok(InputFormat::Csv),
        Some("parquet") => Ok(InputFormat::Parquet),
        _ => Err(BatchError::cannot(format!(
            "{} has none of .jsonl, .ndjson, .csv and .parquet at the end of its name, before .gz \
             or .zst: say --in-format",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patterns_name_files_in_order() {
        let folder = std::env::temp_dir().join(format!("motet-names-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("d.jsonl")).unwrap();
        for name in ["b.jsonl", "a.jsonl", "c.csv", "x[1].jsonl"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let name = |name: &str| folder.join(name).to_string_lossy().into_owned();
        for (names, expected) in [
            (
                &["*.jsonl"][..],
                Ok(&["a.jsonl", "b.jsonl", "x[1].jsonl"][..]),
            ),
            (&["b.jsonl", "?.jsonl"], Ok(&["b.jsonl", "a.jsonl"])),
            (&["x[1].jsonl"], Ok(&["x[1].jsonl"])),
            (&["*.txt"], Err("no file fits")),
            (&["d.jsonl"], Err("is a folder")),
        ] {
            let names: Vec<String> = names.iter().map(|n| name(n)).collect();
            match (expand_names(&names), expected) {
                (Ok(found), Ok(expected)) => {
                    let expected: Vec<PathBuf> = expected.iter().map(|n| folder.join(n)).collect();
                    assert_eq!(found, expected, "{names:?}");
                }
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{error}"),
                (found, expected) => panic!("{names:?}: {found:?}, not {expected:?}"),
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_name_says_the_format() {
        for (name, expected) in [
            ("a.jsonl", Some(InputFormat::Jsonl)),
            ("a.NDJSON.gz", Some(InputFormat::Jsonl)),
            ("a.csv.zst", Some(InputFormat::Csv)),
            ("a.parquet", Some(InputFormat::Parquet)),
            ("a.json", None),
            ("a", None),
        ] {
            assert_eq!(format_of(Path::new(name)).ok(), expected, "{name}");
        }
    }
}

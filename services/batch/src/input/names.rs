//! The files that patterns name.

use std::path::{Path, PathBuf};

use super::InputFormat;
use crate::error::BatchError;
use crate::files::{Files, InputFile, is_object};

/// Returns the files of some patterns, each once: those of a pattern in alphabetical order. A name
/// that is a file is one, also with characters of patterns.
///
/// # Errors
/// A name without a file, a pattern that fits none, a folder.
pub(crate) fn expand_names(files: &Files, names: &[String]) -> Result<Vec<InputFile>, BatchError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for name in names {
        let path = Path::new(name);
        for path in match is_pattern(files, name)? {
            true => matches(files, name)?,
            false => vec![path.to_owned()],
        } {
            // A name without a bucket is told as such.
            files.place(&path)?;
            let is_folder = match is_object(&path) {
                true => name.ends_with('/'),
                false => path.is_dir(),
            };
            if is_folder {
                return Err(BatchError::cannot(format!(
                    "{name} is a folder: name its files, such as {}/*.jsonl",
                    name.trim_end_matches('/')
                )));
            }
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
        .iter()
        .map(|path| InputFile::find(files, path))
        .collect()
}

fn is_pattern(files: &Files, name: &str) -> Result<bool, BatchError> {
    let path = Path::new(name);
    Ok(name.contains(['*', '?', '[']) && files.place(path)?.about(path)?.is_none())
}

fn matches(files: &Files, pattern: &str) -> Result<Vec<PathBuf>, BatchError> {
    let files = files.place(Path::new(pattern))?.matching(pattern)?;
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
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

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
        let disk = Files::new(Duration::ZERO, CancellationToken::new());
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
            match (expand_names(&disk, &names), expected) {
                (Ok(found), Ok(expected)) => {
                    let found: Vec<&Path> = found.iter().map(InputFile::path).collect();
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

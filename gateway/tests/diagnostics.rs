//! Golden tests of the reports on invalid pipeline files, in the text files of `tests/diagnostics`.
//!
//! A case is `#### title`, the file, `----`, the report. After an intended change, run
//! `UPDATE_GOLDEN=1 cargo test -p motet-gateway --test diagnostics` and read the difference.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

struct Case {
    title: String,
    file: String,
    report: String,
}

fn read(text: &str) -> Vec<Case> {
    text.split("#### ")
        .skip(1)
        .map(|case| {
            let (title, rest) = case.split_once('\n').unwrap_or((case, ""));
            let (file, report) = rest.split_once("----\n").unwrap_or((rest, ""));
            Case {
                title: title.trim().to_owned(),
                file: file.to_owned(),
                report: report.trim_end().to_owned(),
            }
        })
        .collect()
}

#[test]
fn reports_match_the_golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut cases = 0;
    let mut failures = String::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut updated = String::new();
        for case in read(&fs::read_to_string(&path).unwrap()) {
            cases += 1;
            let offline = case.title.starts_with("offline");
            let (checked, report) = common::check(&case.file, offline);
            let mut report = report.trim_end().to_owned();
            if report.is_empty() {
                report = format!("{} checked", checked.len());
            }
            if report != case.report {
                let _ = write!(
                    failures,
                    "{name}: {}\n{report}\n--- was\n{}\n\n",
                    case.title, case.report
                );
            }
            let _ = write!(
                updated,
                "#### {}\n{}----\n{report}\n\n",
                case.title, case.file
            );
        }
        if update {
            fs::write(&path, updated).unwrap();
        }
    }
    assert!(cases >= 40, "only {cases} cases were found");
    assert!(update || failures.is_empty(), "{failures}");
}

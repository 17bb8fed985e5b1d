//! `motet batch`: a pipeline over files.
//!
//! * `columns`: columns against a pipeline, before the first call.
//! * `errors`: rows, lines and files that are broken.
//! * `formats`: formats of inputs and outputs.
//! * `killed`: batches that are killed, and end in the same bytes.
//! * `kubernetes`: manifests of batches.
//! * `metrics`: what a worker shows of itself.
//! * `plans`: what was planned, and what changed since.
//! * `postgres`: batches whose rows are those of a query, and whose answers go to a table.
//! * `servers`: batches whose server is away for a while, or full.
//! * `stores`: batches whose rows and answers are objects.
//! * `workers`: several workers on one batch.

mod columns;
mod errors;
mod formats;
mod killed;
mod kubernetes;
mod metrics;
mod plans;
mod postgres;
mod servers;
mod stores;
mod workers;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use motet_tests::program::{Ended, Program};
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::BOUND;
use serde_json::{Value, json};

use crate::motet;

/// A pipeline without models: it starts at once.
const BEST: &str = r#"
pipeline: best
inputs:
  score: "float[N]"
  name: { type: string, default: nobody }
nodes:
  top: { op: topk, in: { score: $score }, with: { k: 1 } }
outputs: { index: $top.index, best: $top.score, name: $name }
"#;

/// A folder with the pipeline `best` and some rows for it.
struct Place(TempDir);

impl Place {
    /// Makes a folder with `best.yaml` and `rows.jsonl`.
    fn new(rows: usize) -> Self {
        let place = Self(TempDir::new());
        place.0.file("best.yaml", BEST);
        place.0.file("rows.jsonl", jsonl((0..rows).map(row)));
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Returns `motet batch` in this folder.
    fn batch(&self, args: &str) -> Program {
        let words = args.split_whitespace();
        motet(["batch"].into_iter().chain(words)).folder(self.0.path())
    }

    /// Returns a batch of the pipeline `best` of this folder.
    fn best(&self, args: &str) -> Program {
        self.batch(&format!("best -f best.yaml --in rows.jsonl {args}"))
    }

    /// Returns the rows of all parts of a folder, in order.
    fn answers(&self, out: &str) -> Vec<Value> {
        let files = files(&self.path(out));
        let parts = files.iter().filter(|(name, _)| name.starts_with("part-"));
        parts.flat_map(|(_, text)| lines(text)).collect()
    }
}

/// Returns the row with this number.
fn row(number: usize) -> Value {
    let score = [number % 7, number % 5, number % 3];
    json!({ "id": number, "score": score, "name": format!("row {number}") })
}

fn jsonl(rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter().map(|row| format!("{row}\n")).collect()
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).expect("UTF-8");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("lines of JSON")
}

/// Returns all files of a folder and of those in it, as `diff -r` compares them: names and bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .strip_prefix(root)
                .expect("it is inside")
                .display()
                .to_string();
            match path.is_dir() {
                true => walk(root, &path, found),
                false => drop(found.insert(name, fs::read(&path).expect("a file"))),
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// Runs a batch to its end, which must have this code.
async fn ends(program: Program, code: i32) -> Ended {
    // The rows of a thousand kills take longer than others.
    let bound = BOUND.max(Duration::from_secs(killed::kills() as u64));
    let ended = program.start().end_within(bound).await;
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
    ended
}

#[tokio::test]
async fn the_tickets_of_the_examples_are_answered_as_the_readme_says() {
    let folder = TempDir::new();
    let tickets = repository().join("deploy/examples/tickets");
    let pattern = tickets.join("*.jsonl");
    let program = motet(["batch", "rag", "--out", "answers", "--id", "ticket", "--in"])
        .args([pattern.as_os_str()])
        .args(["--map", "query=question,documents=passages"])
        .folder(folder.path());
    ends(program, 0).await;
    let file = fs::read(tickets.join("tickets.jsonl")).expect("the tickets");
    let part = fs::read(folder.path().join("answers/part-00000.jsonl")).expect("the answers");
    let (asked, answers) = (lines(&file), lines(&part));
    assert_eq!(asked.len(), answers.len());
    for (asked, answer) in asked.iter().zip(&answers) {
        assert_eq!(asked["ticket"], answer["ticket"]);
        let count = asked["passages"].as_array().expect("passages").len();
        assert_eq!(answer["results"].as_array().expect("results").len(), count);
    }
}

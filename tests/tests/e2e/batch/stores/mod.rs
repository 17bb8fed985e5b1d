//! Batches whose rows and answers are objects.
//!
//! * `faults`: stores that are away, busy or broken, and those that refuse.
//! * `outside`: a store of another make.
//! * `workers`: many workers on one folder, and those that are killed.

mod faults;
mod outside;
mod workers;

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use motet_tests::object_store::ObjectStore;
use motet_tests::program::Program;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use super::{Place, ends, files, jsonl, lines, row};

/// A folder with a pipeline, and a store with the buckets `rows` and `answers`.
struct Stored {
    place: Place,
    store: ObjectStore,
}

impl Stored {
    /// Makes both, with this many rows in `rows.jsonl` and in `s3://rows/rows.jsonl`.
    async fn new(rows: usize) -> Self {
        let stored = Self {
            place: Place::new(rows),
            store: ObjectStore::start(&["rows", "answers"]).await,
        };
        let text = jsonl((0..rows).map(row));
        stored.store.put("rows", "rows.jsonl", text);
        stored
    }

    /// Returns `motet batch` in the folder, with the store in its environment.
    fn batch(&self, args: &str) -> Program {
        self.store.with(self.place.batch(args))
    }

    /// Returns a batch of the pipeline `best` over `s3://rows/rows.jsonl`.
    fn best(&self, args: &str) -> Program {
        self.batch(&format!(
            "best -f best.yaml --in s3://rows/rows.jsonl {args}"
        ))
    }

    /// Puts all files of a local folder into a folder of `rows`.
    fn upload(&self, from: &str, to: &str) {
        for (name, bytes) in files(&self.place.path(from)) {
            self.store.put("rows", &format!("{to}/{name}"), bytes);
        }
    }

    /// Returns the rows of all parts of a folder of `answers`, in order.
    fn answers(&self, out: &str) -> Vec<Value> {
        let objects = self.store.objects("answers", out);
        let parts = objects.iter().filter(|(name, _)| name.starts_with("part-"));
        parts.flat_map(|(_, text)| lines(text)).collect()
    }

    /// Asserts that a folder of `answers` has the parts of a local one, and that nothing else is
    /// left there but what a batch has.
    fn is_as(&self, out: &str, local: &str) {
        let found = self.store.objects("answers", out);
        let expected = files(&self.place.path(local));
        for (name, bytes) in &expected {
            let is_answer = name.starts_with("part-") || name.starts_with("errors-");
            if is_answer || name.starts_with("_motet/units/") {
                assert!(found.get(name) == Some(bytes), "{out}: {name} differs");
            }
        }
        let names: Vec<&String> = found.keys().collect();
        let known = expected.keys().filter(|name| *name != "_motet/lock");
        assert_eq!(names, known.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn objects_are_rows_and_answers_in_every_format() {
    let stored = Stored::new(300).await;
    let text = jsonl((0..300).map(row));
    let put = |key: &str, bytes: Vec<u8>| stored.store.put("rows", key, bytes);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    put("a.jsonl.gz", gzip.finish().expect("memory"));
    let zstd = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    put("a.jsonl.zst", zstd);
    put("many/2.jsonl", jsonl((150..300).map(row)).into());
    put("many/deep/3.jsonl", b"not of the pattern".into());
    put("many/1.ndjson", jsonl((0..150).map(row)).into());
    put("days/1/a.jsonl", jsonl((0..100).map(row)).into());
    put("days/2/a.jsonl", jsonl((100..300).map(row)).into());
    put("days/2/b.csv", b"not of the pattern".into());
    let args = "--id id --unit 70 --errors file --out";
    ends(stored.place.best(&format!("{args} plain")), 0).await;
    let expected = stored.place.answers("plain");
    for (out, inputs) in [
        ("s3://answers/deep/plain", "s3://rows/rows.jsonl"),
        ("s3://answers/deep/gzip", "s3://rows/a.jsonl.gz"),
        ("gs://answers/deep/zstd", "gs://rows/a.jsonl.zst"),
        (
            "s3://answers/deep/many",
            "s3://rows/many/1.ndjson s3://rows/many/*.jsonl",
        ),
        ("s3://answers/deep/days", "s3://rows/days/*/?.jsonl"),
        ("gs://answers/deep/stdin", "-"),
    ] {
        let batch = || stored.batch(&format!("best -f best.yaml {args} {out} --in {inputs}"));
        ends(batch().stdin(text.clone()), 0).await;
        let folder = out.split_once("answers/").expect("a folder").1;
        assert_eq!(stored.answers(folder), expected, "{inputs}");
        // It is there: nothing is read or computed once more.
        let ended = ends(batch(), 0).await;
        assert!(
            ended.stdout.contains("complete: 300 rows"),
            "{}",
            ended.stdout
        );
    }
    stored.is_as("deep/plain", "plain");
    let success = &stored.store.objects("answers", "deep")["plain/_SUCCESS"];
    let success: Value = serde_json::from_slice(success).expect("JSON");
    let digest = success["inputs"]["s3://rows/rows.jsonl"]
        .as_str()
        .expect("a text");
    assert!(digest.starts_with("etag:\""), "{digest}");
}

#[tokio::test]
async fn csv_and_parquet_are_objects_too() {
    let stored = Stored::new(250).await;
    let args = "--id id --unit 100 --out";
    for format in ["csv", "parquet"] {
        ends(
            stored
                .place
                .best(&format!("{args} {format} --format {format}")),
            0,
        )
        .await;
        stored.upload(format, format);
        let columns = "--map score=best --columns best,name --format jsonl";
        let again = format!("best -f best.yaml {columns} --id id --unit 40 --out again-{format}");
        let local = format!("{again} --in {format}/*.{format}");
        ends(stored.place.batch(&local), 0).await;
        let there = again.replace("again-", "s3://answers/again-");
        let there = format!("{there} --in s3://rows/{format}/*.{format}");
        ends(stored.batch(&there), 0).await;
        stored.is_as(&format!("again-{format}"), &format!("again-{format}"));
        let there = format!("{args} s3://answers/{format} --format {format}");
        ends(stored.best(&there), 0).await;
        stored.is_as(format, format);
    }
    let part = files(&stored.place.path("parquet"))["part-00000.parquet"].clone();
    stored
        .store
        .put("rows", "cut.parquet", part[..part.len() / 2].to_vec());
    let cut = "best -f best.yaml --in s3://rows/cut.parquet --map score=best --out cut";
    let ended = ends(stored.batch(cut), 42).await;
    let expected = "s3://rows/cut.parquet is broken at its beginning";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

/// Answers of some MiB: their objects are written in pieces.
#[tokio::test]
async fn large_objects_are_read_and_written_in_pieces() {
    let stored = Stored::new(0).await;
    let text = "long ".repeat(2000);
    let long = |n: usize| json!({ "id": n, "score": [n], "name": format!("{n} {text}") });
    let rows = jsonl((0..2000).map(long));
    stored.place.0.file("rows.jsonl", &rows);
    stored.store.put("rows", "rows.jsonl", rows);
    let args = "--id id --unit 1500 --out";
    ends(stored.place.best(&format!("{args} out")), 0).await;
    ends(
        stored.best(&format!("{args} s3://answers/out --shard 1/2")),
        0,
    )
    .await;
    stored.store.fault(|_, _| None);
    ends(
        stored.best(&format!("{args} s3://answers/out --shard 0/2")),
        0,
    )
    .await;
    stored.is_as("out", "out");
    let asked = stored.store.asked();
    let pieces = asked
        .iter()
        .filter(|asked| asked.line.contains("partNumber="));
    assert_eq!(pieces.count(), 2, "8 MiB, and the rest");
}

/// Rows in the middle are read without those before them.
#[tokio::test]
async fn a_shard_reads_what_it_needs() {
    let stored = Stored::new(20_000).await;
    let bytes = stored.store.objects("rows", "").len();
    assert_eq!(bytes, 0, "no key begins with a slash");
    let args = "--id id --unit 5000 --out s3://answers/out";
    let plan = format!("plan best -f best.yaml --in s3://rows/rows.jsonl {args}");
    ends(stored.batch(&plan), 0).await;
    stored.store.fault(|_, _| None);
    ends(stored.best(&format!("{args} --shard 2/4")), 0).await;
    let asked = stored.store.asked();
    let of_rows = asked
        .iter()
        .filter(|asked| asked.line == "GET /rows/rows.jsonl");
    let ranges: Vec<Option<&str>> = of_rows.map(|asked| asked.range.as_deref()).collect();
    let [None, Some(range)] = ranges[..] else {
        panic!("columns from the beginning, rows from their place: {ranges:?}");
    };
    let (first, last) = range
        .trim_start_matches("bytes=")
        .split_once('-')
        .expect("a range");
    assert!(
        first.parse::<usize>().expect("a number") > 100_000 && last.is_empty(),
        "{range}"
    );
}

/// Pages of Parquet are read by ranges, each once.
#[tokio::test]
async fn parquet_is_read_by_ranges() {
    let stored = Stored::new(0).await;
    let text = "words that differ ".repeat(3);
    let name = |n: usize| format!("{text}{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let rows = jsonl((0..40_000).map(|n| json!({ "id": n, "score": [n], "name": name(n) })));
    stored.place.0.file("rows.jsonl", rows);
    let args = "--id id --unit 100000 --format parquet --out parquet";
    ends(stored.place.best(args), 0).await;
    stored.upload("parquet", "parquet");
    let key = "parquet/part-00000.parquet";
    let size = stored.store.objects("rows", "parquet")["part-00000.parquet"].len();
    assert!(size > 1 << 20, "{size} bytes are more than a block");
    stored.store.fault(|_, _| None);
    let args = "--map score=best --id id --unit 20000 --out out";
    ends(
        stored.batch(&format!("best -f best.yaml --in s3://rows/{key} {args}")),
        0,
    )
    .await;
    assert_eq!(stored.place.answers("out").len(), 40_000);
    let asked = stored.store.asked();
    let gets = asked
        .iter()
        .filter(|asked| asked.line == format!("GET /rows/{key}"));
    let mut read = 0;
    for asked in gets {
        let range = asked
            .range
            .as_deref()
            .expect("a range")
            .trim_start_matches("bytes=");
        let (first, last) = range.split_once('-').expect("a range");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        read += number(last).min(size) - number(first);
    }
    // Columns, types of bytes and rows are looked at for the plan, each time from the footer; then
    // all rows once, and once more those of the second unit.
    assert!(read < 5 * size, "{read} of {size} bytes");
}

#[tokio::test]
async fn commands_know_folders_in_buckets() {
    let stored = Stored::new(0).await;
    let mut rows = jsonl((0..10).map(row));
    rows.push_str(&jsonl([json!({ "id": 10, "score": ["high"] })]));
    stored.store.put("rows", "rows.jsonl", rows.clone());
    let args = "--id id --columns best --unit 6 --errors file --out s3://answers/out";
    let plan = format!("plan best -f best.yaml --in s3://rows/rows.jsonl {args}");
    let ended = ends(stored.batch(&plan), 0).await;
    let expected = "pipeline best: 11 rows of 1 files in 2 units\n";
    assert_eq!(ended.stdout, expected);
    let ended = ends(stored.batch("finish s3://answers/out"), 75).await;
    let expected = "2 of 2 units are not written yet";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    ends(stored.best(&format!("{args} --shard 1/2")), 0).await;
    let ended = ends(stored.batch("status s3://answers/out"), 0).await;
    let expected = "pipeline best: 1 of 2 units, 5 of 11 rows, 1 errors; nobody works on it\n";
    assert_eq!(ended.stdout, expected);
    ends(stored.best(args), 0).await;
    let ended = ends(stored.batch("status s3://answers/out"), 0).await;
    assert!(
        ended.stdout.ends_with("1 errors; finished\n"),
        "{}",
        ended.stdout
    );
    ends(stored.batch("finish s3://answers/out"), 0).await;
    // Somebody mends the row.
    let objects = stored.store.objects("answers", "out");
    let failed = String::from_utf8(objects["errors-00001.jsonl"].clone()).expect("UTF-8");
    let mended = failed.replace("\"high\"", "9");
    stored
        .store
        .put("answers", "out/errors-00001.jsonl", mended);
    let retry = "retry s3://answers/out -f best.yaml --out s3://answers/again";
    ends(stored.batch(retry), 0).await;
    assert_eq!(
        stored.answers("again"),
        [json!({ "id": 10, "best": [9.0] })]
    );
    let ended = ends(stored.batch("finish s3://answers/out"), 42).await;
    let expected = "s3://answers/out/errors-00001.jsonl changed since it was written";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let ended = ends(stored.batch("status s3://answers/other"), 42).await;
    let expected = "s3://answers/other is no folder of a batch";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    stored.store.put("answers", "other/part-00000.jsonl", "");
    let ended = ends(stored.best("--out s3://answers/other"), 42).await;
    assert!(
        ended.stderr.contains("has parts, but no plan"),
        "{}",
        ended.stderr
    );
    assert!(!Path::new("s3:").exists(), "nothing was taken for a file");
}

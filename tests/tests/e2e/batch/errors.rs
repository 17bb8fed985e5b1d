//! Rows, lines and files that are broken.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use motet_tests::program::{Ended, Program};
use serde_json::{Value, json};

use super::{Place, ends, files, jsonl, lines, row};

/// Rows, two of which have errors: one is no JSON, one has a text for a number.
fn mixed() -> String {
    let mut text = jsonl((0..4).map(row));
    text.push_str("not JSON\n\n");
    text.push_str(&jsonl([json!({ "id": 5, "score": ["high"] }), row(6)]));
    text
}

#[tokio::test]
async fn a_row_with_an_error_stands_in_its_place() {
    let place = Place::new(0);
    place.0.file("rows.jsonl", mixed());
    let ended = ends(
        place.best("--out out --id id --columns best --unit 3 --json"),
        0,
    )
    .await;
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["finished"]["errors"], 2);
    assert_eq!(report["finished"]["rows"], 7);
    let answers = place.answers("out");
    assert_eq!(answers.len(), 7);
    let error = &answers[4]["error"];
    assert_eq!(
        (&error["code"], &error["attempts"]),
        (&json!("INVALID_ARGUMENT"), &json!(0))
    );
    let message = error["message"].as_str().expect("a text");
    assert!(message.starts_with("line 5: is not JSON"), "{message}");
    assert_eq!(answers[5]["id"], 5);
    let message = answers[5]["error"]["message"].as_str().expect("a text");
    assert!(
        message.contains("column `score`: [0] is the text \"high\""),
        "{message}"
    );
    assert_eq!(answers[6], json!({ "id": 6, "best": [6.0] }));
}

#[tokio::test]
async fn whole_rows_with_errors_are_tried_again() {
    let place = Place::new(0);
    place.0.file("rows.jsonl", mixed());
    ends(
        place.best("--out out --id id --columns best --errors file --unit 5"),
        0,
    )
    .await;
    assert_eq!(place.answers("out").len(), 5);
    let found = files(&place.path("out"));
    let failed = lines(&found["errors-00001.jsonl"]);
    assert_eq!(failed[0]["score"], json!(["high"]));
    assert_eq!(failed[0]["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(lines(&found["errors-00000.jsonl"])[0]["line"], "not JSON");
    // Somebody mends the row.
    let mended = String::from_utf8(found["errors-00001.jsonl"].clone()).expect("UTF-8");
    std::fs::write(
        place.path("out/errors-00001.jsonl"),
        mended.replace("\"high\"", "9"),
    )
    .expect("it is written");
    ends(place.batch("retry out -f best.yaml --out again"), 0).await;
    assert_eq!(place.answers("again"), [json!({ "id": 5, "best": [9.0] })]);
    let ended = ends(place.batch("retry again -f best.yaml --out again"), 42).await;
    assert!(
        ended.stderr.contains("has a plan of another batch"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn too_many_errors_end_a_batch_and_what_is_done_stays() {
    let place = Place::new(0);
    place.0.file("rows.jsonl", mixed());
    let args = "--out out --unit 2 --max-errors";
    let ended = ends(place.best(&format!("{args} 1")), 3).await;
    assert!(
        ended
            .stderr
            .contains("2 rows have errors, and --max-errors allows 1")
    );
    assert!(place.answers("out").len() >= 4);
    assert!(!place.path("out/_SUCCESS").exists());
    // 14 % of 7 rows are none.
    ends(place.best(&format!("{args} 14%")), 3).await;
    ends(place.best(&format!("{args} 29%")), 0).await;
    assert_eq!(place.answers("out").len(), 7);
}

async fn refused(place: &Place, name: &str, bytes: &[u8]) -> Ended {
    place.0.file(name, bytes);
    let args = format!("best -f best.yaml --out {name}.out --in {name}");
    ends(place.batch(&args), 42).await
}

#[tokio::test]
async fn a_file_that_is_broken_is_refused_with_the_place() {
    let place = Place::new(0);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(jsonl((0..5000).map(row)).as_bytes())
        .expect("memory");
    let gzip = gzip.finish().expect("memory");
    for (name, bytes, expected) in [
        (
            "cut.jsonl.gz",
            &gzip[..gzip.len() / 2],
            "is broken after line",
        ),
        (
            "plain.jsonl.gz",
            b"{}\n",
            "it is not gzip, as its name says",
        ),
        (
            "plain.jsonl.zst",
            b"{}\n",
            "it is not zstd, as its name says",
        ),
        ("empty.csv", b"", "it has no header"),
        (
            "twice.csv",
            b"score,score\n1,2\n",
            "the header has `score` twice",
        ),
        ("wide.jsonl", b"\xff\xfe{\0}\0", "a text in UTF-16"),
        ("rows.txt", b"{}\n", "say --in-format"),
        ("rows.parquet", b"PAR1", "is broken at its beginning"),
    ] {
        let ended = refused(&place, name, bytes).await;
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    for (names, expected) in [
        ("absent.jsonl", "absent.jsonl cannot be read"),
        ("absent*.jsonl", "no file fits"),
        (".", "is a folder"),
    ] {
        let args = format!("best -f best.yaml --out o --in {names}");
        let ended = ends(place.batch(&args), 42).await;
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

/// On a small disk of its own, which `unshare` makes.
#[tokio::test]
async fn a_full_disk_ends_a_batch_that_can_go_on() {
    let place = Place::new(0);
    let text = "long ".repeat(20);
    let rows = (0..4000).map(|n| json!({ "id": n, "score": [n], "name": text }));
    place.0.file("rows.jsonl", jsonl(rows));
    place.0.file("small/.keep", "");
    let script = "mount -t tmpfs -o size=300k tmpfs small || exit 9\n\
                  batch() { \"$MOTET\" batch best -f best.yaml --in rows.jsonl --unit 500 \
                  --out small/out; }\n\
                  batch; first=$?\n\
                  mount -o remount,size=8m small\n\
                  batch; echo \"codes $first $?\"";
    let program = Program::new("unshare").args(["-rm", "sh", "-c", script]);
    let motet = env!("CARGO_BIN_EXE_motet-e2e");
    let ended = program
        .folder(place.0.path())
        .env("MOTET", motet)
        .run()
        .await;
    if !ended.stdout.contains("codes ") {
        return println!("skipped: no disk can be made: {}", ended.stderr);
    }
    assert!(
        ended.stdout.contains("codes 75 0"),
        "{}\n{}",
        ended.stdout,
        ended.stderr
    );
    assert!(
        ended.stderr.contains("No space left on device"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stdout.contains("complete: 4000 rows, 4000 answers"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn ids_that_repeat_are_reported() {
    let place = Place::new(0);
    let ids = [
        json!(1),
        json!(2),
        json!("1"),
        json!(null),
        json!(null),
        json!(2),
        json!(3),
    ];
    let rows = ids.map(|id| json!({ "id": id, "score": [1], "name": "a" }));
    place.0.file("rows.jsonl", jsonl(rows));
    let ended = ends(place.best("--id id --unit 2 --out out"), 0).await;
    let expected =
        "\n2 rows have an id that an earlier one has; the first is row 2, counted from 0\n";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("complete: 7 rows, 7 answers"),
        "{}",
        ended.stdout
    );
    let ended = ends(place.best("--id name --columns best --out names --json"), 0).await;
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(
        (&report["repeated_ids"], &report["repeated_row"]),
        (&json!(6), &json!(1))
    );
    let ended = ends(place.best("--out none --json"), 0).await;
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(
        (&report["repeated_ids"], &report["repeated_row"]),
        (&json!(0), &json!(null))
    );
}

#[tokio::test]
async fn rows_that_all_lack_a_column_are_tried_again() {
    let place = Place::new(0);
    let rows = [
        json!({ "id": 1, "score": [1], "lang": "en", "title": "a" }),
        json!({ "id": 2, "score": "x" }),
    ];
    place.0.file("rows.jsonl", jsonl(rows));
    let args = "--id id --keep lang --map name=title --errors file --out out";
    ends(place.best(args), 0).await;
    let failed = place.path("out/errors-00000.jsonl");
    let text = std::fs::read_to_string(&failed).expect("rows");
    std::fs::write(&failed, text.replace("\"x\"", "[7]")).expect("it is ours");
    ends(place.batch("retry out -f best.yaml --out again"), 0).await;
    let expected = json!({
        "id": 2, "lang": null, "index": [0], "best": [7.0], "name": "nobody",
    });
    assert_eq!(place.answers("again"), [expected]);
}

//! Plans, and what has changed since.

use serde_json::Value;

use super::{BEST, Place, ends, files};

#[tokio::test]
async fn what_changed_since_the_plan_is_refused_with_what_differs() {
    let place = Place::new(10);
    let plan = "plan best -f best.yaml --in rows.jsonl --unit 3 --out out";
    let ended = ends(place.batch(plan), 0).await;
    assert_eq!(
        ended.stdout,
        "pipeline best: 10 rows of 1 files in 4 units\n"
    );
    let planned = files(&place.path("out"));
    assert!(!planned.keys().any(|name| name.starts_with("part-")));
    let refused = |ended: motet_tests::program::Ended, part: &str| {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    };
    let args = "--unit 3 --out out";
    refused(
        ends(place.best("--unit 4 --keep id --out out"), 42).await,
        "the setting `keep` is [\"id\"], not []\n  the setting `unit` is 4, not 3",
    );
    place.0.file("best.yaml", BEST.replace("k: 1", "k: 2"));
    refused(
        ends(place.best(args), 42).await,
        "the configuration of pipeline `best` changed",
    );
    place.0.file("best.yaml", BEST);
    place.0.file("more.jsonl", "{}\n");
    let more = "best -f best.yaml --in more.jsonl --unit 3 --out out";
    refused(
        ends(place.batch(more), 42).await,
        "the input rows.jsonl was planned\n  the input more.jsonl was not planned",
    );
    let rows = std::fs::read_to_string(place.path("rows.jsonl")).expect("rows");
    place.0.file("rows.jsonl", rows.replace("row 9", "row 8"));
    refused(
        ends(place.best(args), 42).await,
        "rows.jsonl changed since it was planned",
    );
    place.0.file("rows.jsonl", rows);
    assert_eq!(
        files(&place.path("out"))["_motet/plan.json"],
        planned["_motet/plan.json"]
    );
    ends(place.best(args), 0).await;
    assert_eq!(place.answers("out").len(), 10);
}

#[tokio::test]
async fn status_and_finish_say_what_is_there() {
    let place = Place::new(10);
    ends(
        place.batch("plan best -f best.yaml --in rows.jsonl --unit 5 --out out"),
        0,
    )
    .await;
    let ended = ends(place.batch("finish out"), 75).await;
    assert!(
        ended.stderr.contains("2 of 2 units are not written yet"),
        "{}",
        ended.stderr
    );
    ends(place.best("--unit 5 --out out --shard 1/2"), 0).await;
    let ended = ends(place.batch("status out --json"), 0).await;
    let status: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(
        (&status["units_written"], &status["rows_written"]),
        (&1.into(), &5.into())
    );
    assert_eq!(status["is_finished"], false);
    ends(place.best("--unit 5 --out out"), 0).await;
    let ended = ends(place.batch("status out"), 0).await;
    let expected = "pipeline best: 2 of 2 units, 10 of 10 rows, 0 errors; finished\n";
    assert_eq!(ended.stdout, expected);
    // Somebody changes an answer.
    let part = place.path("out/part-00001.jsonl");
    std::fs::write(&part, "{}\n").expect("it is written");
    let ended = ends(place.batch("finish out"), 42).await;
    assert!(
        ended.stderr.contains("changed since it was written"),
        "{}",
        ended.stderr
    );
    let ended = ends(place.batch("status rows"), 42).await;
    assert!(
        ended.stderr.contains("is no folder of a batch"),
        "{}",
        ended.stderr
    );
    place.0.file("other/part-00000.jsonl", "");
    let ended = ends(place.best("--out other"), 42).await;
    assert!(
        ended.stderr.contains("has parts, but no plan"),
        "{}",
        ended.stderr
    );
}

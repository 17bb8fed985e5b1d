//! Columns against a pipeline, before the first call.

use serde_json::json;

use super::{Place, ends, jsonl};

#[tokio::test]
async fn every_mistake_is_told_before_the_first_call() {
    let place = Place::new(3);
    let args = "--out out --map scores=score,name=nam --id idd --keep name --columns bests";
    let ended = ends(place.best(args), 42).await;
    for part in [
        "input `scores`, column `score`: the pipeline has no such input; did you mean `score`?",
        "input `name`, column `nam`: no such column; did you mean `name`?",
        "kept column `idd`: no such column; did you mean `id`?",
        "output `bests`: the pipeline has none; did you mean `best`?",
    ] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    assert!(!place.path("out/_motet/plan.json").exists());
}

#[tokio::test]
async fn a_column_of_another_type_is_a_mistake() {
    let place = Place::new(0);
    let rows = (0..3).map(|n| json!({ "id": n, "score": "high", "best": n }));
    place.0.file("rows.jsonl", jsonl(rows));
    let ended = ends(place.best("--out out --keep best"), 42).await;
    for part in [
        "input `score`, column `score`: is the text \"high\", where float[N] is wanted",
        "kept column `best`: answers have a column of this name",
    ] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    let ended = ends(place.batch("bset -f best.yaml --in rows.jsonl --out o"), 42).await;
    assert!(ended.stderr.contains("bset"), "{}", ended.stderr);
}

#[tokio::test]
async fn inputs_that_need_not_be_there_may_be_null_or_absent() {
    let place = Place::new(0);
    let rows = [
        json!({ "score": [1, 2] }),
        json!({ "score": 7, "name": null }),
        json!({ "body": { "score": [3] }, "score": [4], "name": "c" }),
    ];
    place.0.file("rows.jsonl", jsonl(rows));
    ends(place.best("--out out --columns name,best"), 0).await;
    let expected = [
        json!({ "name": "nobody", "best": [2.0] }),
        json!({ "name": "nobody", "best": [7.0] }),
        json!({ "name": "c", "best": [4.0] }),
    ];
    assert_eq!(place.answers("out"), expected);
}

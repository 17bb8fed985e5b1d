//! Many workers on one folder of a bucket, and those that are killed.

use std::time::Duration;

use motet_tests::object_store::Fault;
use serde_json::json;

use super::super::killed::{killed, kills};
use super::{Stored, ends, jsonl, row};

#[tokio::test]
async fn a_batch_that_is_killed_again_and_again_ends_in_the_same_objects() {
    let count = (100 * kills()).max(1000);
    let stored = Stored::new(0).await;
    let mut rows = jsonl((0..count).map(row));
    rows.push_str(&format!(
        "broken\n{}\n",
        json!({ "id": 2001, "score": "x" })
    ));
    stored.store.put("rows", "rows.jsonl", rows);
    for (errors, format) in [("rows", "jsonl"), ("file", "csv"), ("rows", "parquet")] {
        let args = format!("--id id --unit 25 --errors {errors} --format {format}");
        let whole = format!("whole-{format}");
        ends(
            stored.best(&format!("{args} --out s3://answers/{whole}")),
            0,
        )
        .await;
        // Some requests take a while, so that kills find all of them in the middle.
        stored
            .store
            .fault(|_, number| (number % 3 == 0).then_some(Fault::Slow));
        let parts = format!("parts-{format}");
        let batch = |more: &str| stored.best(&format!("{args} {more} --out s3://answers/{parts}"));
        let slow = || batch("--rate 800/s");
        let count = killed(slow, batch(""), Duration::from_millis(600)).await;
        assert!(count * 2 > kills(), "only {count} were killed");
        let found = stored.store.objects("answers", &parts);
        let expected = stored.store.objects("answers", &whole);
        let names = |objects: &std::collections::BTreeMap<String, Vec<u8>>| {
            objects.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&found), names(&expected));
        assert!(found == expected, "{format}: objects differ");
    }
}

#[tokio::test]
async fn of_two_workers_on_one_unit_one_wins_in_a_bucket() {
    let stored = Stored::new(500).await;
    let args = "--id id --unit 50 --errors file --out";
    ends(stored.place.best(&format!("{args} out")), 0).await;
    // Whose answer to a record is lost finds the same bytes there if another one has settled the
    // unit meanwhile, and cannot know which of them won: both are right. All else is counted.
    stored.store.fault(|asked, number| match number % 5 {
        0 => Some(Fault::Slow),
        1 if asked.line.starts_with("PUT /answers/out/_motet/units/") => None,
        1 if number % 3 == 0 => Some(Fault::Lost),
        _ => None,
    });
    let worker = || {
        let args = format!("{args} s3://answers/out --rate 1500/s --json");
        stored.best(&args).start()
    };
    let workers = [worker(), worker(), worker()];
    let mut won = 0;
    for worker in workers {
        let ended = worker.end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        won += report["units"].as_u64().expect("a number");
    }
    assert_eq!(won, 10, "each unit was written once");
    stored.is_as("out", "out");
}

/// A worker is killed after its unit is written, and before its objects have their names.
#[tokio::test]
async fn what_a_killed_worker_has_left_is_done_by_the_next_one() {
    let stored = Stored::new(100).await;
    let args = "--id id --unit 50 --errors file --out";
    ends(stored.place.best(&format!("{args} out")), 0).await;
    // Copies fail for ever: nothing gets its name.
    stored.store.fault(|asked, _| {
        let is_copy = asked.line.starts_with("PUT /answers/out/part-");
        is_copy.then_some(Fault::Busy)
    });
    let args = format!("{args} s3://answers/out --retry-for 1s");
    ends(stored.best(&args), 75).await;
    let objects = stored.store.objects("answers", "out");
    let record = String::from_utf8_lossy(&objects["_motet/units/00000.json"]);
    assert!(record.contains("\"staged\""), "{record}");
    assert_eq!(stored.answers("out").len(), 0);
    stored.store.fault(|_, _| None);
    let status = ends(stored.batch("status s3://answers/out"), 0).await;
    assert!(
        status.stdout.contains("1 of 2 units, 50 of 100 rows"),
        "{}",
        status.stdout
    );
    ends(stored.best(&args), 0).await;
    stored.is_as("out", "out");
}

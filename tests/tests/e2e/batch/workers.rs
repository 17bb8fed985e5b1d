//! Several workers on one batch.

use super::{Place, ends, files};

#[tokio::test]
async fn shards_make_what_one_worker_makes() {
    let place = Place::new(500);
    let args = "--id id --unit 30 --out";
    ends(place.best(&format!("{args} whole")), 0).await;
    let last = ends(place.best(&format!("{args} out --shard 2/3")), 0).await;
    assert!(!last.stdout.contains("complete"), "{}", last.stdout);
    let pod = |index: &str| {
        let program = place.best(&format!("{args} out"));
        program
            .env("JOB_COMPLETION_INDEX", index)
            .env("MOTET_SHARDS", "3")
    };
    ends(pod("0"), 0).await;
    let ended = ends(pod("1"), 0).await;
    assert!(
        ended.stdout.contains("complete: 500 rows"),
        "{}",
        ended.stdout
    );
    assert!(files(&place.path("out")) == files(&place.path("whole")));
    let ended = ends(pod("3"), 42).await;
    assert!(
        ended.stderr.contains("3/3 is no part such as 3/16"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn of_two_workers_on_one_unit_one_wins() {
    let place = Place::new(500);
    let args = "--id id --unit 50 --errors file --out";
    ends(place.best(&format!("{args} whole")), 0).await;
    let worker = || {
        place
            .best(&format!("{args} out --rate 1500/s --json"))
            .start()
    };
    let (one, two, three) = (worker(), worker(), worker());
    let mut won = 0;
    for worker in [one, two, three] {
        let ended = worker.end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        won += report["units"].as_u64().expect("a number");
    }
    assert_eq!(won, 10, "each unit was written once");
    assert!(files(&place.path("out")) == files(&place.path("whole")));
}

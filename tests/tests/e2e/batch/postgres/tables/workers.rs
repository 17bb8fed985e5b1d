//! Workers that are killed, several at once, and servers that go away.

use std::time::Duration;

use motet_tests::postgres::Postgres;
use motet_tests::wait::until;
use serde_json::Value;

use super::super::super::killed::{killed, kills};
use super::super::Place;
use super::{Based, ends};

#[tokio::test]
async fn a_batch_into_a_table_that_is_killed_again_and_again_ends_in_the_same_rows() {
    let count = (100 * kills()).max(1000);
    let Some(based) = Based::new(count).await else {
        return;
    };
    based
        .database
        .sql("UPDATE rows SET score = NULL WHERE id % 97 = 5");
    let args = "--unit 25 --errors file";
    ends(based.to_table("whole", args), 0).await;
    let batch = |more: &str| based.to_table("parts", &format!("{args} {more}"));
    let slow = || batch("--rate 800/s");
    let count = killed(slow, batch(""), Duration::from_millis(500)).await;
    assert!(count * 2 > kills(), "only {count} were killed");
    assert_eq!(based.digest("parts"), based.digest("whole"));
}

#[tokio::test]
async fn of_two_workers_on_one_unit_one_wins_in_a_table() {
    let Some(based) = Based::new(500).await else {
        return;
    };
    let worker = || {
        based
            .to_table("out", "--unit 50 --rate 1500/s --json")
            .start()
    };
    let workers = [worker(), worker(), worker()];
    let mut won = 0;
    for worker in workers {
        let ended = worker.end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        won += report["units"].as_u64().expect("a number");
    }
    assert_eq!(won, 10, "each unit was written once");
    assert_eq!(based.database.sql("SELECT count(*) FROM out"), "500");
}

#[tokio::test]
async fn a_database_of_answers_that_is_killed_and_comes_back_costs_no_row() {
    let Some(mut based) = Based::new(2000).await else {
        return;
    };
    let args = "--unit 50 --rate 2000/s";
    ends(based.to_table("whole", args), 0).await;
    let batch = based.to_table("out", args).start();
    based.has_rows("out", 100).await;
    based.database.kill().await;
    based.database.restart().await;
    let ended = batch.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(based.digest("out"), based.digest("whole"));
}

#[tokio::test]
async fn a_database_of_answers_that_stays_away_ends_a_batch_that_can_go_on() {
    let Some(mut based) = Based::new(2000).await else {
        return;
    };
    // Rows of a file: the database has nothing but the answers.
    let batch = |based: &Based, table: &str, more: &str| {
        let table = based.table(table);
        let args = format!("--id id --unit 50 --out {table} {more}");
        based.database.known_to(based.place.best(&args))
    };
    ends(batch(&based, "whole", ""), 0).await;
    let going = batch(&based, "parts", "--rate 2000/s --retry-for 500ms").start();
    based.has_rows("parts", 100).await;
    based.database.kill().await;
    let ended = going.end().await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    let expected = "(it was tried for 500ms)";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    based.database.restart().await;
    ends(batch(&based, "parts", ""), 0).await;
    assert_eq!(based.digest("parts"), based.digest("whole"));
}

/// A transaction that another worker has begun, and does not end.
#[tokio::test]
async fn a_unit_that_hangs_at_another_worker_is_waited_for() {
    let Some(database) = Postgres::with(&["max_prepared_transactions=2"]).await else {
        return;
    };
    let based = Based {
        place: Place::new(20),
        database,
    };
    based.fill(20);
    let args = format!("--id id --unit 10 --out {}", based.table("out"));
    let plan = format!("plan best -f best.yaml --in rows.jsonl {args}");
    ends(based.batch(&plan), 0).await;
    based.database.sql(
        "BEGIN; INSERT INTO out_motet (path, bytes) VALUES ('_motet/units/00001.json', \
         '{\"rows\": 10, \"errors\": 0, \"sha256\": \"\"}'); PREPARE TRANSACTION 'other'",
    );
    let batch = |more: &str| {
        let args = format!("{args} {more}");
        based.database.known_to(based.place.best(&args))
    };
    let ended = ends(batch("--retry-for 1s"), 75).await;
    let expected = "canceling statement due to lock timeout";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    assert_eq!(based.database.sql("SELECT count(*) FROM out"), "10");
    let waiting = batch("--json").start();
    let blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    until("a wait", async || {
        (based.database.sql(blocked) == "1").then_some(())
    })
    .await;
    based.database.sql("COMMIT PREPARED 'other'");
    // The other one's record is there, but no rows of it: this one does not finish.
    let ended = waiting.end().await;
    assert_eq!(ended.code, Some(42), "{}", ended.stderr);
    let expected = "it has 0 rows of unit 1, not 10";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(
        (&report["units"], &report["lost_units"]),
        (&0.into(), &1.into())
    );
}

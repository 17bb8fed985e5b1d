//! Servers that go away, and rows that change.

use motet_tests::wait::until;

use super::{Based, ends, files};

/// So many rows that some are not read yet when the first are written.
const MANY: usize = 20_000;

#[tokio::test]
async fn a_database_that_is_killed_and_comes_back_costs_no_row() {
    let Some(mut based) = Based::new(MANY).await else {
        return;
    };
    let args = "--unit 500 --out";
    ends(based.best(&format!("{args} whole")), 0).await;
    let batch = based.best(&format!("{args} out --rate 4000/s")).start();
    let part = based.place.path("out/part-00002.jsonl");
    until("a part", async || part.exists().then_some(())).await;
    based.database.kill().await;
    based.database.restart().await;
    // And connections that an administrator ends.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'motet batch'";
    for _ in 0..5 {
        based.database.sql(end);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let ended = batch.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (out, whole) = (based.place.path("out"), based.place.path("whole"));
    assert!(files(&out) == files(&whole), "files differ");
}

#[tokio::test]
async fn a_database_that_stays_away_ends_a_batch_that_can_go_on() {
    let Some(mut based) = Based::new(MANY).await else {
        return;
    };
    let args = "--unit 500 --out";
    ends(based.best(&format!("{args} whole")), 0).await;
    let batch = based
        .best(&format!("{args} out --rate 4000/s --retry-for 500ms"))
        .start();
    let part = based.place.path("out/part-00002.jsonl");
    until("a part", async || part.exists().then_some(())).await;
    based.database.kill().await;
    let ended = batch.end().await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    let expected = "cannot be read: error connecting to server: Connection refused";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    based.database.restart().await;
    ends(based.best(&format!("{args} out")), 0).await;
    let (out, whole) = (based.place.path("out"), based.place.path("whole"));
    assert!(files(&out) == files(&whole), "files differ");
}

#[tokio::test]
async fn what_changed_since_the_plan_is_refused_with_what_differs() {
    let Some(based) = Based::new(100).await else {
        return;
    };
    let args = "--unit 30 --out out";
    let query = |query: &str, args: &str| based.query(query, &format!("--id id {args}"));
    let plan = format!(
        "plan best -f best.yaml --in {} --id id {args}",
        based.database.url()
    );
    ends(based.batch(&plan).args(["--query", super::ROWS]), 0).await;
    for (text, more, expected) in [
        (
            "SELECT id, score, name FROM rows ORDER BY id",
            "",
            "the query is another one",
        ),
        (
            super::ROWS,
            "--order-by name",
            "the key is `name`, not `id`",
        ),
        (super::ROWS, "--unit 31", "the setting `unit` is 31, not 30"),
    ] {
        let args = format!("--out out --unit 30 {more}").replace("--unit 30 --unit", "--unit");
        let ended = ends(query(text, &args), 42).await;
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    based
        .database
        .sql("ALTER TABLE rows ALTER COLUMN name TYPE varchar(50)");
    let ended = ends(based.best(args), 42).await;
    let expected = "the column `name` is of type varchar, not text";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    based
        .database
        .sql("ALTER TABLE rows ALTER COLUMN name TYPE text");
    // Each change is in the third unit: those before it are written.
    for (change, back) in [
        (
            "UPDATE rows SET name = 'x' WHERE id = 70",
            "UPDATE rows SET name = 'row 70' WHERE id = 70",
        ),
        (
            "UPDATE rows SET id = 1000 WHERE id = 70",
            "UPDATE rows SET id = 70 WHERE id = 1000",
        ),
        (
            "UPDATE rows SET score = score || 1::real WHERE id = 89",
            "UPDATE rows SET score = ARRAY[5, 4, 2] WHERE id = 89",
        ),
    ] {
        based.database.sql(change);
        let ended = ends(based.best(args), 42).await;
        let expected = "changed since it was planned: the rows with `id` after 59 and up to 89 are \
                        others";
        assert!(
            ended.stderr.contains(expected),
            "{change}: {}",
            ended.stderr
        );
        assert!(!based.place.path("out/part-00002.jsonl").exists());
        based.database.sql(back);
    }
    // Rows after the last key belong to no unit.
    based
        .database
        .sql("INSERT INTO rows VALUES (500, ARRAY[1], 'later')");
    ends(based.best(args), 0).await;
    assert_eq!(based.place.answers("out").len(), 100);
}

#[tokio::test]
async fn a_database_whose_name_no_machine_has_is_a_mistake() {
    let place = super::Place::new(3);
    // Longer than a part of a name may be: no server of names is asked.
    let host = format!("{}.invalid", "x".repeat(64));
    let url = format!("postgres://app@{host}/test");
    for args in [
        format!("--in {url} --order-by id --query TABLE --out out"),
        format!("--in rows.jsonl --out {url}?table=out"),
    ] {
        let batch = place.batch(&format!("best -f best.yaml {args} --retry-for 1h"));
        let ended = ends(batch, 42).await;
        let expected = "failed to lookup address information";
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

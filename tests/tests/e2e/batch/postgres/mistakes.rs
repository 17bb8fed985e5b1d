//! Queries, keys, columns and addresses that are none.

use super::{Based, ends};

#[tokio::test]
async fn every_mistake_of_a_query_is_told_before_the_first_call() {
    let Some(based) = Based::new(10).await else {
        return;
    };
    based
        .database
        .sql("ALTER TABLE rows ADD COLUMN spot point DEFAULT '(1,2)'");
    let all = "SELECT id, name, spot, 1 AS a, 2 AS a FROM rows WHERE id = $1";
    for (query, args, parts) in [
        (
            all,
            "--order-by idd",
            &[
                "it has parameters such as $1: write their values",
                "key `idd`: no such column; did you mean `id`?",
                "column `spot`: is of type point, which is none of rows",
                "such as spot::text",
                "column `a`: two columns have this name",
            ][..],
        ),
        (
            "SELECT id, name AS score, 7.5 AS name FROM rows",
            "--order-by id --keep idd --columns bests",
            &[
                "input `score`, column `score`: is of type text, where float[N] is wanted",
                "kept column `idd`: no such column; did you mean `id`?",
                "output `bests`: the pipeline has none; did you mean `best`?",
            ],
        ),
        (
            "SELECT id, 7.5 AS score FROM rows",
            "--order-by id --map name=nam",
            &[
                "input `score`, column `score`: is of type numeric, where float[N] is wanted; \
                 cast it in the query: score::float8",
                "input `name`, column `nam`: no such column",
            ],
        ),
        // Types are known where there are no rows.
        (
            "SELECT id, name AS score FROM rows WHERE id < 0",
            "--order-by id",
            &["input `score`, column `score`: is of type text, where float[N] is wanted"],
        ),
        (
            "SELECT id FROM rows",
            "--order-by id",
            &["input `score`, column `score`: no such column; there are: `id`"],
        ),
        (
            "SELECT spot AS key, score FROM rows",
            "--order-by key",
            &["key `key`: is of type point, and keys are"],
        ),
        (
            "SELECT id / 3 AS third, score FROM rows",
            "--order-by third",
            &["`third` is no key: two rows have 0"],
        ),
        (
            "SELECT nullif(id, 4) AS key, score FROM rows",
            "--order-by key",
            &["`key` is no key: it is null in 1 rows"],
        ),
        (
            "SELECT * FORM rows",
            "--order-by id",
            &["syntax error", "at character 10"],
        ),
        (
            "SELECT * FROM absent",
            "--order-by id",
            &["relation \"absent\" does not exist"],
        ),
        (
            "SELECT idd FROM rows",
            "--order-by id",
            &["column \"idd\" does not exist"],
        ),
        (
            "SELECT 1; SELECT 2",
            "--order-by id",
            &["cannot insert multiple commands"],
        ),
        (
            "SET search_path = x",
            "--order-by id",
            &["it has no columns: write a SELECT"],
        ),
        (
            "DELETE FROM rows RETURNING id, score",
            "--order-by id",
            &["cannot be read: syntax error"],
        ),
        (
            "SELECT id, score FROM rows, (SELECT setval('counter', 1)) AS s",
            "--order-by id",
            &["relation \"counter\" does not exist"],
        ),
        (
            "SELECT id, ARRAY[1 / (id - 5)]::real[] AS score FROM rows",
            "--order-by id",
            &["division by zero"],
        ),
    ] {
        let ended = ends(based.query(query, &format!("{args} --out out")), 42).await;
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "{query}: {part} in {}",
                ended.stderr
            );
        }
    }
    assert!(!based.place.path("out/_motet/plan.json").exists());
    based.database.sql("CREATE SEQUENCE counter");
    let query = "SELECT id, score FROM rows, (SELECT setval('counter', 1)) AS s";
    let ended = ends(based.query(query, "--order-by id --out out"), 42).await;
    let expected = "cannot execute setval() in a read-only transaction";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    assert_eq!(based.database.sql("SELECT count(*) FROM rows"), "10");
}

#[tokio::test]
async fn arguments_that_do_not_go_together_are_told() {
    let place = super::Place::new(1);
    let url = "postgres://app:planted@127.0.0.1:1/test";
    for (args, expected) in [
        (format!("--in {url}"), "say the rows with --query"),
        (
            format!("--in {url} --query TABLE"),
            "--query needs --order-by COLUMN",
        ),
        (
            format!("--in {url} --query @absent.sql --order-by id"),
            "--query @absent.sql: No such file",
        ),
        (
            "--in rows.jsonl --query TABLE --order-by id".to_owned(),
            "--query is for an input such as postgres://",
        ),
        (
            format!("--in rows.jsonl {url} --query TABLE --order-by id"),
            "a query is an input by itself",
        ),
        (
            format!("--in {url} --query TABLE --order-by id --in-format csv"),
            "a query has no format",
        ),
        (
            format!("--in {url}?table=x --query TABLE --order-by id"),
            "`table` is for answers",
        ),
        (
            format!("--in {url}?sslmode=prefer --query TABLE --order-by id"),
            "its sslmode is `prefer`",
        ),
        (
            format!("--in {url}?nothing=x --query TABLE --order-by id --retry-for 0s"),
            "its setting `nothing` is not known",
        ),
    ] {
        let batch = place.batch(&format!("best -f best.yaml --out out {args}"));
        let ended = ends(batch, 42).await;
        assert!(ended.stderr.contains(expected), "{args}: {}", ended.stderr);
        assert!(!ended.stderr.contains("planted"), "{}", ended.stderr);
    }
}

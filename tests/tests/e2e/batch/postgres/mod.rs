//! Batches whose rows are those of a query of Postgres, and whose answers go to a table.
//!
//! * `mistakes`: queries, keys, columns and addresses that are none.
//! * `faults`: servers that go away, and rows that change.
//! * `secrets`: passwords and TLS.
//! * `tables`: tables of answers.

mod faults;
mod mistakes;
mod secrets;
mod tables;

use motet_tests::postgres::Postgres;
use motet_tests::program::Program;
use serde_json::{Value, json};

use super::killed::{killed, kills};
use super::{Place, ends, files};

/// A query of rows as [`super::row`] makes them.
const ROWS: &str = "SELECT id, score, name FROM rows";

/// A type as the `vector` of pgvector: a text, with a cast to arrays.
const VECTOR: &str = "CREATE TYPE vector; \
    CREATE FUNCTION vector_in(cstring) RETURNS vector IMMUTABLE STRICT \
        LANGUAGE internal AS 'textin'; \
    CREATE FUNCTION vector_out(vector) RETURNS cstring IMMUTABLE STRICT \
        LANGUAGE internal AS 'textout'; \
    CREATE FUNCTION vector_typmod_in(cstring[]) RETURNS int IMMUTABLE STRICT \
        LANGUAGE internal AS 'varchartypmodin'; \
    CREATE FUNCTION vector_typmod_out(int) RETURNS cstring IMMUTABLE STRICT \
        LANGUAGE internal AS 'varchartypmodout'; \
    CREATE TYPE vector (INPUT = vector_in, OUTPUT = vector_out, LIKE = text, \
        TYPMOD_IN = vector_typmod_in, TYPMOD_OUT = vector_typmod_out); \
    CREATE FUNCTION of_vector(vector) RETURNS real[] LANGUAGE sql \
        AS 'SELECT translate(vector_out($1)::text, ''[]'', ''{}'')::real[]'; \
    CREATE CAST (vector AS real[]) WITH FUNCTION of_vector(vector)";

/// A folder with a pipeline, and a database with rows.
struct Based {
    place: Place,
    database: Postgres,
}

impl Based {
    /// Makes both, with this many rows in `rows.jsonl` and in the table `rows`. `None`, with a line
    /// that says why, if there is no server.
    async fn new(rows: usize) -> Option<Self> {
        let based = Self {
            place: Place::new(rows),
            database: Postgres::start().await?,
        };
        based.fill(rows);
        Some(based)
    }

    /// Makes the table `rows`.
    fn fill(&self, rows: usize) {
        self.database.sql(&format!(
            "CREATE TABLE rows (id bigint PRIMARY KEY, score real[], name text);\
             INSERT INTO rows SELECT n, ARRAY[n % 7, n % 5, n % 3], 'row ' || n \
             FROM generate_series(0, {rows} - 1) AS n"
        ));
    }

    /// Returns `motet batch` in the folder, with the password in its environment.
    fn batch(&self, args: &str) -> Program {
        self.database.known_to(self.place.batch(args))
    }

    /// Returns a batch of the pipeline `best` over a query.
    fn query(&self, query: &str, args: &str) -> Program {
        let args = format!("best -f best.yaml --in {} {args}", self.database.url());
        self.batch(&args).args(["--query", query])
    }

    /// Returns a batch over all rows.
    fn best(&self, args: &str) -> Program {
        self.query(ROWS, &format!("--id id {args}"))
    }
}

#[tokio::test]
async fn rows_of_a_query_are_answered_as_those_of_a_file() {
    let Some(based) = Based::new(300).await else {
        return;
    };
    let place = &based.place;
    ends(place.best("--id id --unit 70 --out plain"), 0).await;
    let expected = place.answers("plain");
    let ended = ends(based.best("--unit 70 --out out"), 0).await;
    assert!(ended.stdout.contains("300 rows"), "{}", ended.stdout);
    assert_eq!(place.answers("out"), expected);
    let plan = files(&place.path("out"))["_motet/plan.json"].clone();
    let plan: Value = serde_json::from_slice(&plan).expect("JSON");
    assert_eq!(plan["units"][1]["keys"]["after"], "69");
    assert_eq!(plan["units"][1]["keys"]["to"], "139");
    let columns = json!([
        { "name": "id", "type": "int8" },
        { "name": "score", "type": "float4[]" },
        { "name": "name", "type": "text" },
    ]);
    assert_eq!(plan["inputs"][0]["query"]["columns"], columns);
    // A query of a file, a key of texts, a comment and a semicolon at its end.
    let text = "SELECT score, name, id FROM rows WHERE id % 2 = 0 -- half of them\n;\n";
    place.0.file("half.sql", text);
    let args = "--id id --order-by name --unit 20 --out half --format parquet";
    ends(based.query("@half.sql", args), 0).await;
    let ended = ends(based.batch("status half"), 0).await;
    let said = "8 of 8 units, 150 of 150 rows, 0 errors; finished";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    ends(based.batch("finish half"), 0).await;
    // An empty table is no mistake.
    let none = "SELECT * FROM rows WHERE id < 0";
    ends(based.query(none, "--order-by id --out none"), 0).await;
    assert_eq!(place.answers("none").len(), 0);
}

#[tokio::test]
async fn values_of_every_type_are_those_of_json() {
    let Some(based) = Based::new(0).await else {
        return;
    };
    based
        .database
        .sql("CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN year AS int");
    based.database.sql(VECTOR);
    let columns = [
        ("i2", "(-2)::int2", json!(-2)),
        (
            "i8",
            "9007199254740993::int8",
            json!(9_007_199_254_740_993_i64),
        ),
        ("r", "0.1::real", json!(0.1)),
        ("d", "1e300::float8", json!(1e300)),
        ("b", "true", json!(true)),
        ("v", "'ä'::varchar(9)", json!("ä")),
        ("c", "'x'::char(3)", json!("x")),
        (
            "u",
            "'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
            json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ),
        (
            "tz",
            "'2024-02-03 04:05:06.7+02'::timestamptz",
            json!("2024-02-03 02:05:06.7+00"),
        ),
        ("day", "'2024-02-03'::date", json!("2024-02-03")),
        ("n", "12.50::numeric", json!("12.50")),
        (
            "j",
            "'{\"a\": [1, null]}'::jsonb",
            json!({ "a": [1, null] }),
        ),
        ("y", "'\\x0001'::bytea", json!("AAE=")),
        ("l", "ARRAY['a', NULL]::text[]", json!(["a", null])),
        ("m", "ARRAY[[1, 2], [3, 4]]", json!([[1, 2], [3, 4]])),
        ("e", "'{}'::int[]", json!([])),
        ("mood", "'happy'::mood", json!("happy")),
        ("year", "1999::year", json!(1999)),
        ("vec", "'[1,2.5]'::vector", json!([1.0, 2.5])),
        ("none", "NULL::text", json!(null)),
    ];
    let selected: Vec<String> = columns
        .iter()
        .map(|(name, text, _)| format!("{text} AS {name}"))
        .collect();
    let query = format!(
        "SELECT 1 AS id, {}, ARRAY[2.5]::real[] AS score",
        selected.join(", ")
    );
    let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
    let args = format!("--id id --keep {} --out out", names.join(","));
    ends(based.query(&query, &args), 0).await;
    let answer = based.place.answers("out").remove(0);
    for (name, text, expected) in columns {
        assert_eq!(answer[name], expected, "{text}");
    }
    assert_eq!(answer["best"], json!([2.5]));
    // Parts of JSON feed inputs, too; and vectors.
    let query = "SELECT 1 AS id, '{\"in\": {\"score\": [3, 4]}}'::json AS body";
    ends(
        based.query(query, "--id id --map score=body.in.score --out parts"),
        0,
    )
    .await;
    assert_eq!(based.place.answers("parts")[0]["best"], json!([4.0]));
    let query = "SELECT 1 AS id, '[1,7.5]'::vector AS score";
    ends(based.query(query, "--id id --out vector"), 0).await;
    assert_eq!(based.place.answers("vector")[0]["best"], json!([7.5]));
}

#[tokio::test]
async fn rows_with_errors_are_kept_whole_and_tried_again() {
    let Some(based) = Based::new(10).await else {
        return;
    };
    based
        .database
        .sql("UPDATE rows SET score = NULL WHERE id IN (3, 8)");
    ends(based.best("--unit 4 --errors file --out out"), 0).await;
    assert_eq!(based.place.answers("out").len(), 8);
    let found = files(&based.place.path("out"));
    let failed = super::lines(&found["errors-00000.jsonl"]);
    assert_eq!(failed[0]["id"], 3);
    let message = failed[0]["error"]["message"].as_str().expect("a text");
    assert_eq!(
        message,
        "input `score`, column `score`: the row has no value"
    );
    let mended = String::from_utf8(found["errors-00000.jsonl"].clone()).expect("UTF-8");
    let mended = mended.replace("\"score\":null", "\"score\":[9]");
    based.place.0.file("out/errors-00000.jsonl", mended);
    ends(based.batch("retry out -f best.yaml --out again"), 0).await;
    let again = based.place.answers("again");
    assert_eq!(
        again,
        [json!({ "id": 3, "index": [0], "best": [9.0], "name": "row 3" })]
    );
}

#[tokio::test]
async fn a_batch_that_is_killed_again_and_again_ends_in_the_same_bytes() {
    let count = (100 * kills()).max(1000);
    let Some(based) = Based::new(count).await else {
        return;
    };
    based
        .database
        .sql("UPDATE rows SET score = NULL WHERE id % 97 = 5");
    let args = "--unit 25 --errors file";
    ends(based.best(&format!("{args} --out whole")), 0).await;
    let batch = |more: &str| based.best(&format!("{args} --out parts {more}"));
    let slow = || batch("--rate 800/s");
    let count = killed(slow, batch(""), std::time::Duration::from_millis(400)).await;
    assert!(count * 2 > kills(), "only {count} were killed");
    let (parts, whole) = (based.place.path("parts"), based.place.path("whole"));
    assert!(files(&parts) == files(&whole), "files differ");
}

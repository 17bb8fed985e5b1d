//! Values of every type, and those that no table takes.

use serde_json::{Value, json};

use super::super::super::jsonl;
use super::{Based, ends, shortest};

/// A pipeline with an output of every type, which are its inputs.
const KINDS: &str = r#"
pipeline: kinds
inputs:
  t: string
  ts: "string[A]"
  b: bool
  y: bytes
  i: i8
  k: u32
  l: int
  u: u64
  f: float
  h: f16
  d: f64
  fs: "float[B]"
  v: "float[3]"
  m: "float[C,2]"
  us: "u64[D]"
  bs: "bool[E]"
nodes:
  top: { op: topk, in: { score: $fs }, with: { k: 1 } }
outputs:
  { t: $t, ts: $ts, b: $b, y: $y, i: $i, k: $k, l: $l, u: $u, f: $f, h: $h, d: $d, fs: $fs,
    v: $v, m: $m, us: $us, bs: $bs, best: $top.score }
"#;

/// A pipeline that reads numbers of texts: `NaN` and `inf` are some.
const PARSED: &str = r#"
pipeline: parsed
inputs: { text: "string[N]" }
nodes:
  read: { op: cast, in: { value: $text }, with: { to: float } }
outputs: { vector: $read.out }
"#;

fn kinds(number: usize) -> Value {
    json!({
        "id": number, "t": "ä\t\\N \"\n", "ts": ["a", "", "\\\"{}", "NULL"], "b": true,
        "y": "AAH/", "i": -7, "k": u32::MAX, "l": i64::MIN, "u": u64::MAX, "f": 0.1, "h": 0.5,
        "d": 1e300, "fs": [1.5, -2.0], "v": [1.0, 2.5, 3.0], "m": [[1.0, 2.0], [3.0, 4.0]],
        "us": [u64::MAX, 0], "bs": [true, false],
    })
}

#[tokio::test]
async fn values_of_every_type_have_columns() {
    let Some(based) = Based::new(0).await else {
        return;
    };
    based.place.0.file("kinds.yaml", KINDS);
    based.place.0.file("rows.jsonl", jsonl((0..3).map(kinds)));
    let batch = |out: &str| {
        let args = format!("kinds -f kinds.yaml --in rows.jsonl --id id --out {out}");
        based.batch(&args)
    };
    ends(batch("plain"), 0).await;
    ends(batch(&based.table("plain")), 0).await;
    based.vectors();
    ends(batch(&based.table("vectors")), 0).await;
    let expected = based.place.answers("plain").remove(1);
    for (table, vector) in [("plain", "real[]"), ("vectors", "vector(3)")] {
        let types = format!(
            "SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum) \
             FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
        );
        let expected_types = format!(
            "bigint text text text[] boolean bytea integer bigint bigint numeric(20,0) real real \
             double precision real[] {vector} jsonb numeric(20,0)[] boolean[] real[] text[] jsonb"
        );
        assert_eq!(based.database.sql(&types), expected_types);
        let found = based.answers(table).remove(1);
        for (name, value) in expected.as_object().expect("a row") {
            let value = match name.as_str() {
                "id" => &json!("1"),
                "y" => &json!("\\x0001ff"),
                "v" if vector != "real[]" => {
                    let numbers = format!("SELECT v::real[] FROM {table} WHERE motet_row = 1");
                    assert_eq!(based.database.sql(&numbers), "{1,2.5,3}");
                    continue;
                }
                _ => value,
            };
            assert_eq!(shortest(&found[name]), shortest(value), "{name}");
        }
    }
    // A number that a column does not take ends the batch.
    based.database.sql(
        "CREATE TABLE small AS SELECT * FROM plain LIMIT 0; \
         ALTER TABLE small ALTER COLUMN u TYPE bigint",
    );
    let ended = ends(batch(&based.table("small")), 42).await;
    for part in ["out of range for type bigint", "motet_row 0", "column u"] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    based
        .database
        .sql("ALTER TABLE small ALTER COLUMN u TYPE numeric");
    ends(batch(&based.table("small")), 0).await;
    let big = based.database.sql("SELECT DISTINCT u, us FROM small");
    assert_eq!(big, "18446744073709551615|{18446744073709551615,0}");
}

#[tokio::test]
async fn a_text_that_no_table_takes_is_an_error_of_its_row() {
    let Some(based) = Based::new(0).await else {
        return;
    };
    let (long, longer) = ("long ".repeat(200_000), "longer ".repeat(1_000_000));
    based.place.0.file(
        "rows.jsonl",
        jsonl([
            json!({ "id": "a", "score": [1], "name": "nothing" }),
            json!({ "id": "b", "score": [2], "name": "N\0L", "note": null }),
            json!({ "id": "c\0", "score": [3], "name": "its id" }),
            json!({ "id": "d", "score": "no\0", "name": "its error" }),
            json!({ "id": "e", "score": [4], "name": long, "note": longer }),
        ]) + "{\"id\": \"f\0\n",
    );
    let args = |more: &str| format!("--id id --keep note --unit 4 {more}");
    let batch = |args: &str| based.database.known_to(based.place.best(args));
    let out = based.table("out");
    let ended = ends(batch(&args(&format!("--out {out}"))), 0).await;
    let said = "complete: 6 rows, 2 answers, 4 errors";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    let answers = based.answers("out");
    assert_eq!(
        (&answers[0]["id"], &answers[0]["error"]),
        (&json!("a"), &json!(null))
    );
    for (row, column) in [(1, "name"), (2, "id")] {
        let error = &answers[row]["error"];
        assert_eq!(error["code"], "INVALID_ARGUMENT");
        let message = error["message"].as_str().expect("a text");
        let expected = format!("column `{column}`: has the character U+0000");
        assert!(message.starts_with(&expected), "{message}");
    }
    assert_eq!(
        (&answers[1]["id"], &answers[2]["id"]),
        (&json!("b"), &json!(null))
    );
    assert_eq!(answers[3]["id"], "d");
    assert_eq!(
        (&answers[4]["name"], &answers[4]["note"]),
        (&json!(long), &json!(longer))
    );
    // Whole rows keep what the table does not.
    let out = based.table("whole");
    ends(batch(&args(&format!("--errors file --out {out}"))), 0).await;
    assert_eq!(based.answers("whole").len(), 2);
    let retry = format!("retry {out} -f best.yaml --out again");
    ends(based.batch(&retry), 0).await;
    let again = based.place.answers("again");
    assert_eq!(again[0]["name"], "N\0L");
    assert_eq!(again[1]["id"], "c\0");
}

#[tokio::test]
async fn numbers_that_are_not_finite_are_null_and_make_no_vector() {
    let Some(based) = Based::new(0).await else {
        return;
    };
    based.vectors();
    based.place.0.file("parsed.yaml", PARSED);
    let rows = [vec!["1", "2"], vec!["1", "NaN"], vec!["inf"], vec![]];
    let rows = rows
        .iter()
        .enumerate()
        .map(|(n, text)| json!({ "id": n, "text": text }));
    based.place.0.file("rows.jsonl", jsonl(rows));
    let batch = |table: &str| {
        let table = based.table(table);
        based.batch(&format!(
            "parsed -f parsed.yaml --in rows.jsonl --id id --out {table}"
        ))
    };
    ends(batch("lists"), 0).await;
    let found = based
        .database
        .sql("SELECT vector FROM lists ORDER BY motet_row");
    assert_eq!(found, "{1,2}\n{1,NULL}\n{NULL}\n{}");
    based.database.sql(
        "CREATE TABLE vectors (motet_row bigint, id text, vector vector, degraded text[], \
         error jsonb)",
    );
    let ended = ends(batch("vectors"), 0).await;
    assert!(
        ended.stdout.contains("2 answers, 2 errors"),
        "{}",
        ended.stdout
    );
    let found = "SELECT vector::real[], error->>'message' FROM vectors ORDER BY motet_row";
    let message = "column `vector`: is no vector: it has numbers that are not finite";
    let expected = format!("{{1,2}}|\n|{message}\n|{message}\n|");
    assert_eq!(based.database.sql(found), expected);
}

//! Batches whose answers go to a table.
//!
//! * `fits`: tables that are there, and rights.
//! * `names`: names that are none of SQL's words.
//! * `values`: values of every type, and those that no table takes.
//! * `workers`: workers that are killed, several at once, and servers that go away.

mod fits;
mod names;
mod values;
mod workers;

use motet_tests::postgres::PASSWORD;
use motet_tests::program::Program;
use motet_tests::wait::until;
use serde_json::{Value, json};

use super::{Based, ends, files};

impl Based {
    /// Returns the address of a table of answers.
    fn table(&self, name: &str) -> String {
        format!("{}?table={name}", self.database.url())
    }

    /// Returns a batch over all rows into a table.
    fn to_table(&self, table: &str, args: &str) -> Program {
        self.best(&format!("{args} --out {}", self.table(table)))
    }

    /// Returns the rows of a table as JSON, in the order of the input.
    fn answers(&self, table: &str) -> Vec<Value> {
        let query = format!("SELECT row_to_json(a) FROM {table} AS a ORDER BY motet_row");
        super::super::lines(self.database.sql(&query).as_bytes())
    }

    /// Waits until a table has more rows than this.
    async fn has_rows(&self, table: &str, count: usize) {
        let is_there = format!("SELECT to_regclass('{table}') IS NOT NULL");
        let has_rows = format!("SELECT count(*) > {count} FROM {table}");
        until("rows", async || {
            let is_there = self.database.sql(&is_there) == "t";
            (is_there && self.database.sql(&has_rows) == "t").then_some(())
        })
        .await;
    }

    /// Makes the type `vector`: that of pgvector where the server has it, else one like it.
    fn vectors(&self) {
        let has = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'";
        self.database.sql(match self.database.sql(has).as_str() {
            "1" => "CREATE EXTENSION vector",
            _ => super::VECTOR,
        });
    }

    /// Returns a digest of all rows of a table, and what is beside it.
    fn digest(&self, table: &str) -> String {
        self.database.sql(&format!(
            "SELECT count(*), md5(string_agg(a::text, '|' ORDER BY motet_row)) FROM {table} AS a; \
             SELECT path, md5(bytes) FROM {table}_motet ORDER BY path"
        ))
    }
}

/// Returns a value with its numbers as Postgres writes them: 1 for 1.0.
fn shortest(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(shortest).collect(),
        Value::Object(object) => {
            let entries = object.iter().map(|(k, v)| (k.clone(), shortest(v)));
            entries.collect::<serde_json::Map<_, _>>().into()
        }
        Value::Number(number) => match number.as_f64() {
            Some(whole) if number.is_f64() && whole as i32 as f64 == whole => json!(whole as i32),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

#[tokio::test]
async fn answers_of_a_file_and_of_a_query_go_to_a_table() {
    let Some(based) = Based::new(300).await else {
        return;
    };
    let place = &based.place;
    ends(place.best("--id id --unit 70 --out plain"), 0).await;
    let args = format!("--id id --unit 70 --out {}", based.table("of_file"));
    let ended = ends(based.database.known_to(place.best(&args)), 0).await;
    let said = "complete: 300 rows, 300 answers, 0 errors";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    ends(based.to_table("public.of_query", "--unit 70"), 0).await;
    let (of_file, of_query) = (based.answers("of_file"), based.answers("of_query"));
    assert_eq!(of_file.len(), 300);
    for (number, expected) in place.answers("plain").iter().enumerate() {
        let mut row = json!({ "motet_row": number, "degraded": null, "error": null });
        for (name, value) in expected.as_object().expect("a row") {
            row[name] = value.clone();
        }
        // A column of JSON is a text, one of a query has its type.
        assert_eq!(of_query[number], shortest(&row));
        row["id"] = json!(number.to_string());
        assert_eq!(of_file[number], shortest(&row));
    }
    let types = "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' \
                 ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'of_query'::regclass \
                 AND attnum > 0";
    assert_eq!(
        based.database.sql(types),
        "motet_row bigint, id bigint, index integer[], best real[], name text, degraded text[], \
         error jsonb"
    );
    // It is there: nothing is computed again.
    let ended = ends(based.to_table("of_query", "--unit 70 --json"), 0).await;
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&report["rows"], &report["units"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn commands_know_tables() {
    let Some(based) = Based::new(10).await else {
        return;
    };
    based
        .database
        .sql("UPDATE rows SET score = NULL WHERE id IN (3, 8)");
    let args = "--unit 4 --errors file";
    let out = based.table("out");
    let ended = ends(based.batch(&format!("status {out}")), 42).await;
    assert!(ended.stderr.contains("it has no plan"), "{}", ended.stderr);
    ends(based.to_table("out", &format!("{args} --shard 1/3")), 0).await;
    let ended = ends(based.batch(&format!("status {out}")), 0).await;
    let expected = "pipeline best: 1 of 3 units, 4 of 10 rows, 0 errors; nobody works on it\n";
    assert_eq!(ended.stdout, expected);
    let ended = ends(based.batch(&format!("finish {out}")), 75).await;
    let expected = "2 of 3 units are not written yet";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    ends(based.to_table("out", args), 0).await;
    assert_eq!(based.database.sql("SELECT count(*) FROM out"), "8");
    let ended = ends(based.batch(&format!("status {out}")), 0).await;
    assert!(
        ended.stdout.ends_with("2 errors; finished\n"),
        "{}",
        ended.stdout
    );
    // Somebody mends the pipeline, or the rows: here, those in the table beside it.
    based.database.sql(
        "UPDATE out_motet SET bytes = convert_to(replace(convert_from(bytes, 'UTF8'), \
         '\"score\":null', '\"score\":[9]'), 'UTF8') WHERE path LIKE 'errors-%'",
    );
    let again = format!("retry {out} -f best.yaml --out {}", based.table("again"));
    ends(based.batch(&again), 0).await;
    let again = based.database.sql("SELECT id, best FROM again ORDER BY id");
    assert_eq!(again, "3|{9}\n8|{9}");
    ends(
        based.batch(&format!("retry {out} -f best.yaml --out again")),
        0,
    )
    .await;
    assert_eq!(based.place.answers("again").len(), 2);
    // Somebody removes an answer.
    based.database.sql("DELETE FROM again WHERE id = '3'");
    let ended = ends(based.batch(&format!("finish {}", based.table("again"))), 42).await;
    let expected = "changed since it was written: it has 0 rows of unit 0, not 1";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    based
        .database
        .sql("INSERT INTO again VALUES (0, '3'), (1000, '9')");
    let ended = ends(based.batch(&format!("finish {}", based.table("again"))), 42).await;
    let expected = "it has 2 rows of unit 1, not 1";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[tokio::test]
async fn standard_input_and_passwords_stay_where_they_belong() {
    let Some(based) = Based::new(30).await else {
        return;
    };
    let rows = std::fs::read(based.place.path("rows.jsonl")).expect("rows");
    let address = based.database.address;
    let out = format!("postgres://app:{PASSWORD}@{address}/test?table=out");
    let args = format!("best -f best.yaml --in - --id id --unit 10 --out {out}");
    let first = based.place.batch(&format!("{args} --shard 0/3"));
    let first = ends(first.stdin(rows), 0).await;
    // The rest of it is kept.
    let rest = ends(based.place.batch(&args), 0).await;
    let status = ends(based.place.batch(&format!("status {out}")), 0).await;
    assert!(status.stdout.contains("30 of 30 rows"), "{}", status.stdout);
    assert_eq!(based.answers("out").len(), 30);
    let kept = "SELECT string_agg(path || convert_from(bytes, 'UTF8'), '') FROM out_motet";
    let kept = based.database.sql(kept);
    assert!(
        kept.contains("_motet/stdin") && kept.contains("_SUCCESS"),
        "{kept}"
    );
    let wrong = out.replace(PASSWORD, "planted-wrong");
    let refused = ends(based.place.batch(&args.replace(&out, &wrong)), 42).await;
    let expected = "password authentication failed";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    for ended in [first, rest, status, refused] {
        for text in [&kept, &ended.stdout, &ended.stderr] {
            assert!(!text.contains("planted"), "{text}");
        }
    }
    assert!(
        !files(based.place.0.path())
            .keys()
            .any(|name| name.contains("postgres:"))
    );
}

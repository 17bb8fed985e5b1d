//! Names that are none of SQL's words.

use super::{Based, ends};

/// Returns a text as a part of an address.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_alphanumeric() || byte == b'.' {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[tokio::test]
async fn a_table_has_any_name() {
    let Some(based) = Based::new(12).await else {
        return;
    };
    based.database.sql("CREATE SCHEMA \"My Schema\"");
    let longest = "é".repeat(28);
    for (schema, name) in [
        ("", "Answers"),
        ("My Schema", "Answers"),
        ("public", "a.b"),
        ("", "select"),
        ("", "a\"b"),
        ("", "a/b?c=d&e#f%20"),
        ("", "x'; DROP TABLE rows; --"),
        ("", "\"; DROP TABLE rows; --"),
        ("", "$1 \\N {}"),
        ("", &longest),
    ] {
        let (named, sql) = match schema {
            "" => (name.to_owned(), quoted(name)),
            schema => (
                format!("{schema}.{name}"),
                format!("{}.{}", quoted(schema), quoted(name)),
            ),
        };
        let table = encoded(&named);
        ends(based.to_table(&table, "--unit 5 --errors file"), 0).await;
        let count = based.database.sql(&format!("SELECT count(*) FROM {sql}"));
        assert_eq!(count, "12", "{named}");
        let state = format!("{}_motet\"", sql.strip_suffix('"').expect("a quote"));
        let records = format!("SELECT count(*) FROM {state} WHERE path LIKE '_motet/units/%'");
        let state = based.database.sql(&records);
        assert_eq!(state, "3", "{named}");
        let out = based.table(&table);
        let status = ends(based.batch(&format!("status {out}")), 0).await;
        assert!(status.stdout.contains("12 of 12 rows"), "{}", status.stdout);
        ends(based.batch(&format!("finish {out}")), 0).await;
    }
    assert_eq!(based.database.sql("SELECT count(*) FROM rows"), "12");
}

#[tokio::test]
async fn columns_have_any_name() {
    let Some(based) = Based::new(3).await else {
        return;
    };
    let names = ["Order", "a\"b", "x, y); DROP TABLE rows; --", "select", "ü"];
    let selected: Vec<String> = names
        .iter()
        .map(|n| format!("id AS {}", quoted(n)))
        .collect();
    let query = format!("SELECT id, score, name, {} FROM rows", selected.join(", "));
    let args = format!("--id id --out {}", based.table("out"));
    let mut batch = based.query(&query, &args);
    for name in names {
        // One that has a comma itself is kept apart from others.
        if !name.contains(',') {
            batch = batch.args(["--keep", name]);
        }
    }
    ends(batch, 0).await;
    let answers = based.answers("out");
    assert_eq!(answers.len(), 3);
    for name in names.iter().filter(|name| !name.contains(',')) {
        assert_eq!(answers[2][name], 2, "{name}");
    }
    assert_eq!(based.database.sql("SELECT count(*) FROM rows"), "3");
}

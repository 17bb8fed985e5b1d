//! Tables that are there, and rights.

use motet_tests::program::Program;

use super::super::ROWS;
use super::{Based, ends};

#[tokio::test]
async fn a_table_that_is_there_takes_answers_that_fit() {
    let Some(based) = Based::new(20).await else {
        return;
    };
    based.vectors();
    based.database.sql(
        "CREATE DOMAIN year AS int; \
         CREATE TABLE fits (id year PRIMARY KEY, best vector, name varchar(20) NOT NULL, \
         motet_row bigint, degraded jsonb, made timestamptz NOT NULL DEFAULT now(), \
         twice int GENERATED ALWAYS AS (id * 2) STORED)",
    );
    let args = "--columns best,name --errors file";
    ends(based.to_table("fits", args), 0).await;
    let found = "SELECT id, best::real[], name, twice FROM fits WHERE id < 2 ORDER BY id";
    assert_eq!(based.database.sql(found), "0|{0}|row 0|0\n1|{1}|row 1|2");
    based.database.sql(
        "CREATE TABLE no (motet_row bigint, id point, best int, names text, \
         must int NOT NULL, name text NOT NULL)",
    );
    let ended = ends(based.to_table("no", "--columns best,name"), 42).await;
    for part in [
        "table=no: answers do not fit the table:\n",
        "  column `id`: is of type point, and answers take bigint\n",
        "  column `best`: is of type integer, and answers take real[]\n",
        "  column `name`: is NOT NULL, and rows with errors or without it have none",
        "  column `degraded`: the table has none; add it (text[])",
        "  column `error`: the table has none; add it (jsonb)",
        "  column `must`: is NOT NULL without a default, and nothing gives it a value",
    ] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    assert_eq!(based.database.sql("SELECT count(*) FROM no_motet"), "0");
    // Rows of something else are not mixed with answers.
    based
        .database
        .sql("CREATE TABLE other AS SELECT * FROM fits");
    let ended = ends(based.to_table("other", args), 42).await;
    let expected = "has parts, but no plan";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[tokio::test]
async fn a_value_that_a_table_refuses_ends_a_batch_that_goes_on_once_it_does_not() {
    let Some(based) = Based::new(20).await else {
        return;
    };
    based.database.sql(
        "CREATE TABLE short (motet_row int PRIMARY KEY, id int, best real[], name varchar(5), \
         degraded text[], error jsonb)",
    );
    let args = "--columns best,name --unit 5";
    let ended = ends(based.to_table("short", args), 42).await;
    for part in [
        "value too long for type character varying(5)",
        "it is the row with motet_row 10",
    ] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    assert_eq!(based.database.sql("SELECT count(*) FROM short"), "10");
    based
        .database
        .sql("ALTER TABLE short ALTER COLUMN name TYPE text");
    let ended = ends(based.to_table("short", args), 0).await;
    assert!(ended.stdout.contains("20 answers"), "{}", ended.stdout);
    assert_eq!(based.database.sql("SELECT count(*) FROM short"), "20");
    // So does one with a constraint, also one that is looked at when the unit ends.
    based.database.sql(
        "CREATE TABLE seen (id int PRIMARY KEY); INSERT INTO seen SELECT generate_series(0, 7); \
         CREATE TABLE refers (motet_row bigint, best real[], name text, degraded text[], \
         error jsonb, id bigint REFERENCES seen DEFERRABLE INITIALLY DEFERRED)",
    );
    let ended = ends(based.to_table("refers", args), 42).await;
    let expected = "violates foreign key constraint";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    assert_eq!(based.database.sql("SELECT count(*) FROM refers"), "5");
    based
        .database
        .sql("INSERT INTO seen SELECT generate_series(8, 20)");
    ends(based.to_table("refers", args), 0).await;
    assert_eq!(based.database.sql("SELECT count(*) FROM refers"), "20");
}

#[tokio::test]
async fn every_right_that_lacks_is_told_before_the_first_call() {
    let Some(based) = Based::new(4).await else {
        return;
    };
    based.database.sql(&format!(
        "CREATE ROLE guest LOGIN PASSWORD '{}'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         CREATE SCHEMA closed",
        motet_tests::postgres::PASSWORD
    ));
    let guest = |table: &str| -> Program {
        let url = based.table(table).replace("//app@", "//guest@");
        let args = format!("best -f best.yaml --in rows.jsonl --id id --out {url}");
        based.database.known_to(based.place.batch(&args))
    };
    let refused = async |table: &str, parts: &[&str]| {
        let ended = ends(guest(table), 42).await;
        assert_eq!(
            ended.stderr.matches("\n  ").count(),
            parts.len(),
            "{}",
            ended.stderr
        );
        for part in parts {
            let line = format!("\n  {part}");
            assert!(ended.stderr.contains(&line), "{part} in {}", ended.stderr);
        }
    };
    let create = |name: &str| {
        format!("{name} is not there, and the user lacks the right CREATE of schema `public`")
    };
    let parts = [create("\"out\""), create("\"out_motet\"")];
    refused("out", &parts.each_ref().map(String::as_str)).await;
    refused("absent.out", &["there is no schema `absent`"; 2]).await;
    // Another user makes both, and grants nothing, then some of it, then all.
    ends(based.to_table("out", "--shard 0/8 --unit 1"), 0).await;
    based.database.sql("TRUNCATE out, out_motet");
    let lacks = |right: &str, table: &str| {
        let name = format!("\"{table}\"");
        format!("the user lacks the right {right} of {name}")
    };
    let mut parts: Vec<String> = ["SELECT", "INSERT"].map(|r| lacks(r, "out")).into();
    let of_state = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    parts.extend(of_state.map(|right| lacks(right, "out_motet")));
    refused("out", &parts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    based.database.sql(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON out_motet TO guest; \
         GRANT SELECT (motet_row), INSERT (motet_row, id, index, best, error) ON out TO guest",
    );
    let to_columns = ["degraded", "name"]
        .map(|name| format!("column `{name}`: the user may not INSERT values into it"));
    // The id of a line of JSON is a text, and the table has numbers: texts fit.
    refused("out", &to_columns.each_ref().map(String::as_str)).await;
    based
        .database
        .sql("GRANT INSERT (degraded, name) ON out TO guest");
    ends(guest("out"), 0).await;
    assert_eq!(based.answers("out").len(), 4);
    // A view, and a table whose rows are not everybody's.
    based.database.sql(
        "CREATE TABLE secure (motet_row bigint); ALTER TABLE secure ENABLE ROW LEVEL SECURITY; \
         CREATE VIEW view AS SELECT * FROM out; GRANT ALL ON view, secure TO guest; \
         GRANT CREATE ON SCHEMA public TO guest",
    );
    refused("view", &["\"view\" is no table"]).await;
    refused(
        "secure",
        &["\"secure\" has row-level security, which COPY does not pass"],
    )
    .await;
    let closed = ["out", "out_motet"].map(|name| {
        let table = format!("\"closed\".\"{name}\"");
        format!("{table} is not there, and the user lacks the right CREATE of schema `closed`")
    });
    refused("closed.out", &closed.each_ref().map(String::as_str)).await;
}

#[tokio::test]
async fn arguments_of_tables_that_do_not_go_together_are_told() {
    let Some(based) = Based::new(3).await else {
        return;
    };
    let none = based.database.url();
    let table = |name: &str| based.table(name);
    let long = "x".repeat(58);
    for (args, expected) in [
        (
            format!("--out {none}"),
            "names no table for the answers: write",
        ),
        (
            format!("--out {}", table("s.")),
            "`s.` is no name of a table",
        ),
        (format!("--out {}", table(&long)), "57 for a name"),
        (
            format!("--out {}", table("a%00b")),
            "`a\\0b` is no name of a table",
        ),
        (
            format!("--out {} --format csv", table("csv")),
            "leave --format out",
        ),
        (
            format!("--out {none}?tabel=x"),
            "its setting `tabel` is not known",
        ),
    ] {
        let ended = ends(based.best(&args), 42).await;
        assert!(ended.stderr.contains(expected), "{args}: {}", ended.stderr);
    }
    let query = ROWS.replace("name", "name AS motet_row, name");
    let args = format!("--id id --keep motet_row --out {}", table("kept"));
    let ended = ends(based.query(&query, &args), 42).await;
    let expected = "kept column `motet_row`: answers have a column of this name";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let query = ROWS.replace("name", &format!("name AS {long}123456, name"));
    let args = format!("--id id --keep {long}12345 --out {}", table("long"));
    ends(based.query(&query, &args), 0).await;
    let yaml = super::super::super::BEST.replace("name: $name }", "motet_row: $name }");
    based
        .place
        .0
        .file("row.yaml", yaml.replace("best\n", "row\n"));
    let args = format!("row -f row.yaml --in rows.jsonl --out {}", table("row"));
    let ended = ends(based.batch(&args), 42).await;
    let expected = "output `motet_row`: a table of answers has a column of this name";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

//! Parquet, in and out. Rows are read one by one; columns are written for some MiB of rows at once.
//!
//! * `read`: rows of a file as JSON; `chunks`: its bytes, some of them kept; `zstd`: pages.
//! * `schema`: columns of parts as Parquet declares them.
//! * `shred`: rows in JSON as columns with their levels.
//! * `write`: a part.

mod chunks;
mod read;
mod schema;
mod shred;
mod write;
mod zstd;

pub(crate) use read::{ParquetRows, columns_of_bytes, rows_of};
pub(crate) use write::ParquetWriter;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use motet_rows::Port;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::columns::{Node, columns};
    use crate::files::{Files, InputFile};

    /// Writes rows and reads them again, from the row `first` on.
    fn again(columns: &[(String, Node)], rows: &[Value], first: u64) -> Vec<Value> {
        let mut writer = ParquetWriter::new(Vec::new(), columns.to_vec()).unwrap();
        for row in rows {
            writer.add(format!("{row}\n").as_bytes()).unwrap();
        }
        let name = format!(
            "motet-parquet-{}-{:x}",
            std::process::id(),
            fastrand::u64(..)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, writer.finish().unwrap()).unwrap();
        let disk = Files::new(Duration::ZERO, CancellationToken::new());
        let file = InputFile::find(&disk, &path).unwrap();
        assert_eq!(rows_of(&file).unwrap(), rows.len() as u64);
        let mut reader = ParquetRows::open(&file, first).unwrap();
        let mut found = Vec::new();
        while let Some((values, _)) = reader.next().unwrap() {
            found.push(Value::Object(values));
        }
        std::fs::remove_file(&path).unwrap();
        found
    }

    fn columns_of(outputs: &[(&str, &str)], names: &[&str]) -> Vec<(String, Node)> {
        let port = |(name, kind): &(&str, &str)| Port {
            name: (*name).to_owned(),
            kind: kind.parse().unwrap(),
            required: false,
        };
        let ports: Vec<Port> = outputs.iter().map(port).collect();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        columns(&ports, &names)
    }

    #[test]
    fn every_type_of_output_is_read_as_it_was_written() {
        let outputs = [
            ("results.index", "i32[K]"),
            ("results.score", "float[K]"),
            ("results.text", "string[K]"),
            ("vector", "float[N,3]"),
            ("n", "int"),
            ("big", "u64"),
            ("exact", "f64"),
            ("yes", "bool"),
            ("about.name", "string"),
            ("data", "bytes"),
        ];
        let names = [
            "results",
            "results.score",
            "vector",
            "n",
            "big",
            "exact",
            "yes",
            "about",
            "data",
        ];
        let rows = [
            json!({
                "results": [
                    { "index": 1, "score": 0.1, "text": "a" },
                    { "index": -2, "score": 2.5, "text": null },
                ],
                "results.score": [0.1, 2.5],
                "vector": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
                "n": i64::MIN, "big": u64::MAX, "exact": 0.1, "yes": true,
                "about": { "name": "b" }, "data": "AAE=",
            }),
            json!({
                "results": [], "results.score": null, "vector": [[], [7.0]],
                "n": null, "big": 0, "exact": null, "yes": null, "about": null, "data": null,
            }),
        ];
        assert_eq!(again(&columns_of(&outputs, &names), &rows, 0), rows);
        assert_eq!(again(&columns_of(&outputs, &names), &rows, 1), rows[1..]);
    }

    #[test]
    fn kept_columns_have_the_type_of_their_values() {
        for (values, expected) in [
            (json!([1, null]), json!([1, null])),
            (json!([1, 2.5]), json!([1.0, 2.5])),
            (json!([true]), json!([true])),
            (json!(["a", 1]), json!(["a", "1"])),
            (json!([null]), json!([null])),
            (json!([[1]]), json!(["[1]"])),
        ] {
            let node = Node::of_values(values.as_array().unwrap().iter());
            let columns = [("kept".to_owned(), node)];
            let rows = values.as_array().unwrap().iter();
            let rows: Vec<Value> = rows.map(|value| json!({ "kept": value })).collect();
            let found = again(&columns, &rows, 0).into_iter();
            let found: Vec<Value> = found.map(|row| row["kept"].clone()).collect();
            assert_eq!(Value::Array(found), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Lists of lists, empty and absent ones among them, from any row on.
        #[test]
        fn lists_keep_their_lengths(
            rows in prop::collection::vec(
                prop::option::of(prop::collection::vec(
                    prop::option::of(prop::collection::vec(prop::option::of(0i64..9), 0..4)),
                    0..4,
                )),
                1..20,
            ),
            first in 0usize..20,
        ) {
            let first = first.min(rows.len());
            let columns = columns_of(&[("n", "int[N,M]")], &["n"]);
            let rows: Vec<Value> = rows.iter().map(|list| json!({ "n": list })).collect();
            prop_assert_eq!(&again(&columns, &rows, first as u64)[..], &rows[first..]);
        }
    }
}

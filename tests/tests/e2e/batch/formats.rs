//! Formats of inputs and outputs.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use motet_tests::in_process::shared;
use motet_tests::repository;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use super::{Place, ends, files, jsonl, lines, row};

#[tokio::test]
async fn compressed_files_standard_input_and_patterns_give_the_same_rows() {
    let place = Place::new(300);
    let text = jsonl((0..300).map(row));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    place.0.file("a.jsonl.gz", gzip.finish().expect("memory"));
    let zstd = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    place.0.file("a.jsonl.zst", zstd);
    place.0.file("many/2.jsonl", jsonl((150..300).map(row)));
    place.0.file("many/1.ndjson", jsonl((0..150).map(row)));
    ends(place.best("--out plain --id id --unit 70"), 0).await;
    let expected = place.answers("plain");
    assert_eq!(expected.len(), 300);
    assert_eq!(expected[299]["id"], 299);
    for (out, inputs) in [
        ("gzip", "a.jsonl.gz"),
        ("zstd", "a.jsonl.zst"),
        ("many", "many/1.ndjson many/*.jsonl"),
        ("stdin", "-"),
    ] {
        let args = format!("best -f best.yaml --out {out}.out --id id --unit 70 --in {inputs}");
        ends(place.batch(&args).stdin(text.clone()), 0).await;
        assert_eq!(place.answers(&format!("{out}.out")), expected, "{inputs}");
    }
    // Standard input was kept: it is not read again.
    let args = "best -f best.yaml --out stdin.out --id id --unit 70 --in -";
    ends(place.batch(args), 0).await;
}

#[tokio::test]
async fn csv_goes_in_and_out() {
    let place = Place::new(0);
    let csv = "id,score,name\n1,\"[1,5]\",\"a, \"\"b\"\"\"\n2,7,\n3,x,c\n4,1\n";
    place.0.file("rows.csv", csv);
    let args = "best -f best.yaml --in rows.csv --id id --columns best,name --out";
    ends(
        place.batch(&format!("{args} csv --format csv --errors file")),
        0,
    )
    .await;
    let found = files(&place.path("csv"));
    let part = String::from_utf8(found["part-00000.csv"].clone()).expect("UTF-8");
    assert_eq!(
        part,
        "id,best,name\n1,[5.0],\"a, \"\"b\"\"\"\n2,[7.0],nobody\n"
    );
    let failed = lines(&found["errors-00000.jsonl"]);
    assert_eq!(failed[0]["score"], "x");
    let message = failed[1]["error"]["message"].as_str().expect("a text");
    assert_eq!(message, "line 5: has 2 cells, the header 3");
    ends(place.batch(&format!("{args} json")), 0).await;
    assert_eq!(
        place.answers("json")[1],
        json!({ "id": "2", "best": [7.0], "name": "nobody" })
    );
    // Rows of a CSV file that failed are texts of cells still.
    let mended = jsonl([json!({ "id": "3", "score": "3", "name": "" })]);
    std::fs::write(place.path("csv/errors-00000.jsonl"), mended).expect("it is written");
    ends(place.batch("retry csv -f best.yaml --out again"), 0).await;
    let found = files(&place.path("again"));
    assert_eq!(found["part-00000.csv"], b"id,best,name\n3,[3.0],nobody\n");
}

#[tokio::test]
async fn parquet_goes_in_and_out() {
    let place = Place::new(250);
    let args = "--out first --id id --unit 100 --format parquet --errors file";
    ends(place.best(args), 0).await;
    // Parts are inputs, too: columns have the types of the outputs.
    let again = "best -f best.yaml --in first/*.parquet --map score=best --unit 40 --out";
    ends(
        place.batch(&format!(
            "{again} json --id id --keep index --columns best,name"
        )),
        0,
    )
    .await;
    let answers = place.answers("json");
    assert_eq!(answers.len(), 250);
    let best = |number: usize| [number % 7, number % 5, number % 3].into_iter().max();
    for (number, answer) in answers.iter().enumerate() {
        let best = best(number).expect("three") as f64;
        assert_eq!(answer["best"], json!([best]), "{answer}");
        assert_eq!(answer["name"], format!("row {number}"));
        // A column of JSON is a text.
        assert_eq!(answer["id"], number.to_string());
    }
    let whole = answers.iter().all(|answer| answer["index"][0].is_i64());
    assert!(whole, "{}", answers[0]);
    let args = "best -f best.yaml --in first/*.parquet --map score=name --out mistaken";
    let ended = ends(place.batch(args), 42).await;
    let expected = "input `score`, column `name`: is the text \"row 0\", where float[N] is wanted";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let part = files(&place.path("first"))["part-00000.parquet"].clone();
    place.0.file("cut.parquet", &part[..part.len() / 2]);
    let args = "best -f best.yaml --in cut.parquet --map score=best --out cut";
    let ended = ends(place.batch(args), 42).await;
    assert!(
        ended.stderr.contains("cut.parquet is broken"),
        "{}",
        ended.stderr
    );
    // The first page is damaged.
    let mut damaged = part;
    damaged[4..60].fill(0xff);
    place.0.file("damaged.parquet", damaged);
    let args = "best -f best.yaml --in damaged.parquet --map score=best --out damaged";
    let ended = ends(place.batch(args), 42).await;
    assert!(
        ended.stderr.contains("damaged.parquet is broken"),
        "{}",
        ended.stderr
    );
}

/// Runs a script with pyarrow; `None`, with a line that says why, where it is missing.
async fn pyarrow(script: &str, path: &std::path::Path) -> Option<String> {
    let probe = ["-c", "import pyarrow.parquet"];
    let python = crate::clients::find("MOTET_PYTHON", "python3", &probe)?;
    let args = ["-c", script, &path.display().to_string()].map(str::to_owned);
    let program = motet_tests::program::Program::new(&python).args(args);
    let ended = program.run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Some(ended.stdout)
}

/// A foreign reader, where there is one.
#[tokio::test]
async fn pyarrow_reads_parts() {
    let place = Place::new(3);
    ends(place.best("--out out --id id --format parquet"), 0).await;
    let script = "import json, sys\n\
                  import pyarrow.parquet as parquet\n\
                  print(json.dumps(parquet.read_table(sys.argv[1]).to_pylist()))";
    let Some(rows) = pyarrow(script, &place.path("out/part-00000.parquet")).await else {
        return;
    };
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    let expected = json!({
        "id": "2", "index": [0], "best": [2.0], "name": "row 2", "degraded": null, "error": null,
    });
    assert_eq!(rows[2], expected);
}

/// Bytes without a type are read as base64, which is no answer to who wants a text.
#[tokio::test]
async fn parquet_of_a_foreign_writer_goes_in_but_bytes_are_no_texts() {
    let place = Place::new(0);
    let script = "import sys\n\
                  import pyarrow, pyarrow.parquet as parquet\n\
                  rows = {'score': [[1.0, 3.0], [5.0, 4.0]], 'id': [7, 8],\n\
                  \x20       'name': ['a', 'b'], 'raw': [b'a', b'b']}\n\
                  parquet.write_table(pyarrow.table(rows), sys.argv[1])";
    if pyarrow(script, &place.path("rows.parquet")).await.is_none() {
        return;
    }
    let batch = |args: &str| {
        place.batch(&format!(
            "best -f best.yaml --in rows.parquet --id id {args}"
        ))
    };
    ends(batch("--out out"), 0).await;
    let expected = json!([
        { "id": 7, "index": [1], "best": [3.0], "name": "a" },
        { "id": 8, "index": [0], "best": [5.0], "name": "b" },
    ]);
    assert_eq!(json!(place.answers("out")), expected);
    let ended = ends(batch("--map name=raw --out raw"), 42).await;
    let expected = "input `name`, column `raw` of rows.parquet: bytes without the type of text";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

/// Pages of version 1 are compressed whole, those of version 2 but for their levels.
#[tokio::test]
async fn parquet_in_pages_of_zstd_goes_in() {
    let place = Place::new(40);
    ends(place.best("--out rows --id id --unit 7"), 0).await;
    let expected = place.answers("rows");
    for version in [1, 2] {
        let name = format!("zstd-{version}.parquet");
        let file = repository().join("tests/parquet").join(&name);
        let file = std::fs::read(file).expect("a fixture");
        place.0.file(&name, &file);
        let batch = |out: &str| {
            let args = format!("best -f best.yaml --in {name} --id id --unit 7 --out {out}");
            place.batch(&args)
        };
        let out = format!("out-{version}");
        ends(batch(&out), 0).await;
        assert_eq!(place.answers(&out), expected, "{name}");
        // The last page is none.
        let frame = [0x28, 0xb5, 0x2f, 0xfd];
        let at = file.windows(4).rposition(|bytes| bytes == frame);
        let at = at.expect("a frame");
        let mut broken = file.clone();
        broken[at] = 0;
        place.0.file(&name, &broken);
        let ended = ends(batch(&format!("broken-{version}")), 42).await;
        for part in [&*name, "is broken after line or row ", "a page is no zstd"] {
            assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
        }
    }
}

/// Many rows of a foreign writer in pages of every compression.
#[tokio::test]
async fn parquet_of_a_foreign_writer_has_pages_of_any_compression() {
    let place = Place::new(0);
    let script = "import json, pathlib, random, sys\n\
                  import pyarrow, pyarrow.parquet as parquet\n\
                  chosen = random.Random(7)\n\
                  text = lambda: ''.join(chosen.choices('abcdefgh ä', k=chosen.randrange(400)))\n\
                  rows = [{'id': n, 'score': [chosen.random() for _ in range(n % 5 + 1)],\n\
                  \x20        'name': text() if n % 9 else 'often'} for n in range(3000)]\n\
                  folder = pathlib.Path(sys.argv[1])\n\
                  lines = ''.join(json.dumps(row) + '\\n' for row in rows)\n\
                  (folder / 'rows.jsonl').write_text(lines)\n\
                  for codec in ('none', 'snappy', 'gzip', 'zstd', 'lz4', 'brotli'):\n\
                  \x20   for version in ('1.0', '2.0'):\n\
                  \x20       parquet.write_table(pyarrow.Table.from_pylist(rows),\n\
                  \x20           folder / f'{codec}-{version}.parquet', compression=codec,\n\
                  \x20           data_page_version=version, data_page_size=20000,\n\
                  \x20           row_group_size=1300)";
    if pyarrow(script, place.0.path()).await.is_none() {
        return;
    }
    ends(place.best("--out rows --id id --unit 500"), 0).await;
    let expected = place.answers("rows");
    assert_eq!(expected.len(), 3000);
    for version in ["1.0", "2.0"] {
        for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"] {
            let name = format!("{codec}-{version}");
            let args = format!("best -f best.yaml --in {name}.parquet --id id --unit 500");
            let batch = place.batch(&format!("{args} --out {name}"));
            if ["lz4", "brotli"].contains(&codec) {
                let ended = ends(batch, 42).await;
                let expected = "write it with zstd, snappy, gzip or none";
                assert!(ended.stderr.contains(expected), "{name}: {}", ended.stderr);
                continue;
            }
            ends(batch, 0).await;
            assert!(place.answers(&name) == expected, "{name}: rows differ");
        }
    }
}

#[tokio::test]
async fn requests_of_openai_batch_files_are_answered() {
    let place = Place::new(0);
    place.0.file(
        "vectors.yaml",
        r#"
models:
  minilm: { task: embed, source: "builtin:all-minilm-l6-v2" }
pipelines:
  - pipeline: vectors
    inputs: { text: "string[N]" }
    nodes: { v: { model: minilm, in: { text: $text } } }
    outputs: { vector: $v.embedding }
"#,
    );
    let request = |id: &str, url: &str, input: Value| {
        let body = json!({ "model": "any", "input": input });
        json!({ "custom_id": id, "method": "POST", "url": url, "body": body })
    };
    let requests = [
        request("one", "/v1/embeddings", json!("a text")),
        request("two", "/v1/embeddings", json!(["a text", "another"])),
        request("chat", "/v1/chat/completions", json!("a text")),
    ];
    place.0.file("requests.jsonl", jsonl(requests));
    let args = "vectors -f vectors.yaml --in requests.jsonl --out out --format openai";
    ends(place.batch(args), 0).await;
    let answers = place.answers("out");
    let body = |answer: &Value| answer["response"]["body"].clone();
    let (one, two) = (body(&answers[0]), body(&answers[1]));
    assert_eq!(answers[0]["custom_id"], "one");
    assert_eq!(
        one["data"][0]["embedding"].as_array().map(Vec::len),
        Some(384)
    );
    // The same bits in any company.
    assert_eq!(one["data"][0]["embedding"], two["data"][0]["embedding"]);
    assert_eq!(two["data"][1]["index"], 1);
    assert!(
        one["usage"]["total_tokens"].as_u64() > Some(2),
        "{}",
        one["usage"]
    );
    assert_eq!(answers[2]["error"]["code"], "invalid_argument");
    assert_eq!(answers[2]["response"], Value::Null);
    let to = shared().grpc;
    let args = format!("rag --to {to} --in requests.jsonl --out no --format openai");
    let ended = ends(place.batch(&args), 42).await;
    assert!(
        ended
            .stderr
            .contains("one required input, of type string[N]"),
        "{}",
        ended.stderr
    );
}

//! The three outputs of BGE-M3 from a folder, through the whole program, against its formulas.

use motet_proto::Tensor;
use motet_tests::connection::Connection;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, output, raw, texts};
use serde_json::Value;

use crate::motet;

/// Largest difference from the values of the formulas, which are as large as 5.
const CLOSE: f32 = 1e-5;

#[tokio::test]
async fn a_call_gets_the_three_outputs_of_one_model() {
    let folder = TempDir::new();
    let source = repository().join("tests/bge_m3/published");
    let path = source.display();
    let config = format!(
        "models:\n  m3: {{ tasks: [embed, embed_sparse, embed_tokens], source: \"file:{path}\" }}\n\
         \x20 late: {{ task: rerank, source: \"file:{path}\" }}\n"
    );
    let file = folder.file("motet.yaml", config);
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    let listing = std::fs::read(source.join("expected.json")).expect("the fixture");
    let listing: Value = serde_json::from_slice(&listing).expect("JSON");
    let rows = listing["rows"].as_array().expect("rows");
    let bytes = std::fs::read(source.join("expected.f32")).expect("the fixture");
    let values = bytes.as_chunks::<4>().0.iter();
    let values: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
    let all: Vec<&str> = rows
        .iter()
        .map(|row| row["text"].as_str().expect("a text"))
        .collect();
    let request = raw("m3", &[("text", texts(&all))]);
    let answer = connection.inference().model_infer(request).await;
    let answer = answer.expect("an answer").into_inner();
    let ints = |name: &str| -> Vec<i32> {
        let tensor = output(&answer, name);
        tensor.values::<i32>().expect("integers").into_owned()
    };

    // Dense and token vectors, row by row.
    let size = output(&answer, "embedding").shape()[1];
    let (dense, tokens) = (
        floats(&answer, "embedding"),
        floats(&answer, "token_embedding"),
    );
    let token_row = ints("token_row");
    let mut rest = values.as_slice();
    let mut of_row = Vec::new();
    for (number, (row, dense)) in (0i32..).zip(rows.iter().zip(dense.chunks_exact(size))) {
        let expected;
        (expected, rest) = rest.split_at(size);
        assert!(max_difference(dense, expected) < CLOSE, "{number}");
        let first = token_row.partition_point(|row| *row < number);
        let count = row["ids"].as_array().expect("ids").len() - 1;
        assert!(
            token_row[first..first + count]
                .iter()
                .all(|row| *row == number)
        );
        let found = &tokens[first * size..][..count * size];
        let expected;
        (expected, rest) = rest.split_at(count * size);
        assert!(max_difference(found, expected) < CLOSE, "{number}");
        of_row.push(expected);
    }
    assert!(rest.is_empty() && token_row.len() * size == tokens.len());

    // Sparse ones, the heaviest first.
    let (index, row, weight) = (
        ints("sparse_index"),
        ints("sparse_row"),
        floats(&answer, "sparse_weight"),
    );
    assert!(row.is_sorted(), "{row:?}");
    let mut compared = 0;
    for (number, expected) in (0i32..).zip(rows) {
        let of_row = (0..row.len()).filter(|at| row[*at] == number);
        let found: Vec<(i32, f32)> = of_row.map(|at| (index[at], weight[at])).collect();
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "{found:?}");
        let indices = expected["index"].as_array().expect("indices").iter();
        let weights = expected["weight"].as_array().expect("weights").iter();
        for (index, weight) in indices.zip(weights) {
            let index = index.as_i64().expect("an index");
            let weight = weight.as_f64().expect("a weight") as f32;
            let found = found.iter().find(|(at, _)| i64::from(*at) == index);
            let found = found.map_or(0.0, |(_, weight)| *weight);
            assert!(
                (found - weight).abs() < CLOSE,
                "{number}, {index}: {found} {weight}"
            );
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");

    // Late interaction compares the same vectors.
    let query = all[3];
    let inputs = [("query", Tensor::strings([query])), ("text", texts(&all))];
    let answer = connection
        .inference()
        .model_infer(raw("late", &inputs))
        .await;
    let answer = answer.expect("an answer").into_inner();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let score = |text: &&[f32]| {
        let best = of_row[3].chunks_exact(size).map(|word| {
            let products = text.chunks_exact(size).map(|other| dot(word, other));
            products.fold(f32::NEG_INFINITY, f32::max)
        });
        best.sum::<f32>() / (of_row[3].len() / size) as f32
    };
    let expected: Vec<f32> = of_row.iter().map(score).collect();
    assert!(max_difference(&floats(&answer, "score"), &expected) < 2.0 * CLOSE);
}

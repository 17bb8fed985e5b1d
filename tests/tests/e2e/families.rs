//! Models of every family from a folder, through the whole program.

use motet_proto::Tensor;
use motet_tests::connection::Connection;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, output, raw, texts};

use crate::motet;

/// Largest difference from the values of the libraries.
const CLOSE: f32 = 1e-5;

/// Returns the names of the models in tests/fixtures.
fn families() -> Vec<String> {
    let entries = std::fs::read_dir(repository().join("tests/fixtures")).expect("the fixtures");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("a fixture").file_name();
        name.into_string().expect("a name")
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    names
}

/// Texts of a fixture, and the vectors that transformers or sentence-transformers give them.
struct Expected {
    texts: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

fn expected(family: &str) -> Expected {
    let folder = repository().join("tests/fixtures").join(family);
    let read = |file: &str| std::fs::read(folder.join(file)).expect("a file of the fixture");
    let listing: serde_json::Value = serde_json::from_slice(&read("expected.json")).expect("JSON");
    let bytes = read("expected.f32");
    let values = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|v| f32::from_le_bytes(*v));
    let values: Vec<f32> = values.collect();
    let rows = listing["rows"].as_array().expect("rows");
    // Of each row a vector for each token, the mean, the first, and the model's own.
    let count = |row: &serde_json::Value| row["ids"].as_array().expect("ids").len() + 2;
    let vectors: usize = rows.iter().map(count).sum();
    // All are of one size, if the listing has no other for the last.
    let size = |at: usize| listing["sizes"][at].as_u64().map(|size| size as usize);
    let hidden = size(0).unwrap_or(values.len() / (vectors + rows.len()));
    let own_size = size(1).unwrap_or(hidden);
    assert_eq!(values.len(), hidden * vectors + own_size * rows.len());
    let mut end = 0;
    let mut own = |row| {
        end += hidden * count(row) + own_size;
        values[end - own_size..end].to_vec()
    };
    Expected {
        vectors: rows.iter().map(&mut own).collect(),
        texts: rows
            .iter()
            .map(|row| row["text"].as_str().expect("a text").to_owned())
            .collect(),
    }
}

#[tokio::test]
async fn models_of_every_family_are_served_from_their_folders() {
    let folder = TempDir::new();
    let fixtures = repository().join("tests/fixtures");
    let mut config = String::from("models:\n");
    let families = families();
    for family in &families {
        let source = format!("file:{}", fixtures.join(family).display());
        config += &format!(
            "  {family}: {{ task: embed, source: \"{source}\" }}\n  {family}-rank: {{ task: \
             rerank, source: \"{source}\" }}\n"
        );
    }
    let file = folder.file("motet.yaml", config);
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    let infer = async |request| {
        let answer = connection.inference().model_infer(request).await;
        answer.expect("an answer").into_inner()
    };
    for family in &families {
        let Expected {
            texts: all,
            vectors,
        } = expected(family);
        let answer = infer(raw(family, &[("text", texts(&all))])).await;
        let found = floats(&answer, "embedding");
        let size = vectors[0].len();
        assert_eq!(output(&answer, "embedding").shape(), [all.len(), size]);
        for ((found, expected), text) in found.chunks(size).zip(&vectors).zip(&all) {
            let worst = max_difference(found, expected);
            assert!(worst <= CLOSE, "{family}: {text:?} is {worst} off");
        }
        if ["model2vec", "static-embedding"].contains(&family.as_str()) {
            // Nothing, and nothing that is known: there is no mean of it.
            let answer = infer(raw(family, &[("text", texts(&["", "wing", " \n"]))])).await;
            let found = floats(&answer, "embedding");
            let is_zero = |vector: &[f32]| vector.iter().all(|x| *x == 0.0);
            let zeros: Vec<bool> = found.chunks(size).map(is_zero).collect();
            assert_eq!(zeros, [true, false, true], "{family}");
        }
        // A text is nearest to itself.
        let query = Tensor::strings([&all[3]]);
        let request = raw(
            &format!("{family}-rank"),
            &[("query", query), ("text", texts(&all))],
        );
        let scores = floats(&infer(request).await, "score");
        let best = scores.iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(scores.len(), all.len());
        assert_eq!(scores[3], best, "{family}: {scores:?}");
    }
}

//! Models of images from folders, through the whole program, against transformers and Pillow.
//!
//! * `refusals`: what is no image or over a limit, and models whose files do not go together.

mod refusals;

use base64::Engine;
use motet_proto::Tensor;
use motet_tests::connection::Connection;
use motet_tests::program::Process;
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, output, raw};
use serde_json::{Value, json};

use crate::classifiers::{score_kind, serve_from, strings};
use crate::motet;

/// Largest difference from the values of the libraries.
const CLOSE: f32 = 5e-5;

/// A model in tests/images: its pictures, and what transformers gives each.
struct Expected {
    pictures: Vec<Vec<u8>>,
    vectors: Vec<Vec<f32>>,
    logits: Vec<Vec<f32>>,
    labels: Vec<String>,
}

fn picture(file: &str) -> Vec<u8> {
    let folder = repository().join("tests/images/pictures");
    std::fs::read(folder.join(file)).expect("a picture")
}

fn expected(model: &str) -> Expected {
    let folder = repository().join("tests/images").join(model);
    let read = |file: &str| std::fs::read(folder.join(file)).expect("a file of the fixture");
    let listing: Value = serde_json::from_slice(&read("expected.json")).expect("JSON");
    let strings = |key: &str| -> Vec<String> {
        let strings = listing[key].as_array().expect("a list").iter();
        strings
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect()
    };
    let (files, labels) = (strings("pictures"), strings("labels"));
    let bytes = read("expected.f32");
    let values = bytes.as_chunks::<4>().0.iter();
    let values: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
    // Of each picture last its vector, and its logits.
    let of_picture = values.len() / files.len();
    let rows = || values.chunks_exact(of_picture);
    let size = listing["size"].as_u64().expect("a size") as usize;
    let count = labels.len();
    Expected {
        pictures: files.iter().map(|file| picture(file)).collect(),
        vectors: rows()
            .map(|row| row[of_picture - count - size..][..size].to_vec())
            .collect(),
        logits: rows()
            .map(|row| row[of_picture - count..].to_vec())
            .collect(),
        labels,
    }
}

fn images<B: AsRef<[u8]>>(images: &[B]) -> Tensor {
    Tensor::byte_strings(images.iter().map(AsRef::as_ref))
}

async fn serve(models: &[(&str, &str, &str)]) -> (Process, Connection, TempDir) {
    serve_from("images", models).await
}

#[tokio::test]
async fn images_get_the_vectors_of_the_library() {
    let embedders = [
        "clip",
        "clip-bare",
        "clip-vision",
        "siglip",
        "siglip-vision",
        "vit-odd",
    ];
    let models = embedders.map(|name| (name, "embed_images", name));
    let (_program, connection, _folder) = serve(&models).await;
    for name in embedders {
        let expected = expected(name);
        let request = raw(name, &[("image", images(&expected.pictures))]);
        let answer = connection.inference().model_infer(request).await;
        let answer = answer.expect("an answer").into_inner();
        let size = expected.vectors[0].len();
        let shape = [expected.pictures.len(), size];
        assert_eq!(output(&answer, "embedding").shape(), shape, "{name}");
        let found = floats(&answer, "embedding");
        let rows = found.chunks(size).zip(&expected.vectors);
        for ((found, vector), picture) in rows.zip(&expected.pictures) {
            let worst = max_difference(found, vector);
            assert!(worst < CLOSE, "{name}: {worst} off");
            // Alone it has the same bits.
            let request = raw(name, &[("image", images(&[picture]))]);
            let answer = connection.inference().model_infer(request).await;
            let alone = floats(&answer.expect("an answer").into_inner(), "embedding");
            assert_eq!(alone, found, "{name}");
        }
    }
}

#[tokio::test]
async fn images_get_labels_and_the_scores_of_all_labels() {
    let classifiers = ["vit", "clip-labels", "siglip-labels"];
    let models = classifiers.map(|name| (name, "classify_images", name));
    let (_program, connection, _folder) = serve(&models).await;
    for name in classifiers {
        let expected = expected(name);
        let request = raw(name, &[("image", images(&expected.pictures))]);
        let answer = connection.inference().model_infer(request).await;
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(score_kind(&answer), "softmax", "{name}");
        assert_eq!(strings(&answer, "labels"), expected.labels, "{name}");
        let (found, labels) = (floats(&answer, "score"), strings(&answer, "label"));
        let rows = found.chunks(expected.labels.len()).zip(&labels);
        for ((found, label), logits) in rows.zip(&expected.logits) {
            let exps: Vec<f32> = logits.iter().map(|x| x.exp()).collect();
            let sum: f32 = exps.iter().sum();
            let scores: Vec<f32> = exps.iter().map(|x| x / sum).collect();
            let worst = max_difference(found, &scores);
            assert!(worst < CLOSE, "{name}: {worst} off");
            let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            assert_eq!(*label, expected.labels[best.expect("a label")], "{name}");
        }
    }
}

#[tokio::test]
async fn models_are_described_and_proven_before_they_are_served() {
    let folder = TempDir::new();
    let source = |name: &str| {
        let fixture = repository().join("tests/images").join(name);
        format!("source: \"file:{}\"", fixture.display())
    };
    let (vit, clip) = (source("vit"), source("clip"));
    let config = format!(
        "models:\n  labels: {{ task: classify_images, {vit}, max_bytes: 9000 }}\n  \
         vectors: {{ task: embed_images, {clip} }}\n"
    );
    let file = folder.file("motet.yaml", config);
    let ended = motet(["models".as_ref(), file.as_os_str(), "--json".as_ref()])
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let listed: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let listed = listed["models"].as_array().expect("models");
    let of = |name: &str| {
        let found = listed.iter().find(|model| model["name"] == name);
        found.expect("the model")["facts"].clone()
    };
    let (labels, vectors) = (of("labels"), of("vectors"));
    assert_eq!(labels["family"], "vit", "{labels}");
    assert_eq!(vectors["family"], "clip", "{vectors}");
    let limits = json!({"height": 24, "width": 24, "max_pixels": 25_000_000, "max_bytes": 9000});
    assert_eq!(labels["limits"], limits, "{labels}");

    let (flag, answers) = ("-f".as_ref(), folder.path().join("answers.json"));
    for name in ["labels", "vectors"] {
        for to in ["--record", "--against"] {
            let to = to.as_ref();
            let command = [
                "verify".as_ref(),
                name.as_ref(),
                flag,
                file.as_os_str(),
                to,
                answers.as_os_str(),
            ];
            let ended = motet(command).run().await;
            assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
            if to == "--against" {
                assert!(
                    ended.stdout.contains("all bits are equal"),
                    "{}",
                    ended.stdout
                );
            }
        }
    }
}

/// In the layout of sentence-transformers, both parts are in the folder that modules.json names,
/// and its modules come after the model's own head.
#[tokio::test]
async fn modules_say_where_both_parts_are_and_what_comes_after_them() {
    let root = repository();
    let text = root.join("tests/fixtures/clip");
    let both = std::fs::read(root.join("tests/images/both.json")).expect("the values");
    let both: Value = serde_json::from_slice(&both).expect("JSON");
    let folder = TempDir::new();
    let inner = folder.path().join("0_CLIPModel");
    std::fs::create_dir(&inner).expect("a folder");
    for file in OF_BOTH {
        std::fs::copy(text.join(file), inner.join(file)).expect("a copy");
    }
    std::fs::write(
        inner.join("preprocessor_config.json"),
        both["steps"].to_string(),
    )
    .expect("the steps");
    let module = |kind: &str, path: &str| json!({"idx": 0, "type": kind, "path": path});
    let modules = json!([
        module("sentence_transformers.models.CLIPModel", "0_CLIPModel"),
        module("sentence_transformers.models.Normalize", "1_Normalize"),
    ]);
    folder.file("modules.json", modules.to_string());
    let source = folder.path().display();
    let models = ["texts: { task: embed", "images: { task: embed_images"];
    let models = models.map(|model| format!("  {model}, source: \"file:{source}\" }}\n"));
    let file = folder.file("motet.yaml", format!("models:\n{}", models.concat()));
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    let rows = async |model: &str, input: &str, tensor: Tensor| -> Vec<Vec<f32>> {
        let request = raw(model, &[(input, tensor)]);
        let answer = connection.inference().model_infer(request).await;
        let answer = answer.expect("an answer").into_inner();
        let size = output(&answer, "embedding").shape()[1];
        let values = floats(&answer, "embedding");
        values.chunks(size).map(<[f32]>::to_vec).collect()
    };
    let list = |key: &str| -> Vec<String> {
        let texts = both[key].as_array().expect("a list").iter();
        texts
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect()
    };
    let pictures: Vec<_> = list("pictures").iter().map(|file| picture(file)).collect();
    let of_images = rows("images", "image", images(&pictures)).await;
    let of_texts = rows("texts", "text", Tensor::strings(list("texts"))).await;
    for (number, image) in of_images.iter().enumerate() {
        for (at, text) in of_texts.iter().enumerate() {
            // Of length 1 by the last module, so their product is the cosine.
            let dot: f32 = image.iter().zip(text).map(|(a, b)| a * b).sum();
            let expected = both["cosines"][number][at].as_f64().expect("a cosine");
            assert!((f64::from(dot) - expected).abs() < 1e-5, "{dot} {expected}");
        }
    }
}

/// Files of a folder with both parts, but for the steps of images.
const OF_BOTH: [&str; 4] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// The example with a model of images and texts, with a small model in its place, against
/// transformers.
#[tokio::test]
async fn images_and_texts_meet_in_one_pipeline() {
    let root = repository();
    let both = std::fs::read(root.join("tests/images/both.json")).expect("the values");
    let both: Value = serde_json::from_slice(&both).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let (texts, files) = (list(&both["texts"]), list(&both["pictures"]));
    let cosine = |picture: usize, text: usize| both["cosines"][picture][text].as_f64();
    let encoded = files.iter().map(|file| {
        let bytes = picture(file.as_str().expect("a name"));
        base64::engine::general_purpose::STANDARD.encode(bytes)
    });
    let encoded: Vec<String> = encoded.collect();

    let folder = TempDir::new();
    let fixture = root.join("tests/fixtures/clip");
    for file in OF_BOTH {
        std::fs::copy(fixture.join(file), folder.path().join(file)).expect("a copy");
    }
    folder.file("preprocessor_config.json", both["steps"].to_string());
    let example = std::fs::read_to_string(root.join("deploy/examples/images/motet.yaml"));
    let (example, given) = (
        example.expect("the example"),
        "hf:google/siglip-base-patch16-224",
    );
    assert!(example.contains(given));
    let source = format!("file:{}", folder.path().display());
    let file = folder.file("motet.yaml", example.replace(given, &source));
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    let learn = async |name: &str| {
        let service = Service::learn(&connection, &format!("motet.pipeline.{name}")).await;
        service.expect("the pipeline is served")
    };
    let near = |found: &Value, expected: Option<f64>| {
        let (found, expected) = (found.as_f64().unwrap_or(0.0), expected.expect("a cosine"));
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    };
    let best = |cosines: Vec<Option<f64>>| {
        let numbered = cosines.into_iter().enumerate();
        let best = numbered.max_by(|(_, a), (_, b)| a.partial_cmp(b).expect("numbers"));
        best.expect("a cosine")
    };

    let find = learn("Find").await;
    for (number, text) in texts.iter().enumerate() {
        let request = json!({"query": text, "images": encoded, "top_n": files.len()});
        let answer = find.answer("Run", request).await;
        let results = list(&answer["results"]);
        assert_eq!(results.len(), files.len(), "{answer}");
        for result in &results {
            let index = result["index"].as_u64().unwrap_or(0) as usize;
            near(&result["score"], cosine(index, number));
        }
    }
    let label = learn("Label").await;
    for (number, image) in encoded.iter().enumerate() {
        let request = json!({"image": image, "labels": texts});
        let answer = label.answer("Run", request).await;
        let cosines = (0..texts.len()).map(|text| cosine(number, text));
        let (at, expected) = best(cosines.collect());
        assert_eq!(answer["label"], json!([texts[at]]), "{answer}");
        near(&answer["score"][0], expected);
    }
    let request = json!({"texts": texts, "images": encoded});
    let answer = learn("Both").await.answer("Run", request).await;
    let vectors = |key: &str| -> Vec<Vec<f64>> {
        let numbers = |row: &Value| list(row).iter().filter_map(Value::as_f64).collect();
        let rows = list(&answer[key]).into_iter();
        rows.map(|row| numbers(&row["values"])).collect()
    };
    let (of_texts, of_images) = (vectors("text"), vectors("image"));
    assert_eq!(
        (of_texts.len(), of_images.len()),
        (texts.len(), files.len())
    );
    for (number, image) in of_images.iter().enumerate() {
        for (at, text) in of_texts.iter().enumerate() {
            let dot: f64 = image.iter().zip(text).map(|(a, b)| a * b).sum();
            near(&json!(dot), cosine(number, at));
        }
    }
}

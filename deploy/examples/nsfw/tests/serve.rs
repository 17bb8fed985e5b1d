//! The example's configuration, served and called, and its scores against those of the package with
//! onnxruntime. `weights.py` makes the weights and what is expected.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use candle_core::Device;
use motet::task::ModelFolder;
use motet::{ClientError, Server, Tasks, Tensor};
use motet_example_nsfw::{ClassifyImage, Network, SIDE};
use serde::Deserialize;
use tokio::task::JoinSet;
use tonic::{Code, Status};

/// Largest difference of a score of the same pixels.
const CLOSE: f32 = 1e-4;
/// Largest difference of a score of the same file: decoders of JPEG round differently. On 64 such
/// pictures it was 0.004 in the mean and 0.05 once.
const CLOSE_BY_FILE: f32 = 0.02;

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    form: String,
    bytes: usize,
    score: f32,
}

/// Returns the folder that `weights.py` writes, unless it has not.
fn weights() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/examples/nsfw");
    if folder.join("expected.json").exists() {
        return Some(folder);
    }
    println!(
        "skipped: no weights: weights.py makes them in {}",
        folder.display()
    );
    None
}

/// Returns the pictures of the folder, with what is expected of each.
fn pictures(folder: &Path) -> Vec<(Row, Vec<u8>)> {
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let Expected { rows } = serde_json::from_slice(&expected).unwrap();
    let mut rest = &std::fs::read(folder.join("pictures.bin")).unwrap()[..];
    let mut pictures = Vec::new();
    for row in rows {
        let (picture, others) = rest.split_at(row.bytes);
        rest = others;
        pictures.push((row, picture.to_vec()));
    }
    pictures
}

/// Serves the example's configuration, with a change.
async fn serve(change: (&str, &str)) -> Server {
    let tasks = Tasks::builtin().with::<ClassifyImage>();
    let starter = Server::with_tasks(tasks.expect("a name of its own"));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let yaml = include_str!("../motet.yaml").replace("../../..", root);
    let server = starter.from_yaml(&yaml.replace(change.0, change.1)).await;
    let server = server.expect("a configuration without mistakes");
    server.ready().await.expect("a model");
    server
}

#[test]
fn pixels_get_the_scores_of_the_package() {
    let Some(folder) = weights() else { return };
    let pictures = pictures(&folder);
    let pixels = std::fs::read(folder.join("pixels.bin")).unwrap();
    let weights = ModelFolder::open(&folder).unwrap().weights().unwrap();
    let network = Network::load(&weights, &Device::Cpu).unwrap();
    for (pictures, pixels) in pictures.chunks(8).zip(pixels.chunks(8 * 3 * SIDE * SIDE)) {
        let shape = (pictures.len(), SIDE, SIDE, 3);
        let pixels = candle_core::Tensor::from_slice(pixels, shape, &Device::Cpu).unwrap();
        let scores = network.forward(&pixels).unwrap();
        for ((row, _), score) in pictures.iter().zip(scores) {
            assert!(
                (score - row.score).abs() < CLOSE,
                "{score}, not {}",
                row.score
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_get_about_the_scores_of_the_package() {
    let Some(folder) = weights() else { return };
    let pictures = pictures(&folder);
    let server = serve(("", "")).await;
    let files = Tensor::byte_strings(pictures.iter().map(|(_, file)| file));
    let answer = server.client().infer("nsfw", [("image", &files)]).await;
    let answer = answer.unwrap();
    let scores = answer["score"].values::<f32>().unwrap();
    let mut farthest = 0.0_f32;
    for ((row, _), score) in pictures.iter().zip(&*scores) {
        let far = (score - row.score).abs();
        println!("{:.4} {score:.4} {:.4} {}", far, row.score, row.form);
        farthest = farthest.max(far);
    }
    assert!(farthest < CLOSE_BY_FILE, "{farthest}");
    // A pipeline, for one of the safest.
    let (row, file) = pictures.iter().find(|(row, _)| row.score < 0.1).unwrap();
    let file = Tensor::byte_strings([file]).reshape(Vec::new()).unwrap();
    let answer = server.client().infer("moderate", [("image", &file)]).await;
    let answer = answer.unwrap();
    let verdict = answer["verdict"].as_strings().unwrap();
    assert_eq!(verdict.iter().next(), Some(&b"show"[..]), "{}", row.score);
    server.drain().await;
}

async fn refusal(server: &Server, files: &[&[u8]]) -> Status {
    let files = Tensor::byte_strings(files);
    match server.client().infer("nsfw", [("image", &files)]).await {
        Err(ClientError::Status(status)) => *status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_or_too_large_is_refused_by_name() {
    let Some(folder) = weights() else { return };
    let pictures = pictures(&folder);
    let of_form = |form: &str| {
        let found = pictures.iter().find(|(row, _)| row.form == form);
        &found.expect("one of each form").1[..]
    };
    let (jpeg, png) = (of_form("JPEG"), of_form("PNG"));
    let server = serve(("", "")).await;
    let cut = &png[..png.len() / 2];
    for (files, expected) in [
        (
            &[jpeg, b"GIF89a", b""][..],
            "image[1]: is no JPEG or PNG; image[2]: is no JPEG or PNG",
        ),
        (&[&jpeg[..20]], "image[0]: is no JPEG or PNG"),
        (&[jpeg, cut], "image[1]: "),
        (&[&jpeg[..jpeg.len() / 2], png], "image[0]: "),
    ] {
        let status = refusal(&server, files).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().starts_with(expected), "{status:?}");
    }
    server.drain().await;

    for (limit, expected) in [
        ("max_pixels: 1599", "image[0]: has "),
        ("max_bytes: 1000", "image[0]: "),
    ] {
        let server = serve(("max_pixels: 25000000", limit)).await;
        let status = refusal(&server, &[png, jpeg]).await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let message = status.message();
        assert!(
            message.starts_with(expected) && message.contains(limit.split(' ').nth(1).unwrap()),
            "{message}"
        );
        server.drain().await;
    }
}

/// Prints how many pictures are judged in a second, by the number of callers, each of which waits
/// for its answer; in batches, and one by one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test -p motet-example-nsfw callers -- --ignored --nocapture"]
async fn callers_share_batches() {
    const TIME: Duration = Duration::from_secs(5);
    let folder = weights().expect("weights");
    let pictures = pictures(&folder);
    let file = Tensor::byte_strings([&pictures[0].1]);
    for (of, limit) in [
        ("batches", ""),
        ("one by one", "\n    batcher: { max_batch_size: 1 }"),
    ] {
        let limit = format!("max_pixels: 25000000{limit}");
        let server = serve(("max_pixels: 25000000", &limit)).await;
        for callers in [1, 2, 8, 32] {
            let began = Instant::now();
            let mut calls = JoinSet::new();
            for _ in 0..callers {
                let (client, file) = (server.client(), file.clone());
                calls.spawn(async move {
                    let mut answered = 0;
                    while began.elapsed() < TIME {
                        client.infer("nsfw", [("image", &file)]).await.unwrap();
                        answered += 1;
                    }
                    answered
                });
            }
            let answered: u32 = calls.join_all().await.into_iter().sum();
            let rate = f64::from(answered) / began.elapsed().as_secs_f64();
            println!("{of}, {callers} callers: {rate:.1} pictures/s");
        }
        server.drain().await;
    }
}

#[test]
fn the_program_checks_its_configuration() {
    if weights().is_none() {
        return;
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_nsfw"));
    program.current_dir(env!("CARGO_MANIFEST_DIR"));
    let checked = program.args(["check", "motet.yaml"]).output().unwrap();
    let report = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{report}");
}

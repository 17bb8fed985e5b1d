//! The example's configuration, served and called, and its probabilities against those of the
//! package with onnxruntime. `weights.py` copies the weights and writes what is expected.

use std::path::{Path, PathBuf};
use std::process::Command;

use motet::{Client, ClientError, Server, Tasks, Tensor};
use motet_example_voice::DetectSpeech;
use serde::Deserialize;
use tonic::{Code, Status};

/// Largest difference of a probability.
const CLOSE: f32 = 1e-4;
/// Seconds of a frame.
const FRAME: f32 = 0.016;

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    bytes: usize,
    frames: usize,
}

/// Returns the folder that `weights.py` writes, unless it has not.
fn weights() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/examples/voice");
    if folder.join("expected.json").exists() {
        return Some(folder);
    }
    println!(
        "skipped: no weights: weights.py makes them in {}",
        folder.display()
    );
    None
}

/// Returns the recordings of the folder, each with the probabilities of its frames.
fn recordings(folder: &Path) -> Vec<(Vec<u8>, Vec<f32>)> {
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let Expected { rows } = serde_json::from_slice(&expected).unwrap();
    let values = std::fs::read(folder.join("expected.bin")).unwrap();
    let values = values.as_chunks::<4>().0.iter();
    let mut values = values.map(|value| f32::from_le_bytes(*value));
    let mut rest = &std::fs::read(folder.join("recordings.bin")).unwrap()[..];
    let mut recordings = Vec::new();
    for row in rows {
        let (recording, others) = rest.split_at(row.bytes);
        rest = others;
        recordings.push((
            recording.to_vec(),
            values.by_ref().take(row.frames).collect(),
        ));
    }
    recordings
}

async fn serve() -> Server {
    let tasks = Tasks::builtin().with::<DetectSpeech>();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("motet.yaml");
    let server = Server::with_tasks(tasks.expect("a name of its own"));
    let server = server.from_file(file).await;
    let server = server.expect("a configuration without mistakes");
    server.ready().await.expect("a model");
    server
}

/// Compares what is said of some recordings with what is expected.
async fn compare(client: &Client, recordings: &[(Vec<u8>, Vec<f32>)]) {
    let audio = Tensor::byte_strings(recordings.iter().map(|(file, _)| file));
    let answer = client.infer("akiki", [("audio", &audio)]).await.unwrap();
    let speech = answer["speech"].values::<f32>().unwrap();
    let rows = answer["row"].values::<i32>().unwrap();
    let found = answer["probability"].values::<f32>().unwrap();
    let mut found = rows.iter().zip(&*found);
    for ((number, (_, expected)), speech) in (0..).zip(recordings).zip(&*speech) {
        for (frame, expected) in expected.iter().enumerate() {
            let (row, probability) = found.next().unwrap();
            let what = format!("recording {number}, frame {frame}: {probability}, not {expected}");
            assert_eq!(*row, number, "{what}");
            assert!((probability - expected).abs() < CLOSE, "{what}");
        }
        let spoken = expected
            .iter()
            .filter(|probability| **probability >= 0.5)
            .count();
        // A frame may be at the edge.
        assert!(
            (speech - spoken as f32 * FRAME).abs() < 1.1 * FRAME,
            "{speech}"
        );
    }
    assert!(found.next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_get_the_probabilities_of_the_package_in_any_company() {
    let Some(folder) = weights() else { return };
    let recordings = recordings(&folder);
    let server = serve().await;
    let client = server.client();
    compare(&client, &recordings).await;
    // Callers share batches.
    let mut callers = tokio::task::JoinSet::new();
    for recording in recordings.into_iter().rev().take(12) {
        let client = client.clone();
        callers.spawn(async move { compare(&client, &[recording]).await });
    }
    callers.join_all().await;
    server.drain().await;
}

async fn refusal(client: &Client, files: &[&[u8]]) -> Status {
    let audio = Tensor::byte_strings(files);
    match client.infer("akiki", [("audio", &audio)]).await {
        Err(ClientError::Status(status)) => *status,
        other => panic!("{other:?}"),
    }
}

/// Returns a WAV with silence.
fn silence(channels: u16, sample_rate: u32, seconds: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for _ in 0..seconds * sample_rate * u32::from(channels) {
        writer.write_sample(0i16).unwrap();
    }
    writer.finalize().unwrap();
    file.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_such_recording_or_too_long_is_refused_by_name() {
    if weights().is_none() {
        return;
    }
    let server = serve().await;
    let client = server.client();
    let good = silence(1, 16_000, 1);
    for (files, code, expected) in [
        (
            &[&good[..], b"RIFF"][..],
            Code::InvalidArgument,
            "audio[1]: is no WAV",
        ),
        (&[b"", &good], Code::InvalidArgument, "audio[0]: is no WAV"),
        (
            &[&good[..good.len() - 4]],
            Code::InvalidArgument,
            "audio[0]: is damaged",
        ),
        (
            &[&silence(2, 16_000, 1)],
            Code::InvalidArgument,
            "audio[0]: has 2 channels of 16000",
        ),
        (
            &[&silence(1, 8_000, 1)],
            Code::InvalidArgument,
            "audio[0]: has 1 channels of 8000",
        ),
        (
            &[&good, &silence(1, 16_000, 301)],
            Code::ResourceExhausted,
            "audio[1]: has 301 s, over max_seconds 300",
        ),
    ] {
        let status = refusal(&client, files).await;
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().starts_with(expected), "{status:?}");
    }
    server.drain().await;
}

/// A receipt has the cost of the frames in the task's own unit.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_counts_frames() {
    if weights().is_none() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("motet-voice-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("silence.wav");
    std::fs::write(&file, silence(1, 16_000, 2)).unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_voice"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["up", "motet.yaml", "--grpc", "127.0.0.1:0", "--http", "off"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(up.stdout.take().unwrap()));
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("ready ")));
    let ready = ready.expect("it starts").unwrap();
    let address = ready.split(['=', ' ']).nth(2).expect("an address");
    let called = Command::new(env!("CARGO_BIN_EXE_voice"))
        .args(["call", "listen", "--address", address, "--receipt"])
        .arg(format!("audio=@{}", file.display()))
        .output()
        .unwrap();
    up.kill().unwrap();
    up.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let said = String::from_utf8_lossy(&called.stdout);
    let errors = String::from_utf8_lossy(&called.stderr);
    assert!(said.contains(" compute, 125 frames, "), "{said}\n{errors}");
}

#[test]
fn the_program_checks_its_configuration() {
    if weights().is_none() {
        return;
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_voice"));
    program.current_dir(env!("CARGO_MANIFEST_DIR"));
    let checked = program.args(["check", "motet.yaml"]).output().unwrap();
    let report = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{report}");
}

//! Fetching from a hub on loopback.

#[allow(dead_code, unreachable_pub)]
mod fake;

mod faults;
mod files;
mod offline;
mod python;
mod status;
mod together;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fake::FakeHub;
use motet_hub::{Event, Hub, HubError, Repository, Settings, Snapshot};

/// A cache in a folder of its own, which is removed at the end.
struct TestCache {
    folder: PathBuf,
}

impl TestCache {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("motet-hub-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn settings(&self, hub: &FakeHub) -> Settings {
        Settings {
            cache: self.folder.join("hub"),
            endpoint: hub.endpoint(),
            token: None,
            offline: false,
            answer_timeout: Duration::from_secs(5),
            download_timeout: Duration::from_millis(500),
            retry_wait: Duration::from_millis(5),
        }
    }

    fn hub(&self, hub: &FakeHub) -> Hub {
        Hub::new(self.settings(hub))
    }

    /// Returns the path of something in the folder of a repository.
    fn path(&self, name: &str, path: &str) -> PathBuf {
        let name = format!("models--{}", name.replace('/', "--"));
        self.folder.join("hub").join(name).join(path)
    }
}

impl Drop for TestCache {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

fn fetch(hub: &Hub, text: &str) -> Result<Snapshot, HubError> {
    hub.fetch(&repository(text), &mut |_: Event<'_>| {})
}

/// Bytes that no compression or zero page makes smaller.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// A model of a few files.
fn model(seed: u64) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", br#"{"model_type":"bert"}"#.to_vec()),
        ("model.safetensors", noise(100_000, seed)),
        ("tokenizer.json", noise(5_000, seed + 1)),
        ("README.md", b"# A model".to_vec()),
        ("pytorch_model.bin", noise(9_000, seed + 2)),
        ("onnx/model.onnx", noise(9_000, seed + 3)),
    ]
}

//! Several processes that want the same files.

use std::process::Command;
use std::time::Duration;

use crate::fake::{FakeHub, Fault};
use crate::{TestCache, fetch, model};

/// The test below runs this test of its own program as further processes.
#[test]
fn a_process_that_fetches() {
    let (Ok(endpoint), Ok(cache)) = (std::env::var("TEST_ENDPOINT"), std::env::var("TEST_CACHE"))
    else {
        return;
    };
    let mut settings = motet_hub::Settings::from_env();
    settings.endpoint = endpoint;
    settings.cache = cache.into();
    settings.offline = false;
    settings.token = None;
    let snapshot = fetch(&motet_hub::Hub::new(settings), "org/name").unwrap();
    assert_eq!(
        std::fs::metadata(snapshot.folder.join("model.safetensors"))
            .unwrap()
            .len(),
        100_000
    );
}

#[test]
fn each_file_is_fetched_by_one_of_them() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(1));
    hub.fault(
        "model.safetensors",
        1,
        Fault::Slow(Duration::from_millis(5)),
    );
    let start = |_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["together::a_process_that_fetches", "--exact"]);
        command
            .env("TEST_ENDPOINT", hub.endpoint())
            .env("TEST_CACHE", cache.folder.join("hub"));
        command.spawn().unwrap()
    };
    let processes: Vec<_> = (0..3).map(start).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let asked = hub.asked();
    let weights = asked
        .iter()
        .filter(|asked| asked.at_storage && asked.path.contains("model"));
    assert_eq!(weights.count(), 1);
}

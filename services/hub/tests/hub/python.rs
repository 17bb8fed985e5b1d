//! The cache is shared with huggingface_hub, both ways. Needs Python with that package:
//! `MOTET_TEST_PYTHON` names it.

use std::process::Command;

use crate::fake::FakeHub;
use crate::{TestCache, fetch, model, repository};

/// Runs a script with the fake hub and the cache in its environment.
fn python(script: &str, hub: &FakeHub, cache: &TestCache, offline: bool) -> Option<String> {
    let Ok(program) = std::env::var("MOTET_TEST_PYTHON") else {
        eprintln!("skipped: MOTET_TEST_PYTHON names no Python with huggingface_hub");
        return None;
    };
    let mut command = Command::new(program);
    command.args(["-c", script]).env_clear();
    command
        .env("HF_HUB_CACHE", cache.folder.join("hub"))
        .env("HF_ENDPOINT", hub.endpoint());
    command.env("HF_HUB_OFFLINE", if offline { "1" } else { "0" });
    command
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HF_HUB_DISABLE_TELEMETRY", "1");
    command.env("HOME", &cache.folder).env("NO_PROXY", "*");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

const EACH_FILE: &str = "
from huggingface_hub import hf_hub_download
for name in ['config.json', 'tokenizer.json', 'model.safetensors']:
    path = hf_hub_download('org/name', name)
print(path)
";

#[test]
fn python_finds_what_was_fetched_here() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(1));
    let snapshot = fetch(&cache.hub(&hub), "org/name").unwrap();
    let connections = hub.connections();
    let Some(path) = python(EACH_FILE, &hub, &cache, true) else {
        return;
    };
    assert_eq!(
        path,
        snapshot
            .folder
            .join("model.safetensors")
            .display()
            .to_string()
    );
    assert_eq!(hub.connections(), connections);
    // Its own listing of the cache has no complaint.
    let script = "
from huggingface_hub import scan_cache_dir
info = scan_cache_dir()
repo, = info.repos
print(repo.repo_id, repo.nb_files, sorted(r.commit_hash for r in repo.revisions), len(info.warnings))
";
    let scanned = python(script, &hub, &cache, true).unwrap();
    assert_eq!(scanned, format!("org/name 3 ['{}'] 0", snapshot.commit));
}

#[test]
fn what_python_has_fetched_is_found_here() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let commit = hub.commit("org/name", model(2));
    let Some(path) = python(EACH_FILE, &hub, &cache, false) else {
        return;
    };
    let mut settings = cache.settings(&hub);
    settings.offline = true;
    hub.asked();
    let snapshot = fetch(&motet_hub::Hub::new(settings), "org/name").unwrap();
    assert_eq!(snapshot.commit, commit);
    assert_eq!(
        path,
        snapshot
            .folder
            .join("model.safetensors")
            .display()
            .to_string()
    );
    // With a network only the listing is missing.
    let snapshot = cache
        .hub(&hub)
        .have(&repository("org/name"), &mut |_| {})
        .unwrap();
    assert!(snapshot.is_listed);
    assert!(
        !hub.asked()
            .iter()
            .any(|asked| asked.method == "GET" && asked.path.contains("resolve"))
    );
}

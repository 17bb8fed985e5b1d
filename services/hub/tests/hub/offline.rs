//! Without a network.

use std::fs;

use motet_hub::{Hub, HubError};

use crate::fake::FakeHub;
use crate::{TestCache, fetch, model, repository};

#[test]
fn offline_no_connection_is_made() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let commit = hub.commit("org/name", model(1));
    let snapshot = fetch(&cache.hub(&hub), "org/name").unwrap();
    let connections = hub.connections();
    assert!(connections > 0);
    let mut settings = cache.settings(&hub);
    settings.offline = true;
    let client = Hub::new(settings);
    for text in ["org/name", &format!("org/name@{commit}")] {
        assert_eq!(fetch(&client, text).unwrap(), snapshot);
        assert_eq!(
            client.have(&repository(text), &mut |_| {}).unwrap(),
            snapshot
        );
    }
    for text in ["org/name@v1", "org/other"] {
        let error = fetch(&client, text).unwrap_err();
        assert!(matches!(error, HubError::Offline { .. }), "{error}");
        let message = error.to_string();
        for part in [
            "HF_HUB_OFFLINE",
            "motet pull",
            "--to",
            "is not in the cache",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
    assert_eq!(hub.connections(), connections);
}

/// A cache as other programs leave it: links or files, no listing, and only what they needed.
#[test]
fn what_others_have_fetched_is_used() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let snapshot = cache.path("org/name", &format!("snapshots/{commit}"));
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(cache.path("org/name", "refs")).unwrap();
    fs::write(cache.path("org/name", "refs/main"), commit).unwrap();
    let mut settings = cache.settings(&hub);
    settings.offline = true;
    let client = Hub::new(settings);
    let named = repository("org/name");
    for (path, content, is_whole) in [
        ("config.json", "{}", false),
        (
            "model.safetensors.index.json",
            r#"{"weight_map":{"a":"model-1.safetensors"}}"#,
            false,
        ),
        ("model-1.safetensors", "weights", true),
    ] {
        fs::write(snapshot.join(path), content).unwrap();
        assert_eq!(client.cached(&named).is_some(), is_whole, "{path}");
    }
    let found = client.cached(&named).unwrap();
    assert!(!found.is_listed);
    let absent = cache.path("org/name", &format!(".no_exist/{commit}"));
    fs::create_dir_all(&absent).unwrap();
    fs::write(absent.join("modules.json"), "").unwrap();
    fs::write(snapshot.join("tokenizer_config.json"), "{}").unwrap();
    let found = client.cached(&named).unwrap();
    let unknown = client.unknown_files(&named, &found);
    assert_eq!(
        unknown,
        [
            "config_sentence_transformers.json",
            "sentence_bert_config.json"
        ]
    );
    assert_eq!(hub.connections(), 0);
    // With a network, what they have left out is fetched; without, it is used as it is.
    let client = cache.hub(&hub);
    let error = client.have(&named, &mut |_| {}).unwrap_err();
    assert!(matches!(error, HubError::NoRepository { .. }), "{error}");
    let mut settings = cache.settings(&hub);
    drop(hub);
    settings.answer_timeout = std::time::Duration::from_secs(1);
    let found_again = Hub::new(settings).have(&named, &mut |_| {}).unwrap();
    assert_eq!(found_again, found);
}

//! Connections that end, answers that lie, servers that send elsewhere.

use std::fs;
use std::time::{Duration, Instant};

use motet_hub::{Event, HubError, Token};

use crate::fake::{FakeHub, Fault, sha256};
use crate::{TestCache, fetch, model, noise, repository};

/// Returns the first bytes that were asked for of the large files.
fn ranges(hub: &FakeHub) -> Vec<u64> {
    let asked = hub.asked();
    let asked = asked
        .iter()
        .filter(|asked| asked.at_storage && asked.path.ends_with("model.safetensors"));
    let begin = |range: &String| {
        range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
    };
    asked
        .map(|asked| {
            asked
                .range
                .as_ref()
                .map_or(0, |range| begin(range).unwrap())
        })
        .collect()
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_ended() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let files = model(1);
    hub.commit("org/name", files.clone());
    hub.fault("model.safetensors", 2, Fault::Cut(0.6));
    let mut events = Vec::new();
    let fetched = cache
        .hub(&hub)
        .fetch(&repository("org/name"), &mut |event| {
            events.push(format!("{event:?}"));
        });
    let snapshot = fetched.unwrap();
    assert_eq!(
        fs::read(snapshot.folder.join("model.safetensors")).unwrap(),
        files[1].1
    );
    let ranges = ranges(&hub);
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[1] > 50_000 && ranges[1] <= 60_000, "{ranges:?}");
    assert!(
        ranges[2] > ranges[1] + 20_000 && ranges[2] <= 84_000,
        "{ranges:?}"
    );
    assert!(
        events.iter().any(|event| event.starts_with("Retries")),
        "{events:?}"
    );
}

#[test]
fn a_download_that_is_cut_each_time_leaves_what_the_next_fetch_goes_on_from() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let files = model(2);
    hub.commit("org/name", files.clone());
    // The first time something comes, and then nothing.
    hub.fault("model.safetensors", 1, Fault::Cut(0.5));
    hub.fault("model.safetensors", 20, Fault::Cut(0.0));
    let client = cache.hub(&hub);
    let error = fetch(&client, "org/name").unwrap_err();
    assert!(matches!(error, HubError::Cut { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("model.safetensors ends early"),
        "{message}"
    );
    assert!(message.contains("of 100.0 kB are kept"), "{message}");
    assert!(client.cached(&repository("org/name")).is_none());
    let part = cache
        .path("org/name", "blobs")
        .join(format!("{}.incomplete", sha256(&files[1].1)));
    let kept = fs::metadata(&part).unwrap().len();
    assert!(kept > 40_000, "{kept}");
    // Of the program before.
    drop(hub);
    let hub = FakeHub::start();
    hub.commit("org/name", files.clone());
    let snapshot = fetch(&cache.hub(&hub), "org/name").unwrap();
    assert_eq!(ranges(&hub), [kept]);
    assert_eq!(
        fs::read(snapshot.folder.join("model.safetensors")).unwrap(),
        files[1].1
    );
    assert!(!part.exists());
}

#[test]
fn a_server_that_falls_silent_is_asked_again() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(3));
    hub.fault("model.safetensors", 1, Fault::Stall(0.3));
    let began = Instant::now();
    fetch(&cache.hub(&hub), "org/name").unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ranges(&hub).len(), 2);
}

#[test]
fn a_slow_server_is_waited_for() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(4));
    // Slower in all than the time that it may be silent.
    hub.fault(
        "model.safetensors",
        1,
        Fault::Slow(Duration::from_millis(10)),
    );
    fetch(&cache.hub(&hub), "org/name").unwrap();
    assert_eq!(ranges(&hub), [0]);
}

#[test]
fn wrong_bytes_are_found_and_removed() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let files = model(5);
    hub.commit("org/name", files.clone());
    let client = cache.hub(&hub);
    for path in ["config.json", "model.safetensors"] {
        hub.fault(path, 1, Fault::Wrong);
        // The file of the branch's commit is asked for, too, without its body.
        if path == "config.json" {
            hub.fault(path, 1, Fault::Wrong);
        }
        let error = fetch(&client, "org/name").unwrap_err();
        assert!(matches!(error, HubError::Digest { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("{path} is not what the hub lists")),
            "{error}"
        );
    }
    let blobs = fs::read_dir(cache.path("org/name", "blobs")).unwrap();
    let blobs: Vec<_> = blobs.map(|blob| blob.unwrap().file_name()).collect();
    assert!(
        !blobs.iter().any(|blob| *blob == *sha256(&files[1].1)),
        "{blobs:?}"
    );
    assert!(
        !blobs
            .iter()
            .any(|blob| blob.to_string_lossy().contains("incomplete")),
        "{blobs:?}"
    );
    fetch(&client, "org/name").unwrap();
}

#[test]
fn a_part_of_another_file_is_thrown_away() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let files = model(6);
    hub.commit("org/name", files.clone());
    let blobs = cache.path("org/name", "blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", sha256(&files[1].1)));
    for wrong in [noise(70_000, 9), noise(100_000, 9), noise(100_001, 9)] {
        let _ = fs::remove_file(blobs.join(sha256(&files[1].1)));
        fs::write(&part, &wrong).unwrap();
        let snapshot = fetch(&cache.hub(&hub), "org/name").unwrap();
        let read = fs::read(snapshot.folder.join("model.safetensors")).unwrap();
        assert_eq!(read, files[1].1, "{}", wrong.len());
    }
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(7));
    hub.fault("model.safetensors", 1, Fault::Cut(0.6));
    hub.fault("model.safetensors", 1, Fault::Whole);
    let mut again = 0;
    let fetched = cache
        .hub(&hub)
        .fetch(&repository("org/name"), &mut |event| {
            if let Event::Again(bytes) = event {
                again += bytes;
            }
        });
    fetched.unwrap();
    assert!(again > 50_000, "{again}");
    assert_eq!(ranges(&hub).len(), 2);
}

#[test]
fn a_size_that_is_not_the_listed_one_is_refused() {
    for size in [99_999, 100_001] {
        let (hub, cache) = (FakeHub::start(), TestCache::new());
        hub.commit("org/name", model(8));
        hub.fault("model.safetensors", 1, Fault::Size(size));
        let error = fetch(&cache.hub(&hub), "org/name").unwrap_err();
        assert!(matches!(error, HubError::Size { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(&format!("has {size} bytes")), "{message}");
        assert!(message.contains("lists 100000"), "{message}");
    }
}

#[test]
fn the_token_stays_with_the_hub() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    hub.commit("org/name", model(9));
    hub.protect("org/name", "hf_secret", false);
    let mut settings = cache.settings(&hub);
    settings.token = Token::new("hf_secret");
    let client = motet_hub::Hub::new(settings);
    assert!(!format!("{client:?}").contains("hf_secret"));
    fetch(&client, "org/name").unwrap();
    let asked = hub.asked();
    let (storage, of_hub): (Vec<_>, Vec<_>) = asked.iter().partition(|asked| asked.at_storage);
    assert!(storage.len() >= 2 && of_hub.len() >= 4);
    assert!(
        storage.iter().all(|asked| asked.token.is_none()),
        "{storage:?}"
    );
    let has_token = |asked: &&crate::fake::Asked| asked.token.as_deref() == Some("hf_secret");
    assert!(of_hub.iter().all(has_token), "{of_hub:?}");
}

#[test]
fn redirects_within_the_hub_are_followed() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let commit = hub.commit("new/name", model(10));
    // A repository with a new name: the hub sends there.
    hub.fault(
        "/old/name/resolve/main/",
        1,
        Fault::Redirect("/new/name/resolve/main/config.json".to_owned()),
    );
    hub.fault(
        "/old/name/tree/",
        1,
        Fault::Redirect(format!(
            "{}/api/models/new/name/tree/{commit}?recursive=true",
            hub.endpoint()
        )),
    );
    for path in ["config.json", "tokenizer.json", "model.safetensors"] {
        let to = format!("../../../new/name/resolve/{commit}/{path}");
        let to = to.replace("../../../", "/");
        hub.fault(
            &format!("/old/name/resolve/{commit}/{path}"),
            1,
            Fault::Redirect(to),
        );
    }
    assert_eq!(fetch(&cache.hub(&hub), "old/name").unwrap().commit, commit);
    // Never out of it where a secret could be asked for.
    let circle = "/round/name/resolve/main/config.json";
    hub.fault(circle, 100, Fault::Redirect(circle.to_owned()));
    let error = fetch(&cache.hub(&hub), "round/name")
        .unwrap_err()
        .to_string();
    assert!(error.contains("too many redirects"), "{error}");
}

#[test]
fn a_disk_without_room_is_told_before_the_download() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let commit = hub.commit("org/name", model(11));
    // A listing of a file that no disk has room for.
    let listing = format!(
        r#"{{"format_version":1,"files":{{"model.safetensors":{{"size":1,"blob_id":"{}",
            "lfs_sha256":"{}","lfs_size":{}}}}}}}"#,
        "a".repeat(40),
        "b".repeat(64),
        1_u64 << 62
    );
    let trees = cache.path("org/name", "trees");
    fs::create_dir_all(&trees).unwrap();
    fs::write(trees.join(format!("{commit}.json")), listing).unwrap();
    let error = fetch(&cache.hub(&hub), "org/name").unwrap_err();
    assert!(matches!(error, HubError::DiskFull { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("are needed, and there are"), "{message}");
    assert!(message.contains("HF_HUB_CACHE"), "{message}");
    assert!(
        !hub.asked()
            .iter()
            .any(|asked| asked.path.contains("safetensors"))
    );
}

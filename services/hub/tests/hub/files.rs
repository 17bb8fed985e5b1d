//! The selection of files, and their places in the cache.

use std::fs;

use crate::fake::{Asked, FakeHub, git_blob, sha256};
use crate::{TestCache, fetch, model, repository};

fn files_asked(asked: &[Asked]) -> Vec<String> {
    let files = asked
        .iter()
        .filter(|asked| asked.method == "GET" && !asked.at_storage);
    let files = files.filter_map(|asked| asked.path.split_once("/resolve/"));
    files
        .map(|(_, rest)| rest.split_once('/').unwrap().1.to_owned())
        .collect()
}

#[test]
fn only_the_files_of_the_model_are_fetched_and_once() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let commit = hub.commit("org/name", model(1));
    let client = cache.hub(&hub);
    assert_eq!(client.cached(&repository("org/name")), None);
    let snapshot = fetch(&client, "org/name").unwrap();
    assert_eq!(snapshot.commit, commit);
    let files: Vec<&str> = snapshot.files.iter().map(String::as_str).collect();
    assert_eq!(
        files,
        ["config.json", "model.safetensors", "tokenizer.json"]
    );
    // The large ones last.
    let asked = files_asked(&hub.asked());
    assert_eq!(
        asked,
        ["config.json", "tokenizer.json", "model.safetensors"]
    );
    for (path, bytes) in model(1).iter().take(3) {
        assert_eq!(
            &fs::read(snapshot.folder.join(path)).unwrap(),
            bytes,
            "{path}"
        );
    }
    // Again: the branch is asked for, and nothing else.
    assert_eq!(fetch(&client, "org/name").unwrap(), snapshot);
    assert_eq!(files_asked(&hub.asked()), [""; 0]);
    assert_eq!(
        client.cached(&repository("org/name")).as_ref(),
        Some(&snapshot)
    );
    // The commit is known, too, without a request.
    let by_commit = format!("org/name@{commit}");
    assert_eq!(fetch(&client, &by_commit).unwrap(), snapshot);
    assert_eq!(hub.asked(), []);
}

#[cfg(unix)]
#[test]
fn the_cache_has_the_layout_that_others_know() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let modules = br#"[{"type":"sentence_transformers.models.Transformer","path":""},
        {"type":"sentence_transformers.models.Pooling","path":"1_Pooling"}]"#;
    let mut files = model(2);
    files.push(("modules.json", modules.to_vec()));
    files.push(("1_Pooling/config.json", b"{}".to_vec()));
    let commit = hub.commit("org/name", files.clone());
    fetch(&cache.hub(&hub), "org/name").unwrap();
    let reference = fs::read_to_string(cache.path("org/name", "refs/main")).unwrap();
    assert_eq!(reference, commit);
    let link = |path: &str| {
        let path = format!("snapshots/{commit}/{path}");
        fs::read_link(cache.path("org/name", &path))
            .unwrap()
            .display()
            .to_string()
    };
    let weights = sha256(&files[1].1);
    assert_eq!(link("model.safetensors"), format!("../../blobs/{weights}"));
    assert_eq!(
        link("config.json"),
        format!("../../blobs/{}", git_blob(&files[0].1))
    );
    assert_eq!(
        link("1_Pooling/config.json"),
        format!("../../../blobs/{}", git_blob(b"{}"))
    );
    assert!(
        cache
            .path("org/name", &format!("trees/{commit}.json"))
            .exists()
    );
    let mut left = fs::read_dir(cache.path("org/name", "blobs")).unwrap();
    assert!(left.all(|blob| blob.unwrap().path().extension().is_none()));
}

#[test]
fn an_encoder_in_a_folder_is_found() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let modules =
        br#"[{"type":"sentence_transformers.models.Transformer","path":"0_Transformer"}]"#;
    let files = [
        ("modules.json", modules.to_vec()),
        ("0_Transformer/config.json", b"{}".to_vec()),
        ("0_Transformer/model.safetensors", vec![1; 5000]),
    ];
    hub.commit("org/name", files.clone());
    let snapshot = fetch(&cache.hub(&hub), "org/name").unwrap();
    assert_eq!(snapshot.files.len(), 3);
    for (path, bytes) in files {
        assert_eq!(fs::read(snapshot.folder.join(path)).unwrap(), bytes);
    }
}

#[test]
fn revisions_are_told_apart() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let old = hub.commit("org/name", model(3));
    hub.tag("org/name", "v1", &old);
    hub.tag("org/name", "refs/pr/1", &old);
    let client = cache.hub(&hub);
    assert_eq!(fetch(&client, "org/name").unwrap().commit, old);
    let new = hub.commit("org/name", model(30));
    // A branch stays as it was until it is fetched again.
    assert_eq!(client.cached(&repository("org/name")).unwrap().commit, old);
    let mut none = |_: motet_hub::Event<'_>| {};
    assert_eq!(
        client
            .have(&repository("org/name"), &mut none)
            .unwrap()
            .commit,
        old
    );
    assert_eq!(fetch(&client, "org/name").unwrap().commit, new);
    assert_eq!(fetch(&client, "org/name@v1").unwrap().commit, old);
    assert_eq!(fetch(&client, "org/name@refs/pr/1").unwrap().commit, old);
    assert_eq!(
        client
            .cached(&repository("org/name@refs/pr/1"))
            .unwrap()
            .commit,
        old
    );
    assert_eq!(client.cached(&repository("org/name")).unwrap().commit, new);
}

#[test]
fn a_file_that_is_missing_or_short_is_fetched_again() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let files = model(4);
    hub.commit("org/name", files.clone());
    let client = cache.hub(&hub);
    let snapshot = fetch(&client, "org/name").unwrap();
    fs::write(
        cache.path("org/name", "blobs").join(sha256(&files[1].1)),
        b"short",
    )
    .unwrap();
    assert_eq!(client.cached(&repository("org/name")), None);
    fetch(&client, "org/name").unwrap();
    assert_eq!(
        fs::read(snapshot.folder.join("model.safetensors")).unwrap(),
        files[1].1
    );
    fs::remove_file(snapshot.folder.join("config.json")).unwrap();
    assert_eq!(client.cached(&repository("org/name")), None);
    hub.asked();
    fetch(&client, "org/name").unwrap();
    // Its blob is there: a link is enough.
    assert_eq!(files_asked(&hub.asked()), [""; 0]);
}

#[test]
fn a_snapshot_becomes_a_plain_folder() {
    let (hub, cache) = (FakeHub::start(), TestCache::new());
    let files = model(5);
    hub.commit("org/name", files.clone());
    let snapshot = fetch(&cache.hub(&hub), "org/name").unwrap();
    let folder = cache.folder.join("plain");
    motet_hub::copy(&snapshot, &folder).unwrap();
    motet_hub::copy(&snapshot, &folder).unwrap();
    for (path, bytes) in files.iter().take(3) {
        let path = folder.join(path);
        assert!(!path.is_symlink());
        assert_eq!(&fs::read(path).unwrap(), bytes);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    assert_eq!(motet_hub::model_files(&folder), snapshot.files);
}

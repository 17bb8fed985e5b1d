//! Models of a hub, from their names to answers. The hub is a fake one on loopback.

#[allow(dead_code, unreachable_pub)]
#[path = "../../../services/hub/tests/hub/fake.rs"]
mod fake;

use std::path::{Path, PathBuf};

use motet_tests::connection::Connection;
use motet_tests::program::Program;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, raw, texts};

use fake::{FakeHub, Fault};

const TOKEN: &str = "hf_SeCrEt";

/// Returns the files of a fixture.
fn fixture(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = repository().join("tests").join(name);
    let mut files = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a fixture") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(&folder)
                .expect("inside")
                .to_str()
                .expect("a name");
            files.push((name.to_owned(), std::fs::read(&path).expect("a file")));
        }
    }
    files
}

fn publish(hub: &FakeHub, name: &str, of_fixture: &str) -> String {
    let files = fixture(of_fixture);
    let files = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()));
    // A file that nobody needs.
    hub.commit(name, files.chain([("pytorch_model.bin", vec![1; 9000])]))
}

/// Returns a program that knows a hub and a cache, with a token that none of its texts may have.
fn with_hub(args: &[&str], hub: &str, cache: &Path) -> Program {
    Program::new(env!("CARGO_BIN_EXE_motet-e2e"))
        .args(args)
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", cache)
        .env("HF_HUB_CACHE", cache.join("hub"))
        .env("XDG_CACHE_HOME", cache)
        .env("HF_TOKEN", TOKEN)
        .env("HF_HUB_OFFLINE", "0")
        .env("NO_PROXY", "*")
        .env("RUST_LOG", "trace")
}

fn configuration(folder: &TempDir, source: &str) -> PathBuf {
    let text = format!(
        "models:\n  m: {{ task: embed, source: \"{source}\" }}\npipelines:\n  - pipeline: p\n    \
         inputs: {{ text: \"string[N]\" }}\n    nodes: {{ v: {{ model: m, in: {{ text: $text }} }} }}\n    \
         outputs: {{ vector: $v.embedding }}\n"
    );
    folder.file("motet.yaml", text)
}

/// Starts a program, and returns its vectors of two texts and what it said.
async fn vectors(program: Program) -> (Vec<f32>, String) {
    let mut process = program.on_free_ports().start();
    let connection = Connection::open(process.ready().await.grpc).await;
    let request = raw("m", &[("text", texts(&["one", "two words"]))]);
    let answer = connection.inference().model_infer(request).await;
    let vectors = floats(&answer.expect("an answer").into_inner(), "embedding");
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    (vectors, ended.stdout + &ended.stderr)
}

#[tokio::test]
async fn a_model_of_a_hub_is_fetched_and_served() {
    let (hub, folder) = (FakeHub::start(), TempDir::new());
    let commit = publish(&hub, "org/bert", "fixtures/bert");
    hub.protect("org/bert", TOKEN, false);
    let cache = folder.path().join("cache");
    let of_folder = repository().join("tests/fixtures/bert");
    let file = configuration(&folder, &format!("file:{}", of_folder.display()));
    let (expected, _) = vectors(with_hub(
        &["up", file.to_str().unwrap()],
        "http://127.0.0.1:9",
        &cache,
    ))
    .await;

    let file = configuration(&folder, "hf:org/bert");
    let file = file.to_str().unwrap();
    let checked = with_hub(&["check", file], &hub.endpoint(), &cache)
        .run()
        .await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked
            .stderr
            .contains("hf:org/bert is not on this machine"),
        "{}",
        checked.stderr
    );
    assert!(
        checked.stderr.contains("motet pull hf:org/bert"),
        "{}",
        checked.stderr
    );
    assert_eq!(hub.connections(), 0);

    hub.fault("model.safetensors", 1, Fault::Cut(0.6));
    let (found, said) = vectors(with_hub(&["up", file], &hub.endpoint(), &cache)).await;
    assert_eq!(found, expected);
    assert!(
        said.contains(&format!("hf:org/bert at {}", &commit[..12])),
        "{said}"
    );
    assert!(said.contains("hf:org/bert: all there"), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
    let asked = hub.asked();
    assert!(
        !asked.iter().any(|asked| asked.path.contains(".bin")),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.token.is_none() == asked.at_storage),
        "{asked:?}"
    );

    // Again, and without a hub: nothing is asked for.
    let connections = hub.connections();
    let again = with_hub(&["up", file], &hub.endpoint(), &cache);
    assert_eq!(vectors(again).await.0, expected);
    let again = with_hub(&["up", file], &hub.endpoint(), &cache).env("HF_HUB_OFFLINE", "1");
    assert_eq!(vectors(again).await.0, expected);
    let checked = with_hub(&["check", file], &hub.endpoint(), &cache)
        .run()
        .await;
    assert!(!checked.stderr.contains("warning"), "{}", checked.stderr);
    assert_eq!(hub.connections(), connections);
}

#[tokio::test]
async fn files_are_pulled_into_the_cache_and_into_a_folder() {
    let (hub, folder) = (FakeHub::start(), TempDir::new());
    let commit = publish(&hub, "org/dense", "sentence/dense");
    hub.tag("org/dense", "v1", &commit);
    let cache = folder.path().join("cache");
    let plain = folder.path().join("plain");
    let pull = |args: &[&str]| with_hub(&[&["pull"][..], args].concat(), &hub.endpoint(), &cache);
    let ended = pull(&["hf:org/dense@v1", "--to", plain.to_str().unwrap()])
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = format!("hf:org/dense@v1 {commit} {}\n", plain.display());
    assert_eq!(ended.stdout, line);
    assert!(!(ended.stdout + &ended.stderr).contains(TOKEN));
    let lock = std::fs::read_to_string(plain.join("motet.lock")).unwrap();
    let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
    let locked = &lock["sources"]["hf:org/dense@v1"];
    assert_eq!(locked["commit"], commit);
    let files = fixture("sentence/dense");
    let weights = files
        .iter()
        .filter(|(name, _)| name.ends_with(".safetensors"));
    let mut count = 0;
    for (name, bytes) in weights {
        assert_eq!(locked["files"][name]["sha256"], fake::sha256(bytes));
        count += 1;
    }
    assert!(count > 1, "{count}");
    assert!(plain.join("1_Pooling/config.json").exists());
    assert!(!plain.join("pytorch_model.bin").exists());

    let file = configuration(&folder, "file:plain");
    let connections = hub.connections();
    let of_folder = with_hub(&["up", file.to_str().unwrap()], &hub.endpoint(), &cache);
    let (expected, _) = vectors(of_folder.env("HF_HUB_OFFLINE", "1")).await;
    let file = configuration(&folder, "hf:org/dense@v1");
    let of_cache = with_hub(&["up", file.to_str().unwrap()], &hub.endpoint(), &cache);
    assert_eq!(vectors(of_cache).await.0, expected);
    assert_eq!(hub.connections(), connections);

    let file = configuration(&folder, "hf:org/dense");
    let ended = pull(&["-f", file.to_str().unwrap()]).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with(&format!("hf:org/dense {commit} ")),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn what_cannot_be_fetched_is_said_in_one_line() {
    let (hub, folder) = (FakeHub::start(), TempDir::new());
    publish(&hub, "org/bert", "fixtures/bert");
    let cache = folder.path().join("cache");
    for (args, offline, code, expected) in [
        (
            &["pull", "hf:org/none"][..],
            "0",
            1,
            "has no repository `org/none` (404)",
        ),
        (
            &["pull", "hf:org/bert@v9"],
            "0",
            1,
            "has no revision `v9` (404)",
        ),
        (&["pull", "hf:org/bert"], "1", 1, "HF_HUB_OFFLINE"),
        (&["pull", "org/bert"], "0", 2, "write hf:ORG/NAME"),
        (&["pull"], "0", 2, "name what to fetch"),
        (
            &["pull", "hf:a/b", "hf:c/d", "--to", "x"],
            "0",
            2,
            "--to takes the files of one source",
        ),
    ] {
        let program = with_hub(args, &hub.endpoint(), &cache).env("HF_HUB_OFFLINE", offline);
        let ended = program.run().await;
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(expected),
            "{args:?}: {}",
            ended.stderr
        );
    }
    // A server does not start without its files, and says which mistakes its file has before.
    let file = configuration(&folder, "hf:org/none");
    let ended = with_hub(&["up", file.to_str().unwrap()], &hub.endpoint(), &cache)
        .run()
        .await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("has no repository `org/none` (404)"),
        "{}",
        ended.stderr
    );
    let connections = hub.connections();
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("task: embed", "task: embed, dtype: f99");
    let file = folder.file("wrong.yaml", text.replace("org/none", "org/bert"));
    let ended = with_hub(&["up", file.to_str().unwrap()], &hub.endpoint(), &cache)
        .run()
        .await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(hub.connections(), connections);
}

#[tokio::test]
async fn a_signal_stops_a_fetch_and_the_next_one_goes_on() {
    let (hub, folder) = (FakeHub::start(), TempDir::new());
    publish(&hub, "org/bert", "fixtures/bert");
    let cache = folder.path().join("cache");
    let file = configuration(&folder, "hf:org/bert");
    for command in [
        &["up", file.to_str().unwrap()][..],
        &["pull", "hf:org/bert"],
    ] {
        let _ = std::fs::remove_dir_all(&cache);
        // It is not over before the signal comes, however often it asks again.
        hub.fault("model.safetensors", usize::MAX, Fault::Stall(0.5));
        let mut program = with_hub(command, &hub.endpoint(), &cache).start();
        program.says("hf:org/bert at").await;
        let part = motet_tests::wait::until("a part of the weights", async || {
            let blobs = std::fs::read_dir(cache.join("hub/models--org--bert/blobs"));
            let mut blobs = blobs
                .into_iter()
                .flatten()
                .flatten()
                .map(|blob| blob.path());
            blobs
                .any(|blob| {
                    let is_part = blob
                        .extension()
                        .is_some_and(|ending| ending == "incomplete");
                    is_part && blob.metadata().is_ok_and(|blob| blob.len() > 5000)
                })
                .then_some(())
        });
        part.await;
        // Not SIGINT, which `pull` leaves as it finds it: tests in the background of a shell would
        // pass on that it is ignored.
        program.signal("TERM");
        program.end().await;
        hub.mend();
        hub.asked();
        let ended = with_hub(&["pull", "hf:org/bert"], &hub.endpoint(), &cache)
            .run()
            .await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let asked = hub.asked();
        assert!(
            asked
                .iter()
                .any(|asked| asked.at_storage && asked.range.is_some()),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn a_lock_file_pins_commits_and_files() {
    let (hub, folder) = (FakeHub::start(), TempDir::new());
    let first = publish(&hub, "org/bert", "fixtures/bert");
    let cache = folder.path().join("cache");
    let file = configuration(&folder, "hf:org/bert");
    let file = file.to_str().unwrap();
    let run = async |args: &[&str]| {
        let ended = with_hub(args, &hub.endpoint(), &cache).run().await;
        (ended.code, ended.stdout + &ended.stderr)
    };
    // Without its files there is nothing to lock, and without a lock file nothing to compare with.
    let (code, said) = run(&["check", file, "--lock"]).await;
    assert!(
        code == Some(1) && said.contains("is not on this machine"),
        "{said}"
    );
    let (code, said) = run(&["pull", "hf:org/bert"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["check", file, "--locked"]).await;
    assert!(
        code == Some(1) && said.contains("motet check --lock"),
        "{said}"
    );
    let (code, said) = run(&["check", file, "--lock"]).await;
    assert_eq!(code, Some(0), "{said}");
    let lock = std::fs::read_to_string(folder.path().join("motet.lock")).unwrap();
    let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
    assert_eq!(lock["sources"]["hf:org/bert"]["commit"], first);
    let (code, said) = run(&["check", file, "--locked"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");

    // The branch moves on; the configuration does not.
    let second = publish(&hub, "org/bert", "fixtures/electra");
    let (_, said) = run(&["pull", "hf:org/bert"]).await;
    assert!(said.contains(&second), "{said}");
    let (_, said) = run(&["models", file]).await;
    assert!(
        said.contains(&format!("hf:org/bert at {first}")) && said.contains("bert"),
        "{said}"
    );
    let locked = with_hub(&["up", file, "--locked"], &hub.endpoint(), &cache);
    vectors(locked).await;
    // Also where the cache is another one.
    let elsewhere = folder.path().join("elsewhere");
    let locked = with_hub(&["up", file, "--locked"], &hub.endpoint(), &elsewhere);
    let (_, said) = vectors(locked).await;
    assert!(said.contains(&format!("hf:org/bert@{first} at ")), "{said}");
    // Until it is locked again.
    let (code, said) = run(&["check", file, "--lock"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (_, said) = run(&["models", file, "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(shown["models"][0]["commit"], second);
    assert_eq!(shown["models"][0]["facts"]["family"], "electra");
}

#[tokio::test]
async fn files_that_are_not_the_locked_ones_are_named() {
    let folder = TempDir::new();
    for (name, bytes) in fixture("fixtures/bert") {
        folder.file(&format!("model/{name}"), bytes);
    }
    let cache = folder.path().join("cache");
    let file = configuration(&folder, "file:model");
    let file = file.to_str().unwrap();
    let run = async |args: &[&str]| {
        let ended = with_hub(args, "http://127.0.0.1:9", &cache).run().await;
        (ended.code, ended.stdout + &ended.stderr)
    };
    let (code, said) = run(&["check", file, "--lock"]).await;
    assert_eq!(code, Some(0), "{said}");
    // One bit of a weight.
    let weights = folder.path().join("model/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    for command in ["check", "up", "serve"] {
        let (code, said) = run(&[command, file, "--locked"]).await;
        assert_eq!(code, Some(1), "{command}: {said}");
        let difference = "file:model: model.safetensors has the SHA-256 ";
        assert!(said.contains(difference), "{command}: {said}");
    }
    folder.file("model/vocab.txt", "[PAD]\n");
    let (code, said) = run(&["check", file]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning: file:model: vocab.txt is there, but not locked"),
        "{said}"
    );
}

#[tokio::test]
async fn models_are_shown_before_they_are_loaded() {
    let (hub, folder) = (FakeHub::start(), TempDir::new());
    publish(&hub, "org/bert", "fixtures/bert");
    let cache = folder.path().join("cache");
    let text = "models:\n  here: { task: embed, source: \"builtin:all-minilm-l6-v2\" }\n  absent: { \
                task: embed, source: \"hf:org/bert\" }\n  chunks: { task: preprocess, tokenizer: \
                here }\n  far: { endpoint: \"grpc://far:1\" }\n";
    let file = folder.file("motet.yaml", text);
    let models = |args: &[&str]| {
        let args = [&["models", file.to_str().unwrap()][..], args].concat();
        with_hub(&args, &hub.endpoint(), &cache)
    };
    let ended = models(&[]).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for part in [
        "source      builtin:all-minilm-l6-v2",
        "family      bert",
        "parameters  22.6 million, stored as f16",
        "runs        on cpu, by the engine packed (auto: motet's own kernels are the fastest on a \
         CPU), in f32",
        "limits      max_tokens 256",
        "gives       embedding: float[N,384]",
        "`motet pull hf:org/bert` fetches it",
        "grpc://far:1",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    // Kept in 16 bits where the processor computes with them.
    let sizes = ["memory      about 45.2 MB", "memory      about 90.3 MB"];
    let is_told = sizes.iter().any(|size| ended.stdout.contains(size));
    assert!(is_told, "{}", ended.stdout);
    let ended = models(&["--json"]).run().await;
    let shown: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let states: Vec<_> = shown["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["state"])
        .collect();
    assert_eq!(states, ["ready", "unavailable", "ready", "elsewhere"]);
    assert_eq!(shown["models"][0]["facts"]["parameters"], 22_565_376);
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn answers_are_compared_bit_by_bit() {
    let (hub, folder) = (FakeHub::start(), TempDir::new());
    publish(&hub, "org/bert", "fixtures/bert");
    let cache = folder.path().join("cache");
    for (name, bytes) in fixture("fixtures/bert") {
        folder.file(&format!("model/{name}"), bytes);
    }
    let file = configuration(&folder, "file:model");
    let file = file.to_str().unwrap();
    let record = folder.path().join("answers.json");
    let record = record.to_str().unwrap();
    let run = async |args: &[&str]| {
        let args = [&["verify"][..], args].concat();
        let ended = with_hub(&args, &hub.endpoint(), &cache).run().await;
        (ended.code, ended.stdout + &ended.stderr)
    };
    let (code, said) = run(&["m", "-f", file]).await;
    assert!(
        code == Some(0) && said.contains("nothing to compare with"),
        "{said}"
    );
    let (code, said) = run(&["m", "-f", file, "--record", record]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["m", "-f", file, "--against", record]).await;
    assert!(
        code == Some(0) && said.contains("all bits are equal"),
        "{said}"
    );
    // The same model from the hub, by its name alone.
    let (code, said) = run(&["hf:org/bert", "--against", record]).await;
    assert!(
        code == Some(0) && said.contains("all bits are equal"),
        "{said}"
    );
    // Among the model's own files.
    std::fs::copy(record, folder.path().join("model/motet-golden.json")).unwrap();
    let (code, said) = run(&["m", "-f", file]).await;
    assert!(
        code == Some(0) && said.contains("all bits are equal"),
        "{said}"
    );
    // Another number format is a little off, another model far.
    let text = std::fs::read_to_string(file).unwrap();
    let int8 = text.replace("task: embed", "task: embed, dtype: int8");
    let int8 = folder.file("int8.yaml", int8);
    let int8 = int8.to_str().unwrap();
    let (code, said) = run(&["m", "-f", int8, "--against", record, "--tolerance", "1e-9"]).await;
    assert!(
        code == Some(1) && said.contains("the largest difference is"),
        "{said}"
    );
    let (code, said) = run(&["m", "-f", int8, "--against", record, "--tolerance", "1"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["minilm", "--against", record]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("here and float["), "{said}");
    let (code, said) = run(&["mn", "-f", file]).await;
    assert!(
        code == Some(1) && said.contains("did you mean m?"),
        "{said}"
    );
}

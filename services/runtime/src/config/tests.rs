use std::fs;
use std::time::Duration;

use super::*;

fn read(text: &str) -> (Option<Config>, String) {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let config = Config::from_text("motet.yaml", text, &mut sources, &mut diagnostics);
    (config, diagnostics.render(&sources, Colour::Never))
}

#[test]
fn a_full_file_reads() {
    let (config, report) = read(
        "\
server:
  grpc: 0.0.0.0:6000
  http: off
  grace: 1m
  max_message_bytes: 1 MiB
  max_concurrent_requests: 10
  max_connections: 30
  max_concurrent_streams: 20
  read_timeout: 5s
models:
  chunker: { task: preprocess, tokenizer: minilm }
  minilm:
    task: embed
    source: \"builtin:all-minilm-l6-v2\"
    device: cpu
    dtype: f16
    max_tokens: 128
    pooling: cls
    normalize: false
    endpoint: \"grpc://minilm:50051\"
    batcher: { max_batch_size: 8, max_batch_tokens: 512, max_latency: 200ms, max_queue_delay: 5ms,
               max_queue_size: 64, policy: fixed, fixed_window: 2ms, bulk_share: 0.25, executors: 2 }
  vision: { endpoint: \"grpc://vision.models.svc:8001\" }
endpoints:
  ocr: { url: \"grpc://ocr:50051\", descriptor: ./ocr.binpb }
  lang-id: \"grpc://lang:50052\"
pipelines:
  - pipeline: a
",
    );
    assert_eq!(report, "");
    let config = config.unwrap();
    assert_eq!(config.server.grpc.to_string(), "0.0.0.0:6000");
    assert_eq!(config.server.http, None);
    assert_eq!(config.server.grace, Duration::from_secs(60));
    assert_eq!(config.server.max_message_bytes, 1 << 20);
    assert_eq!(config.server.max_concurrent_requests, 10);
    assert_eq!(config.server.max_connections, 30);
    assert_eq!(config.server.max_concurrent_streams, 20);
    assert_eq!(config.server.read_timeout, Duration::from_secs(5));
    let chunker = config.model("chunker").unwrap();
    assert_eq!(chunker.task.unwrap().value, Task::Preprocess);
    assert_eq!(
        chunker.tokenizer.as_ref().unwrap().value,
        TokenizerSpec::Model("minilm".to_owned())
    );
    let minilm = config.model("minilm").unwrap();
    assert_eq!(minilm.max_tokens.unwrap().value, 128);
    assert_eq!(minilm.pooling.unwrap().value, Pooling::Cls);
    assert!(!minilm.normalize.unwrap().value);
    assert_eq!(
        minilm.endpoint.as_ref().unwrap().value.uri(),
        "http://minilm:50051"
    );
    assert_eq!(minilm.batcher.max_batch_size, 8);
    assert_eq!(minilm.batcher.policy, BatchPolicy::Fixed);
    assert_eq!(minilm.batcher.fixed_window, Some(Duration::from_millis(2)));
    assert_eq!(minilm.batcher.executors, 2);
    assert!(minilm.batcher.place("bulk_share").is_some());
    assert!(!config.model("vision").unwrap().is_local());
    assert_eq!(config.pipelines.len(), 1);
    let endpoints: Vec<_> = config
        .endpoints
        .iter()
        .map(|e| {
            let url = e.url.as_ref().unwrap().value.to_string();
            let file = e.descriptor.as_ref().map(|d| d.value.clone());
            (e.name.value.as_str(), url, file)
        })
        .collect();
    let ocr = (
        "ocr",
        "grpc://ocr:50051".to_owned(),
        Some("./ocr.binpb".into()),
    );
    let lang = ("lang-id", "grpc://lang:50052".to_owned(), None);
    assert_eq!(endpoints, [ocr, lang]);
}

#[test]
fn a_lone_pipeline_is_a_configuration() {
    let (config, report) = read("pipeline: a\nnodes: {}\n");
    assert_eq!(report, "");
    let config = config.unwrap();
    assert!(config.lone_pipeline);
    assert_eq!(config.pipelines.len(), 1);
    assert_eq!(config.server, ServerSpec::default());
}

#[test]
fn every_mistake_is_said() {
    for (text, expected) in [
        (
            "endpoints: [a]\n",
            &["`endpoints` must be a map of names and servers, not a list"][..],
        ),
        (
            "models: { m: { endpoint: \"grpc://h:1\" } }\nendpoints: { a: ocr:50051, B: \"grpc://h:1\", c: {}, d: { url: \"grpcs://h:1\", descriptor: 3 }, e: { url: \"grpc://h:1\", descriptor: \"\", descripto: x }, m: \"grpc://h:1\", n: 4 }\n",
            &[
                "`a` must look like `grpc://host:port`",
                "`B` cannot be the name of an endpoint",
                "endpoint `c` needs the key `url`",
                "`url` asks for TLS",
                "`descriptor` must be a string, not an integer",
                "`descriptor` is empty",
                "unknown key `descripto` in endpoint `e`",
                "a model and an endpoint are both named `m`",
                "endpoint `n` must be a map of keys and values, not an integer",
            ],
        ),
        (
            "- a\n",
            &["a configuration must be a map of keys and values, not a list"][..],
        ),
        (
            "sever: {}\nserver: { gprc: x }\n",
            &[
                "unknown key `sever` in a configuration",
                "did you mean `server`?",
                "unknown key `gprc` in `server`",
                "did you mean `grpc`?",
            ],
        ),
        ("server: 5\n", &["`server` must be a map"]),
        (
            "server: { grpc: here, http: 80 }\n",
            &[
                "`grpc` must be an IP address and a port, not `here`",
                "`http` must be a string, not an integer",
            ],
        ),
        (
            "server: { grpc: \"1.2.3.4:5\", http: \"1.2.3.4:5\" }\n",
            &["cannot both listen on 1.2.3.4:5"],
        ),
        (
            "server: { grace: 5 }\n",
            &[
                "`grace` must be a duration, not an integer",
                "such as `200ms`",
            ],
        ),
        (
            "server: { grace: 5 parsecs }\n",
            &["`grace` must be a duration"],
        ),
        (
            "server: { grace: 2h }\n",
            &["`grace` is 2h, but must be between 0s and 1h"],
        ),
        (
            "server: { max_message_bytes: 10 }\n",
            &["`max_message_bytes` is 10 bytes, but must be between 4096 and"],
        ),
        (
            "server: { max_message_bytes: 64MB2 }\n",
            &["must be a number of bytes"],
        ),
        (
            "server: { max_concurrent_requests: 0 }\n",
            &["is 0, but must be between 1 and 1000000"],
        ),
        (
            "server: { max_concurrent_requests: many }\n",
            &["must be an integer, not a string"],
        ),
        (
            "models: [a]\n",
            &["`models` must be a map of names and models, not a list"],
        ),
        (
            "models: { A: { endpoint: \"grpc://a:1\" } }\n",
            &[
                "`A` cannot be the name of a model",
                "starts with a lower-case letter",
                "`a` would do",
            ],
        ),
        ("models: { a: 5 }\n", &["model `a` must be a map"]),
        (
            "models: { a: {} }\n",
            &["needs `task` and `source`, or `endpoint`"],
        ),
        (
            "models: { a: { source: x } }\n",
            &[
                "has `source` but no `task`",
                "`preprocess`, `embed`, `embed_tokens` and `rerank`",
            ],
        ),
        (
            "models: { a: { task: embed } }\n",
            &["model `a` needs `source`"],
        ),
        (
            "models: { a: { task: preprocess } }\n",
            &["model `a` needs `tokenizer`"],
        ),
        (
            "models: { a: { task: preprocess, tokenizer: \"x:y\", source: \"x:y\" } }\n",
            &["has both `tokenizer` and `source`"],
        ),
        (
            "models: { a: { task: embd, source: x } }\n",
            &["`task` must be one of", "did you mean `embed`?"],
        ),
        (
            "models: { a: { task: classify, source: x } }\n",
            &["the task `classify` is not supported yet"],
        ),
        (
            "models: { a: { task: rerank, source: x, pooling: mean, normalize: true } }\n",
            &[
                "`pooling` has no meaning for the task `rerank`",
                "`normalize` has no meaning",
            ],
        ),
        (
            "models: { a: { task: embed, source: \"\" } }\n",
            &["`source` is empty"],
        ),
        (
            "models: { a: { task: preprocess, tokenizer: minilm }, minlm: { task: embed, source: x } }\n",
            &["no model is named `minilm`", "did you mean `minlm`?"],
        ),
        (
            "models: { a: { task: preprocess, tokenizer: b }, b: { endpoint: \"grpc://b:1\" } }\n",
            &["model `b` has no `source` to take a tokenizer from"],
        ),
        (
            "models: { a: { endpoint: a:1 } }\n",
            &["`endpoint` must look like `grpc://host:port`"],
        ),
        (
            "models: { a: { task: embed, source: x, modle: y, batcher: { max_batch: 1, max_batch_size: 0, policy: lazy } } }\n",
            &[
                "unknown key `modle`",
                "unknown key `max_batch` in `batcher`",
                "`max_batch_size` is 0",
                "`policy` must be one of `adaptive`, `greedy` and `fixed`, not `lazy`",
            ],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { max_latency: 10ms } } }\n",
            &["`max_queue_delay` (20ms) is longer than `max_latency` (10ms)"],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { max_queue_size: 8 } } }\n",
            &["`max_queue_size` (8) is below `max_batch_size` (32)"],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { policy: fixed } } }\n",
            &["needs `fixed_window`"],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { fixed_window: 1ms } } }\n",
            &["works only with `policy: fixed`"],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { policy: fixed, fixed_window: 1s } } }\n",
            &["`fixed_window` (1s) is longer than"],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { bulk_share: 0.6 } } }\n",
            &["`bulk_share` is 0.6, but must be between 0 and 0.5"],
        ),
        (
            "pipelines: a\n",
            &["`pipelines` must be a list, not a string"],
        ),
        (
            "pipelines: [5]\n",
            &["an item of `pipelines` must be a pipeline or the path of a file"],
        ),
        (
            "pipelines: [no/such.yaml]\n",
            &[
                "cannot read `no/such.yaml`: no such file",
                "motet.yaml:1:13",
            ],
        ),
        (
            "server: {}\npipeline: a\n",
            &[
                "unknown key `pipeline` in a configuration",
                "did you mean `pipelines`?",
            ],
        ),
    ] {
        let (_, report) = read(text);
        for part in expected {
            assert!(report.contains(part), "{text}\nlacks: {part}\n{report}");
        }
    }
}

#[test]
fn pipelines_come_from_files_beside_the_configuration() {
    let folder = std::env::temp_dir().join(format!("motet-config-{}", std::process::id()));
    fs::create_dir_all(folder.join("more")).unwrap();
    fs::write(folder.join("more/a.yaml"), "pipeline: a\n").unwrap();
    fs::write(folder.join("models.yaml"), "models: {}\n").unwrap();
    fs::write(folder.join("broken.yaml"), "pipeline: [\n").unwrap();
    fs::write(
        folder.join("motet.yaml"),
        "pipelines:\n- more/a.yaml\n- models.yaml\n- broken.yaml\n- { pipeline: b }\n",
    )
    .unwrap();
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let config = Config::load(&folder.join("motet.yaml"), &mut sources, &mut diagnostics);
    let missing = Config::load(&folder.join("no.yaml"), &mut sources, &mut diagnostics);
    fs::remove_dir_all(&folder).unwrap();
    assert!(missing.is_none());
    assert_eq!(config.unwrap().pipelines.len(), 2);
    assert_eq!(diagnostics.errors(), 3);
    let report = diagnostics.render(&sources, Colour::Never);
    for part in [
        "motet.yaml:3:3",
        "the file does not hold a pipeline",
        "broken.yaml:1:",
        "no.yaml`: no such file",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
}

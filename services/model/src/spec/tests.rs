use std::time::Duration;

use motet_batcher::Policy;
use motet_config::{Colour, Diagnostics, Sources, keys};
use motet_models::Precision;

use super::*;
use crate::task::Tasks;

fn read(text: &str) -> (Vec<ModelSpec>, String) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let tasks = Tasks::builtin();
    let models = read_text("motet.yaml", text, &tasks, &mut sources, &mut diagnostics);
    (models, diagnostics.render(&sources, Colour::Never))
}

#[test]
fn every_key_of_a_model_is_read() {
    let (models, report) = read(
        "\
models:
  chunker: { task: preprocess, tokenizer: minilm }
  minilm:
    task: embed
    source: \"builtin:all-minilm-l6-v2\"
    device: cpu
    dtype: f16
    max_tokens: 128
    truncate: error
    prompt_name: query
    prompt: \"\"
    pooling: cls
    normalize: false
    endpoint: \"grpc://minilm:50051\"
    batcher: { max_batch_size: 8, max_batch_tokens: 512, max_latency: 200ms, max_queue_delay: 5ms,
               max_queue_size: 64, policy: fixed, fixed_window: 2ms, bulk_share: 0.25,
               executors: 2 }
  vision: { endpoint: \"grpc://vision.models.svc:8001\" }
",
    );
    assert_eq!(report, "");
    let [chunker, minilm, vision] = &models[..] else {
        panic!("{models:?}");
    };
    assert_eq!(chunker.tasks[0].value.name(), "preprocess");
    assert!(chunker.keys.is_some() && minilm.keys.is_some() && vision.keys.is_none());
    assert_eq!(
        minilm.endpoint.as_ref().unwrap().value.uri(),
        "http://minilm:50051"
    );
    let options = &minilm.batcher.options;
    assert_eq!(options.max_batch_size, Some(8));
    assert_eq!(options.policy, Policy::Fixed(Duration::from_millis(2)));
    assert_eq!(minilm.batcher.executors, 2);
    assert!(minilm.batcher.span("bulk_share").is_some());
    assert!(!vision.is_local());
}

#[test]
fn every_mistake_is_reported() {
    for (text, expected) in [
        (
            "models: [a]\n",
            &["`models` must be a map of names and models, not a list"][..],
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
                "`preprocess`, `embed`, `embed_tokens`, `embed_sparse`, `rerank`, `classify`, \
                 `classify_zero_shot`, `classify_tokens`, \
                 `embed_images` and `classify_images`",
            ],
        ),
        (
            "models: { a: { task: embed } }\n",
            &["model `a` needs `source`"],
        ),
        (
            "models: { a: { task: embd, source: x } }\n",
            &["`task` must be one of", "did you mean `embed`?"],
        ),
        (
            "models: { a: { task: generate, source: x } }\n",
            &["the task `generate` is not supported yet"],
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
            "models: { a: { task: embed, tasks: [embed, embed_tokens], source: x } }\n",
            &["`task` and `tasks` are both given; keep one"],
        ),
        (
            "models: { a: { tasks: embed, source: x } }\n",
            &["`tasks` is a list of two or more of `embed`, `embed_tokens` and `embed_sparse`"],
        ),
        (
            "models: { a: { tasks: [embed], source: x } }\n",
            &["a model with one task has it under `task`"],
        ),
        (
            "models: { a: { tasks: [embed, rerank], source: x } }\n",
            &["`embed`, `embed_tokens` and `embed_sparse`, not `rerank`"],
        ),
        (
            "models: { a: { tasks: [embed, embed], source: x } }\n",
            &["`embed` is in the list twice"],
        ),
        (
            "models: { a: { tasks: [embed, embed_tokens] } }\n",
            &["model `a` needs `source`"],
        ),
        (
            "models: { a: { tasks: [embed_tokens, embed_sparse], source: x, pooling: cls } }\n",
            &["`pooling` has no meaning for the tasks `embed_tokens`, `embed_sparse`"],
        ),
        (
            "models: { a: { endpoint: a:1 } }\n",
            &["`endpoint` must look like `grpc://host:port`"],
        ),
        (
            "models: { a: { task: embed, source: x, modle: y, batcher: { max_batch: 1, \
             max_batch_size: 0, policy: lazy } } }\n",
            &[
                "unknown key `modle`",
                "unknown key `max_batch` in `batcher`",
                "`max_batch_size` is 0",
                "`policy` must be one of `adaptive`, `greedy` and `fixed`, not `lazy`",
            ],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { max_latency: 10ms } } }\n",
            &["`max_queue_delay` is 20ms, longer than max_latency (10ms)"],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { max_batch_size: 32, \
             max_queue_size: 8 } } }\n",
            &["`max_queue_size` is 8, below max_batch_size (32)"],
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
            "models: { a: { task: embed, source: x, batcher: { policy: fixed, fixed_window: 1s } \
             } }\n",
            &["`policy` has a window of 1s, longer than max_queue_delay (20ms)"],
        ),
        (
            "models: { a: { task: embed, source: x, batcher: { bulk_share: 0.6 } } }\n",
            &["`bulk_share` is 0.6, but must be between 0 and 0.5"],
        ),
    ] {
        let (_, report) = read(text);
        for part in expected {
            assert!(report.contains(part), "{text}\nlacks: {part}\n{report}");
        }
    }
}

#[test]
fn several_tasks_have_the_keys_of_each() {
    let text = "models: { a: { tasks: [embed_sparse, embed], source: x, pooling: cls, \
                normalize: true } }\n";
    let (models, report) = read(text);
    assert_eq!(report, "");
    let names = models[0].tasks.iter().map(|task| task.value.name());
    assert_eq!(names.collect::<Vec<_>>(), ["embed_sparse", "embed"]);
}

#[test]
fn every_task_with_an_encoder_has_the_keys_of_encoders() {
    let keys = ["source", "device", "engine", "dtype", "threads", "batcher"];
    let tasks = Tasks::builtin();
    for task in tasks.iter().filter(|task| task.name() != "preprocess") {
        for key in keys {
            assert!(task.has_key(key), "{task:?} {key}");
        }
        let of_images = task.name().ends_with("_images");
        assert_eq!(task.has_key("max_tokens"), !of_images, "{task:?}");
        assert_eq!(task.has_key("adapter"), !of_images, "{task:?}");
        assert_eq!(task.has_key("max_pixels"), of_images, "{task:?}");
    }
}

#[test]
fn a_key_of_another_task_is_refused() {
    let tasks = Tasks::builtin();
    for task in tasks.iter() {
        for key in tasks.iter().flat_map(|task| task.keys()) {
            let text = format!("models: {{ m: {{ task: {}, {key}: x }} }}", task.name());
            let refused = read(&text).1.contains("has no meaning for the task");
            assert_eq!(refused, !task.has_key(key), "{text}");
        }
    }
}

/// The same words and ranges in schema and readers.
#[test]
fn the_schema_offers_what_is_read() {
    let tasks = Tasks::builtin();
    let schema = schema(&tasks);
    let properties = &schema["additionalProperties"]["properties"];
    for word in properties["dtype"]["enum"].as_array().unwrap() {
        assert!(
            word.as_str().unwrap().parse::<Precision>().is_ok(),
            "{word}"
        );
    }
    let keys = properties.as_object().unwrap().keys();
    let known = tasks
        .iter()
        .flat_map(|task| task.keys())
        .chain(["task", "tasks", "endpoint", "errors"])
        .chain(motet_runtime::config::AccessSpec::KEYS);
    let known: Vec<&str> = known.collect();
    for key in &known {
        assert!(properties.get(key).is_some(), "{key}");
    }
    for key in keys {
        assert!(known.contains(&key.as_str()), "{key}");
    }
}

#[test]
fn the_documentation_has_every_key_of_batcher_with_default_and_range() {
    let page = include_str!("../../../runtime/docs/configuration.md");
    for row in keys::describe(&batcher::KEYS) {
        assert!(page.contains(&row), "missing in the page: {row}");
    }
}

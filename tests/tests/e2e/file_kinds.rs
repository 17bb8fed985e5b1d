//! Files of every kind, in every way that a command line takes them.

use std::path::Path;

use motet_proto::inference::RepositoryIndexRequest;
use motet_tests::connection::Connection;
use motet_tests::program::{Ended, Program};
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use serde_json::json;

use crate::motet;

/// A configuration with a model of its own.
const CONFIGURATION: &str = "models:\n  \
    mine: { task: embed, source: \"builtin:all-minilm-l6-v2\" }\n\
    pipelines:\n  - pipeline: one\n    inputs: { text: string }\n    nodes:\n      \
    e: { model: mine, in: { text: $text } }\n    outputs: { v: $e.embedding }\n";
/// A single pipeline.
const LONE: &str = "pipeline: one\ninputs: { text: string }\nnodes:\n  \
    e: { model: minilm, in: { text: $text } }\noutputs: { v: $e.embedding }\n";
/// A list of pipelines without models.
const LIST: &str = "pipelines:\n  - pipeline: one\n    inputs: { text: string }\n    nodes:\n      \
    e: { model: minilm, in: { text: $text } }\n    outputs: { v: $e.embedding }\n";

/// The four ways to name a file on a command line.
#[derive(Clone, Copy, Debug)]
enum Way {
    Argument,
    Flag,
    StdinArgument,
    StdinFlag,
}

const WAYS: [Way; 4] = [Way::Argument, Way::Flag, Way::StdinArgument, Way::StdinFlag];

impl Way {
    fn give(self, program: Program, file: &Path) -> Program {
        let text = || std::fs::read(file).expect("the file");
        let path = file.to_str().expect("UTF-8");
        match self {
            Self::Argument => program.args([path]),
            Self::Flag => program.args(["-f", path]),
            Self::StdinArgument => program.args(["-"]).stdin(text()),
            Self::StdinFlag => program.args(["-f", "-"]).stdin(text()),
        }
    }

    fn name(self, file: &Path) -> String {
        match self {
            Self::Argument | Self::Flag => file.display().to_string(),
            Self::StdinArgument | Self::StdinFlag => "standard input".to_owned(),
        }
    }
}

fn success(ended: Ended) -> String {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    ended.stdout
}

#[tokio::test]
async fn every_command_takes_a_file_of_every_kind_in_every_way() {
    let folder = TempDir::new();
    for (kind, text) in [
        ("configuration.yaml", CONFIGURATION),
        ("lone.yaml", LONE),
        ("list.yaml", LIST),
    ] {
        let file = folder.file(kind, text);
        for way in WAYS {
            let run = async |args: &[&str]| success(way.give(motet(args), &file).run().await);
            assert_eq!(run(&["check"]).await, format!("{}: ok\n", way.name(&file)));
            assert_eq!(run(&["config"]).await, text, "{kind} {way:?}");
            for graph in [&["graph"][..], &["graph", "one"]] {
                let graph = run(graph).await;
                assert!(
                    graph.starts_with("digraph one {"),
                    "{kind} {way:?}: {graph}"
                );
            }
            for proto in [&["proto"][..], &["proto", "one"]] {
                let proto = run(proto).await;
                assert!(proto.contains("service One {"), "{kind} {way:?}: {proto}");
            }
        }
    }
    // Processes take a while to start: one way for each kind.
    for (kind, way) in [
        ("configuration.yaml", Way::Argument),
        ("lone.yaml", Way::Flag),
        ("list.yaml", Way::StdinArgument),
        ("lone.yaml", Way::StdinFlag),
    ] {
        let file = folder.path().join(kind);
        let mut process = way.give(motet(["up"]).on_free_ports(), &file).start();
        let connection = process.connect().await;
        let one = Service::learn(&connection, "motet.pipeline.One").await;
        let answer = one
            .expect("it is served")
            .answer("Run", json!({"text": "tides"}))
            .await;
        assert_eq!(answer["v"].as_array().map(Vec::len), Some(384), "{kind}");
    }
}

async fn models(connection: &Connection) -> Vec<String> {
    let mut client = connection.inference();
    let index = client.repository_index(RepositoryIndexRequest::default());
    let index = index.await.expect("an index").into_inner();
    index.models.into_iter().map(|m| m.name).collect()
}

/// A file of pipelines is served with the models that it calls, and with no others.
#[tokio::test]
async fn a_lone_pipeline_borrows_what_it_calls() {
    let folder = TempDir::new();
    let lone = folder.file("lone.yaml", LONE);
    let mut process = motet(["up"]).args([&lone]).on_free_ports().start();
    let connection = process.connect().await;
    assert_eq!(models(&connection).await, ["one", "minilm"]);
    // A pipeline that is loaded later calls what is there.
    let later = LONE.replace("pipeline: one", "pipeline: later");
    let yaml = later.replace("minilm", "reranker");
    let load = |yaml| motet_proto::v1::LoadRequest { yaml };
    let error = connection.pipelines().load(load(yaml)).await;
    let error = error.expect_err("no such model");
    assert!(
        error.message().contains("no model is named `reranker`"),
        "{error}"
    );
    connection
        .pipelines()
        .load(load(later))
        .await
        .expect("loaded");

    // Models of another configuration, which has one of another name.
    let other = CONFIGURATION
        .replace("mine", "minilm")
        .replace("one", "two");
    let other = folder.file(
        "other.yaml",
        format!("server: {{ max_message_bytes: 1MiB }}\n{other}"),
    );
    let models_of = ["--models", other.to_str().expect("UTF-8")];
    let mut process = motet(["serve"])
        .args([&lone])
        .args(models_of)
        .on_free_ports()
        .start();
    assert_eq!(models(&process.connect().await).await, ["minilm"]);

    // A pipeline that the file calls comes along, with its own models.
    let digest = repository().join("deploy/examples/digest.yaml");
    let examples = repository().join("deploy/examples/motet.yaml");
    for args in [&[][..], &["--models", examples.to_str().expect("UTF-8")]] {
        let checked = success(motet(["check"]).args([&digest]).args(args).run().await);
        assert!(checked.ends_with("digest.yaml: ok\n"), "{checked}");
    }
    let mut process = motet(["up"]).args([&digest]).on_free_ports().start();
    let served = models(&process.connect().await).await;
    assert_eq!(served, ["digest", "rag", "chunker", "minilm", "reranker"]);
}

#[tokio::test]
async fn the_lock_file_of_lent_models_keeps_its_other_entries() {
    let folder = TempDir::new();
    folder.file("lone.yaml", LONE.replace("minilm", "mine"));
    let text = CONFIGURATION.replace(
        "pipelines:",
        "  other: { task: preprocess, tokenizer: mine }\npipelines:",
    );
    folder.file("motet.yaml", text);
    let lock = folder.path().join("motet.lock");
    let check = async |args: &[&str]| {
        let ended = motet(["check"])
            .args(args)
            .args(["--lock"])
            .folder(folder.path())
            .run()
            .await;
        assert_eq!(
            (ended.code, &*ended.stderr),
            (Some(0), "wrote motet.lock\n")
        );
        std::fs::read_to_string(&lock).expect("the lock file")
    };
    let whole = check(&["motet.yaml"]).await;
    assert!(
        whole.contains("\"mine\"") && whole.contains("\"other\""),
        "{whole}"
    );
    assert_eq!(check(&["lone.yaml", "--models", "motet.yaml"]).await, whole);
    std::fs::remove_file(&lock).expect("it is there");
    let part = check(&["lone.yaml", "--models", "motet.yaml"]).await;
    assert!(
        part.contains("\"mine\"") && !part.contains("\"other\""),
        "{part}"
    );
}

#[tokio::test]
async fn a_command_line_with_too_many_files_is_refused() {
    let folder = TempDir::new();
    folder.file("a.yaml", CONFIGURATION);
    folder.file("b.yaml", LONE);
    for (args, part) in [
        (&["check", "a.yaml", "-f", "b.yaml"][..], "two files"),
        (&["up", "a.yaml", "-f", "b.yaml"], "two files"),
        (&["graph", "a.yaml", "b.yaml"], "one file"),
        (&["load", "a.yaml", "-f", "b.yaml"], "--file"),
        (
            &["check", "a.yaml", "--models", "b.yaml"],
            "models or endpoints of its own",
        ),
        (&["check", "b.yaml", "--models", "none.yaml"], "none.yaml"),
    ] {
        let ended = motet(args).folder(folder.path()).run().await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    // An argument takes precedence over the variable.
    let program = motet(["check", "b.yaml"]).env("MOTET_FILE", "none.yaml");
    assert_eq!(
        success(program.folder(folder.path()).run().await),
        "b.yaml: ok\n"
    );
}

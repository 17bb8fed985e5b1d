//! The command line, and errors in the files it names.

use std::path::Path;

use motet_tests::program::Ended;
use motet_tests::temp_dir::TempDir;
use motet_tests::{in_process, repository};
use tokio::net::TcpListener;

use crate::motet;
use crate::rag::{PASSAGES, QUESTIONS};

/// The exit code after errors in a file.
const MISTAKES: Option<i32> = Some(2);
/// The exit code after any other failure.
const FAILED: Option<i32> = Some(1);

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Returns standard output of a success that wrote nothing on standard error.
fn fine(ended: Ended) -> String {
    assert_eq!(
        (ended.code, &*ended.stderr),
        (Some(0), ""),
        "{}",
        ended.stdout
    );
    ended.stdout
}

/// Asserts a failure of one line that contains these parts.
fn one_line(ended: &Ended, code: Option<i32>, parts: &[impl AsRef<str>]) {
    assert_eq!((ended.code, &*ended.stdout), (code, ""), "{}", ended.stderr);
    let [line] = &ended.stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("not one line: {}", ended.stderr);
    };
    assert!(line.starts_with("error: "), "{line}");
    for part in parts.iter().map(AsRef::as_ref) {
        assert!(line.contains(part), "{part:?} in {line:?}");
    }
}

const WRONG: &str = r#"server:
  grcp: 127.0.0.1:0
  grace: soon
models:
  minilm: { task: embed, source: "builtin:all-minilm-l6-v3" }
  chunker: { task: preproces, tokenizer: minilm }
  reranker: { task: rerank, source: "file:./no/such/folder" }
pipelines:
  - pipeline: rag
    inputs:
      query: strng
      documents: string[N]
    nodes:
      q: { model: minlm, in: { text: $qery } }
      d: { op: topk, in: { score: $q.score }, with: { k: 0 } }
      a: { op: gather, in: { index: $b.text, text: $documents } }
      b: { op: gather, in: { index: $a.text, text: $documents } }
    outputs:
      v: $q.embeding
"#;

#[tokio::test]
async fn every_mistake_in_a_file_is_reported_at_once_and_nothing_starts() {
    let folder = TempDir::new();
    folder.file("wrong.yaml", WRONG);
    // Taken ports: a process that bound one would fail with another error.
    let taken = TcpListener::bind(in_process::ANY_PORT)
        .await
        .expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    for args in [
        &["check", "wrong.yaml"][..],
        &["up", "-f", "wrong.yaml", "--grpc", &taken, "--http", &taken],
        &["-f", "wrong.yaml", "--grpc", &taken],
        &["graph", "rag", "-f", "wrong.yaml"],
        &["proto", "rag", "-f", "wrong.yaml"],
    ] {
        let ended = motet(args).folder(folder.path()).run().await;
        assert_eq!(
            (ended.code, &*ended.stdout),
            (MISTAKES, ""),
            "{args:?}: {}",
            ended.stderr
        );
        #[rustfmt::skip]
        let reports = [
            ("unknown key `grcp` in `server`", "2:3", "did you mean `grpc`?"),
            ("`grace` must be a duration", "3:10", "such as `200ms`"),
            (
                "no built-in model `all-minilm-l6-v3`",
                "5:34",
                "did you mean `builtin:all-minilm-l6-v2`?",
            ),
            ("`task` must be one of", "6:20", "did you mean `preprocess`?"),
            ("model file:./no/such/folder: directory ./no/such/folder does not exist", "7:37", ""),
            ("unknown element type `strng`", "11:14", "did you mean `string`?"),
            ("no model is named `minlm`", "14:19", "did you mean `minilm`?"),
            ("no input or node is named `qery`", "14:39", "did you mean `query`?"),
            ("`k` is 0, but must be between 1 and 65536", "15:58", ""),
            ("these nodes wait for each other: a -> b -> a", "17:37", "`a` needs an output of `b`"),
        ];
        let blocks: Vec<&str> = ended.stderr.split("\n\n").collect();
        for (what, place, hint) in reports {
            let block = blocks
                .iter()
                .find(|b| b.starts_with(&format!("error: {what}")));
            let block = block.unwrap_or_else(|| panic!("{what} in {}", ended.stderr));
            let place = format!("--> wrong.yaml:{place}\n");
            assert!(
                block.contains(&place) && block.contains('^') && block.contains(hint),
                "{block}"
            );
        }
        let count = format!("{} errors", reports.len());
        assert_eq!(
            ended.stderr.trim_end().lines().last(),
            Some(&*count),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn a_mistake_in_a_pipeline_file_is_reported_at_its_place_there() {
    let folder = TempDir::new();
    folder.file(
        "motet.yaml",
        "models:\n  minilm: { task: embed, source: \"builtin:all-minilm-l6-v2\" }\n\
         pipelines:\n  - pipelines/one.yaml\n",
    );
    let pipeline = "pipeline: one\ninputs: { text: string }\n\
                    nodes:\n  e: { model: minilm, in: { txt: $text } }\noutputs: { \
                    v: $e.embedding }\n";
    folder.file("pipelines/one.yaml", pipeline);
    let ended = motet(["check", "motet.yaml"])
        .folder(folder.path())
        .run()
        .await;
    assert_eq!(ended.code, MISTAKES);
    for part in ["--> pipelines/one.yaml:4:", "did you mean `text`?"] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    folder.file("pipelines/one.yaml", pipeline.replace("txt:", "text:"));
    for args in [
        &["check", "motet.yaml"][..],
        &["check", "pipelines/one.yaml", "--models", "motet.yaml"],
        // The built-in configuration has a `minilm`, too.
        &["check", "pipelines/one.yaml"],
    ] {
        let stdout = fine(motet(args).folder(folder.path()).run().await);
        let last = format!("{}: ok\n", args[1]);
        assert!(stdout.ends_with(&last), "{stdout}");
    }
}

#[tokio::test]
async fn an_obstacle_to_the_start_is_reported_in_one_line() {
    let folder = TempDir::new();
    let taken = TcpListener::bind(in_process::ANY_PORT)
        .await
        .expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    let model = repository().join("models/builtin/all-minilm-l6-v2");
    for file in [
        "config.json",
        "tokenizer.json",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ] {
        let part = std::fs::read(model.join(file)).expect("a part of the model");
        folder.file(&format!("cut/{file}"), &part);
        folder.file(&format!("nan/{file}"), &part);
    }
    let weights = std::fs::read(model.join("model.safetensors")).expect("the weights");
    folder.file(
        "nan/model.safetensors",
        with_nan(weights.clone(), "embeddings.LayerNorm.bias"),
    );
    folder.file("cut/model.safetensors", &weights[..weights.len() / 3]);
    for name in ["cut", "nan"] {
        let model = format!("models:\n  mine: {{ task: embed, source: \"file:./{name}\" }}\n");
        folder.file(&format!("{name}.yaml"), model);
    }
    folder.file(
        "two.yaml",
        "pipelines:\n  - { pipeline: a, inputs: { t: string }, nodes: { s: { op: select, in: { \
         t: $t } } }, outputs: { t: $s.t } }\n  \
         - { pipeline: b, inputs: { t: string }, nodes: { s: { op: select, in: { t: $t } } }, \
         outputs: { t: $s.t } }\n",
    );
    #[rustfmt::skip]
    let cases: [(&str, &[&str]); 11] = [
        ("up --grpc TAKEN --http off", &["cannot listen on", "TAKEN", "another program"]),
        ("up --grpc 127.0.0.1:0 --http TAKEN", &["cannot listen on", "TAKEN", "another program"]),
        ("serve --grpc TAKEN --http off", &["cannot listen on", "TAKEN"]),
        (
            "up -f nan.yaml --grpc 127.0.0.1:0 --http off",
            &["mine", "warming it up", "the model's result for this row is not finite"],
        ),
        ("graph -f two.yaml", &["several pipelines", "`a` and `b`"]),
        ("proto two.yaml c", &["no pipeline `c`", "`a` and `b`"]),
        ("serve --model minlm", &["no model `minlm`", "minilm"]),
        ("gateway", &["no endpoint", "`chunker`, `minilm` and `reranker`", "--endpoint"]),
        ("gateway --endpoint nothing=grpc://h:1", &["no model `nothing`"]),
        ("graph rg", &["no pipeline `rg`", "rag"]),
        ("proto rg", &["no pipeline `rg`", "rag"]),
    ];
    for (command, parts) in cases {
        let command = command.replace("TAKEN", &taken);
        let ended = motet(command.split(' ')).folder(folder.path()).run().await;
        let parts: Vec<String> = parts.iter().map(|p| p.replace("TAKEN", &taken)).collect();
        one_line(&ended, FAILED, &parts);
    }
    // Weights that are missing or cut short are an error of the configuration.
    folder.file(
        "gone.yaml",
        "models:\n  mine: { task: embed, source: \"file:./gone\" }\n",
    );
    for (args, part) in [
        (["up", "-f", "nothing.yaml"], "nothing.yaml"),
        (["check", "nothing.yaml", "--ops"], "nothing.yaml"),
        (["up", "-f", "gone.yaml"], "directory ./gone does not exist"),
        (["serve", "-f", "gone.yaml"], "gone.yaml:2:32"),
        (
            ["up", "-f", "cut.yaml"],
            "model file:./cut: model.safetensors is truncated or corrupt",
        ),
        (["serve", "-f", "cut.yaml"], "cut.yaml:2:32"),
    ] {
        let ended = motet(args).folder(folder.path()).run().await;
        assert_eq!(ended.code, MISTAKES, "{}", ended.stderr);
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
}

/// Returns a safetensors file of f16 weights with a NaN as the first number of this tensor.
fn with_nan(mut file: Vec<u8>, tensor: &str) -> Vec<u8> {
    const NAN: [u8; 2] = [0x00, 0x7e];
    let (length, rest) = file.split_first_chunk().expect("the header's length");
    let length = u64::from_le_bytes(*length) as usize;
    let header: serde_json::Value = serde_json::from_slice(&rest[..length]).expect("the header");
    assert_eq!(header[tensor]["dtype"], "F16");
    let start = header[tensor]["data_offsets"][0]
        .as_u64()
        .expect("an offset") as usize;
    let at = size_of::<u64>() + length + start;
    file[at..at + NAN.len()].copy_from_slice(&NAN);
    file
}

/// An error of one model is reported once: not for another model, nor for the nodes that call it.
#[tokio::test]
async fn a_server_that_is_down_is_not_blamed_for_the_errors_of_a_model() {
    let away = TcpListener::bind(in_process::ANY_PORT)
        .await
        .expect("a free port");
    let address = away.local_addr().expect("bound").to_string();
    drop(away);
    let folder = TempDir::new();
    let text = "models:\n  bad: { task: embed, source: \"builtin:nothing\" }\n  \
                away: { endpoint: \"grpc://ADDRESS\" }\npipelines:\n  - pipeline: p\n    \
                inputs: { text: string }\n    nodes:\n      \
                a: { model: away, in: { text: $text } }\n      \
                b: { model: bad, in: { text: $text } }\n    \
                outputs: { a: $a.embedding, b: $b.embedding }\n";
    folder.file("motet.yaml", text.replace("ADDRESS", &address));
    for command in ["check", "up", "gateway"] {
        let args = [command, "motet.yaml"];
        let program = match command {
            "check" => motet(args),
            _ => motet(args)
                .on_free_ports()
                .args(["--endpoint", &format!("away=grpc://{address}")]),
        };
        let ended = program.folder(folder.path()).run().await;
        let report = &ended.stderr;
        if command == "gateway" {
            // A gateway does not read the files of models.
            one_line(&ended, FAILED, &["no endpoint is known for `bad`"]);
            continue;
        }
        assert_eq!((ended.code, &*ended.stdout), (MISTAKES, ""), "{report}");
        let blocks: Vec<&str> = report.trim_end().split("\n\n").collect();
        assert_eq!(blocks.len(), 3, "{report}");
        assert!(
            blocks[0].starts_with("error: no built-in model `nothing`"),
            "{report}"
        );
        let reached = format!("model away at grpc://{address} cannot be reached");
        assert!(
            blocks[1].starts_with("warning: ") && blocks[1].contains(&reached),
            "{report}"
        );
        assert_eq!(blocks[2], "1 error, 1 warning", "{report}");
    }
}

/// Each address is taken, so that the error says which one was used.
#[tokio::test]
async fn a_flag_overrides_its_variable_and_a_variable_overrides_the_file() {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(
            TcpListener::bind(in_process::ANY_PORT)
                .await
                .expect("a free port"),
        );
    }
    let taken = listeners
        .iter()
        .map(|l| l.local_addr().expect("bound").to_string());
    let taken: Vec<String> = taken.collect();
    let folder = TempDir::new();
    let server = format!("server: {{ grpc: \"{}\", http: off }}\n", taken[0]);
    folder.file("motet.yaml", server);
    let used = async |variable: bool, flag: bool| {
        let mut program = motet(["up", "-f", "motet.yaml"]).folder(folder.path());
        if variable {
            program = program.env("MOTET_GRPC", &taken[1]);
        }
        if flag {
            program = program.args(["--grpc", &taken[2]]);
        }
        program.run().await
    };
    for (variable, flag, address) in [(false, false, 0), (true, false, 1), (true, true, 2)] {
        let ended = used(variable, flag).await;
        one_line(&ended, FAILED, &["cannot listen on", &taken[address]]);
    }
}

#[tokio::test]
async fn wrong_usage_is_refused_with_the_reason() {
    #[rustfmt::skip]
    let cases: [(&[&str], &str); 8] = [
        (&["dance"], "unrecognized subcommand 'dance'"),
        (&["--prot", "1"], "--prot"),
        (&["up", "--grpc", "here"], "127.0.0.1:50051"),
        (&["up", "--http", "here"], "127.0.0.1:50051"),
        (&["up", "--grace", "soon"], "--grace"),
        (&["gateway", "--endpoint", "minilm=host"], "--endpoint"),
        (&["check"], "<FILE>"),
        (&["call"], "<PIPELINE>"),
    ];
    for (args, part) in cases {
        let ended = motet(args).run().await;
        assert_eq!((ended.code, &*ended.stdout), (MISTAKES, ""), "{args:?}");
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
}

#[tokio::test]
async fn the_built_in_configuration_works_as_a_file() {
    let folder = TempDir::new();
    let printed = fine(motet(["config"]).run().await);
    let file = folder.file("my.yaml", &printed);
    let checked = fine(motet(["check", text(&file)]).run().await);
    let last = format!("{}: ok\n", text(&file));
    assert!(checked.ends_with(&last), "{checked}");
    let again = motet(["config"]).env("MOTET_FILE", text(&file)).run().await;
    assert_eq!(fine(again), printed);
    for args in [["graph", "rag"], ["proto", "rag"]] {
        let built_in = fine(motet(args).run().await);
        assert_eq!(
            fine(motet(args).env("MOTET_FILE", text(&file)).run().await),
            built_in
        );
    }
}

#[tokio::test]
async fn graph_and_ops_are_printed() {
    let graph = fine(motet(["graph", "rag"]).run().await);
    assert!(
        graph.starts_with("digraph rag {\n") && graph.ends_with("}\n"),
        "{graph}"
    );
    for edge in [
        "chunks -> d;",
        "q -> near;",
        "d -> near;",
        "rank -> best;",
        "best -> shown;",
    ] {
        assert!(graph.contains(edge), "{edge} in {graph}");
    }
    let ops = fine(motet(["check", "--ops"]).run().await);
    for op in ["topk", "gather", "concat", "select"] {
        assert!(ops.contains(&format!("{op}: ")), "{op} in {ops}");
    }
    for name in ["inference", "motet"] {
        assert!(fine(motet(["proto", name]).run().await).contains("syntax = \"proto3\";"));
    }
}

#[tokio::test]
async fn every_command_explains_itself() {
    for command in [
        "", "up", "gateway", "serve", "check", "schema", "config", "graph", "proto", "call",
        "list", "describe", "explain", "load", "unload",
    ] {
        let args: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|a| !a.is_empty())
            .collect();
        let help = fine(motet(&args).run().await);
        assert!(
            help.contains("Usage:") && help.contains("Examples:"),
            "{help}"
        );
    }
    let version = fine(motet(["--version"]).run().await);
    assert_eq!(version, format!("motet {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn call_prints_for_people_and_for_programs() {
    let address = in_process::shared().grpc.to_string();
    let folder = TempDir::new();
    let (question, passage) = QUESTIONS[1];
    let query = format!("query={question}");
    let documents = serde_json::to_string(&PASSAGES).expect("JSON");
    let inline = format!("documents={documents}");
    let lines = folder.file("passages.txt", PASSAGES.join("\n"));
    let from_lines = format!("documents=@{}", text(&lines));
    let object = format!("{{\"query\": \"{question}\", \"documents\": {documents}, \"top_n\": 2}}");
    let in_file = folder.file("request.json", &object);
    let in_file = format!("@{}", text(&in_file));
    // The most that the pipeline allows: other tests use the same process.
    let deadline = ["--deadline", "30s"];
    let call = |args: &[&str]| motet(["call", "rag", "-a", &address]).args(args);

    for args in [
        [&*query, &inline, "top_n=2"],
        [&query, &from_lines, "top_n=2"],
    ] {
        let page = fine(call(&args).args(deadline).run().await);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!((lines[0], lines.len()), ("results: 2", 3), "{page}");
        assert!(
            lines[1].starts_with(&format!("  1  index {passage}  score 0.")),
            "{page}"
        );
        assert!(lines[1].ends_with(PASSAGES[passage]), "{page}");
    }
    for args in [["--json", "-d", &object], ["--json", "-d", &in_file]] {
        let page = fine(call(&args).args(deadline).run().await);
        let answer: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        crate::rag::check_results(&answer, &PASSAGES, 2);
        assert_eq!(answer["results"][0]["index"], passage);
    }
    let with_receipt = fine(
        call(&[&query, &inline, "--receipt"])
            .args(deadline)
            .run()
            .await,
    );
    for part in [
        "critical path: ",
        "chunks",
        "compute",
        "used: ",
        " tokens, ",
    ] {
        assert!(with_receipt.contains(part), "{part} in {with_receipt}");
    }
    let by_environment = motet(["call", "rag", &query])
        .args(deadline)
        .env("MOTET_ADDRESS", &address);
    assert_eq!(fine(by_environment.run().await), "(an empty answer)\n");

    #[rustfmt::skip]
    let wrong: Vec<(&[&str], &[&str])> = vec![
        (&[], &["INVALID_ARGUMENT", "query: is required"]),
        (&["qery=x"], &["no input `qery`", "did you mean query?"]),
        (&["query"], &["`query` is not an input", "name=value"]),
        (&["query=x", "top_n=0"], &["INVALID_ARGUMENT", "top_n", "from 1 to 100"]),
        (&["query=x", "top_n=many"], &["`top_n` is not JSON"]),
        (&["query=x", "documents=@nothing.txt"], &["nothing.txt cannot be read"]),
        (&["-d", "{"], &["not JSON"]),
        (&["-d", "{\"qery\": 1}"], &["does not fit", "qery"]),
        (&["query=x", "--deadline", "0s"], &["DEADLINE_EXCEEDED"]),
    ];
    for (args, parts) in wrong {
        one_line(&call(args).run().await, FAILED, parts);
    }
    let both = call(&["top_n=0"]).run().await;
    assert_eq!(both.code, FAILED);
    let lines: Vec<&str> = both.stderr.lines().collect();
    assert_eq!(lines[0], "error: INVALID_ARGUMENT:");
    assert!(
        lines[1].starts_with("  query: ") && lines[2].starts_with("  top_n: "),
        "{lines:?}"
    );
    let unknown = motet(["call", "rga", "-a", &address]).run().await;
    one_line(&unknown, FAILED, &["no pipeline `rga`", &address]);
    let nobody = TcpListener::bind(in_process::ANY_PORT)
        .await
        .expect("a free port");
    let closed = nobody.local_addr().expect("bound").to_string();
    drop(nobody);
    let nobody = motet(["call", "rag", "-a", &closed, &query]).run().await;
    one_line(&nobody, FAILED, &["nothing answers", &closed]);
}

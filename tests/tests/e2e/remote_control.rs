//! Commands that manage the pipelines of a running gateway.

use std::net::{Ipv6Addr, SocketAddr};

use motet_proto::v1::LoadRequest;
use motet_runtime::status;
use motet_tests::in_process;
use motet_tests::program::Ended;
use motet_tests::temp_dir::TempDir;
use serde_json::Value;
use tonic::Code;

use crate::motet;

/// Two pipelines, the first of which calls the second. Line numbers matter below.
const FILE: &str = "# Comments stay out.
pipelines:
  - pipeline: managed_outer
    inputs: { text: string }
    nodes:
      inner: { pipeline: managed_inner, in: { text: $text } }
    outputs: { v: $inner.v }
  - pipeline: managed_inner
    version: 3
    description: a vector
    inputs: { text: { type: string, default: hello } }
    nodes:
      e: { model: minilm, in: { text: $text } }
    outputs: { v: $e.embedding }
";

async fn run(args: &[&str]) -> Ended {
    let address = in_process::shared().grpc.to_string();
    motet(args).env("MOTET_ADDRESS", address).run().await
}

async fn success(args: &[&str]) -> String {
    let ended = run(args).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{args:?}");
    ended.stdout
}

async fn json(args: &[&str]) -> Value {
    let text = success(&[args, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

async fn failure(args: &[&str], parts: &[&str]) {
    let ended = run(args).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{args:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
}

#[tokio::test]
async fn pipelines_are_loaded_listed_described_explained_and_unloaded() {
    let folder = TempDir::new();
    let file = folder.file("my.yaml", FILE);
    let file = file.to_str().expect("UTF-8");
    let loaded = success(&["load", file]).await;
    assert_eq!(
        loaded,
        "loaded managed_inner (version 3, service motet.pipeline.ManagedInner)\n\
         loaded managed_outer (version 1, service motet.pipeline.ManagedOuter)\n"
    );

    let list = success(&["list"]).await;
    assert!(list.starts_with("PIPELINE "), "{list}");
    let row = list.lines().find(|l| l.starts_with("managed_inner "));
    let row: Vec<&str> = row.expect("it is listed").split_whitespace().collect();
    assert_eq!(
        row[1..],
        ["3", "motet.pipeline.ManagedInner", "a", "vector"]
    );
    let list = json(&["list"]).await;
    let pipelines = list["pipelines"].as_array().expect("a list");
    assert!(
        pipelines
            .iter()
            .any(|p| p["name"] == "managed_inner" && p["version"] == 3)
    );

    let described = success(&["describe", "managed_inner"]).await;
    let expected = "managed_inner, version 3: a vector\nservice: motet.pipeline.ManagedInner\n\n\
                    inputs:\n  text  string  default \"hello\"\n\noutputs:\n  v  float[384]\n";
    assert_eq!(described, expected);
    let described = json(&["describe", "managed_inner"]).await;
    assert_eq!(described["inputs"][0]["default"], "\"hello\"");
    let proto = success(&["describe", "managed_inner", "--proto"]).await;
    assert!(proto.contains("service ManagedInner {"), "{proto}");

    let explained = success(&["explain", "managed_outer"]).await;
    let rows: Vec<Vec<&str>> = explained
        .lines()
        .map(|l| {
            l.split("  ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(rows[0], ["NODE", "RUNS", "AFTER", "OUTPUTS"]);
    assert_eq!(
        rows[1],
        ["inner", "pipeline managed_inner", "v: float[384]"]
    );
    let explained = json(&["explain", "managed_outer"]).await;
    assert_eq!(explained["nodes"][0]["kind"], "pipeline managed_inner");
    let dot = success(&["explain", "managed_outer", "--dot"]).await;
    assert!(dot.starts_with("digraph managed_outer {"), "{dot}");

    failure(
        &["unload", "managed_inner"],
        &["FAILED_PRECONDITION", "managed_outer"],
    )
    .await;
    for name in ["managed_outer", "managed_inner"] {
        assert_eq!(
            success(&["unload", name]).await,
            format!("unloaded {name}\n")
        );
    }
    for command in ["unload", "describe", "explain"] {
        failure(&[command, "managed_inner"], &["NOT_FOUND", "managed_inner"]).await;
    }
}

#[tokio::test]
async fn a_single_pipeline_is_loaded_from_standard_input() {
    let text = "pipeline: piped\ninputs: { text: string }\nnodes:\n  \
                e: { model: minilm, in: { text: $text } }\noutputs: { v: $e.embedding }\n";
    let address = in_process::shared().grpc.to_string();
    for args in [["load", "-", "--json"], ["load", "--file=-", "--json"]] {
        let ended = motet(args).args(["-a", &address]).stdin(text).run().await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        let loaded: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!(loaded["pipeline"]["name"], "piped");
    }
    success(&["unload", "piped"]).await;
}

/// Parts that a request may leave out, and parts that an answer may lack.
#[tokio::test]
async fn ports_say_if_they_are_required() {
    let folder = TempDir::new();
    let file = folder.file(
        "ports.yaml",
        "pipeline: managed_ports\n\
         inputs: { a: string, b: { type: int, default: 3 }, c: { type: string, optional: true } }\n\
         nodes:\n  n: { op: select, in: { a: $a, b: $b }, when: \"$b > 2\" }\n\
         outputs: { a: $n.a, b: $b, c: $c }\n",
    );
    success(&["load", file.to_str().expect("UTF-8")]).await;
    let described = json(&["describe", "managed_ports"]).await;
    let ports = |side: &str| -> Vec<(String, bool, String)> {
        let ports = described[side].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let optional = |port: &Value| port["optional"].as_bool().unwrap_or_default();
        ports
            .map(|port| (text(&port["name"]), optional(port), text(&port["default"])))
            .collect()
    };
    let of = |name: &str, optional, default: &str| (name.to_owned(), optional, default.to_owned());
    assert_eq!(
        ports("inputs"),
        [of("a", false, ""), of("b", false, "3"), of("c", true, "")]
    );
    assert_eq!(
        ports("outputs"),
        [of("a", true, ""), of("b", false, ""), of("c", true, "")]
    );
    let described = success(&["describe", "managed_ports"]).await;
    let lines: Vec<Vec<&str>> = described
        .lines()
        .skip_while(|line| *line != "inputs:")
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines,
        [
            &["inputs:"][..],
            &["a", "string", "required"],
            &["b", "int", "default", "3"],
            &["c", "string", "optional"],
            &[],
            &["outputs:"],
            &["a", "string", "optional"],
            &["b", "int"],
            &["c", "string", "optional"],
        ]
    );
    success(&["unload", "managed_ports"]).await;
}

/// Errors are reported as `motet check` reports them, with the places in the file.
#[tokio::test]
async fn a_file_with_errors_is_refused_with_a_report_of_its_lines() {
    let folder = TempDir::new();
    let wrong = FILE.replace("managed_", "wrong_").replace(
        "text: $text } }\n    outputs: { v: $e",
        "txt: $text } }\n    outputs: { v: $e",
    );
    let models = "models:\n  minilm: { endpoint: \"grpc://127.0.0.1:1\" }\n";
    for (text, line) in [(wrong.clone(), 13), (format!("{models}{wrong}"), 15)] {
        let file = folder.file("wrong.yaml", text);
        let file = file.to_str().expect("UTF-8");
        let ended = run(&["load", file]).await;
        assert_eq!(
            (ended.code, &*ended.stdout),
            (Some(2), ""),
            "{}",
            ended.stderr
        );
        let place = format!("--> {file}:{line}:");
        for part in ["error: ", &place, "did you mean `text`?"] {
            assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
        }
        assert_eq!(
            ended.stderr.starts_with("endpoints are not loaded"),
            line == 15
        );
    }
    for (name, text, part) in [
        ("none.yaml", "models: {}\n", "neither pipelines nor models"),
        ("list.yaml", "- a\n", "configuration"),
    ] {
        let file = folder.file(name, text);
        let ended = run(&["load", file.to_str().expect("UTF-8")]).await;
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    let ended = run(&["load", "absent.yaml"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("absent.yaml"), "{}", ended.stderr);
}

#[tokio::test]
async fn an_address_is_understood_however_it_is_written() {
    let port = in_process::shared().grpc.port();
    for address in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!(":{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}/"),
        format!("grpc://127.0.0.1:{port}"),
    ] {
        let ended = motet(["list", "-a", &address]).run().await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{address}");
    }
    let folder = TempDir::new();
    let empty = folder.file("empty.yaml", "pipelines: []\n");
    let any = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    if std::net::TcpListener::bind(any).is_ok() {
        let process = motet(["up", "--http", "off", "--grpc", "[::1]:0"]);
        let mut process = process.args([&empty]).start();
        let port = process.ready().await.grpc.port();
        for address in [format!("[::1]:{port}"), format!("http://[::1]:{port}")] {
            let ended = motet(["list", "-a", &address]).run().await;
            assert_eq!(
                (ended.code, &*ended.stdout),
                (Some(0), "(no pipelines)\n"),
                "{address}"
            );
        }
    }
    for (address, part) in [
        ("ftp://localhost", "`ftp://` is not a scheme"),
        ("localhost:seven", "`seven` is not a port"),
        ("http://localhost/rag", "more than a host and a port"),
        ("", "is empty"),
    ] {
        for args in [&["list"][..], &["call", "rag"]] {
            let ended = motet(args).args(["-a", address]).run().await;
            assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{address}");
            assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
        }
    }
    // No host has a name under `.invalid`.
    let ended = motet(["list", "-a", "nowhere.invalid"]).run().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let start = "error: nothing answers at nowhere.invalid:50051: ";
    assert!(ended.stderr.starts_with(start), "{}", ended.stderr);
}

/// A report has whole diagnostics, as many as fit, and the number of the others.
#[tokio::test]
async fn a_file_with_many_mistakes_is_refused_with_whole_reports_and_their_number() {
    const MISTAKES: usize = 60;
    let nodes: String = (0..MISTAKES)
        .map(|n| format!("  n{n}: {{ model: minilm, in: {{ text: $absent_{n} }} }}\n"))
        .collect();
    let yaml = format!(
        "pipeline: many_mistakes\ninputs: {{ text: string }}\nnodes:\n{nodes}\
         outputs: {{ v: $n0.embedding }}\n"
    );
    let connection = in_process::connect().await;
    let request = LoadRequest { yaml: yaml.clone() };
    let error = connection.pipelines().load(request).await;
    let error = error.expect_err("it has mistakes");
    assert_eq!(error.code(), Code::InvalidArgument);
    let details = status::read(&error);
    assert_eq!(details.reason, "BAD_PIPELINE");
    assert_eq!(details.violations[0].0, "yaml");
    let blocks: Vec<&str> = error.message().trim_end().split("\n\n").collect();
    let [whole @ .., more, counts] = blocks.as_slice() else {
        panic!("{}", error.message());
    };
    assert!(whole.len() >= 3, "{}", error.message());
    for (n, block) in whole.iter().enumerate() {
        let place = format!("--> pipeline:{}:", n + 4);
        assert!(block.starts_with("error: "), "{block:?}");
        assert!(block.contains(&format!("`absent_{n}`")), "{block}");
        assert!(block.contains(&place) && block.contains("^^^"), "{block}");
    }
    let left = MISTAKES - whole.len();
    assert_eq!(*more, format!("and {left} more mistakes"));
    assert_eq!(*counts, format!("{MISTAKES} errors"));
    let mut headers = http::HeaderMap::new();
    error.add_header(&mut headers).expect("valid headers");
    let sizes = headers.iter().map(|(k, v)| k.as_str().len() + v.len() + 32);
    assert!(sizes.sum::<usize>() < 8 << 10);

    let folder = TempDir::new();
    let file = folder.file("many.yaml", yaml);
    let file = file.to_str().expect("UTF-8");
    let ended = run(&["load", file]).await;
    let report = error
        .message()
        .replace("--> pipeline:", &format!("--> {file}:"));
    assert_eq!((ended.code, &*ended.stderr), (Some(2), &*report));
}

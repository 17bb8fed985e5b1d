//! `motet call --stream`: a request for each line, an answer for each.

use std::path::Path;

use motet_tests::program::Ended;
use motet_tests::temp_dir::TempDir;
use serde_json::{Value, json};

use crate::motet;

/// A pipeline that calls no models, and fails where a number is missing from the list.
const PICK: &str = "pipelines:\n  - pipeline: pick\n    inputs: { score: \"float[N]\", top: { type: \
                    int, default: 1, min: 1, max: 9 } }\n    nodes: { best: { op: topk, in: { \
                    score: $score }, with: { k: $top } } }\n    outputs: { index: $best.index }\n";

async fn stream(input: &str, args: &[&str]) -> (Ended, Vec<Value>) {
    let folder = TempDir::new();
    let file = folder.file("motet.yaml", PICK);
    let mut server = motet([Path::new("up"), &file]).on_free_ports().start();
    let address = server.ready().await.grpc.to_string();
    let call = ["call", "pick", "--stream", "-a", &address];
    let ended = motet(call).args(args).stdin(input).run().await;
    let lines = ended.stdout.lines();
    let lines = lines.map(|line| serde_json::from_str(line).expect("a line of JSON"));
    let lines = lines.collect();
    (ended, lines)
}

#[tokio::test]
async fn each_line_has_its_answer_and_errors_keep_theirs() {
    let input = "{\"score\": [1, 3, 2]}\n\n{\"score\": [5, 4], \"request_id\": \"mine\"}\n{\"score\": \
                 }\n{\"scores\": [1]}\n{\"score\": [1], \"top\": 99}\n{\"score\": [1, 2, 9], \"top\": \
                 2}";
    let (ended, lines) = stream(input, &["--ordered"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("3 of 6 lines have no answer"),
        "{}",
        ended.stderr
    );
    let ids: Vec<&Value> = lines.iter().map(|line| &line["request_id"]).collect();
    assert_eq!(json!(ids), json!([1, "mine", 4, 5, 6, 7]));
    assert_eq!(lines[0], json!({ "index": [1], "request_id": 1 }));
    assert_eq!(lines[1], json!({ "index": [0], "request_id": "mine" }));
    assert_eq!(lines[5], json!({ "index": [2, 1], "request_id": 7 }));
    for (line, part) in [
        (&lines[2], "line 4, column 11: expected value"),
        (&lines[3], "line 5: "),
        (&lines[4], "top"),
    ] {
        assert_eq!(line["error"]["code"], "INVALID_ARGUMENT", "{line}");
        let message = line["error"]["message"].as_str().expect("words");
        assert!(message.contains(part), "{line}");
    }
}

#[tokio::test]
async fn many_lines_are_answered_once_each() {
    const LINES: u64 = 5000;
    let line = |n: u64| format!("{{\"score\": [{}, 1]}}\n", n % 3);
    let input: String = (1..=LINES).map(line).collect();
    let (ended, lines) = stream(&input, &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let summary = format!("{LINES} answers, 0 errors");
    assert!(ended.stderr.contains(&summary), "{}", ended.stderr);
    let mut seen = vec![false; LINES as usize + 1];
    for line in &lines {
        let n = line["request_id"].as_u64().expect("a number");
        let best = if n % 3 == 2 { 0 } else { 1 };
        // Of equal scores, the first.
        let best = if n % 3 == 1 { 0 } else { best };
        assert_eq!(line["index"], json!([best]), "{line}");
        assert!(!std::mem::replace(&mut seen[n as usize], true), "{line}");
    }
    assert_eq!(lines.len() as u64, LINES);
}

#[tokio::test]
async fn a_pipeline_or_server_that_is_not_there_is_an_error_before_any_line() {
    let folder = TempDir::new();
    let file = folder.file("motet.yaml", PICK);
    let mut server = motet([Path::new("up"), &file]).on_free_ports().start();
    let address = server.ready().await.grpc.to_string();
    let call = ["call", "nothing", "--stream", "-a", &address];
    let ended = motet(call).stdin("{}\n").run().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    assert!(
        ended.stderr.contains("has no pipeline `nothing`"),
        "{}",
        ended.stderr
    );
    let ended = motet(["call", "pick", "--ordered", "-a", &address])
        .run()
        .await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

/// A server that is killed while lines are in flight: each of them has an error.
#[cfg(unix)]
#[tokio::test]
async fn lines_in_flight_of_a_stream_that_breaks_have_errors() {
    let folder = TempDir::new();
    let file = folder.file("motet.yaml", PICK);
    let mut server = motet([Path::new("up"), &file]).on_free_ports().start();
    let address = server.ready().await.grpc.to_string();
    let input = "{\"score\": [1, 2]}\n".repeat(200_000);
    let call = motet(["call", "pick", "--stream", "--ordered", "-a", &address]);
    let mut call = call.stdin(input).start();
    // Some are answered.
    call.prints("\"request_id\":100}").await;
    server.signal("KILL");
    let ended = call.end().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the stream broke"),
        "{}",
        ended.stderr
    );
    let lines = ended.stdout.lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    // One result for each line that was read, in order, and no gap between them.
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["request_id"], json!(at + 1));
    }
    let last = lines.last().expect("lines");
    assert_eq!(last["error"]["code"], "UNAVAILABLE", "{last}");
}

/// Lines have matrices and numbers as files of a batch have them.
#[tokio::test]
async fn matrices_are_lists_of_lists_and_numbers_are_short() {
    let yaml = "pipelines:\n  - pipeline: pick\n    inputs: { vector: \"float[N,2]\", index: \
                \"i32[K]\" }\n    nodes: { picked: { op: gather, in: { vector: $vector, index: \
                $index } } }\n    outputs: { vector: $picked.vector }\n";
    let mut server = motet(["up", "-"]).stdin(yaml).on_free_ports().start();
    let address = server.ready().await.grpc.to_string();
    let call = ["call", "pick", "--stream", "--receipt", "-a", &address];
    let line = "{\"vector\": [[1.5, 0.1], [2, 3]], \"index\": [1, 0]}\n";
    let ended = motet(call).stdin(line).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let start = "{\"receipt\":{";
    assert!(ended.stdout.starts_with(start), "{}", ended.stdout);
    let end = ",\"request_id\":1,\"vector\":[[2.0,3.0],[1.5,0.1]]}\n";
    assert!(ended.stdout.ends_with(end), "{}", ended.stdout);
}

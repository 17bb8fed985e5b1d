//! grpcurl: the README's commands, errors and streams.

use std::path::Path;
use std::process::{Command, Output};

use motet_tests::{in_process, repository};
use serde_json::{Value, json};

use super::{check_answer, find, question};

/// Runs a shell command in which `grpcurl` is the program at `path`.
fn shell(path: &Path, command: &str) -> Output {
    let script = format!("grpcurl() {{ \"$GRPCURL\" \"$@\"; }}\n{command}");
    Command::new("sh")
        .args(["-c", &script])
        .env("GRPCURL", path)
        .output()
        .unwrap()
}

/// Runs `grpcurl -plaintext ARGUMENTS`, which must succeed, and returns what it printed.
fn printed(path: &Path, arguments: &str) -> String {
    let output = shell(path, &format!("grpcurl -plaintext {arguments}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the JSON values of a text, one after another.
fn values(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Returns the README's grpcurl commands, each with the JSON block that follows its own block, if
/// any.
fn readme() -> Vec<(String, Option<Value>)> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    // Odd parts are what stands between fences.
    let blocks: Vec<&str> = readme.split("\n```").skip(1).step_by(2).collect();
    let mut commands = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
        let Some(script) = block.strip_prefix("sh\n") else {
            continue;
        };
        let answer = blocks.get(i + 1).and_then(|next| next.strip_prefix("json"));
        let script = script.replace("\\\n", " ");
        let lines = script.lines().filter(|line| line.starts_with("grpcurl "));
        commands.extend(lines.map(|line| {
            let calls = line.contains(" -d ");
            let answer = answer.filter(|_| calls);
            let answer = answer.map(|text| serde_json::from_str(text).unwrap());
            (line.to_owned(), answer)
        }));
    }
    commands
}

#[test]
fn the_commands_of_the_readme_print_what_it_shows() {
    let Some(path) = find("MOTET_GRPCURL", "grpcurl", &["-version"]) else {
        return;
    };
    let address = in_process::shared().grpc.to_string();
    let commands = readme();
    let shown = commands.iter().filter(|(_, answer)| answer.is_some());
    assert_eq!(shown.count(), 1, "{commands:?}");
    assert!(commands.len() >= 3, "{commands:?}");
    for (command, answer) in commands {
        let here = command.replace("localhost:50051", &address);
        assert_ne!(here, command, "the README's server is localhost:50051");
        let output = shell(&path, &here);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {stderr}");
        let Some(mut expected) = answer else {
            assert!(!output.stdout.is_empty(), "{command}");
            continue;
        };
        let mut answer = serde_json::from_slice::<Value>(&output.stdout).unwrap();
        let scores = [&mut answer, &mut expected].map(|v| v["results"][0]["score"].take());
        assert_eq!(answer, expected, "{command}");
        let [score, shown] = scores.map(|v| v.as_f64().unwrap());
        assert!((score - shown).abs() < 1e-4, "{score} is shown as {shown}");
    }
}

#[test]
fn services_are_listed_described_and_called() {
    let Some(path) = find("MOTET_GRPCURL", "grpcurl", &["-version"]) else {
        return;
    };
    let address = in_process::shared().grpc.to_string();
    let listed = printed(&path, &format!("{address} list"));
    assert!(
        listed.lines().any(|l| l == "motet.pipeline.Rag"),
        "{listed}"
    );
    let described = printed(&path, &format!("{address} describe motet.pipeline.Rag"));
    assert!(described.contains("rpc RunStream"), "{described}");
    let call = format!("-d '{}' {address} motet.pipeline.Rag/Run", question());
    check_answer(&printed(&path, &call));
    let health = format!("{address} grpc.health.v1.Health/Check");
    assert_eq!(
        values(&printed(&path, &health)),
        [json!({"status": "SERVING"})]
    );
}

#[test]
fn an_error_names_the_field_at_fault() {
    let Some(path) = find("MOTET_GRPCURL", "grpcurl", &["-version"]) else {
        return;
    };
    let address = in_process::shared().grpc.to_string();
    let data = r#"{"documents":["a"],"top_n":0}"#;
    let call = format!("grpcurl -plaintext -d '{data}' {address} motet.pipeline.Rag/Run");
    let output = shell(&path, &call);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64 + 3), "{stderr}");
    assert!(stderr.contains("Code: InvalidArgument"), "{stderr}");
    assert!(stderr.contains("google.rpc.BadRequest"), "{stderr}");
    for field in ["query", "top_n"] {
        let violation = format!("\"field\":\"{field}\"");
        assert!(stderr.replace(' ', "").contains(&violation), "{stderr}");
    }
}

#[test]
fn a_stream_answers_each_request_and_goes_on_after_an_error() {
    let Some(path) = find("MOTET_GRPCURL", "grpcurl", &["-version"]) else {
        return;
    };
    let address = in_process::shared().grpc.to_string();
    let mut first: Value = serde_json::from_str(&question()).unwrap();
    let mut last = first.clone();
    first["request_id"] = "first".into();
    last["request_id"] = "last".into();
    let wrong = json!({"request_id": "wrong", "documents": ["a"]});
    let requests = format!("{first} {wrong} {last}");
    let method = "motet.pipeline.Rag/RunStream";
    let answers = values(&printed(
        &path,
        &format!("-d '{requests}' {address} {method}"),
    ));
    let answer = |id: &str| {
        let found = answers.iter().find(|a| a["request_id"] == id);
        found.unwrap_or_else(|| panic!("no {id}: {answers:?}"))
    };
    assert_eq!(answers.len(), 3, "{answers:?}");
    check_answer(&answer("first").to_string());
    check_answer(&answer("last").to_string());
    assert_eq!(answer("wrong")["error"]["code"], 3, "{answers:?}");
}

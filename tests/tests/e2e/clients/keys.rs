//! Clients that say who they are.

use std::path::Path;
use std::process::Command;

use motet_tests::program::Process;
use motet_tests::temp_dir::TempDir;

use super::{find, run};
use crate::motet;

const CONFIGURATION: &str = "\
server:
  auth: { keys: ./keys.yaml }
pipelines:
  - { pipeline: same, inputs: { a: int }, outputs: { a: $a } }
";

/// Starts a server, and returns it with its address and the key of a caller.
async fn start(folder: &TempDir) -> (Process, String, String) {
    let arguments = ["keys", "new", "caller", "--may", "call:same"];
    let made = motet(arguments).folder(folder.path()).run().await;
    let file = folder.file("motet.yaml", CONFIGURATION);
    let mut process = motet(["up"]).args([&file]).on_free_ports().start();
    let address = process.ready().await.grpc.to_string();
    (process, address, made.stdout.trim().to_owned())
}

/// Calls the pipeline by grpcurl with this header.
fn call(grpcurl: &Path, header: &str, address: &str) -> (bool, String) {
    let mut command = Command::new(grpcurl);
    command.args(["-plaintext", "-H", header, "-d", r#"{"a": 5}"#, address]);
    let output = command.arg("motet.pipeline.Same/Run").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

#[tokio::test]
async fn grpcurl_sends_a_key() {
    let Some(grpcurl) = find("MOTET_GRPCURL", "grpcurl", &["-version"]) else {
        return;
    };
    let folder = TempDir::new();
    let (_process, address, key) = start(&folder).await;
    let (ok, text) = call(&grpcurl, &format!("authorization: Bearer {key}"), &address);
    assert!(ok && text.contains(r#""a": "5""#), "{text}");
    let (ok, text) = call(&grpcurl, "authorization: Bearer wrong", &address);
    assert!(!ok, "{text}");
    let expected = "credentials are missing or not accepted: send `authorization: Bearer KEY`";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn grpcio_sends_a_key() {
    let Some(python) = find("MOTET_PYTHON", "python3", &["-c", "import grpc"]) else {
        return;
    };
    let folder = TempDir::new();
    let (_process, address, key) = start(&folder).await;
    let script = motet_tests::repository().join("tests/clients/with_key.py");
    let said = tokio::task::spawn_blocking(move || {
        run(&python, &[script.to_str().unwrap(), &address, &key])
    });
    assert_eq!(said.await.unwrap().trim(), "ok");
}

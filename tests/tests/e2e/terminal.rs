//! Output of motet on a terminal.

use std::process::Command;

use motet_tests::program::Program;

use crate::motet;

/// The program under test.
const MOTET: &str = env!("CARGO_BIN_EXE_motet-e2e");

/// Returns the program on a pseudo-terminal, which `script` makes and copies to its own output.
/// `None` where there is no such `script`.
fn on_terminal(args: &str) -> Option<Program> {
    let version = Command::new("script").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    // It outlives a test that fails, but not for long.
    let line = format!("timeout --foreground 120 '{MOTET}' {args}");
    let program = Program::new("script").args(["-qfec", &line, "/dev/null"]);
    version.contains("util-linux").then_some(program)
}

#[tokio::test]
async fn a_terminal_gets_a_summary_whose_examples_work() {
    let Some(program) = on_terminal("up --grpc 127.0.0.1:0 --http 127.0.0.1:0") else {
        eprintln!("skipped: there is no `script` of util-linux");
        return;
    };
    let mut process = program.start();
    let ready = process.ready().await;
    let screen = process.prints("Ctrl-C").await;
    let http = ready.http.expect("HTTP is on");
    for part in [
        "rag: split documents, embed, keep the nearest, rerank",
        "chunker, minilm, reranker",
        &format!("http://{http}"),
        &format!("-a {}", ready.grpc),
    ] {
        assert!(screen.contains(part), "{part} in {screen}");
    }
    let examples: Vec<&str> = screen
        .lines()
        .filter_map(|line| line.trim().strip_prefix("motet "))
        .collect();
    assert_eq!(examples.len(), 3, "{screen}");
    for example in examples {
        let line = format!("\"$MOTET\" {example}");
        let program = motet_tests::program::Program::new("sh").args(["-c", &line]);
        let ended = program
            .env("MOTET", env!("CARGO_BIN_EXE_motet-e2e"))
            .run()
            .await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{example}");
        assert!(!ended.stdout.is_empty(), "{example}");
    }
    process.signal("TERM");
    process.end().await;
}

#[tokio::test]
async fn a_script_gets_the_ready_line_alone() {
    let mut process = motet(["up"]).on_free_ports().start();
    process.ready().await;
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
}

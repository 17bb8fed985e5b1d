//! Clients of other projects against a real server.

mod grpcurl;
mod keys;

use std::path::{Path, PathBuf};
use std::process::Command;

use motet_tests::in_process;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use serde_json::{Value, json};

/// Returns the program that `variable` names, or `name` from the path. `None`, with a line that
/// says why, if it does not start.
pub(crate) fn find(variable: &str, name: &str, probe: &[&str]) -> Option<PathBuf> {
    let program = std::env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from);
    match Command::new(&program).args(probe).output() {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let why = stderr.lines().last().unwrap_or("it fails");
            println!("skipped: {}: {why}", program.display());
            None
        }
        Err(error) => {
            println!("skipped: {}: {error}", program.display());
            None
        }
    }
}

/// Runs a program to its end and returns its output.
pub(crate) fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{} {args:?}: {stdout}\n{}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Runs one of the Python clients.
fn python(script: &str, modules: &str, more: &[&str]) {
    let Some(python) = find("MOTET_PYTHON", "python3", &["-c", modules]) else {
        return;
    };
    let script = repository().join("tests/clients").join(script);
    let address = in_process::shared().grpc.to_string();
    let mut args = vec![script.to_str().unwrap(), &address];
    args.extend(more);
    assert_eq!(run(&python, &args).trim(), "ok");
}

#[test]
fn grpcio_with_reflection() {
    python("by_reflection.py", "import grpc, grpc_reflection", &[]);
}

#[test]
fn grpcio_with_stubs_from_the_printed_files() {
    let folder = TempDir::new();
    let out = folder.path().to_str().unwrap().to_owned();
    run(
        Path::new(env!("CARGO_BIN_EXE_motet-e2e")),
        &["proto", "rag", "--out", &out],
    );
    python("by_stubs.py", "import grpc, grpc_tools", &[&out]);
}

#[test]
fn tritonclient() {
    python("by_triton.py", "import tritonclient.grpc", &[]);
}

fn question() -> String {
    json!({
        "query": "how do vaccines work",
        "documents": ["Bread is flour and water.", "Vaccines train the immune system."],
        "top_n": 1,
    })
    .to_string()
}

fn check_answer(text: &str) {
    let answer: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(answer["results"][0]["index"], 1, "{text}");
    assert_eq!(
        answer["results"].as_array().map(Vec::len),
        Some(1),
        "{text}"
    );
}

#[test]
fn the_printed_files_pass_buf_lint() {
    let Some(buf) = find("MOTET_BUF", "buf", &["--version"]) else {
        return;
    };
    let folder = TempDir::new();
    let out = folder.path().to_str().unwrap();
    for name in ["rag", "inference", "motet"] {
        let motet = Path::new(env!("CARGO_BIN_EXE_motet-e2e"));
        run(motet, &["proto", name, "--out", out]);
    }
    let lint = |folder: &Path| {
        let output = Command::new(&buf)
            .args(["lint", "."])
            .current_dir(folder)
            .output();
        let output = output.unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), report)
    };
    assert_eq!(lint(folder.path()), (true, String::new()));
    // The rules are the default ones: without the comments, the names are reported.
    let file = folder.path().join("motet/pipeline/rag.proto");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("buf:lint:ignore", "")).unwrap();
    let (passes, report) = lint(folder.path());
    assert!(
        !passes && report.contains("Service name \"Rag\""),
        "{report}"
    );
    std::fs::write(&file, text).unwrap();
    // A configuration that the user has is not touched, neither here nor above.
    let config = folder.path().join("buf.yaml");
    std::fs::write(&config, "version: v1\n").unwrap();
    let below = folder.path().join("below");
    for out in [folder.path(), &below] {
        let motet = Path::new(env!("CARGO_BIN_EXE_motet-e2e"));
        run(motet, &["proto", "rag", "--out", out.to_str().unwrap()]);
    }
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "version: v1\n");
    assert!(!below.join("buf.yaml").exists());
}

#[test]
fn buf_curl() {
    let Some(buf) = find("MOTET_BUF", "buf", &["--version"]) else {
        return;
    };
    let base = format!("http://{}", in_process::shared().grpc);
    let curl = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
    let listed = run(&buf, &[&curl[..], &["--list-services", &base]].concat());
    assert!(
        listed.lines().any(|l| l == "motet.pipeline.Rag"),
        "{listed}"
    );
    let url = format!("{base}/motet.pipeline.Rag/Run");
    let data = question();
    check_answer(&run(&buf, &[&curl[..], &["-d", &data, &url]].concat()));
}

/// Adds the program's folder to the library path: its libraries may be there.
#[test]
fn perf_analyzer() {
    let variable = "MOTET_PERF_ANALYZER";
    let program = std::env::var_os(variable).map_or_else(|| "perf_analyzer".into(), PathBuf::from);
    let analyzer = |args: &[&str]| {
        let mut command = Command::new(&program);
        if let Some(folder) = program.parent() {
            command.env("LD_LIBRARY_PATH", folder);
        }
        command.args(args).output()
    };
    match analyzer(&["--version"]) {
        Ok(output) if output.status.code() != Some(127) => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return println!("skipped: {}: {}", program.display(), why.trim());
        }
        Err(error) => return println!("skipped: {}: {error}", program.display()),
    }
    let address = in_process::shared().grpc.to_string();
    for more in [&[][..], &["--streaming", "--async"]] {
        let mut args = vec!["-m", "minilm", "-u", &address, "-i", "grpc"];
        args.extend(["--shape", "text:1", "--string-data", "hello world"]);
        // The test is that it can measure, whatever the numbers are. It waits for stable
        // results by default, so a number of requests is given and any spread accepted.
        args.extend(["--measurement-mode", "count_windows"]);
        args.extend(["--measurement-request-count", "20", "-s", "999", "-r", "10"]);
        args.extend(more);
        let output = analyzer(&args).unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && printed.contains("throughput"),
            "{args:?}: {printed}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

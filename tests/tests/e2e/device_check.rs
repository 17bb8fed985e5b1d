//! The script that checks and measures a device, with the CPU as one, in small.

use std::path::{Path, PathBuf};
use std::process::Command;

use motet_tests::temp_dir::TempDir;

const MOTET: &str = env!("CARGO_BIN_EXE_motet-e2e");

/// Returns the example device_check, which is built with the tests of all crates.
fn device_check() -> Option<PathBuf> {
    let built = Path::new(MOTET).parent()?.join("examples/device_check");
    built.exists().then_some(built)
}

#[test]
fn the_script_for_devices_runs_on_a_cpu() {
    let Some(device_check) = device_check() else {
        println!("skipped: device_check is not built (cargo build -p motet-service --examples)");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out = TempDir::new();
    let mut script = Command::new("python3");
    script
        .arg(root.join("deploy/cuda/prove"))
        .args(["cpu", "self", "seen", "up", "memory", "short", "--small"])
        .arg("--out")
        .arg(out.path())
        .arg("--motet")
        .arg(MOTET)
        .arg("--device-check")
        .arg(device_check)
        .arg("--models")
        .arg(root.join("tests"))
        .arg("--tokenizer")
        .arg(root.join("models/builtin/all-minilm-l6-v2"));
    let ended = match script.output() {
        Ok(ended) => ended,
        Err(error) => {
            println!("skipped: no python3: {error}");
            return;
        }
    };
    let table = String::from_utf8_lossy(&ended.stdout);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{table}{errors}");
    for part in [
        "| self | all parts in small | ran, ",
        "| seen | cpu opened in |",
        "| up | ready on cpu in f32 after |",
        "| calls | rag, 2 callers",
        "| memory | skipped |",
        "| short | small (1 layer of 96)",
        "\nall parts ran\n",
    ] {
        assert!(table.contains(part), "no {part}:\n{table}{errors}");
    }
    let log = std::fs::read_to_string(out.path().join("self.log")).expect("a log");
    assert!(log.contains("models within the limits | 1 of 1"), "{log}");
    let server = std::fs::read_to_string(out.path().join("motet.log")).expect("a log");
    assert!(server.contains("the devices of this machine"), "{server}");
    assert!(server.contains("device=cpu"), "{server}");
}

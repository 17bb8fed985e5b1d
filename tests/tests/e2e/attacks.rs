//! Attacks in their short form, each on a process of its own: the canary beside them gets every
//! answer, and memory stays within bounds. Times are not judged here; the example `attack` prints
//! them.

use motet_tests::attack::{ATTACKS, Size, play};
use motet_tests::program::Program;
use motet_tests::temp_dir::TempDir;

use crate::motet;

/// Keys of `server` that make the limits small.
const LIMITS: &str = "  max_bytes_in_flight: 256MiB\n";
/// Most memory that an attack may take, in bytes: that of the key above, and what requests within
/// their limits take.
const PEAK_BYTES_MAX: u64 = 700 << 20;

async fn play_all(group: usize) {
    let folder = TempDir::new();
    let built_in = motet(["config"]).run().await.stdout;
    let mut failed = Vec::new();
    for attack in ATTACKS[group] {
        let server = format!("server:\n{LIMITS}{}", attack.server_lines(&folder));
        let file = folder.file("motet.yaml", built_in.replacen("server:\n", &server, 1));
        let program = match attack.descriptors {
            None => Program::new(env!("CARGO_BIN_EXE_motet-e2e")),
            Some(descriptors) => {
                let line = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
                let arguments = ["-c", &line, env!("CARGO_BIN_EXE_motet-e2e")];
                Program::new("sh").args(arguments)
            }
        };
        let program = program.args(["up".as_ref(), file.as_os_str()]);
        let report = play(program.on_free_ports(), attack, Size::Short).await;
        println!("{report}");
        if !report.faults.is_empty() || report.peak > PEAK_BYTES_MAX {
            failed.push(report.to_string());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn calls_that_are_large_or_many_take_nothing_from_others() {
    play_all(0).await;
}

#[tokio::test]
async fn streams_that_do_not_go_on_take_nothing_from_others() {
    play_all(1).await;
}

#[tokio::test]
async fn messages_that_grow_when_they_are_read_take_nothing_from_others() {
    play_all(2).await;
}

#[tokio::test]
async fn pipelines_that_nest_or_are_many_take_nothing_from_others() {
    play_all(3).await;
    assert_eq!(ATTACKS.len(), 4, "every group is played");
}

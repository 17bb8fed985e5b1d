//! Plays attacks on a server, with a canary beside them, and prints a table.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example attack -- \
//!         target/release/motet [--short] [--server 'KEYS'] [ATTACK...]
//!
//! Each attack has a server of its own, with the built-in configuration and, of its key `server`,
//! `KEYS` such as `max_bytes_in_flight: 256MiB`. `--short` takes seconds for each. Exits with 1 if
//! anything was as it must not be.

use clap::Parser;
use motet_tests::attack::{ATTACKS, Attack, Report, Size, play};
use motet_tests::program::Program;
use motet_tests::temp_dir::TempDir;

#[derive(Parser)]
struct Args {
    /// The program.
    motet: std::path::PathBuf,
    /// Plays the short form.
    #[arg(long)]
    short: bool,
    /// Lines of the key `server`.
    #[arg(long)]
    server: Vec<String>,
    /// The names of the attacks; all by default.
    attacks: Vec<String>,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let all: Vec<&Attack> = ATTACKS.iter().copied().flatten().collect();
    if let Some(unknown) = args
        .attacks
        .iter()
        .find(|n| all.iter().all(|a| a.name != **n))
    {
        eprintln!("there is no attack {unknown}. There are:");
        for attack in all {
            eprintln!("{:22}{}", attack.name, attack.about);
        }
        return std::process::ExitCode::from(2);
    }
    let folder = TempDir::new();
    let built_in = Program::new(&args.motet)
        .args(["config"])
        .run()
        .await
        .stdout;
    let keys: String = args.server.iter().map(|key| format!("  {key}\n")).collect();
    let size = if args.short { Size::Short } else { Size::Long };
    println!("{}", Report::HEADER);
    let mut faults = 0;
    for attack in all {
        if !args.attacks.is_empty() && !args.attacks.iter().any(|name| name == attack.name) {
            continue;
        }
        let server = format!("server:\n{keys}{}", attack.server_lines(&folder));
        let file = folder.file("motet.yaml", built_in.replacen("server:\n", &server, 1));
        let program = match attack.descriptors {
            None => Program::new(&args.motet),
            Some(descriptors) => {
                let line = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
                Program::new("sh").args(["-c", &line]).args([&args.motet])
            }
        };
        let program = program
            .args(["up".as_ref(), file.as_os_str()])
            .on_free_ports();
        let report = play(program, attack, size).await;
        faults += report.faults.len();
        println!("{report}");
    }
    std::process::ExitCode::from(u8::from(faults > 0))
}

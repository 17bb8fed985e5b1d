//! Runs a target on changed inputs for some seconds: `motet-fuzz TARGET [SECONDS] [SEED]`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use motet_fuzz::targets::TARGETS;
use motet_fuzz::{corpus, mutate};

/// Changed inputs between two looks at the clock.
const CASES: u32 = 1000;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let names = || {
        TARGETS
            .iter()
            .map(|target| target.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let name = args
        .next()
        .ok_or_else(|| format!("give a target: {}", names()))?;
    let target = TARGETS.iter().find(|target| target.name == name);
    let target =
        target.ok_or_else(|| format!("no target is named {name}: there are {}", names()))?;
    let number = |arg: Option<String>, default| match arg {
        None => Ok(default),
        Some(arg) => arg.parse().map_err(|_| format!("{arg} is not a number")),
    };
    let seconds = number(args.next(), 60)?;
    let mut seed = number(args.next(), 1)?;
    let inputs = corpus::inputs(target.name)?;
    let inputs: Vec<Vec<u8>> = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let first = seed;
    while Instant::now() < end {
        mutate::run(&inputs, seed, CASES, target.run)
            .map_err(|error| format!("{name}, seed {seed}: {error}"))?;
        seed += 1;
    }
    println!(
        "{name}: {} changed inputs from seed {first} on",
        u64::from(CASES) * (seed - first)
    );
    Ok(())
}

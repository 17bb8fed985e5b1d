//! Checks a device against this machine's CPU, and measures it: what to run on a machine with a GPU
//! before models are served there.
//!
//!     cargo run --release -p motet-service --features cuda --example device_check -- \
//!         cuda [PART...] [--models FOLDER]... [--tokenizer FOLDER] [--address HOST:PORT] [--small]
//!
//! The device is named as in a configuration: `cpu`, `cuda`, `cuda:1`, `metal` (with the Cargo
//! feature). On a CPU the device's operations are taken, too: slower than motet's own, to try the
//! program. Without parts: `seen agree rates speed`.
//!
//! * `seen`: the devices of this machine; the device is opened, and what must be refused is.
//! * `agree`: every model below the folders of `--models`, with every head that its files have, or
//!   the built-in model: random rows in f32, f16 and bf16, in one batch, alone and from several
//!   threads, against motet's own engine on the CPU in f32. Fails in f32 where a value is off by
//!   more than 1e-4, up to 1 or in proportion to the largest of its row; in 16 bits, which round
//!   every number on the way, where the cosine of a head's values is more than 5e-3 below 1.
//! * `rates`: the device's own matrix products and copies.
//! * `speed`: tokens/s of encoders of three sizes with random weights, alone and behind a batcher,
//!   and the share of the rate of matrix products that is.
//! * `short`: the time of one short row. `once`: two passes of it and nothing else, for a profiler.
//! * `memory`: runs out of memory on purpose.
//! * `threads`: motet's own engine on this machine's CPU, with 1, 2, 4, ... threads.
//! * `calls`: a server at `--address` with the pipeline `rag`: its latency, alone and among 32
//!   callers.
//! * `make`: writes a model of the sizes of all-MiniLM-L6-v2 into the folder of `--models`, with
//!   random weights and the other files of the folder `--tokenizer`.
//!
//! Lines that begin with `|` are the rows of a table. `--small` takes sizes for trying the program.

mod agree;
mod calls;
mod encoders;
mod memory;
mod options;
mod rates;
mod seen;
mod speed;
mod threads;

use options::Options;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let options = Options::read(std::env::args().skip(1))?;
    let mut failed = Vec::new();
    for part in &options.parts {
        let ran = match part.as_str() {
            "seen" => seen::check(&options),
            "agree" => agree::check(&options),
            "rates" => rates::measure(&options),
            "speed" => speed::measure(&options),
            "short" => speed::short(&options),
            "once" => speed::once(&options),
            "memory" => memory::exhaust(&options),
            "threads" => threads::measure(&options),
            "calls" => calls::measure(&options),
            "make" => encoders::make(&options),
            unknown => Err(format!("no part is named `{unknown}`").into()),
        };
        // The parts after it are still worth their time.
        if let Err(error) = ran {
            println!("| {part} | failed | {error} |");
            failed.push(part.as_str());
        }
    }
    match failed[..] {
        [] => Ok(()),
        _ => Err(format!("failed: {}", failed.join(", ")).into()),
    }
}

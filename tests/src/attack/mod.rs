//! Attacks on a server, with a canary beside them: a caller of its own that wants one short text
//! embedded after another, and must not notice what others do.
//!
//! * [`canary`]: the canary.
//! * `low_priority`: the threads of the attackers.
//! * `memory`: resident memory of a process over time.
//! * `peer`: an HTTP/2 client that misbehaves as it is told.
//! * `calls`: attacks by calls that are large or many.
//! * `streams`: attacks by connections, streams and bytes that do not go on.
//! * `messages`: attacks by messages that are small on the wire and large in memory.
//! * `pipelines`: attacks by pipeline files.

mod calls;
pub mod canary;
mod low_priority;
mod memory;
mod messages;
mod peer;
mod pipelines;
mod streams;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use motet_runtime::auth::KeyDigest;
use tokio::time::{Instant, timeout};

use crate::program::{Program, Ready};
use crate::temp_dir::TempDir;
use crate::wait::BOUND;
use canary::{Canary, Seen};
use low_priority::LowPriority;
use memory::Memory;

/// Memory that may be kept after an attack, in bytes.
pub const KEPT_BYTES_MAX: u64 = 50 << 20;
/// Time after an attack within which its memory must be given back.
pub const GIVE_BACK: Duration = Duration::from_secs(30);

/// A misbehaving client.
pub struct Attack {
    /// The name, for the command line and the table.
    pub name: &'static str,
    /// A description of one line.
    pub about: &'static str,
    /// Most file descriptors of the server; `None` for the machine's own limit.
    pub descriptors: Option<usize>,
    /// `true` if the server asks who calls.
    pub has_keys: bool,
    run: fn(Target) -> Attacking,
}

/// The key that the canary sends.
pub(crate) const KEY: &str = "motet_canary";

impl Attack {
    /// Returns the lines of the key `server` that the attack needs. What they name is written into
    /// `folder`, which has the configuration.
    pub fn server_lines(&self, folder: &TempDir) -> &'static str {
        if !self.has_keys {
            return "";
        }
        let digest = KeyDigest::of(KEY);
        let entry = format!("- {{ name: canary, sha256: \"{digest}\", may: [\"model:*\"] }}\n");
        folder.file("keys.yaml", entry);
        "  auth: { keys: ./keys.yaml }\n"
    }
}

/// A running attack.
type Attacking = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// All attacks.
pub const ATTACKS: &[&[Attack]] = &[
    calls::ATTACKS,
    streams::ATTACKS,
    messages::ATTACKS,
    pipelines::ATTACKS,
];

/// The server under attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) ready: Ready,
    /// The number of its process.
    pub(crate) process: u32,
    pub(crate) size: Size,
}

/// The size of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Seconds; finds what breaks outright.
    Short,
    /// As large as the attack that did harm before.
    Long,
}

impl Size {
    fn of<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// Result of an attack, and what it still holds on to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The fate of the attack's own calls, for people.
    pub(crate) told: String,
    /// Faults of the server that only the attacker sees.
    pub(crate) faults: Vec<String>,
    /// Connections and streams that stay open until this is dropped.
    pub(crate) held: Vec<Box<dyn Any + Send>>,
}

impl Outcome {
    fn told(told: impl Into<String>) -> Self {
        Self {
            told: told.into(),
            ..Self::default()
        }
    }

    fn holding<T: Any + Send>(mut self, held: impl IntoIterator<Item = T>) -> Self {
        let held = held.into_iter().map(|one| Box::new(one) as Box<_>);
        self.held.extend(held);
        self
    }

    fn fault_unless(mut self, holds: bool, fault: impl FnOnce() -> String) -> Self {
        if !holds {
            self.faults.push(fault());
        }
        self
    }
}

/// Result of an attack.
#[derive(Debug)]
pub struct Report {
    /// The name of the attack.
    pub name: &'static str,
    /// Calls of the canary before the attack.
    pub before: Seen,
    /// Calls of the canary from the start of the attack until everything of it was dropped.
    pub during: Seen,
    /// Memory before the attack, in bytes.
    pub memory: u64,
    /// The most memory above that.
    pub peak: u64,
    /// Memory above that after [`GIVE_BACK`], or as soon as it was within [`KEPT_BYTES_MAX`].
    pub kept: u64,
    /// The fate of the attack's own calls.
    pub told: String,
    /// Everything that must not be.
    pub faults: Vec<String>,
}

impl Report {
    /// The header of the table of reports.
    pub const HEADER: &str = "| attack | canary p50, p99 alone, ms | under attack | calls, \
                              refused, lost | peak, kept, MB | the attacker |\n|---|---|---|---|---|---|";
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, during) = (&self.before, &self.during);
        let megabytes = |bytes: u64| bytes >> 20;
        write!(
            f,
            "| {} | {:.1}, {:.1} | {:.1}, {:.1} | {}, {}, {} | {}, {} | {} |",
            self.name,
            before.p50,
            before.p99,
            during.p50,
            during.p99,
            during.calls,
            during.refused,
            during.lost,
            megabytes(self.peak),
            megabytes(self.kept),
            self.told,
        )?;
        for fault in &self.faults {
            write!(f, "\n|  | | | | | **{fault}** |")?;
        }
        Ok(())
    }
}

/// Starts the program, plays the attack on it, and reports. Needs Linux, where the memory of a
/// process can be read.
///
/// # Panics
/// If the program does not become ready.
pub async fn play(program: Program, attack: &Attack, size: Size) -> Report {
    let mut process = program.start();
    let ready = process.ready().await;
    let canary = Canary::start(ready.grpc);
    // The first calls are slower, and their memory is no one's fault.
    tokio::time::sleep(size.of(Duration::from_millis(500), Duration::from_secs(2))).await;
    canary.take();
    tokio::time::sleep(size.of(Duration::from_secs(1), Duration::from_secs(5))).await;
    let before = canary.take();
    let memory = Memory::watch(process.id());
    let base = memory.now();
    let target = Target {
        ready,
        process: process.id(),
        size,
    };
    // Attackers are other machines: what they compute themselves is not the server's doing.
    let attackers = LowPriority::start();
    let attack_ends = attackers.spawn((attack.run)(target));
    let outcome = timeout(size.of(2 * BOUND, 10 * BOUND), attack_ends).await;
    let mut outcome = match outcome {
        Ok(outcome) => outcome.expect("the attack"),
        Err(_) => Outcome::told("the attack did not end"),
    };
    tokio::time::sleep(size.of(Duration::from_millis(500), Duration::from_secs(5))).await;
    outcome.held.clear();
    drop(attackers);
    let during = canary.take();
    let mut faults = outcome.faults;
    let end = Instant::now() + GIVE_BACK;
    let mut kept = memory.now().saturating_sub(base);
    while kept > KEPT_BYTES_MAX && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
        kept = memory.now().saturating_sub(base);
    }
    if process.has_ended() {
        faults.push("the server ended".to_owned());
    }
    if during.refused + during.lost > 0 {
        faults.push(format!("the canary: {}", during.errors));
    }
    if during.answered() == 0 {
        faults.push("the canary got no answer".to_owned());
    }
    if kept > KEPT_BYTES_MAX {
        faults.push(format!("{} MB of memory are kept", kept >> 20));
    }
    let after = canary.stop();
    if after.refused + after.lost > 0 {
        faults.push(format!("the canary, afterwards: {}", after.errors));
    }
    Report {
        name: attack.name,
        before,
        during,
        memory: base,
        peak: memory.peak().saturating_sub(base),
        kept,
        told: outcome.told,
        faults,
    }
}

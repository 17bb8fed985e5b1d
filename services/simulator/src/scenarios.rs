//! Machines and traffic that the batcher is judged on.

use motet_batcher::{Flow, Priority, Time};

use crate::machine::Machine;
use crate::random::Random;
use crate::traffic::Request;

/// Relative noise of every machine.
const NOISE: f64 = 0.05;

/// Returns the machines, with their names.
pub fn machines() -> [(&'static str, Machine); 4] {
    [
        ("cpu encoder", Machine::new(3.0, 160.0, NOISE)),
        ("gpu encoder", Machine::new(3.0, 0.2, NOISE)),
        ("tiny", Machine::new(0.4, 0.05, NOISE)),
        ("cross-encoder", Machine::new(5.0, 400.0, NOISE)),
    ]
}

/// Distribution of arrivals over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Independently of each other.
    Poisson,
    /// Poisson whose rate alternates between a fifth of the mean and, for a fifth of the time, four
    /// times the mean (Markov-modulated, MMPP).
    Bursty,
    /// Poisson for 200 ms, nothing for 300 ms.
    OnOff,
    /// Eight at a time, spread over about a third of a millisecond, as when a gateway fans one
    /// request out.
    FanOut,
    /// Poisson whose rate grows from a tenth of the mean to nearly twice the mean.
    Ramp,
}

/// Every kind of arrivals, with its name.
pub const ARRIVALS: [(&str, Arrivals); 5] = [
    ("poisson", Arrivals::Poisson),
    ("bursty", Arrivals::Bursty),
    ("on-off", Arrivals::OnOff),
    ("fan-out of 8", Arrivals::FanOut),
    ("ramp", Arrivals::Ramp),
];

/// Distribution of the lengths of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lengths {
    /// Uniform between half and one and a half of the mean.
    Even,
    /// Log-normal, at most 512; the logarithm has a standard deviation of 1.
    HeavyTailed,
}

impl Lengths {
    /// Returns a length of `mean` tokens in the mean.
    pub fn draw(self, mean: f64, random: &mut Random) -> u32 {
        let tokens = match self {
            Lengths::Even => mean * (0.5 + random.uniform()),
            Lengths::HeavyTailed => (mean * random.log_normal(1.0)).min(512.0),
        };
        tokens.round().max(1.0) as u32
    }
}

/// Returns requests of 64 tokens in the mean that arrive at `rate` per second for `seconds`.
pub fn requests(
    arrivals: Arrivals,
    lengths: Lengths,
    rate: f64,
    seconds: f64,
    seed: u64,
) -> Vec<Request> {
    let mut random = Random::new(seed ^ 0x7261_6666_6963);
    let mut times = Vec::new();
    let mut now = 0.0;
    let (mut high, mut switch) = (false, random.exponential(0.4));
    while now < seconds {
        match arrivals {
            Arrivals::Poisson => now += random.exponential(1.0 / rate),
            Arrivals::Bursty => {
                let next = now + random.exponential(1.0 / (rate * if high { 4.2 } else { 0.2 }));
                if next > switch {
                    now = switch;
                    high = !high;
                    switch += random.exponential(if high { 0.1 } else { 0.4 });
                    continue;
                }
                now = next;
            }
            Arrivals::OnOff => {
                now += random.exponential(1.0 / (2.5 * rate));
                if now % 0.5 > 0.2 {
                    now = now - now % 0.5 + 0.5;
                }
            }
            Arrivals::FanOut => {
                now += random.exponential(8.0 / rate);
                let mut then = now;
                for _ in 1..8 {
                    then += random.exponential(0.05e-3);
                    times.push(then);
                }
            }
            Arrivals::Ramp => {
                let factor = 0.1 + 1.8 * now / seconds;
                now += random.exponential(1.0 / (rate * factor));
            }
        }
        times.push(now);
    }
    times.retain(|time| *time < seconds);
    times.sort_by(f64::total_cmp);
    let request = |time: f64| Request {
        arrival: Time::from_seconds(time),
        rows: 1,
        tokens: lengths.draw(64.0, &mut random),
        deadline: None,
        priority: Priority::Interactive,
        flow: Flow::default(),
        refused: 0,
    };
    times.into_iter().map(request).collect()
}

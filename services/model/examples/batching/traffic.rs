//! Kinds of traffic, and texts.

use motet_batcher_simulator::Random;
use motet_models::Tokenizer;

use crate::{Failure, Ids};

const TEXTS: usize = 512;
const WORDS: std::ops::RangeInclusive<usize> = 5..=150;
const VOCABULARY: &str = "a of the in on light water river stone music summer morning window \
    question answer letter harbour garden weather history number paper silver winter engine market \
    planet story vaccine immune system germ network protocol tensor measure carefully quickly \
    slowly between under after before while because everyone nobody";
#[derive(Clone, Copy)]
pub(crate) enum Traffic {
    /// Single rows that arrive independently (Poisson), at this share of saturation.
    Open(f64),
    /// Groups of this many rows at four times saturation, with pauses between them; this share of
    /// saturation on average.
    Bursts(usize, f64),
    /// Requests of this many rows, answered when the last row is; this share of saturation on
    /// average.
    FanOut(usize, f64),
    /// This many callers, each of which sends its next row when it has a response.
    Closed(usize),
}

pub(crate) const TRAFFIC: [(&str, Traffic); 9] = [
    ("open 0.3", Traffic::Open(0.3)),
    ("open 0.6", Traffic::Open(0.6)),
    ("open 0.9", Traffic::Open(0.9)),
    ("bursts of 16, 0.4", Traffic::Bursts(16, 0.4)),
    ("fan-out of 16, 0.3", Traffic::FanOut(16, 0.3)),
    ("closed 1", Traffic::Closed(1)),
    ("closed 8", Traffic::Closed(8)),
    ("closed 32", Traffic::Closed(32)),
    ("closed 128", Traffic::Closed(128)),
];

/// Returns the requests of a slice: the second at which each arrives and its number of rows.
pub(crate) fn arrivals(
    traffic: Traffic,
    saturation: f64,
    seconds: f64,
    random: &mut Random,
) -> Vec<(f64, usize)> {
    let mut arrivals = Vec::new();
    let mut now = 0.0;
    while now < seconds {
        match traffic {
            Traffic::Open(load) => {
                now += random.exponential(1.0 / (load * saturation));
                arrivals.push((now, 1));
            }
            Traffic::FanOut(rows, load) => {
                now += random.exponential(rows as f64 / (load * saturation));
                arrivals.push((now, rows));
            }
            Traffic::Bursts(rows, load) => {
                let within = 1.0 / (4.0 * saturation);
                let pause = rows as f64 * (1.0 / (load * saturation) - within);
                now += random.exponential(pause);
                for _ in 0..rows {
                    now += random.exponential(within);
                    arrivals.push((now, 1));
                }
            }
            // A closed loop has no arrival times.
            Traffic::Closed(_) => break,
        }
    }
    arrivals.retain(|(due, _)| *due < seconds);
    arrivals
}

/// Returns the token ids of synthetic texts.
pub(crate) fn texts(tokenizer: &Tokenizer) -> Result<Vec<Ids>, Failure> {
    let words: Vec<&str> = VOCABULARY.split_whitespace().collect();
    let mut random = Random::new(1);
    let mut below = |most: usize| (random.uniform() * most as f64) as usize;
    let mut texts: Vec<Ids> = Vec::new();
    for _ in 0..TEXTS {
        let count = WORDS.start() + below(WORDS.end() - WORDS.start() + 1);
        let text: Vec<&str> = (0..count).map(|_| words[below(words.len())]).collect();
        texts.push(tokenizer.encode(&text.join(" "))?.as_slice().into());
    }
    Ok(texts)
}

/// Returns the index of a random text.
pub(crate) fn index(random: &mut Random) -> usize {
    (random.uniform() * TEXTS as f64) as usize
}

//! How far the vectors of a device are from those of the CPU, and from themselves in other batches.

use std::fmt;
use std::thread;

use motet_models::{Head, Pooling, RowInput, TextEncoder, ThreadTeam};

use crate::Error;

/// Tokens of the rows: around the sizes at which kernels and groups of rows change.
const TOKENS: [usize; 28] = [
    1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 160,
    200, 240, 255, 256,
];
/// Rows of each length.
const ROWS_OF_LENGTH: usize = 4;
/// Threads that encode at the same time, and batches of each.
const THREADS: usize = 4;
const BATCHES: usize = 4;

/// Rows, and what a CPU makes of them.
pub(crate) struct Reference {
    rows: Vec<Vec<u32>>,
    expected: Vec<Vec<f32>>,
    size: usize,
}

/// The furthest that any vector was from where it should be.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    batch: Distance,
    /// Among threads that encode at the same time.
    at_once: Distance,
    /// Of rows alone to the same rows in a batch, both on the device.
    alone: Distance,
}

#[derive(Clone, Copy, Debug)]
struct Distance {
    worst_cosine: f64,
    largest_difference: f32,
}

impl Reference {
    /// Rows in an order without pattern, some of each length the model takes.
    pub(crate) fn new(cpu: &TextEncoder) -> Result<Self, Error> {
        let config = cpu.config();
        let words = config.vocabulary() as u32;
        let mut state = 1u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let mut rows: Vec<Vec<u32>> = Vec::new();
        for tokens in TOKENS.iter().filter(|tokens| **tokens <= config.max_tokens) {
            for _ in 0..ROWS_OF_LENGTH {
                let ids = (0..*tokens).map(|_| next(words)).collect();
                let at = next(rows.len() as u32 + 1) as usize;
                rows.insert(at, ids);
            }
        }
        let expected = encode(cpu, &rows)?;
        Ok(Self {
            rows,
            expected,
            size: config.hidden_size(),
        })
    }

    /// One row: the first makes a device prepare what is made once.
    pub(crate) fn encode_one(&self, encoder: &TextEncoder) -> Result<(), Error> {
        encode(encoder, &self.rows[..1]).map(drop)
    }

    /// Returns all of it on a device.
    pub(crate) fn compare(&self, encoder: &TextEncoder) -> Result<Agreement, Error> {
        let together = encode(encoder, &self.rows)?;
        let mut found = Agreement {
            batch: self.distance(&together, &self.expected),
            ..Agreement::default()
        };
        for (row, together) in self.rows.iter().zip(&together) {
            let alone = encode(encoder, std::slice::from_ref(row))?;
            found
                .alone
                .take(self.distance(&alone, std::slice::from_ref(together)));
        }
        let batches = || -> Result<Distance, String> {
            let mut distance = Distance::default();
            for _ in 0..BATCHES {
                let vectors = encode(encoder, &self.rows).map_err(|error| error.to_string())?;
                distance.take(self.distance(&vectors, &self.expected));
            }
            Ok(distance)
        };
        let each = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(batches)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join())
                .collect::<Vec<_>>()
        });
        for thread in each {
            found
                .at_once
                .take(thread.map_err(|_| "a thread panicked")??);
        }
        Ok(found)
    }

    fn distance(&self, found: &[Vec<f32>], expected: &[Vec<f32>]) -> Distance {
        let mut distance = Distance::default();
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.len(), expected.len(), "a vector is missing");
            let vectors = found.chunks_exact(self.size);
            for (found, expected) in vectors.zip(expected.chunks_exact(self.size)) {
                distance.take(Distance::of(found, expected));
            }
        }
        distance
    }
}

impl Agreement {
    /// Of any vector to what it should be.
    pub(crate) fn worst_cosine(&self) -> f64 {
        let all = [self.batch, self.at_once, self.alone];
        all.iter().map(|one| one.worst_cosine).fold(1.0, f64::min)
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>34} {}", "in a batch", self.batch)?;
        writeln!(
            f,
            "{:>34} {}",
            format!("from {THREADS} threads at once"),
            self.at_once
        )?;
        write!(
            f,
            "{:>34} {}",
            "alone, against itself in a batch", self.alone
        )
    }
}

impl Distance {
    /// NaN and infinity are as far as can be.
    fn of(found: &[f32], expected: &[f32]) -> Self {
        let dot =
            |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum() };
        let lengths = (dot(found, found) * dot(expected, expected)).sqrt();
        let cosine = dot(found, expected) / lengths;
        let differences = found.iter().zip(expected).map(|(x, y)| (x - y).abs());
        let largest = differences.fold(0.0, f32::max);
        if cosine.is_nan() {
            Self {
                worst_cosine: -1.0,
                largest_difference: f32::INFINITY,
            }
        } else {
            Self {
                worst_cosine: cosine,
                largest_difference: largest,
            }
        }
    }

    fn take(&mut self, other: Self) {
        self.worst_cosine = self.worst_cosine.min(other.worst_cosine);
        self.largest_difference = self.largest_difference.max(other.largest_difference);
    }
}

impl Default for Distance {
    fn default() -> Self {
        Self {
            worst_cosine: 1.0,
            largest_difference: 0.0,
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "worst cosine {:.7}, largest difference {:.1e}",
            self.worst_cosine, self.largest_difference
        )
    }
}

/// Returns the heads with which each row is computed.
fn heads() -> [Head; 4] {
    [
        Head::pooled(Pooling::Mean).normalized(true),
        Head::pooled(Pooling::Mean),
        Head::pooled(Pooling::Cls).normalized(true),
        Head::tokens().normalized(true),
    ]
}

/// Returns what all heads make of each row, one vector after another.
fn encode(encoder: &TextEncoder, rows: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error> {
    let inputs: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
    let team = ThreadTeam::current_or_default()?;
    let mut vectors = vec![Vec::new(); rows.len()];
    for head in heads() {
        let values = encoder.encode(&inputs, &encoder.load_head(&head)?, &team)?;
        for (vectors, values) in vectors.iter_mut().zip(values) {
            vectors.extend_from_slice(values?.as_slice());
        }
    }
    Ok(vectors)
}

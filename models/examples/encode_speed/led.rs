//! motet's encoder on a thread that leads others, as an executor does. The threads of the other engines are started elsewhere and so
//! do not inherit the processor that it may be bound to.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use motet_models::{RowInput, RowOutput, TextEncoder, Threads};

use crate::{Engine, Error, best};

pub(crate) struct Led {
    batches: Sender<(Vec<Vec<u32>>, Duration)>,
    times: Receiver<Result<f64, String>>,
}

impl Led {
    /// On so many threads.
    pub(crate) fn start(encoder: TextEncoder, count: usize) -> Self {
        let (batches, asked) = channel::<(Vec<Vec<u32>>, Duration)>();
        let (answer, times) = channel();
        std::thread::spawn(move || {
            let threads = Threads::led_here(count);
            for (rows, time) in asked {
                let seconds = match &threads {
                    Ok(threads) => best_seconds(&encoder, threads, &rows, time),
                    Err(error) => Err(error.to_string().into()),
                };
                if answer
                    .send(seconds.map_err(|error| error.to_string()))
                    .is_err()
                {
                    return;
                }
            }
        });
        Self { batches, times }
    }
}

impl Engine for Led {
    fn best_seconds(&mut self, rows: &[Vec<u32>], time: Duration) -> Result<f64, Error> {
        self.batches.send((rows.to_vec(), time))?;
        Ok(self.times.recv()??)
    }
}

fn best_seconds(
    encoder: &TextEncoder,
    threads: &Threads,
    rows: &[Vec<u32>],
    time: Duration,
) -> Result<f64, Error> {
    let output = RowOutput::POOLED;
    let rows: Vec<_> = rows.iter().map(|ids| RowInput { ids, output }).collect();
    best(time, || {
        encoder.encode(&rows, threads)?;
        Ok(())
    })
}

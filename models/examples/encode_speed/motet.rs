//! motet's own encoder, on a thread that leads a thread team as an executor does. The other engines
//! start their threads elsewhere, so that these do not inherit the leader's processor affinity.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use motet_models::{RowInput, TextEncoder, ThreadTeam};

use crate::{Engine, Error, best};

pub(crate) struct Motet {
    batches: Sender<(Vec<Vec<u32>>, Duration)>,
    times: Receiver<Result<f64, String>>,
}

impl Motet {
    /// Starts the leader of a team of `count` threads.
    pub(crate) fn start(encoder: TextEncoder, count: usize) -> Self {
        let (batches, asked) = channel::<(Vec<Vec<u32>>, Duration)>();
        let (answer, times) = channel();
        std::thread::spawn(move || {
            let threads = ThreadTeam::for_current_thread(count);
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

impl Engine for Motet {
    fn best_seconds(&mut self, rows: &[Vec<u32>], time: Duration) -> Result<f64, Error> {
        self.batches.send((rows.to_vec(), time))?;
        Ok(self.times.recv()??)
    }
}

fn best_seconds(
    encoder: &TextEncoder,
    threads: &ThreadTeam,
    rows: &[Vec<u32>],
    time: Duration,
) -> Result<f64, Error> {
    let rows: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
    let head = encoder.load_head(&encoder.config().head)?;
    best(time, || {
        encoder.encode(&rows, &head, threads)?;
        Ok(())
    })
}

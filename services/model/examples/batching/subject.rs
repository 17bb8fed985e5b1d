//! The batchers under test, each with the encoder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use motet_batcher::{
    BatchError, Batcher, BuildError, Call, Executor, Flow, Lookahead, NoObserver, Options,
    Priority, RowError, Stats,
};
use motet_batcher_simulator::Random;
use motet_models::{
    DeviceSpec, LoadedHead, ModelFiles, Precision, RowInput, TextEncoder, ThreadTeam, Tokenizer,
    Values,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::outcome::{Answered, Slice};
use crate::traffic::{Traffic, arrivals, index, texts};
use crate::{Failure, Ids, POLICIES};

/// An executor on the shared encoder.
struct Encoder {
    encoder: Arc<TextEncoder>,
    head: LoadedHead,
    threads: ThreadTeam,
    ids: Ids,
}

impl Executor for Encoder {
    type Row = Ids;
    type Output = Values;

    fn run(&mut self, rows: &[&Ids]) -> Result<Vec<Result<Values, RowError>>, BatchError> {
        let inputs: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
        let encoded = self.encoder.encode(&inputs, &self.head, &self.threads);
        let rows = encoded.map_err(|error| BatchError::Failed(error.to_string()))?;
        let invalid = |error: motet_models::RowError| RowError::Invalid(error.to_string());
        Ok(rows.into_iter().map(|row| row.map_err(invalid)).collect())
    }

    fn sample(&self, tokens: u32) -> Option<(Ids, u32)> {
        let ids = self.ids.iter().cycle().take(tokens as usize);
        Some((ids.copied().collect(), tokens))
    }
}

/// The batcher of one policy, and the texts that it is sent.
#[derive(Clone)]
pub(crate) struct Subject {
    batcher: Batcher<Ids, Values>,
    texts: Arc<[Ids]>,
}

impl Subject {
    /// Sends each row as a call of its own; `None` if one of them was refused or failed. `began` is
    /// when they were due.
    async fn request(self, rows: Vec<usize>, start: Instant, began: f64) -> Option<Answered> {
        let count = rows.len();
        let mut calls = JoinSet::new();
        for row in rows {
            let ids = self.texts[row % self.texts.len()].clone();
            let tokens = ids.len() as u32;
            let batcher = self.batcher.clone();
            calls.spawn(async move {
                let answer = batcher.submit(Call {
                    rows: vec![(ids, tokens)],
                    groups: Vec::new(),
                    deadline: None,
                    priority: Priority::Interactive,
                    flow: Flow::default(),
                    lookahead: Lookahead::default(),
                });
                answer.await.is_ok_and(|a| a.rows.iter().all(Result::is_ok))
            });
        }
        let all = calls.join_all().await.into_iter().all(|answered| answered);
        all.then(|| Answered {
            began,
            ended: start.elapsed().as_secs_f64(),
            rows: count,
        })
    }

    /// Runs a closed loop: each caller waits for its response before it sends the next request.
    pub(crate) async fn closed(&self, callers: usize, seconds: f64, seed: u64) -> Slice {
        let start = Instant::now();
        let mut all = JoinSet::new();
        for caller in 0..callers {
            let subject = self.clone();
            all.spawn(async move {
                let mut random = Random::new(seed + caller as u64);
                let mut answers = Vec::new();
                loop {
                    let began = start.elapsed().as_secs_f64();
                    if began >= seconds {
                        return answers;
                    }
                    let row = index(&mut random);
                    answers.push(subject.clone().request(vec![row], start, began).await);
                }
            });
        }
        let mut slice = Slice::default();
        slice.extend(all.join_all().await.into_iter().flatten());
        slice
    }

    /// Runs an open loop: requests arrive at these times, whether or not earlier ones are answered.
    async fn open(&self, arrivals: Vec<(f64, usize)>, seed: u64) -> Result<Slice, Failure> {
        let (subject, handle) = (self.clone(), Handle::current());
        // A thread sleeps more precisely than the runtime's timer.
        let sending = tokio::task::spawn_blocking(move || {
            let mut random = Random::new(seed);
            let start = Instant::now();
            let send = |(due, rows): (f64, usize)| {
                let wait = Duration::from_secs_f64(due).saturating_sub(start.elapsed());
                std::thread::sleep(wait);
                let rows = (0..rows).map(|_| index(&mut random)).collect();
                handle.spawn(subject.clone().request(rows, start, due))
            };
            arrivals.into_iter().map(send).collect::<Vec<_>>()
        });
        let mut slice = Slice::default();
        for request in sending.await? {
            slice.extend([request.await?]);
        }
        Ok(slice)
    }

    pub(crate) fn stats(&self) -> Stats {
        self.batcher.stats()
    }

    /// Runs a slice of traffic; `saturation` is in rows per second.
    pub(crate) async fn run(
        &self,
        traffic: Traffic,
        saturation: f64,
        seconds: f64,
        seed: u64,
    ) -> Result<Slice, Failure> {
        match traffic {
            Traffic::Closed(callers) => Ok(self.closed(callers, seconds, seed).await),
            open => {
                let arrivals = arrivals(open, saturation, seconds, &mut Random::new(seed));
                self.open(arrivals, seed).await
            }
        }
    }
}

/// Returns a batcher for each policy; they share the weights.
pub(crate) async fn subjects() -> Result<Vec<Subject>, Failure> {
    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
    let texts: Arc<[Ids]> = texts(&Tokenizer::load(&files)?)?.into();
    let device = DeviceSpec::Cpu.open()?;
    let encoder = Arc::new(TextEncoder::load(&files, &device, Precision::F32)?);
    let mut subjects = Vec::new();
    for (name, policy) in POLICIES {
        let options = Options {
            policy,
            max_row_tokens: Some(files.config().max_tokens as u32),
            ..Options::default()
        };
        let (encoder, ids) = (encoder.clone(), texts[0].clone());
        let factory = move || {
            let (encoder, ids) = (encoder.clone(), ids.clone());
            let threads =
                ThreadTeam::current_or_default().map_err(|error| BuildError(error.to_string()))?;
            let head = encoder.load_head(&encoder.config().head);
            Ok(Encoder {
                head: head.map_err(|error| BuildError(error.to_string()))?,
                encoder,
                threads,
                ids,
            })
        };
        let batcher = Batcher::spawn(name, options, Arc::new(NoObserver), vec![factory]).await?;
        let texts = texts.clone();
        subjects.push(Subject { batcher, texts });
    }
    Ok(subjects)
}

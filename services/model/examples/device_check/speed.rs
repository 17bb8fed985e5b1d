//! Tokens a second of encoders, alone and behind a batcher.

use std::sync::Arc;
use std::time::{Duration, Instant};

use motet_batcher::{
    BatchError, Batcher, BuildError, Call, Executor, NoObserver, Options as BatcherOptions,
    RowError,
};
use motet_models::{
    Head, HeadedRow, LoadedHead, ModelFiles, Pooling, Precision, RowInput, TextEncoder, ThreadTeam,
};
use motet_service::task::batch_error;

use crate::Error;
use crate::encoders::{Shape, TOKENS_MAX, TempFolder};
use crate::options::Options;
use crate::rates;

/// Tokens of batches of several rows, of mixed lengths.
const TOKENS: [usize; 3] = [1024, 16_384, 65_536];
const TOKENS_SMALL: [usize; 1] = [300];
/// Tokens of one row alone.
const ALONE: [usize; 2] = [16, 128];
/// Shortest row of mixed lengths, which are log-uniform.
const SHORTEST: f64 = 8.0;
/// Runs that are not counted, and the least number of those that are.
const WARM_UP: usize = 3;
const RUNS: usize = 5;
/// Callers of a batcher, rows of each call, and the most tokens of a batch.
const CALLERS: usize = 64;
const ROWS: usize = 32;
const BATCH_TOKENS: u64 = 16_384;

/// A model on the device.
struct Subject {
    encoder: TextEncoder,
    head: LoadedHead,
}

impl Subject {
    fn load(options: &Options, shape: Shape, precision: Precision) -> Result<Self, Error> {
        let folder = TempFolder::new("speed")?;
        shape.write(folder.path())?;
        let files = ModelFiles::open(&folder.source())?;
        let encoder = options.load(&files, precision)?;
        let head = encoder.load_head(&Head::pooled(Pooling::Mean).normalized(true))?;
        Ok(Self { encoder, head })
    }

    /// Returns the middle of the times of a batch from ids to vectors on the host.
    fn seconds(&self, rows: &[Vec<u32>], time: Duration) -> Result<f64, Error> {
        let rows: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
        let team = ThreadTeam::current_or_default()?;
        for _ in 0..WARM_UP {
            self.encoder.encode(&rows, &self.head, &team)?;
        }
        let (mut times, began) = (Vec::new(), Instant::now());
        while times.len() < RUNS || began.elapsed() < time {
            let started = Instant::now();
            self.encoder.encode(&rows, &self.head, &team)?;
            times.push(started.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}

pub(crate) fn measure(options: &Options) -> Result<(), Error> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    for &precision in options.fast()? {
        let dtype = match precision {
            Precision::F16 => candle_core::DType::F16,
            Precision::Bf16 => candle_core::DType::BF16,
            Precision::F32 | Precision::Int8 => candle_core::DType::F32,
        };
        let rate = rates::products(options, dtype)?;
        for shape in Shape::all(options) {
            let subject = Subject::load(options, shape, precision)?;
            let print = |what: &str, lengths: &[usize], seconds: f64| {
                let tokens: usize = lengths.iter().sum();
                let share = 100.0 * shape.operations(lengths) / seconds / rate;
                println!(
                    "| speed | {}, {precision}, {what}, tokens/s | {:.0} ({share:.1} % of {:.0} \
                     TFLOP/s; {:.2} ms) |",
                    shape.name,
                    tokens as f64 / seconds,
                    rate / 1e12,
                    1e3 * seconds,
                );
            };
            for tokens in ALONE {
                let rows = vec![shape.row(tokens, &mut random)];
                let seconds = subject.seconds(&rows, options.time())?;
                print(&format!("one row of {tokens}"), &[tokens], seconds);
            }
            let sizes: &[usize] = if options.small {
                &TOKENS_SMALL
            } else {
                &TOKENS
            };
            for tokens in sizes {
                let lengths = mixed(*tokens, &mut random);
                let rows: Vec<_> = lengths
                    .iter()
                    .map(|it| shape.row(*it, &mut random))
                    .collect();
                let seconds = subject.seconds(&rows, options.time())?;
                print(
                    &format!("{tokens} in {} mixed rows", rows.len()),
                    &lengths,
                    seconds,
                );
            }
            let (lengths, seconds, mean) = batched(options, shape, subject)?;
            let what = format!("behind a batcher, batches of {mean:.0} tokens");
            print(&what, &lengths, seconds);
        }
    }
    Ok(())
}

/// Measures one short row of the first model.
pub(crate) fn short(options: &Options) -> Result<(), Error> {
    let shape = Shape::all(options)[0];
    for &precision in options.fast()? {
        let subject = Subject::load(options, shape, precision)?;
        let rows = vec![shape.row(ALONE[0], &mut fastrand::Rng::with_seed(options.seed))];
        let seconds = subject.seconds(&rows, options.time())?;
        let (name, tokens) = (shape.name, ALONE[0]);
        println!(
            "| short | {name}, {precision}, a row of {tokens}, ms | {:.3} |",
            1e3 * seconds
        );
    }
    Ok(())
}

/// Passes one short row twice. The second pass is what a profiler is to look at: the first prepares
/// what is made once.
pub(crate) fn once(options: &Options) -> Result<(), Error> {
    let shape = Shape::all(options)[0];
    let subject = Subject::load(options, shape, options.fast()?[0])?;
    let ids = shape.row(ALONE[0], &mut fastrand::Rng::with_seed(options.seed));
    let team = ThreadTeam::current_or_default()?;
    for _ in 0..2 {
        subject
            .encoder
            .encode(&[RowInput::new(&ids)], &subject.head, &team)?;
    }
    Ok(())
}

/// Returns lengths of this sum, log-uniform and in no order.
pub(crate) fn mixed(tokens: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    let (mut lengths, mut left) = (Vec::new(), tokens);
    while left > 0 {
        let length = SHORTEST * (TOKENS_MAX as f64 / SHORTEST).powf(random.f64());
        let length = (length as usize).min(left);
        lengths.push(length);
        left -= length;
    }
    lengths
}

/// An executor of a batcher, without anything else of a service.
pub(crate) struct Encoding {
    pub(crate) encoder: Arc<TextEncoder>,
    pub(crate) head: Arc<LoadedHead>,
    pub(crate) team: ThreadTeam,
}

impl Executor for Encoding {
    type Row = Vec<u32>;
    type Output = Vec<f32>;

    fn run(&mut self, rows: &[&Vec<u32>]) -> Result<Vec<Result<Vec<f32>, RowError>>, BatchError> {
        let rows: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
        let heads = [&*self.head];
        let rows = HeadedRow::all(&rows, &heads);
        let encoded = self.encoder.encode_headed(&rows, &self.team);
        let one = |row: Result<Vec<_>, motet_models::RowError>| match row {
            Ok(mut values) => Ok(values
                .pop()
                .map(motet_models::Values::into_vec)
                .unwrap_or_default()),
            Err(error) => Err(RowError::Invalid(error.to_string())),
        };
        Ok(encoded.map_err(batch_error)?.into_iter().map(one).collect())
    }

    fn sample(&self, tokens: u32) -> Option<(Vec<u32>, u32)> {
        let tokens = tokens.min(TOKENS_MAX as u32);
        Some(((0..tokens).map(|at| 1000 + at).collect(), tokens))
    }
}

impl Encoding {
    /// Starts a batcher with one executor.
    pub(crate) async fn behind(
        encoder: Arc<TextEncoder>,
        head: Arc<LoadedHead>,
        options: BatcherOptions,
    ) -> Result<Batcher<Vec<u32>, Vec<f32>>, Error> {
        let factory = move || {
            let team = ThreadTeam::current_or_default();
            Ok(Self {
                encoder: encoder.clone(),
                head: head.clone(),
                team: team.map_err(|error| BuildError(error.to_string()))?,
            })
        };
        let observer = Arc::new(NoObserver);
        Ok(Batcher::spawn("device_check", options, observer, vec![factory]).await?)
    }
}

/// Calls a batcher from many callers at once. Returns the lengths of all rows, the time, and the
/// mean tokens of a batch.
fn batched(
    options: &Options,
    shape: Shape,
    subject: Subject,
) -> Result<(Vec<usize>, f64, f64), Error> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (time, callers) = match options.small {
        true => (options.time(), 2),
        false => (4 * options.time(), CALLERS),
    };
    let (encoder, head) = (Arc::new(subject.encoder), Arc::new(subject.head));
    runtime.block_on(async {
        let batching = BatcherOptions {
            max_batch_tokens: BATCH_TOKENS,
            max_queue_size: 4 * CALLERS * ROWS,
            ..BatcherOptions::default()
        };
        let batcher = Encoding::behind(encoder, head, batching).await?;
        let began = Instant::now();
        let caller = |number: usize| {
            let batcher = batcher.clone();
            let mut random = fastrand::Rng::with_seed(options.seed ^ number as u64);
            tokio::spawn(async move {
                let (mut lengths, mut tokens) = (Vec::new(), Vec::new());
                while began.elapsed() < time {
                    let rows: Vec<_> = mixed(ROWS * 64, &mut random)
                        .into_iter()
                        .map(|length| (shape.row(length, &mut random), length as u32))
                        .collect();
                    lengths.extend(rows.iter().map(|(row, _)| row.len()));
                    let reply = batcher.submit(Call::new(rows)).await;
                    let reply = reply.map_err(|error| error.to_string())?;
                    for row in reply.rows {
                        row.map_err(|error| error.to_string())?;
                    }
                    tokens.push(reply.timing.batch_tokens_mean);
                }
                Ok::<_, String>((lengths, tokens))
            })
        };
        let callers: Vec<_> = (0..callers).map(caller).collect();
        let (mut lengths, mut tokens) = (Vec::new(), Vec::new());
        for caller in callers {
            let (of_caller, of_batches) = caller.await??;
            lengths.extend(of_caller);
            tokens.extend(of_batches);
        }
        let seconds = began.elapsed().as_secs_f64();
        batcher.drain().await;
        let mean = tokens.iter().sum::<f64>() / tokens.len().max(1) as f64;
        Ok((lengths, seconds, mean))
    })
}

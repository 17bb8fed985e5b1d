//! The task `detect_speech`: where in recordings somebody speaks, by Akiki.

mod network;
mod recording;

use std::ops::Range;

use motet::task::{
    Answer, BatchError, Batching, BoxError, CheckContext, ElementType, LoadContext, LoadedModel,
    PreparedRow, PreparedRows, Problem, Request, RowError, Signature, Task, Tensor, Weights,
    Worker, batch_error, input, invalid_arguments, output, over_limits,
};
use serde::Deserialize;
use tonic::Status;

use network::{FRAME, HIDDEN, Network};
use recording::{RATE, Recording};

/// Most frames of a batch, two minutes of sound; a longer recording runs alone.
const BATCH_FRAMES_MAX: u64 = 7_500;

/// The task: `audio: bytes[N]` to `speech: float[N]`, seconds of it in each recording, and for each
/// frame of 16 ms `row: i32[F]`, the recording, and `probability: float[F]`.
#[derive(Debug)]
pub struct DetectSpeech;

/// The keys of a model.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Keys {
    /// Probability from which a frame is speech.
    #[serde(default = "threshold")]
    threshold: f32,
    /// Longest recording.
    #[serde(default = "seconds_max")]
    max_seconds: u32,
}

fn threshold() -> f32 {
    0.5
}

fn seconds_max() -> u32 {
    300
}

impl Task for DetectSpeech {
    const NAME: &'static str = "detect_speech";
    const ABOUT: &'static str = "where in recordings somebody speaks, by Akiki";
    const UNIT: &'static str = "frames";
    const MODEL_KEYS: &'static [&'static str] = &["source", "device", "threads", "batcher"];
    const NEEDS_SOURCE: bool = true;

    type Config = Keys;
    type Checked = (Keys, Weights);
    type Model = Akiki;

    fn check(
        keys: &Keys,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Self::Checked), Vec<Problem>> {
        let weights = context.folder()?.weights().and_then(|weights| {
            weights.expect("rnn.weight_ih_l0", &[3 * HIDDEN, HIDDEN])?;
            weights.expect("head.weight", &[1, HIDDEN])?;
            Ok(weights)
        });
        let weights = weights.map_err(|error| context.source_problem(error.to_string()))?;
        let signature = Signature {
            inputs: vec![input("audio", ElementType::Bytes, ["N"])],
            outputs: vec![
                output("speech", ElementType::F32, ["N"]),
                output("row", ElementType::I32, ["F"]),
                output("probability", ElementType::F32, ["F"]),
            ],
            parameters: Vec::new(),
        };
        Ok((signature, (*keys, weights)))
    }

    fn load((keys, weights): Self::Checked, context: &LoadContext) -> Result<Akiki, BoxError> {
        let network = Network::load(&weights, &context.device()?)?;
        Ok(Akiki { keys, network })
    }
}

/// The model in memory.
#[derive(Debug)]
pub struct Akiki {
    keys: Keys,
    network: Network,
}

impl LoadedModel for Akiki {
    /// The samples of a recording, as many as fill frames.
    type Row = Vec<f32>;
    /// The probability of speech in each frame.
    type Output = Vec<f32>;
    type Call = Request;
    type Part = ();

    /// Refuses what is too long by its header, before it is decoded.
    fn begin(&self, request: Request) -> Result<Request, Status> {
        let (mut mistakes, mut over) = (Vec::new(), Vec::new());
        let most = self.keys.max_seconds;
        for (at, bytes) in request.byte_strings("audio")?.into_iter().enumerate() {
            match Recording::open(bytes) {
                Ok(recording) if recording.samples().div_ceil(RATE) > most => {
                    let seconds = recording.samples().div_ceil(RATE);
                    over.push((
                        field(at),
                        format!("has {seconds} s, over max_seconds {most}"),
                    ));
                }
                Ok(_) => {}
                Err(mistake) => mistakes.push((field(at), mistake)),
            }
        }
        match (mistakes.is_empty(), over.is_empty()) {
            (true, true) => Ok(request),
            (true, false) => Err(over_limits(over)),
            (false, _) => Err(invalid_arguments(mistakes)),
        }
    }

    fn rows(
        &self,
        call: &Request,
        _: Range<usize>,
    ) -> Result<PreparedRows<Vec<f32>, Vec<f32>, ()>, Status> {
        let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
        for (at, bytes) in call.byte_strings("audio")?.into_iter().enumerate() {
            match Recording::open(bytes).and_then(Recording::read) {
                Ok(mut samples) => {
                    let frames = samples.len() / FRAME;
                    samples.truncate(frames * FRAME);
                    rows.push(match u32::try_from(frames).unwrap_or(u32::MAX) {
                        0 => PreparedRow::Known(Vec::new()),
                        cost => PreparedRow::Run { row: samples, cost },
                    });
                }
                Err(mistake) => mistakes.push((field(at), mistake)),
            }
        }
        match mistakes.is_empty() {
            true => Ok(PreparedRows { rows, part: () }),
            false => Err(invalid_arguments(mistakes)),
        }
    }

    fn run(
        &self,
        rows: &[&Vec<f32>],
        _: &Worker<'_>,
    ) -> Result<Vec<Result<Vec<f32>, RowError>>, BatchError> {
        let probabilities = self.network.forward(rows).map_err(batch_error)?;
        Ok(probabilities.into_iter().map(Ok).collect())
    }

    fn answer(&self, _: &Request, _: Vec<()>, rows: Vec<Vec<f32>>) -> Result<Answer, Status> {
        let seconds = |row: &Vec<f32>| {
            let frames = row
                .iter()
                .filter(|probability| **probability >= self.keys.threshold);
            (frames.count() * FRAME) as f32 / RATE as f32
        };
        let numbers = (0..).zip(&rows);
        let numbers = numbers.flat_map(|(number, row)| std::iter::repeat_n(number, row.len()));
        Ok(Answer::new([
            ("speech", Tensor::list(rows.iter().map(seconds).collect())),
            ("row", Tensor::list::<i32>(numbers.collect())),
            ("probability", Tensor::list(rows.concat())),
        ]))
    }

    fn field(&self, _: &Request, _: &[()], row: usize) -> String {
        field(row)
    }

    fn sample(&self, cost: u32) -> Option<(Vec<f32>, u32)> {
        Some((vec![0.0; cost as usize * FRAME], cost))
    }

    fn batching(&self) -> Batching {
        Batching {
            max_batch_cost: Some(BATCH_FRAMES_MAX),
            ..Batching::default()
        }
    }
}

fn field(at: usize) -> String {
    format!("audio[{at}]")
}

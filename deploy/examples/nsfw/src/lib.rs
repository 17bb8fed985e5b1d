//! The task `classify_image`: whether pictures are safe for work, by Yahoo's Open NSFW.

mod network;
mod picture;

use std::ops::Range;

use candle_core::{Device, Tensor as Pixels};
use motet::task::{
    Answer, BatchError, Batching, BoxError, CheckContext, ElementType, Limits, LoadContext,
    LoadedModel, Preparation, PreparedRow, PreparedRows, Problem, Request, RowError, Signature,
    Task, Tensor, Weights, Worker, batch_error, input, invalid_arguments, model_failed, output,
    over_limits, stack,
};
use serde::Deserialize;
use tonic::Status;

pub use network::Network;
pub use picture::SIDE;

/// Most pictures of a call.
const PICTURES_MAX: usize = 256;
/// Most pictures of a batch: some 15 MB of memory each.
const BATCH_PICTURES_MAX: u64 = 16;

/// The task: `image: bytes[N] -> score: float[N]`.
#[derive(Debug)]
pub struct ClassifyImage;

/// The keys of a model.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Keys {
    /// Most pixels of a picture.
    #[serde(default = "pixels_max")]
    max_pixels: u64,
    /// Most bytes of a picture as it is sent.
    #[serde(default = "bytes_max")]
    max_bytes: usize,
}

fn pixels_max() -> u64 {
    25_000_000
}

fn bytes_max() -> usize {
    16 << 20
}

impl Task for ClassifyImage {
    const NAME: &'static str = "classify_image";
    const ABOUT: &'static str = "whether pictures are safe for work, by Open NSFW";
    const UNIT: &'static str = "images";
    const MODEL_KEYS: &'static [&'static str] = &["source", "device", "threads", "batcher"];
    const NEEDS_SOURCE: bool = true;

    type Config = Keys;
    type Checked = (Keys, Weights);
    type Model = OpenNsfw;

    fn check(
        keys: &Keys,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Self::Checked), Vec<Problem>> {
        let weights = context.folder()?.weights().and_then(|weights| {
            weights.expect("stem.weight", &[64, 3, 7, 7])?;
            weights.expect("classes.weight", &[2, 1024])?;
            Ok(weights)
        });
        let weights = weights.map_err(|error| context.source_problem(error.to_string()))?;
        let signature = Signature {
            inputs: vec![input("image", ElementType::Bytes, ["N"])],
            outputs: vec![output("score", ElementType::F32, ["N"])],
            parameters: Vec::new(),
        };
        Ok((signature, (*keys, weights)))
    }

    fn load((keys, weights): Self::Checked, context: &LoadContext) -> Result<OpenNsfw, BoxError> {
        let device = context.device()?;
        Ok(OpenNsfw {
            network: Network::load(&weights, &device)?,
            keys,
            device,
        })
    }
}

/// The model in memory.
#[derive(Debug)]
pub struct OpenNsfw {
    network: Network,
    keys: Keys,
    device: Device,
}

/// A picture that cannot be decoded: its number in the call, and why.
#[derive(Debug)]
pub struct Damaged(usize, String);

impl LoadedModel for OpenNsfw {
    /// The pixels of a picture, `[SIDE, SIDE, 3]`: bytes until the batch, since rows may wait.
    type Row = Pixels;
    type Output = f32;
    type Call = Request;
    type Part = Vec<Damaged>;

    /// Refuses what has too many pixels or is no picture by its header, before anything is decoded.
    fn begin(&self, request: Request) -> Result<Request, Status> {
        let most = self.keys.max_pixels;
        let (mut mistakes, mut over) = (Vec::new(), Vec::new());
        for (at, bytes) in request.byte_strings("image")?.into_iter().enumerate() {
            let field = field(at);
            match picture::pixels(bytes) {
                None => mistakes.push((field, "is no JPEG or PNG")),
                Some(pixels) if pixels > most => {
                    over.push((
                        field,
                        format!("has {pixels} pixels, over max_pixels {most}"),
                    ));
                }
                Some(_) => {}
            }
        }
        match (mistakes.is_empty(), over.is_empty()) {
            (true, true) => Ok(request),
            (true, false) => Err(over_limits(over)),
            (false, _) => Err(invalid_arguments(mistakes)),
        }
    }

    /// Each picture is a job: decoding takes milliseconds.
    fn preparation(&self, call: &Request) -> Preparation {
        let pictures = call.tensor("image").map_or(0, Tensor::len);
        Preparation::Pool((0..pictures).map(|at| at..at + 1).collect())
    }

    fn rows(
        &self,
        call: &Request,
        part: Range<usize>,
    ) -> Result<PreparedRows<Pixels, f32, Vec<Damaged>>, Status> {
        let mut prepared = PreparedRows {
            rows: Vec::new(),
            part: Vec::new(),
        };
        let pictures = call.byte_strings("image")?.into_iter().enumerate();
        for (at, bytes) in pictures.skip(part.start).take(part.len()) {
            match picture::read(bytes) {
                Ok(pixels) => {
                    let row = Pixels::from_vec(pixels, (SIDE, SIDE, 3), &self.device);
                    let row = row.map_err(model_failed)?;
                    prepared.rows.push(PreparedRow::Run { row, cost: 1 });
                }
                Err(error) => prepared.part.push(Damaged(at, error.to_string())),
            }
        }
        Ok(prepared)
    }

    fn check(&self, _: &Request, parts: &[Vec<Damaged>]) -> Result<(), Status> {
        let damaged = parts.iter().flatten();
        let damaged: Vec<_> = damaged
            .map(|Damaged(at, why)| (field(*at), why.clone()))
            .collect();
        match damaged.is_empty() {
            true => Ok(()),
            false => Err(invalid_arguments(damaged)),
        }
    }

    fn run(
        &self,
        rows: &[&Pixels],
        _: &Worker<'_>,
    ) -> Result<Vec<Result<f32, RowError>>, BatchError> {
        let scores = stack(rows).and_then(|pixels| self.network.forward(&pixels));
        Ok(scores.map_err(batch_error)?.into_iter().map(Ok).collect())
    }

    fn answer(
        &self,
        _: &Request,
        _: Vec<Vec<Damaged>>,
        scores: Vec<f32>,
    ) -> Result<Answer, Status> {
        Ok(Answer::new([("score", Tensor::list(scores))]))
    }

    fn field(&self, _: &Request, _: &[Vec<Damaged>], row: usize) -> String {
        field(row)
    }

    fn sample(&self, _: u32) -> Option<(Pixels, u32)> {
        let row = Pixels::zeros((SIDE, SIDE, 3), candle_core::DType::U8, &self.device);
        Some((row.ok()?, 1))
    }

    fn batching(&self) -> Batching {
        Batching {
            max_batch_cost: Some(BATCH_PICTURES_MAX),
            ..Batching::default()
        }
    }

    fn limits(&self, of_process: Limits) -> Limits {
        Limits {
            rows: PICTURES_MAX.min(of_process.rows),
            bytes: self.keys.max_bytes,
            ..of_process
        }
    }
}

fn field(at: usize) -> String {
    format!("image[{at}]")
}

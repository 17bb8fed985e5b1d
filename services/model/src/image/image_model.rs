//! [`ImageModel`]: a loaded model of images.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use motet_batcher::{BatchError, RowError};
use motet_models::{
    EncoderCache, HeadedRow, ImageError, ImageLimits, ImageProcessor, LoadedHead, Pixels, RowInput,
    ScoreKind, TextEncoder, Values,
};
use motet_proto::Tensor;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::SCORE_KIND;
use motet_runtime::status::internal;
use tonic::Status;

use super::check::CheckedImages;
use super::image_task::{Answers, IMAGE};
use crate::limits::Limits;
use crate::per_encoder::PerEncoder;
use crate::task::{
    Answer, Batching, BoxError, LoadContext, LoadedModel, Measurements, Preparation, PreparedRow,
    PreparedRows, Request, Worker, batch_error, invalid_arguments, over_limits,
};
use crate::text::{finite, ports, score_kind_of};

/// Most images of a call: each waits in some hundred kilobytes, however few bytes it was sent in.
const IMAGES_MAX: usize = 256;
/// Responses of up to this many values are built by the thread that got the vectors.
const INLINE_VALUES_MAX: usize = 4096;

/// A model of images, in memory.
#[derive(Debug)]
pub(crate) struct ImageModel {
    answers: Answers,
    processor: ImageProcessor,
    encoder: Arc<TextEncoder>,
    head: LoadedHead,
    /// Number of an image's tokens: its patches, and one more where the model has a token for the
    /// whole image.
    tokens: usize,
    max_pixels: u64,
    max_bytes: Option<usize>,
    measurements: Measurements,
}

/// A call between its request and its answer.
#[derive(Debug)]
pub(crate) struct ImageCall {
    /// The images as they were sent, until their rows are made.
    images: Mutex<Option<Tensor>>,
    /// Number of values of a vector that are wanted.
    pub(super) dimensions: Option<usize>,
    pub(super) normalize: Option<bool>,
    pub(super) score: Option<ScoreKind>,
}

impl ImageCall {
    fn images(&self) -> Option<Tensor> {
        let images = self.images.lock();
        images.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An image that cannot be decoded: its number in the call, and why.
#[derive(Debug)]
pub(crate) struct Damaged(usize, ImageError);

impl ImageModel {
    /// Loads the weights onto their device, and those of the head.
    ///
    /// # Errors
    /// A device that is not there, and weights that cannot be read or do not fit.
    pub(super) fn load(checked: CheckedImages, context: &LoadContext) -> Result<Self, BoxError> {
        let CheckedImages {
            answers,
            head,
            files,
            processor,
            device,
            engine,
            precision,
            max_pixels,
            max_bytes,
        } = checked;
        let device = context.open(device)?;
        let head = LoadedHead::load(&files, &head)?;
        let encoders = context.shared::<EncoderCache>();
        let encoder = encoders.get(engine, &files, &device, precision)?;
        let embedding = encoder.config().architecture.embedding.patches();
        let embedding = embedding.ok_or("the model is one of texts")?;
        let measurements = context.shared::<PerEncoder<Measurements>>();
        Ok(Self {
            answers,
            processor,
            tokens: embedding.tokens(),
            head,
            max_pixels,
            max_bytes,
            measurements: measurements.of(&encoder),
            encoder,
        })
    }

    /// Returns the cost of an image: its tokens, as that of a text.
    fn cost(&self) -> u32 {
        u32::try_from(self.tokens).unwrap_or(u32::MAX)
    }
}

impl LoadedModel for ImageModel {
    /// An image of the size that the model sees: in bytes until its batch, since rows may wait.
    type Row = Pixels;
    type Output = Values;
    type Call = ImageCall;
    type Part = Vec<Damaged>;

    /// Refuses what has too many pixels or is no image by its header, before anything is decoded.
    fn begin(&self, request: Request) -> Result<ImageCall, Status> {
        let limits = ImageLimits {
            pixels: self.max_pixels,
        };
        let (mut mistakes, mut over) = (Vec::new(), Vec::new());
        for (at, bytes) in request.byte_strings(IMAGE)?.into_iter().enumerate() {
            match self.processor.check(bytes, limits) {
                Ok(()) => {}
                Err(error @ (ImageError::TooManyPixels { .. } | ImageError::TooLong { .. })) => {
                    over.push((field(at), error.to_string()))
                }
                Err(error) => mistakes.push((field(at), error.to_string())),
            }
        }
        if !mistakes.is_empty() {
            return Err(invalid_arguments(mistakes));
        }
        if !over.is_empty() {
            return Err(over_limits(over));
        }
        Ok(ImageCall {
            dimensions: request.count(ports::DIMENSIONS),
            normalize: request.flag(ports::NORMALIZE),
            score: request.text(ports::ACTIVATION).and_then(score_kind_of),
            images: Mutex::new(Some(request.tensor(IMAGE)?.clone())),
        })
    }

    /// Each image is a job: decoding takes milliseconds.
    fn preparation(&self, call: &ImageCall) -> Preparation {
        let images = call.images().map_or(0, |images| images.len());
        Preparation::Pool((0..images).map(|at| at..at + 1).collect())
    }

    fn rows(
        &self,
        call: &ImageCall,
        part: Range<usize>,
    ) -> Result<PreparedRows<Pixels, Values, Vec<Damaged>>, Status> {
        let mut prepared = PreparedRows {
            rows: Vec::new(),
            part: Vec::new(),
        };
        let Some(images) = call.images() else {
            return Ok(prepared);
        };
        let images = images.as_strings();
        let images = images.map_err(|error| internal(error.to_string()).build())?;
        for (at, bytes) in images.iter().enumerate().skip(part.start).take(part.len()) {
            match self.processor.prepare(bytes) {
                Ok(row) => {
                    let cost = self.cost();
                    prepared.rows.push(PreparedRow::Run { row, cost });
                }
                Err(error) => prepared.part.push(Damaged(at, error)),
            }
        }
        Ok(prepared)
    }

    fn check(&self, call: &ImageCall, parts: &[Vec<Damaged>]) -> Result<(), Status> {
        // Nothing needs the images as they were sent any more.
        *call.images.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let damaged = parts.iter().flatten();
        let damaged: Vec<_> = damaged
            .map(|Damaged(at, error)| (field(*at), error.to_string()))
            .collect();
        match damaged.is_empty() {
            true => Ok(()),
            false => Err(invalid_arguments(damaged)),
        }
    }

    fn run(
        &self,
        rows: &[&Pixels],
        worker: &Worker<'_>,
    ) -> Result<Vec<Result<Values, RowError>>, BatchError> {
        let patches = rows.iter().map(|row| self.processor.patches(row));
        let patches: Vec<Vec<f32>> = patches.collect();
        let heads = [&self.head];
        let rows = patches.iter().map(|patches| HeadedRow {
            row: RowInput::of_image(patches, self.tokens),
            heads: &heads,
        });
        let rows: Vec<HeadedRow<'_>> = rows.collect();
        let results = self.encoder.encode_headed(&rows, worker.team());
        let invalid = |error: motet_models::RowError| RowError::Invalid(error.to_string());
        let of_row = |results: Result<Vec<Values>, _>| {
            let mut results = finite(results.map_err(invalid)?)?;
            Ok(results.pop().unwrap_or_default())
        };
        Ok(results
            .map_err(batch_error)?
            .into_iter()
            .map(of_row)
            .collect())
    }

    fn answer(
        &self,
        call: &ImageCall,
        _: Vec<Vec<Damaged>>,
        rows: Vec<Values>,
    ) -> Result<Answer, Status> {
        let outputs = self.answers.outputs(call, rows);
        let outputs = outputs.map_err(|error| internal(error.to_string()).build())?;
        let score_kind = self.answers.score_kind(call).map(|kind| {
            let kind = ParameterChoice::StringParam(kind.as_str().to_owned());
            (SCORE_KIND, kind)
        });
        // Each row was looked through by itself.
        Ok(Answer::new(outputs)
            .with_parameters(score_kind)
            .may_be_infinite())
    }

    fn has_short_answer(&self, _: &ImageCall, _: &[Vec<Damaged>], rows: &[Values]) -> bool {
        let values = rows.iter().map(|row| row.as_slice().len());
        values.sum::<usize>() <= INLINE_VALUES_MAX
    }

    fn field(&self, _: &ImageCall, _: &[Vec<Damaged>], row: usize) -> String {
        field(row)
    }

    /// Returns an image of one colour: all have the same cost.
    fn sample(&self, _: u32) -> Option<(Pixels, u32)> {
        let [height, width] = self.processor.size();
        let values = vec![128; 3 * height * width];
        Some((Pixels::new(height, width, values), self.cost()))
    }

    fn batching(&self) -> Batching {
        Batching {
            max_row_cost: Some(self.cost()),
            ..Batching::default()
        }
    }

    fn limits(&self, of_process: Limits) -> Limits {
        Limits {
            rows: IMAGES_MAX.min(of_process.rows),
            bytes: self.max_bytes.unwrap_or(of_process.bytes),
            ..of_process
        }
    }

    /// Models of one encoder are measured once.
    fn measurements(&self) -> Option<Measurements> {
        Some(self.measurements.clone())
    }
}

fn field(at: usize) -> String {
    format!("{IMAGE}[{at}]")
}

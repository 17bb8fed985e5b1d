//! A model of Candle behind a batcher: a linear layer with ReLU, and the mean of its outputs.
//!
//! ```text
//! cargo run --release -p motet-batcher --example candle
//! ```
//!
//! The executor makes one matrix of the rows of a batch, and runs the model once. Device and
//! weights are made on the thread that uses them.

use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor};
use motet_batcher::{
    BatchError, Batcher, BuildError, Call, Executor, NoObserver, Options, RowError,
};
use tokio::task::JoinSet;

/// Numbers in a row.
const WIDTH: usize = 256;
/// Numbers in the layer.
const HIDDEN: usize = 1024;
/// Callers at once.
const CALLERS: usize = 64;

/// The model.
struct Model {
    device: Device,
    weight: Tensor,
}

impl Model {
    fn new() -> Result<Self> {
        let device = Device::Cpu;
        let weights = WIDTH * HIDDEN;
        let weight = Tensor::arange(0u32, weights as u32, &device)?
            .to_dtype(candle_core::DType::F32)?
            .affine(0.37, 0.0)?
            .sin()?
            .reshape((WIDTH, HIDDEN))?;
        Ok(Self { device, weight })
    }

    /// Returns a number for each row.
    fn scores(&self, rows: &[&Vec<f32>]) -> Result<Vec<f32>> {
        let values: Vec<f32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
        let input = Tensor::from_vec(values, (rows.len(), WIDTH), &self.device)?;
        let hidden = input.matmul(&self.weight)?.relu()?;
        hidden.mean(D::Minus1)?.to_vec1()
    }
}

impl Executor for Model {
    type Row = Vec<f32>;
    type Output = f32;

    fn run(
        &mut self,
        rows: &[&Vec<f32>],
    ) -> std::result::Result<Vec<std::result::Result<f32, RowError>>, BatchError> {
        let scores = self.scores(rows);
        let scores = scores.map_err(|error| BatchError::Failed(error.to_string()))?;
        Ok(scores
            .into_iter()
            .map(|score| match score.is_finite() {
                true => Ok(score),
                false => Err(RowError::NotFinite),
            })
            .collect())
    }

    /// Lets the batcher measure a batch before the first call.
    fn sample(&self, _tokens: u32) -> Option<(Vec<f32>, u32)> {
        Some((vec![0.5; WIDTH], 1))
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let factory = || Model::new().map_err(|error| BuildError(error.to_string()));
    let observer = Arc::new(NoObserver);
    let batcher = Batcher::spawn("scores", Options::default(), observer, vec![factory]).await?;

    let alone = Model::new()?;
    let mut rows = Vec::new();
    for caller in 0..CALLERS {
        let row: Vec<f32> = (0..WIDTH).map(|at| ((caller + at) as f32).cos()).collect();
        let expected = alone.scores(&[&row])?[0];
        rows.push((row, expected));
    }
    let mut callers = JoinSet::new();
    for (row, expected) in rows {
        let batcher = batcher.clone();
        callers.spawn(async move {
            let reply = batcher.submit(Call::new(vec![(row, 1)])).await;
            (reply, expected)
        });
    }
    let mut largest = 0;
    while let Some(answered) = callers.join_next().await {
        let (reply, expected) = answered?;
        let reply = reply?;
        let score = *reply.rows[0].as_ref().map_err(Clone::clone)?;
        assert!((score - expected).abs() < 1e-4, "{score} is not {expected}");
        largest = largest.max(reply.timing.batch_rows_max);
    }
    println!("{CALLERS} callers were answered; the largest batch had {largest} rows");
    batcher.drain().await;
    Ok(())
}

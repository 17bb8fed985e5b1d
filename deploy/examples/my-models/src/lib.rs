//! The task `rank`: a score for each row of features, by two linear layers.

use std::ops::Range;

use candle_core::{DType, Device, Module};
use candle_nn::Linear;
use motet::task::{
    Answer, BatchError, BoxError, CheckContext, ElementType, LoadContext, LoadedModel,
    PreparedRows, Problem, Request, RowError, Signature, Task, Tensor, Weights, Worker,
    batch_error, input, model_failed, output, stack,
};
use tonic::Status;

/// The task.
pub struct Rank;

/// The keys of a model beside `task`, `source`, `device` and the like.
#[derive(serde::Deserialize)]
pub struct Keys {
    /// Values of a row.
    features: usize,
    /// Values between the layers.
    hidden: usize,
}

/// A configuration that was checked.
#[derive(Clone)]
pub struct Checked {
    features: usize,
    hidden: usize,
    weights: Weights,
}

impl Task for Rank {
    const NAME: &'static str = "rank";
    const ABOUT: &'static str = "a score for each row of features";
    const NEEDS_SOURCE: bool = true;

    type Config = Keys;
    type Checked = Checked;
    type Model = Ranker;

    /// `features: float[N,F] -> score: float[N]`
    fn check(
        keys: &Keys,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Checked), Vec<Problem>> {
        let &Keys { features, hidden } = keys;
        let weights = context.folder()?.weights().and_then(|weights| {
            weights.expect("first.weight", &[hidden, features])?;
            weights.expect("second.weight", &[1, hidden])?;
            Ok(weights)
        });
        let weights = weights.map_err(|error| context.source_problem(error.to_string()))?;
        let width = features.to_string();
        let signature = Signature {
            inputs: vec![input("features", ElementType::F32, ["N", &width])],
            outputs: vec![output("score", ElementType::F32, ["N"])],
            parameters: Vec::new(),
        };
        let checked = Checked {
            features,
            hidden,
            weights,
        };
        Ok((signature, checked))
    }

    fn load(checked: Checked, context: &LoadContext) -> Result<Ranker, BoxError> {
        let Checked {
            features,
            hidden,
            weights,
        } = checked;
        let device = context.device()?;
        let variables = weights.var_builder(DType::F32, &device);
        Ok(Ranker {
            first: candle_nn::linear_no_bias(features, hidden, variables.pp("first"))?,
            second: candle_nn::linear_no_bias(hidden, 1, variables.pp("second"))?,
            features,
            device,
        })
    }
}

/// The model in memory.
pub struct Ranker {
    first: Linear,
    second: Linear,
    features: usize,
    device: Device,
}

impl LoadedModel for Ranker {
    type Row = candle_core::Tensor;
    type Output = f32;
    type Call = Request;
    type Part = ();

    fn begin(&self, request: Request) -> Result<Request, Status> {
        Ok(request)
    }

    /// Each row has a cost, from which the batcher learns the time of a batch: here always 1.
    fn rows(
        &self,
        call: &Request,
        _: Range<usize>,
    ) -> Result<PreparedRows<candle_core::Tensor, f32, ()>, Status> {
        let features = call.values::<f32>("features")?;
        let rows = features.chunks_exact(self.features);
        let rows = rows.map(|row| Ok((candle_core::Tensor::new(row, &self.device)?, 1)));
        let rows: candle_core::Result<_> = rows.collect();
        rows.map_err(model_failed)
    }

    /// Rows of many callers, at once.
    fn run(
        &self,
        rows: &[&candle_core::Tensor],
        _: &Worker<'_>,
    ) -> Result<Vec<Result<f32, RowError>>, BatchError> {
        let scores = || -> candle_core::Result<Vec<f32>> {
            let hidden = self.first.forward(&stack(rows)?)?.relu()?;
            self.second.forward(&hidden)?.flatten_all()?.to_vec1()
        };
        let scores = scores().map_err(batch_error)?;
        Ok(scores.into_iter().map(Ok).collect())
    }

    fn answer(&self, _: &Request, _: Vec<()>, scores: Vec<f32>) -> Result<Answer, Status> {
        Ok(Answer::new([("score", Tensor::list(scores))]))
    }

    /// A made-up row and its cost, to warm the model up and to time its batches.
    fn sample(&self, _: u32) -> Option<(candle_core::Tensor, u32)> {
        let row = candle_core::Tensor::zeros(self.features, DType::F32, &self.device);
        Some((row.ok()?, 1))
    }
}

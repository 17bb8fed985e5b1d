//! The feed-forward part of a layer, up to the product that leads back to the residual.

use motet_kernels::gemm::int8::QuantizedActivations;
use motet_kernels::{
    Activation, Aligned, ColumnBlocks, Epilogue, Init, Linear, Matrix, Parallelism,
};

use super::layer::{Batch, Part};
use super::weights::Weights;
use crate::architecture;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct FeedForward {
    /// The product with the activation.
    activated: Linear,
    activation: Activation,
    /// The product whose values those are multiplied with.
    factors: Option<Linear>,
    down: Linear,
}

impl FeedForward {
    /// `columns` are those of the model's vectors.
    pub(super) fn load(
        weights: Weights<'_>,
        feed_forward: &architecture::FeedForward,
        columns: ColumnBlocks,
    ) -> Result<Self, LoadError> {
        use architecture::FeedForward::{Gated, Plain};
        let (activated, factors, activation, down) = match feed_forward {
            Plain {
                up,
                activation,
                down,
            } => (up, None, activation, down),
            Gated {
                gate,
                up,
                activation,
                down,
            } => (gate, Some(up), activation, down),
        };
        let inner = ColumnBlocks::new(feed_forward.inner(), 1);
        let factors = factors.map(|factors| weights.pack(&[factors], columns, inner));
        Ok(Self {
            activated: weights.pack(&[activated], columns, inner)?,
            activation: *activation,
            factors: factors.transpose()?,
            down: weights.pack(&[down], inner, columns)?,
        })
    }
}

impl Part for FeedForward {
    fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        let inner = self.factors.iter_mut().chain([&mut self.activated]);
        inner.chain([&mut self.down])
    }

    fn back(&self) -> &Linear {
        &self.down
    }

    fn inner<'m>(
        &self,
        x: Matrix<'_>,
        intermediate: &'m mut Aligned<f32>,
        _: &mut Aligned<f32>,
        quantized_lhs: &mut QuantizedActivations,
        _: &Batch<'_>,
        parallelism: Parallelism,
    ) -> Matrix<'m> {
        let inner = self.activated.outputs();
        let size = x.tokens * inner.count;
        let matrices = if self.factors.is_some() { 2 } else { 1 };
        intermediate.resize(matrices * size);
        let (activated, factors) = intermediate.as_mut_slice().split_at_mut(size);
        let epilogue = match &self.factors {
            None => Epilogue::Activate(self.activation),
            Some(linear) => {
                let (init, epilogue) = (Init::Bias, Epilogue::Store);
                linear.product(x, quantized_lhs, factors, init, epilogue, parallelism);
                Epilogue::Gate(self.activation, factors)
            }
        };
        self.activated.product(
            x,
            quantized_lhs,
            activated,
            Init::Bias,
            epilogue,
            parallelism,
        );
        Matrix::new(activated, inner)
    }
}

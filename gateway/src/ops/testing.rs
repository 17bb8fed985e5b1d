//! Helpers for the tests of ops.

use motet_proto::tensor::Tensor;

use super::error::OpError;
use super::op::{BoundOp, Op};
use crate::compute::cancel::Cancel;
use crate::scalar::Scalar;

/// Runs an op whose inputs and outputs are all present.
pub(super) fn run(
    op: &'static dyn Op,
    form: usize,
    inputs: &[Tensor],
    settings: &[Scalar],
) -> Result<Vec<Tensor>, OpError> {
    let inputs: Vec<_> = inputs.iter().cloned().map(Some).collect();
    let outputs = BoundOp::new(op, form).run(&inputs, settings, &Cancel::default())?;
    Ok(outputs.into_iter().map(Option::unwrap).collect())
}

pub(super) fn text(value: &str) -> Scalar {
    Scalar::String(value.to_owned())
}

pub(super) fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_values(shape.to_vec(), values.to_vec()).unwrap()
}

pub(super) fn int_list(values: &[i32]) -> Tensor {
    Tensor::from_values(vec![values.len()], values.to_vec()).unwrap()
}

pub(super) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.values::<f32>().unwrap().to_vec()
}

pub(super) fn ints(tensor: &Tensor) -> Vec<i32> {
    tensor.values::<i32>().unwrap().to_vec()
}

//! Requests and responses of the Open Inference Protocol.

use motet_proto::Tensor;
use motet_proto::inference::model_infer_request::InferInputTensor;
use motet_proto::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use motet_proto::oip;

/// Returns a request with raw contents. A scalar is sent as a list of one element.
pub fn raw(model: &str, tensors: &[(&str, Tensor)]) -> ModelInferRequest {
    let mut request = ModelInferRequest {
        model_name: model.to_owned(),
        ..ModelInferRequest::default()
    };
    oip::put_inputs(&mut request, tensors.iter().map(|(name, t)| (*name, t)));
    request
}

/// Returns a request with text inputs in typed contents.
pub fn typed<T: AsRef<str>>(model: &str, inputs: &[(&str, &[T])]) -> ModelInferRequest {
    let input = |(name, texts): &(&str, &[T])| InferInputTensor {
        name: (*name).to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![texts.len() as i64],
        contents: Some(InferTensorContents {
            bytes_contents: texts
                .iter()
                .map(|t| t.as_ref().as_bytes().to_vec().into())
                .collect(),
            ..InferTensorContents::default()
        }),
        ..InferInputTensor::default()
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: inputs.iter().map(input).collect(),
        ..ModelInferRequest::default()
    }
}

/// Returns a list of texts as a tensor of BYTES.
pub fn texts<T: AsRef<str>>(texts: &[T]) -> Tensor {
    Tensor::byte_strings(texts.iter().map(|t| t.as_ref().as_bytes()))
}

/// Returns an output of a response.
///
/// # Panics
/// If the response has no such output, or cannot be read.
pub fn output(answer: &ModelInferResponse, name: &str) -> Tensor {
    let mut answer = answer.clone();
    let outputs = oip::take_outputs(&mut answer).expect("an answer that can be read");
    let found = outputs.into_iter().find(|(n, _)| n == name);
    found.unwrap_or_else(|| panic!("no output {name}")).1
}

/// Returns the elements of a float output.
pub fn floats(answer: &ModelInferResponse, name: &str) -> Vec<f32> {
    let tensor = output(answer, name);
    tensor.values::<f32>().expect("floats").to_vec()
}

/// Returns the largest absolute difference between elements of two lists.
///
/// # Panics
/// If their lengths differ.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

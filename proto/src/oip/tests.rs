use std::collections::HashMap;

use super::*;

fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..Default::default()
    }
}

fn every_type() -> Vec<Tensor> {
    vec![
        Tensor::strings(["a", "é"])
            .into_text(ElementType::Bytes)
            .unwrap(),
        Tensor::bools(&[true, false]),
        Tensor::from_values(vec![2], vec![-1i8, 1]).unwrap(),
        Tensor::from_values(vec![2], vec![-1i16, 1]).unwrap(),
        Tensor::from_values(vec![1, 2], vec![-1i32, 1]).unwrap(),
        Tensor::from_values(vec![2], vec![-1i64, 1]).unwrap(),
        Tensor::from_values(vec![2], vec![1u8, 255]).unwrap(),
        Tensor::from_values(vec![2], vec![1u16, 2]).unwrap(),
        Tensor::from_values(vec![2], vec![1u32, 2]).unwrap(),
        Tensor::from_values(vec![2], vec![1u64, 2]).unwrap(),
        Tensor::from_values(vec![2, 1], vec![0.5f32, -0.5]).unwrap(),
        Tensor::from_values(vec![2], vec![0.5f64, -0.5]).unwrap(),
    ]
}

#[test]
fn every_type_survives_both_forms() {
    for encoding in [Encoding::Raw, Encoding::Typed] {
        for t in every_type() {
            let mut response = ModelInferResponse::default();
            put_outputs(&mut response, [("x", &t)], encoding);
            assert_eq!(
                response.raw_output_contents.is_empty(),
                encoding == Encoding::Typed
            );
            assert_eq!(
                take_outputs(&mut response).unwrap(),
                [("x".to_owned(), t)],
                "{encoding:?}"
            );
        }
    }
}

#[test]
fn half_precision_floats_are_always_raw() {
    let t = Tensor::from_values(vec![1], vec![half::f16::ONE]).unwrap();
    let mut response = ModelInferResponse::default();
    put_outputs(&mut response, [("x", &t)], Encoding::Typed);
    assert_eq!(response.raw_output_contents.len(), 1);
    assert_eq!(take_outputs(&mut response).unwrap()[0].1, t);
}

#[test]
fn raw_contents_are_not_copied() {
    let t = Tensor::from_values(vec![2], vec![1f32, 2.0]).unwrap();
    let mut request = ModelInferRequest::default();
    put_inputs(&mut request, [("x", &t)]);
    let (tensors, encoding) = take_inputs(&mut request).unwrap();
    assert_eq!(encoding, Encoding::Raw);
    assert_eq!(tensors[0].1.data().as_ptr(), t.data().as_ptr());
}

#[test]
fn a_scalar_is_a_list_of_one() {
    let mut request = ModelInferRequest::default();
    put_inputs(&mut request, [("x", &Tensor::scalar(1i64))]);
    assert_eq!(request.inputs[0].shape, [1]);
}

#[test]
fn an_unreadable_message_is_refused_with_its_tensor() {
    let contents = |c| {
        let mut t = input("x", "INT8", &[1]);
        t.contents = Some(c);
        t
    };
    let ints = |v: Vec<i32>| InferTensorContents {
        int_contents: v,
        ..Default::default()
    };
    let floats = InferTensorContents {
        fp32_contents: vec![1.0],
        ..Default::default()
    };
    for (inputs, raw, error) in [
        (
            vec![input("x", "TEXT", &[1])],
            0,
            "tensor `x`: unknown datatype `TEXT`",
        ),
        (
            vec![input("x", "INT8", &[-1])],
            0,
            "tensor `x`: shape [-1] has a negative length",
        ),
        (
            vec![input("x", "FP16", &[1])],
            0,
            "tensor `x`: FP16 elements must be raw",
        ),
        (
            vec![contents(floats)],
            0,
            "tensor `x`: INT8 elements belong in int_contents, not in fp32_contents",
        ),
        (
            vec![contents(ints(vec![300]))],
            0,
            "tensor `x`: 300 does not fit INT8",
        ),
        (
            vec![contents(ints(vec![1, 2]))],
            0,
            "tensor `x`: 2 elements do not fill shape [1] of 1",
        ),
        (
            vec![contents(ints(vec![1]))],
            1,
            "tensor `x`: has both contents and raw contents",
        ),
        (
            vec![input("x", "INT8", &[0]), input("x", "INT8", &[0])],
            0,
            "tensor `x`: given twice",
        ),
        (
            vec![input("x", "INT8", &[0])],
            2,
            "2 raw contents do not go with 1 tensors: give one for each, or none",
        ),
    ] {
        let mut request = ModelInferRequest {
            inputs,
            raw_input_contents: vec![Bytes::from_static(b"1"); raw],
            ..Default::default()
        };
        assert_eq!(take_inputs(&mut request).unwrap_err().to_string(), error);
    }
}

#[test]
fn an_integer_is_read_from_every_form_of_parameter() {
    let parameters = HashMap::from([
        ("a".to_owned(), parameter(3i64)),
        ("b".to_owned(), parameter(3u64)),
        ("c".to_owned(), parameter("3")),
        ("d".to_owned(), parameter(true)),
    ]);
    for name in ["a", "b", "c"] {
        assert_eq!(integer_parameter(&parameters, name), Ok(Some(3)));
    }
    assert_eq!(integer_parameter(&parameters, "none"), Ok(None));
    assert_eq!(
        integer_parameter(&parameters, "d").unwrap_err().to_string(),
        "parameter `d` must be an integer"
    );
}

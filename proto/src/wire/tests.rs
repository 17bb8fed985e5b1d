use std::collections::HashMap;
use std::mem::size_of;

use prost::{Message, Name};
use prost_types::FileDescriptorSet;

use super::{
    DECODED_BYTES_SPARE, ExpansionError, FIELDS_MAX, Memory, Scanned, Shapes, UNKNOWN_FIELDS_MAX,
    decoded_bytes_max, scan,
};
use crate::FILE_DESCRIPTOR_SET;
use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::{InferParameter, InferTensorContents, ModelInferRequest};
use crate::oip::{parameter, put_inputs};
use crate::tensor::Tensor;

fn shapes() -> Shapes {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    Shapes::new(&files.file, Memory::Structs)
}

fn scan_request(bytes: &[u8]) -> Result<Scanned, ExpansionError> {
    let shapes = shapes();
    let root = shapes.find(&ModelInferRequest::full_name()).unwrap();
    scan(&shapes, root, bytes, decoded_bytes_max(bytes.len()))
}

fn contents(contents: InferTensorContents) -> ModelInferRequest {
    ModelInferRequest {
        inputs: vec![InferInputTensor {
            contents: Some(contents),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn parameters(count: usize) -> HashMap<String, InferParameter> {
    (0..count)
        .map(|i| (i.to_string(), parameter(true)))
        .collect()
}

#[test]
fn what_expands_is_refused_and_honest_messages_are_not() {
    let refused = |error: ExpansionError| {
        matches!(
            error,
            ExpansionError::Memory { .. } | ExpansionError::Messages
        )
    };
    let mut raw = ModelInferRequest::default();
    let large = Tensor::from_values(vec![1 << 20], vec![1f32; 1 << 20]).unwrap();
    put_inputs(&mut raw, [("a", &large), ("b", &large)]);
    let texts = |count: usize, text: &'static str| InferTensorContents {
        bytes_contents: vec![text.into(); count],
        ..Default::default()
    };
    let ids = |count: usize| InferTensorContents {
        int64_contents: vec![300; count],
        ..Default::default()
    };
    let cases = [
        ("raw tensors", raw, true),
        (
            "a million floats",
            {
                contents(InferTensorContents {
                    fp32_contents: vec![0.5; 1 << 20],
                    ..Default::default()
                })
            },
            true,
        ),
        (
            "a million small numbers",
            {
                contents(InferTensorContents {
                    int_contents: vec![1; 1 << 20],
                    ..Default::default()
                })
            },
            true,
        ),
        ("a million token ids", contents(ids(1 << 20)), true),
        ("texts", contents(texts(100_000, "a text")), true),
        (
            "thousands of parameters",
            ModelInferRequest {
                parameters: parameters(4000),
                ..Default::default()
            },
            true,
        ),
        (
            "empty inputs",
            ModelInferRequest {
                inputs: vec![Default::default(); 100_000],
                ..Default::default()
            },
            false,
        ),
        (
            "empty outputs",
            ModelInferRequest {
                outputs: vec![Default::default(); 200_000],
                ..Default::default()
            },
            false,
        ),
        (
            "distinct parameters",
            ModelInferRequest {
                parameters: parameters(100_000),
                ..Default::default()
            },
            false,
        ),
        ("empty texts", contents(texts(200_000, "")), false),
    ];
    for (what, request, fits) in cases {
        let found = scan_request(&request.encode_to_vec());
        match fits {
            true => assert!(found.is_ok(), "{what}: {found:?}"),
            false => assert!(found.is_err_and(refused), "{what}: {found:?}"),
        }
    }
}

#[test]
fn unknown_fields_and_fields_in_all_are_counted() {
    // Field 100 as a varint, also inside a tensor.
    let unknown = [0xa0, 0x06, 0x01];
    assert!(scan_request(&unknown.repeat(UNKNOWN_FIELDS_MAX)).is_ok());
    let many = unknown.repeat(UNKNOWN_FIELDS_MAX + 1);
    assert_eq!(scan_request(&many), Err(ExpansionError::UnknownFields));
    let mut inside = vec![0x2a, 0xbb, 0x17];
    inside.extend_from_slice(&many);
    assert_eq!(inside.len() - 3, 0xbb & 0x7f | 0x17 << 7);
    assert_eq!(scan_request(&inside), Err(ExpansionError::UnknownFields));
    // The name of the model again and again.
    let names = [0x0a, 0x00].repeat(FIELDS_MAX + 1);
    assert!(matches!(
        scan_request(&names),
        Err(ExpansionError::Fields | ExpansionError::Memory { .. })
    ));
}

#[test]
fn sizes_of_structs_are_not_underestimated() {
    let tensors = |count| ModelInferRequest {
        inputs: vec![Default::default(); count],
        ..Default::default()
    };
    let found = scan_request(&tensors(100).encode_to_vec()).unwrap();
    let real = 100 * size_of::<InferInputTensor>();
    assert!(found.decoded_bytes >= real, "{found:?}, in truth {real}");
    assert!(
        found.decoded_bytes <= 3 * real,
        "{found:?}, in truth {real}"
    );
    assert!(size_of::<InferParameter>() <= 48);
}

#[test]
fn bytes_that_are_no_message_are_scanned_to_where_they_end() {
    let request = contents(InferTensorContents {
        fp32_contents: vec![0.5; 100],
        bytes_contents: vec!["text".into(); 3],
        ..Default::default()
    });
    let bytes = request.encode_to_vec();
    for end in 0..bytes.len() {
        assert!(scan_request(&bytes[..end]).is_ok());
        let mut flipped = bytes.clone();
        flipped[end] ^= 0x80;
        assert!(scan_request(&flipped).is_ok());
    }
    // Messages inside each other, as deep as it goes.
    let deep = [0x2a; 4096];
    assert!(scan_request(&deep).is_ok());
    assert!(scan_request(&[]).unwrap().decoded_bytes < DECODED_BYTES_SPARE);
}

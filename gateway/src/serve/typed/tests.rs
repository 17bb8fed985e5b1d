//! Messages of typed services, against prost-reflect as the reference.

use std::collections::HashMap;

use bytes::Bytes;
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use super::decode::{Decoded, decode, request_id};
use super::descriptor::TypedApi;
use super::encode::put_outputs;
use super::names::REQUEST_ID;
use crate::check::CheckedPipeline;
use crate::compute::Cancel;
use crate::testing::plan;

const ELEMENTS: [ElementType; 15] = [
    ElementType::String,
    ElementType::Bytes,
    ElementType::Bool,
    ElementType::I8,
    ElementType::I16,
    ElementType::I32,
    ElementType::I64,
    ElementType::U8,
    ElementType::U16,
    ElementType::U32,
    ElementType::U64,
    ElementType::F16,
    ElementType::BF16,
    ElementType::F32,
    ElementType::F64,
];
const SHAPES: [&[usize]; 4] = [&[], &[3], &[3, 2], &[3, 2, 2]];

/// Returns a pipeline that answers with its inputs: of every type and of up to three dimensions.
fn pipeline() -> CheckedPipeline {
    let (mut inputs, mut outputs) = (String::new(), String::new());
    for element in ELEMENTS {
        for (rank, dims) in ["", "[N]", "[N,M]", "[N,M,K]"].iter().enumerate() {
            let name = format!("{element}_{rank}");
            inputs += &format!("  {name}: \"{element}{dims}\"\n");
            outputs += &format!("  {name}: ${name}\n");
        }
    }
    let text = format!("pipeline: everything\ninputs:\n{inputs}outputs:\n{outputs}");
    (*plan(&text, &[]).pipeline).clone()
}

fn messages(pipeline: &CheckedPipeline) -> HashMap<String, MessageDescriptor> {
    let mut pool = DescriptorPool::decode(motet_proto::FILE_DESCRIPTOR_SET).unwrap();
    let file = TypedApi::new(pipeline).unwrap().file;
    pool.add_file_descriptor_proto(file).unwrap();
    let all = pool.all_messages();
    all.map(|m| (m.name().to_owned(), m)).collect()
}

/// Returns a tensor whose elements differ, the smallest and the largest among them.
fn tensor(element: ElementType, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let shape = shape.to_vec();
    match element.size() {
        None => {
            let texts = (0..count).map(|i| "ä".repeat(i));
            let texts = Tensor::byte_strings(texts.map(String::into_bytes));
            Tensor::from_raw(element, shape, texts.data().clone()).unwrap()
        }
        Some(size) => {
            let extremes = [0x00, 0x7f, 0x80, 0xff, 0x01];
            let byte = |i: usize| match element {
                ElementType::Bool => (i % 2) as u8,
                // Finite numbers.
                ElementType::F16 | ElementType::BF16 | ElementType::F32 | ElementType::F64 => {
                    (i % 100) as u8
                }
                _ => extremes[i / size % extremes.len()],
            };
            let data: Bytes = (0..count * size).map(byte).collect();
            Tensor::from_raw(element, shape, data).unwrap()
        }
    }
}

fn tensors() -> Vec<Option<Tensor>> {
    let all = ELEMENTS
        .iter()
        .flat_map(|e| SHAPES.iter().map(|s| Some(tensor(*e, s))));
    all.collect()
}

fn encoded(pipeline: &CheckedPipeline, tensors: &[Option<Tensor>]) -> Vec<u8> {
    let outputs: Vec<Vec<Option<Tensor>>> = tensors.iter().map(|t| vec![t.clone()]).collect();
    let mut bytes = Vec::new();
    put_outputs(pipeline, &outputs, &mut bytes).unwrap();
    bytes
}

fn decoded(pipeline: &CheckedPipeline, bytes: &[u8]) -> Result<Decoded, tonic::Status> {
    decode(pipeline, Bytes::copy_from_slice(bytes), &Cancel::default())
}

#[test]
fn messages_are_those_of_prost_reflect_byte_for_byte() {
    let pipeline = pipeline();
    let messages = messages(&pipeline);
    let bytes = encoded(&pipeline, &tensors());
    for name in ["EverythingRequest", "EverythingResponse"] {
        let reference = DynamicMessage::decode(messages[name].clone(), bytes.as_slice()).unwrap();
        assert_eq!(reference.unknown_fields().count(), 0);
        assert_eq!(reference.encode_to_vec(), bytes, "{name}");
    }
    let read = decoded(&pipeline, &bytes).unwrap();
    assert_eq!(read.inputs.unwrap(), tensors());
    assert_eq!(read.id, None);
}

#[test]
fn absent_values_and_empty_lists_have_no_field() {
    let pipeline = pipeline();
    assert!(encoded(&pipeline, &vec![None; pipeline.inputs.len()]).is_empty());
    let empty: Vec<Option<Tensor>> = ELEMENTS
        .iter()
        .flat_map(|element| {
            let list = |shape: &[usize]| Some(tensor(*element, shape));
            [None, list(&[0]), list(&[0, 4]), None]
        })
        .collect();
    assert!(encoded(&pipeline, &empty).is_empty());
    let read = decoded(&pipeline, &[]).unwrap().inputs.unwrap();
    assert_eq!(read[0], None);
    assert_eq!(read[1].as_ref().unwrap().shape(), [0]);
    assert_eq!(read[2].as_ref().unwrap().shape(), [0, 0]);
}

#[test]
fn records_have_the_rows_of_their_columns() {
    let text = "
pipeline: pairs
inputs: { name: \"string[N]\", score: \"float[N]\", at: \"i64[N,M]\" }
outputs: { pairs: { name: $name, score: $score, at: $at } }
";
    let pipeline = (*plan(text, &[]).pipeline).clone();
    let columns = vec![
        Some(Tensor::strings(["a", ""])),
        Some(Tensor::from_values(vec![2], vec![0.5f32, 0.0]).unwrap()),
        Some(Tensor::from_values(vec![2, 2], vec![-1i64, 1, 300, i64::MIN]).unwrap()),
    ];
    let mut bytes = Vec::new();
    put_outputs(&pipeline, &[columns], &mut bytes).unwrap();
    let response = messages(&pipeline)["PairsResponse"].clone();
    let reference = DynamicMessage::decode(response, bytes.as_slice()).unwrap();
    assert_eq!(reference.encode_to_vec(), bytes);
    let shown = serde_json::to_value(&reference).unwrap();
    let expected = serde_json::json!({ "pairs": [
        { "name": "a", "score": 0.5, "at": { "values": ["-1", "1"] } },
        { "name": "", "score": 0.0, "at": { "values": ["300", "-9223372036854775808"] } },
    ] });
    // The reference shows whether rows are lists or messages.
    assert_eq!(shown["pairs"][0]["name"], expected["pairs"][0]["name"]);
    assert_eq!(shown["pairs"][1]["score"], expected["pairs"][1]["score"]);
    assert_eq!(shown["pairs"].as_array().unwrap().len(), 2);
}

#[test]
fn unknown_fields_are_told_once_each_and_the_id_is_found() {
    let pipeline = pipeline();
    let mut bytes = [0xf0, 0x2e, 0x01].repeat(100_000);
    prost::encoding::string::encode(REQUEST_ID.1, &"seven".to_owned(), &mut bytes);
    let read = decoded(&pipeline, &bytes).unwrap();
    assert_eq!(read.id.as_deref(), Some("seven"));
    let violations = read.inputs.unwrap_err();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].input, "field 750");
    assert_eq!(request_id(bytes.into()).as_deref(), Some("seven"));
}

#[test]
fn a_small_message_makes_small_tensors() {
    let pipeline = pipeline();
    // A mebibyte of empty strings, of numbers of one byte, and of empty rows.
    for (element, rank, element_bytes) in [
        (ElementType::String, 1, 4),
        (ElementType::I64, 1, 8),
        (ElementType::Bool, 1, 1),
        (ElementType::F32, 2, 0),
    ] {
        let name = format!("{element}_{rank}");
        let at = pipeline.inputs.iter().position(|i| i.name == name).unwrap();
        let number = at as u32 + 1;
        let packed = matches!(element, ElementType::I64 | ElementType::Bool);
        let field = if packed { vec![1; 1 << 19] } else { Vec::new() };
        let mut bytes = Vec::new();
        while bytes.len() < 1 << 20 {
            prost::encoding::bytes::encode(number, &field, &mut bytes);
        }
        let read = decoded(&pipeline, &bytes).unwrap().inputs.unwrap();
        let tensor = read[at].as_ref().unwrap();
        assert!(tensor.rows() >= 200_000, "{name}: {}", tensor.rows());
        assert_eq!(tensor.data().len(), tensor.rows() * element_bytes, "{name}");
    }
}

proptest! {
    /// Bytes that are changed anywhere are accepted exactly when the reference accepts them.
    #[test]
    fn changed_messages_are_accepted_as_by_prost_reflect(
        changes in prop::collection::vec((0..4096usize, any::<u8>()), 1..4),
        cut in 0..4096usize,
    ) {
        let pipeline = pipeline();
        let mut bytes = encoded(&pipeline, &tensors());
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(1));
        let request = messages(&pipeline)["EverythingRequest"].clone();
        let reference = DynamicMessage::decode(request, bytes.as_slice());
        let read = decoded(&pipeline, &bytes);
        prop_assert_eq!(read.is_ok(), reference.is_ok(), "{:?} {:?}", read.err(), reference.err());
    }
}

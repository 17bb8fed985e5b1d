//! Encoding of responses of a typed service, from tensors to the bytes of the message. Lists of
//! floats are copied as they are.

use bytes::{BufMut, Bytes};
use motet_proto::tensor::{Tensor, TensorError};
use motet_proto::types::ElementType;
use motet_proto::v1;
use prost::encoding::{
    WireType, encode_key, encode_varint, encoded_len_varint, message as message_field,
};

use crate::check::{CheckedPipeline, OutputKind};

/// Appends the fields of `outputs`, in the order of the pipeline. An absent output has none.
///
/// # Errors
/// When a tensor does not have the dimensions of its output.
pub(super) fn put_outputs(
    pipeline: &CheckedPipeline,
    outputs: &[Vec<Option<Tensor>>],
    out: &mut Vec<u8>,
) -> Result<(), TensorError> {
    for ((output, tensors), number) in pipeline.outputs.iter().zip(outputs).zip(1..) {
        match (&output.kind, tensors.as_slice()) {
            (OutputKind::Value(column), [Some(tensor)]) => {
                let mut elements = Elements::of(tensor, column.ty.rank())?;
                elements.put(number, tensor.shape(), out);
            }
            (OutputKind::Value(_), _) => {}
            (OutputKind::Records { columns, .. }, tensors) => {
                let columns = columns.iter().zip(tensors).zip(1..);
                let mut present = Vec::new();
                for ((column, tensor), number) in columns {
                    if let Some(tensor) = tensor {
                        let elements = Elements::of(tensor, column.ty.rank())?;
                        present.push((number, tensor.shape(), elements));
                    }
                }
                put_records(number, present, out);
            }
        }
    }
    Ok(())
}

/// Appends a message for each record, whose columns have their rows as fields.
fn put_records(number: u32, mut columns: Vec<(u32, &[usize], Elements<'_>)>, out: &mut Vec<u8>) {
    let length = |(_, shape, _): &(u32, &[usize], Elements<'_>)| shape.first().copied();
    let length = columns.first().and_then(length).unwrap_or(0);
    let mut record = Vec::new();
    for _ in 0..length {
        record.clear();
        for (field, shape, elements) in &mut columns {
            elements.put(*field, shape.get(1..).unwrap_or_default(), &mut record);
        }
        put_bytes(number, &record, out);
    }
}

fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

/// The elements of a tensor that are not written yet, in row-major order.
struct Elements<'t> {
    element: ElementType,
    raw: &'t [u8],
}

/// Bytes of the length of a string in a tensor.
const STRING_LENGTH: usize = 4;

impl<'t> Elements<'t> {
    fn of(tensor: &'t Tensor, rank: usize) -> Result<Self, TensorError> {
        if tensor.shape().len() != rank {
            return Err(TensorError::NotList);
        }
        Ok(Self {
            element: tensor.element(),
            raw: tensor.data(),
        })
    }

    /// Takes the bytes of the next `count` elements.
    fn take(&mut self, count: usize) -> &'t [u8] {
        let length = match self.element.size() {
            Some(size) => size.saturating_mul(count),
            None => {
                let mut rest = self.raw;
                for _ in 0..count {
                    split_string(&mut rest);
                }
                self.raw.len() - rest.len()
            }
        };
        let (taken, rest) = self.raw.split_at(length.min(self.raw.len()));
        self.raw = rest;
        taken
    }

    /// Appends the next elements, which make a tensor of this shape, as a field: a scalar, a list,
    /// a list of rows, or a tensor message.
    fn put(&mut self, number: u32, shape: &[usize], out: &mut Vec<u8>) {
        match *shape {
            [] => self.put_scalar(number, out),
            [count] => self.put_list(number, count, out),
            [rows, width] => {
                let mut row = Vec::new();
                for _ in 0..rows {
                    row.clear();
                    self.put_list(1, width, &mut row);
                    put_bytes(number, &row, out);
                }
            }
            _ => {
                let count = shape.iter().product();
                let tensor = v1::Tensor {
                    shape: shape.iter().map(|d| *d as i64).collect(),
                    data: Bytes::copy_from_slice(self.take(count)),
                };
                message_field::encode(number, &tensor, out);
            }
        }
    }

    fn put_scalar(&mut self, number: u32, out: &mut Vec<u8>) {
        let mut raw = self.take(1);
        match self.element {
            ElementType::String | ElementType::Bytes => {
                put_bytes(number, split_string(&mut raw), out);
            }
            ElementType::F16 | ElementType::BF16 | ElementType::F32 => {
                encode_key(number, WireType::ThirtyTwoBit, out);
                put_number(self.element, raw, out);
            }
            ElementType::F64 => {
                encode_key(number, WireType::SixtyFourBit, out);
                put_number(self.element, raw, out);
            }
            _ => {
                encode_key(number, WireType::Varint, out);
                put_number(self.element, raw, out);
            }
        }
    }

    /// Appends a repeated field; numbers are packed.
    fn put_list(&mut self, number: u32, count: usize, out: &mut Vec<u8>) {
        let mut raw = self.take(count);
        let Some(size) = self.element.size() else {
            for _ in 0..count {
                put_bytes(number, split_string(&mut raw), out);
            }
            return;
        };
        if raw.is_empty() {
            return;
        }
        encode_key(number, WireType::LengthDelimited, out);
        let element = self.element;
        let length = match element {
            ElementType::Bool | ElementType::F32 | ElementType::F64 => {
                encode_varint(raw.len() as u64, out);
                // A bool is a varint of one byte.
                out.put_slice(raw);
                return;
            }
            ElementType::F16 | ElementType::BF16 => count * size_of::<f32>(),
            _ => raw
                .chunks_exact(size)
                .map(|raw| encoded_len_varint(varint(element, raw)))
                .sum(),
        };
        encode_varint(length as u64, out);
        out.reserve(length);
        for raw in raw.chunks_exact(size) {
            put_number(element, raw, out);
        }
    }
}

/// Takes the first string of raw contents.
fn split_string<'t>(raw: &mut &'t [u8]) -> &'t [u8] {
    let Some((length, rest)) = raw.split_first_chunk::<STRING_LENGTH>() else {
        return std::mem::take(raw);
    };
    let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
    let (string, rest) = rest.split_at(length);
    *raw = rest;
    string
}

/// Appends one number without its key.
fn put_number(element: ElementType, raw: &[u8], out: &mut Vec<u8>) {
    let half = || <[u8; 2]>::try_from(raw).unwrap_or_default();
    match element {
        ElementType::F32 | ElementType::F64 => out.put_slice(raw),
        ElementType::F16 => out.put_f32_le(half::f16::from_le_bytes(half()).to_f32()),
        ElementType::BF16 => out.put_f32_le(half::bf16::from_le_bytes(half()).to_f32()),
        _ => encode_varint(varint(element, raw), out),
    }
}

/// Returns an integer as the number that its varint has: a negative one has all 64 bits.
fn varint(element: ElementType, raw: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let width = raw.len().min(8);
    bytes[..width].copy_from_slice(&raw[..width]);
    let negative = raw.last().is_some_and(|byte| *byte >= 0x80);
    let signed = matches!(
        element,
        ElementType::I8 | ElementType::I16 | ElementType::I32 | ElementType::I64
    );
    if signed && negative {
        bytes[width..].fill(0xff);
    }
    u64::from_le_bytes(bytes)
}

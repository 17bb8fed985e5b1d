//! Decoding of requests of a typed service, from the bytes of the message to tensors.
//!
//! A number of one byte would be a value of dozens in a message of a type known at run time. Here
//! each field of a request is read into a list of its own type, and a text is a slice of the
//! message: the tensors take at most [`EXPANSION_MAX`](motet_proto::wire::EXPANSION_MAX) times the
//! bytes of the message.

use bytes::{Buf, Bytes};
use motet_proto::tensor::{Element, StringsBuilder, Tensor, TensorError};
use motet_proto::types::ElementType;
use motet_proto::v1;
use motet_runtime::status::{self, VIOLATIONS_MAX};
use prost::DecodeError;
use prost::encoding::{self, DecodeContext, WireType, decode_key, skip_field};
use tonic::Status;

use super::names::REQUEST_ID;
use crate::check::{CheckedPipeline, Input, Length, pascal_case};
use crate::compute::cancel::{Cancel, Cancelled};
use crate::exec::InputViolation;

/// Operations of reading one field.
const FIELD_WORK: usize = 64;

/// A decoded request.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Id that matches a response to its request.
    pub(super) id: Option<String>,
    /// A tensor for each input, in the order of the pipeline; `None` for one that is left out. An
    /// empty list is the same as none in protobuf, so it means the default if there is one. Else a
    /// violation for each invalid field.
    pub(super) inputs: Result<Vec<Option<Tensor>>, Vec<InputViolation>>,
}

/// Decodes a request.
///
/// # Errors
/// INVALID_ARGUMENT that names the field which cannot be decoded.
pub(super) fn decode(
    pipeline: &CheckedPipeline,
    message: Bytes,
    cancel: &Cancel,
) -> Result<Decoded, Status> {
    let mut fields: Vec<Field> = pipeline.inputs.iter().map(Field::new).collect();
    let mut request = Reading {
        pipeline,
        id: None,
        unknown: Vec::new(),
    };
    request.read(&mut fields, message, cancel)?;
    let mut violations: Vec<InputViolation> = request
        .unknown
        .iter()
        .map(|number| unknown_field(pipeline, *number))
        .collect();
    let mut tensors = Vec::with_capacity(fields.len());
    for (field, input) in fields.into_iter().zip(&pipeline.inputs) {
        match field.into_tensor(input) {
            Ok(tensor) => tensors.push(tensor),
            Err(why) => violations.push(InputViolation::invalid(&input.name, why)),
        }
    }
    Ok(Decoded {
        id: request.id.filter(|id| !id.is_empty()),
        inputs: if violations.is_empty() {
            Ok(tensors)
        } else {
            Err(violations)
        },
    })
}

/// Returns the id of a request that is otherwise not decoded, or `None`.
pub(super) fn request_id(message: Bytes) -> Option<String> {
    let mut rest = message;
    let mut id = None;
    while rest.has_remaining() {
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        if number == REQUEST_ID.1 {
            id = Some(read_text(wire_type, &mut rest).ok()?);
        } else {
            skip(wire_type, number, &mut rest).ok()?;
        }
    }
    id.filter(|id| !id.is_empty())
}

fn unknown_field(pipeline: &CheckedPipeline, number: u32) -> InputViolation {
    let inputs: Vec<&str> = pipeline.inputs.iter().map(|i| i.name.as_str()).collect();
    InputViolation::invalid(
        format!("field {number}"),
        format!(
            "is not an input of pipeline {}: its inputs are {}",
            pipeline.name,
            inputs.join(", ")
        ),
    )
}

/// Reads the fields of one request.
struct Reading<'p> {
    pipeline: &'p CheckedPipeline,
    id: Option<String>,
    /// Numbers of unknown fields, each once, as many as an error lists.
    unknown: Vec<u32>,
}

impl Reading<'_> {
    fn read(
        &mut self,
        fields: &mut [Field],
        message: Bytes,
        cancel: &Cancel,
    ) -> Result<(), Status> {
        let mut meter = cancel.meter();
        let mut rest = message;
        while rest.has_remaining() {
            let before = rest.len();
            let (number, wire_type) =
                decode_key(&mut rest).map_err(|e| self.malformed(None, &e.into()))?;
            let input = (number as usize).wrapping_sub(1);
            let read = match fields.get_mut(input) {
                Some(field) => field.read(wire_type, &mut rest),
                None if number == REQUEST_ID.1 => {
                    read_text(wire_type, &mut rest).map(|id| self.id = Some(id))
                }
                None => {
                    self.note_unknown(number);
                    skip(wire_type, number, &mut rest)
                }
            };
            if let Err(error) = read {
                let input = self.pipeline.inputs.get(input).map(|i| i.name.as_str());
                let name = input.or((number == REQUEST_ID.1).then_some(REQUEST_ID.0));
                return Err(self.malformed(name, &error));
            }
            let spent = meter.spend(FIELD_WORK + (before - rest.len()));
            spent.map_err(|Cancelled| status::internal(Cancelled.to_string()))?;
        }
        Ok(())
    }

    fn note_unknown(&mut self, number: u32) {
        if self.unknown.len() < VIOLATIONS_MAX && !self.unknown.contains(&number) {
            self.unknown.push(number);
        }
    }

    /// Returns the status for bytes that cannot be decoded, with the name of the field.
    fn malformed(&self, field: Option<&str>, error: &ReadError) -> Status {
        let text = error.to_string();
        let named = field
            .zip(text.split_once(": "))
            .map(|(field, (prefix, what))| {
                let message = pascal_case(&self.pipeline.name);
                format!("{prefix}: {message}Request.{field}: {what}")
            });
        status::malformed_message(&named.unwrap_or(text)).into()
    }
}

/// The values of one input, as far as they were read.
struct Field {
    rank: usize,
    values: Values,
    rows: Rows,
    /// The message of a tensor of three or more dimensions.
    tensor: Option<v1::Tensor>,
}

/// The rows of a matrix so far.
#[derive(Default)]
struct Rows {
    count: usize,
    /// The width of the first row.
    width: usize,
    /// The first row of another width, with its width.
    uneven: Option<(usize, usize)>,
}

impl Field {
    fn new(input: &Input) -> Self {
        Self {
            rank: input.ty.rank(),
            values: Values::new(input.ty.element),
            rows: Rows::default(),
            tensor: None,
        }
    }

    fn read(&mut self, wire_type: WireType, rest: &mut Bytes) -> Result<(), ReadError> {
        match self.rank {
            0 => {
                let mut value = self.values.empty();
                value.read_one(wire_type, rest)?;
                self.values = value;
            }
            1 => self.values.read(wire_type, rest)?,
            2 => {
                let mut row = read_bytes(wire_type, rest)?;
                let before = self.values.len();
                while row.has_remaining() {
                    let (number, wire_type) = decode_key(&mut row)?;
                    match number {
                        1 => self.values.read(wire_type, &mut row)?,
                        _ => skip(wire_type, number, &mut row)?,
                    }
                }
                self.rows.add(self.values.len() - before);
            }
            _ => {
                let tensor = self.tensor.get_or_insert_default();
                let context = DecodeContext::default();
                encoding::message::merge(wire_type, tensor, rest, context)?;
            }
        }
        Ok(())
    }

    fn into_tensor(self, input: &Input) -> Result<Option<Tensor>, String> {
        let element = input.ty.element;
        let is_empty = match self.rank {
            0 | 1 => self.values.len() == 0,
            2 => self.rows.count == 0,
            _ => self.tensor.is_none(),
        };
        let has_other = input.default.is_some() || input.optional;
        if is_empty && (self.rank == 0 || self.rank > 2 || has_other) {
            return Ok(None);
        }
        let shape = match self.rank {
            0 => Vec::new(),
            1 => vec![self.values.len()],
            2 => vec![self.rows.count, self.rows.width(input)?],
            _ => {
                let v1::Tensor { shape, data } = self.tensor.unwrap_or_default();
                let shape: Result<Vec<usize>, _> = shape.into_iter().map(usize::try_from).collect();
                let shape = shape.map_err(|_| "has a negative length in its shape".to_owned())?;
                let tensor = Tensor::from_raw(element, shape, data);
                return tensor.map(Some).map_err(|e| e.to_string());
            }
        };
        self.values.into_tensor(element, shape).map(Some)
    }
}

impl Rows {
    fn add(&mut self, width: usize) {
        if self.count == 0 {
            self.width = width;
        } else if width != self.width && self.uneven.is_none() {
            self.uneven = Some((self.count, width));
        }
        self.count += 1;
    }

    fn width(&self, input: &Input) -> Result<usize, String> {
        if let Some((at, width)) = self.uneven {
            let first = self.width;
            return Err(format!(
                "row {at} has {width} values, but row 0 has {first}"
            ));
        }
        Ok(match input.ty.dims[1] {
            Length::Fixed(n) if self.count == 0 => n,
            Length::Fixed(_) | Length::Symbol(_) => self.width,
        })
    }
}

/// A list of values as protobuf has them.
enum Values {
    Bool(Vec<bool>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Text(StringsBuilder),
    Bytes(StringsBuilder),
}

impl Values {
    fn new(element: ElementType) -> Self {
        match element {
            ElementType::String => Self::Text(StringsBuilder::default()),
            ElementType::Bytes => Self::Bytes(StringsBuilder::default()),
            ElementType::Bool => Self::Bool(Vec::new()),
            ElementType::I8 | ElementType::I16 | ElementType::I32 => Self::I32(Vec::new()),
            ElementType::I64 => Self::I64(Vec::new()),
            ElementType::U8 | ElementType::U16 | ElementType::U32 => Self::U32(Vec::new()),
            ElementType::U64 => Self::U64(Vec::new()),
            ElementType::F16 | ElementType::BF16 | ElementType::F32 => Self::F32(Vec::new()),
            ElementType::F64 => Self::F64(Vec::new()),
        }
    }

    /// Returns an empty list of the same type.
    fn empty(&self) -> Self {
        match self {
            Self::Bool(_) => Self::Bool(Vec::new()),
            Self::I32(_) => Self::I32(Vec::new()),
            Self::I64(_) => Self::I64(Vec::new()),
            Self::U32(_) => Self::U32(Vec::new()),
            Self::U64(_) => Self::U64(Vec::new()),
            Self::F32(_) => Self::F32(Vec::new()),
            Self::F64(_) => Self::F64(Vec::new()),
            Self::Text(_) => Self::Text(StringsBuilder::default()),
            Self::Bytes(_) => Self::Bytes(StringsBuilder::default()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bool(list) => list.len(),
            Self::I32(list) => list.len(),
            Self::I64(list) => list.len(),
            Self::U32(list) => list.len(),
            Self::U64(list) => list.len(),
            Self::F32(list) => list.len(),
            Self::F64(list) => list.len(),
            Self::Text(texts) | Self::Bytes(texts) => texts.len(),
        }
    }

    /// Reads the values of a repeated field, packed or not.
    fn read(&mut self, wire_type: WireType, rest: &mut Bytes) -> Result<(), ReadError> {
        use encoding::{bool, double, float, int32, int64, uint32, uint64};

        let context = DecodeContext::default();
        match self {
            Self::Bool(list) => bool::merge_repeated(wire_type, list, rest, context)?,
            Self::I32(list) => int32::merge_repeated(wire_type, list, rest, context)?,
            Self::I64(list) => int64::merge_repeated(wire_type, list, rest, context)?,
            Self::U32(list) => uint32::merge_repeated(wire_type, list, rest, context)?,
            Self::U64(list) => uint64::merge_repeated(wire_type, list, rest, context)?,
            Self::F32(list) => float::merge_repeated(wire_type, list, rest, context)?,
            Self::F64(list) => double::merge_repeated(wire_type, list, rest, context)?,
            Self::Text(texts) => texts.push(check_text(&read_bytes(wire_type, rest)?)?.as_bytes()),
            Self::Bytes(texts) => texts.push(&read_bytes(wire_type, rest)?),
        }
        Ok(())
    }

    /// Reads the value of a field that is not repeated.
    fn read_one(&mut self, wire_type: WireType, rest: &mut Bytes) -> Result<(), ReadError> {
        let is_number = !matches!(self, Self::Text(_) | Self::Bytes(_));
        if is_number && wire_type == WireType::LengthDelimited {
            // As prost says it: only repeated numbers can be packed.
            let expected = match self {
                Self::F32(_) => WireType::ThirtyTwoBit,
                Self::F64(_) => WireType::SixtyFourBit,
                _ => WireType::Varint,
            };
            encoding::check_wire_type(expected, wire_type)?;
        }
        self.read(wire_type, rest)
    }

    fn into_tensor(self, element: ElementType, shape: Vec<usize>) -> Result<Tensor, String> {
        fn narrow<W, T>(shape: Vec<usize>, values: Vec<W>) -> Result<Tensor, String>
        where
            W: Copy + std::fmt::Display,
            T: Element + TryFrom<W>,
        {
            let one = |v: W| T::try_from(v).map_err(|_| format!("{v} does not fit {}", T::TYPE));
            let values: Result<Vec<T>, String> = values.into_iter().map(one).collect();
            Tensor::from_values(shape, values?).map_err(said)
        }
        fn half<T: Element>(
            shape: Vec<usize>,
            values: Vec<f32>,
            of: fn(f32) -> T,
        ) -> Result<Tensor, String> {
            Tensor::from_values(shape, values.into_iter().map(of).collect()).map_err(said)
        }
        match (self, element) {
            (Self::I32(values), ElementType::I8) => narrow::<_, i8>(shape, values),
            (Self::I32(values), ElementType::I16) => narrow::<_, i16>(shape, values),
            (Self::I32(values), _) => Tensor::from_values(shape, values).map_err(said),
            (Self::U32(values), ElementType::U8) => narrow::<_, u8>(shape, values),
            (Self::U32(values), ElementType::U16) => narrow::<_, u16>(shape, values),
            (Self::U32(values), _) => Tensor::from_values(shape, values).map_err(said),
            (Self::I64(values), _) => Tensor::from_values(shape, values).map_err(said),
            (Self::U64(values), _) => Tensor::from_values(shape, values).map_err(said),
            (Self::F32(values), ElementType::F16) => half(shape, values, half::f16::from_f32),
            (Self::F32(values), ElementType::BF16) => half(shape, values, half::bf16::from_f32),
            (Self::F32(values), _) => Tensor::from_values(shape, values).map_err(said),
            (Self::F64(values), _) => Tensor::from_values(shape, values).map_err(said),
            (Self::Bool(values), _) => Tensor::bools(&values).reshape(shape).map_err(said),
            (Self::Text(texts) | Self::Bytes(texts), _) => {
                Tensor::from_raw(element, shape, texts.finish()).map_err(said)
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value)]
fn said(error: TensorError) -> String {
    error.to_string()
}

/// Returns the content of a length-delimited field, a slice of the message.
fn read_bytes(wire_type: WireType, rest: &mut Bytes) -> Result<Bytes, ReadError> {
    let mut content = Bytes::new();
    encoding::bytes::merge(wire_type, &mut content, rest, DecodeContext::default())?;
    Ok(content)
}

fn read_text(wire_type: WireType, rest: &mut Bytes) -> Result<String, ReadError> {
    let bytes = read_bytes(wire_type, rest)?;
    check_text(&bytes).map(str::to_owned)
}

fn check_text(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).map_err(|_| ReadError::NotText)
}

fn skip(wire_type: WireType, number: u32, rest: &mut Bytes) -> Result<(), ReadError> {
    Ok(skip_field(
        wire_type,
        number,
        rest,
        DecodeContext::default(),
    )?)
}

/// Bytes that are no message of the type.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    // In the words of prost, whose reader of strings copies each.
    #[error("failed to decode Protobuf message: invalid string value: data is not UTF-8 encoded")]
    NotText,
}

//! One pass over the keys and lengths of a message.

use super::shapes::{Content, FieldShape, Memory, MessageId, Shapes};

/// The most memory that a decoded message may take for each of its bytes, beside
/// [`DECODED_BYTES_SPARE`].
pub const EXPANSION_MAX: usize = 9;
/// Memory that a decoded message may take however small it is.
pub const DECODED_BYTES_SPARE: usize = 4 << 20;
/// The most fields of a message, those of messages inside it included.
pub const FIELDS_MAX: usize = 1 << 20;
/// The most messages directly inside one message: inputs, outputs and parameters together.
pub const MESSAGES_MAX: usize = 4096;
/// The most fields of a message whose type does not have them.
pub const UNKNOWN_FIELDS_MAX: usize = 1000;
/// The deepest nesting of messages, as prost has it.
const DEPTH_MAX: usize = 100;

/// Returns the most memory that a decoded message of `bytes` bytes may take.
pub const fn decoded_bytes_max(bytes: usize) -> usize {
    DECODED_BYTES_SPARE + EXPANSION_MAX * bytes
}

/// A message over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExpansionError {
    /// Too much memory.
    #[error("its fields would take more than {limit} bytes of memory once decoded")]
    Memory {
        /// The most memory, in bytes.
        limit: usize,
    },
    /// Too many fields.
    #[error("it has more than {FIELDS_MAX} fields")]
    Fields,
    /// Too many messages inside one.
    #[error("it has more than {MESSAGES_MAX} tensors, parameters or other messages in one place")]
    Messages,
    /// Too many unknown fields.
    #[error("it has more than {UNKNOWN_FIELDS_MAX} fields that its type does not have")]
    UnknownFields,
}

/// Cost of a message that is within its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Memory of its decoded values, in bytes, without what stays in the buffer of the message. At
    /// most a few times too much, and never much too little.
    pub decoded_bytes: usize,
    /// Fields, and elements of packed lists.
    pub values: usize,
}

/// Scans the message `root` of `shapes`, which may take `decoded_bytes_max` bytes of memory. Bytes
/// that are no message are scanned up to there: decoding ends there, too.
///
/// # Errors
/// When the message is over a limit.
///
/// ```
/// use motet_proto::inference::ModelInferRequest;
/// use motet_proto::wire::{decoded_bytes_max, scan, Memory, Shapes};
/// use prost::{Message, Name};
///
/// let files = prost_types::FileDescriptorSet::decode(motet_proto::FILE_DESCRIPTOR_SET)?;
/// let shapes = Shapes::new(&files.file, Memory::Structs);
/// let root = shapes.find(&ModelInferRequest::full_name()).unwrap();
/// // An empty tensor has two bytes, and takes some 300 of memory.
/// let inputs = vec![Default::default(); 100_000];
/// let request = ModelInferRequest { inputs, ..Default::default() };
/// let bytes = request.encode_to_vec();
/// assert!(scan(&shapes, root, &bytes, decoded_bytes_max(bytes.len())).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn scan(
    shapes: &Shapes,
    root: MessageId,
    bytes: &[u8],
    decoded_bytes_max: usize,
) -> Result<Scanned, ExpansionError> {
    let mut scan = Scan {
        scanned: Scanned::default(),
        fields: 0,
        unknown: 0,
        limit: decoded_bytes_max,
        messages_max: match shapes.memory {
            Memory::Structs => MESSAGES_MAX,
            // Messages of other servers, with lists of their own.
            Memory::Values { .. } => FIELDS_MAX,
        },
    };
    let outermost = Frame {
        message: root,
        end: bytes.len(),
        is_empty: true,
        messages: 0,
    };
    let mut open = [outermost; DEPTH_MAX + 1];
    let mut depth = 0;
    let mut at = 0;
    loop {
        while at >= open[depth].end {
            if depth == 0 {
                return Ok(scan.scanned);
            }
            depth -= 1;
        }
        let frame = &mut open[depth];
        let Some(key) = varint(&bytes[..frame.end], &mut at) else {
            return Ok(scan.scanned);
        };
        let number = u32::try_from(key >> 3).unwrap_or(0);
        let field = shapes.field(frame.message, number);
        scan.count(
            field.is_none(),
            std::mem::take(&mut frame.is_empty),
            shapes.memory,
        )?;
        let end = frame.end;
        let length = match key & 7 {
            VARINT => {
                if varint(&bytes[..end], &mut at).is_none() {
                    return Ok(scan.scanned);
                }
                0
            }
            FIXED64 => 8,
            FIXED32 => 4,
            LENGTH_DELIMITED => {
                let Some(length) = varint(&bytes[..end], &mut at) else {
                    return Ok(scan.scanned);
                };
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            // The fields of a group count as those of the message around it.
            GROUP_START | GROUP_END => 0,
            _ => return Ok(scan.scanned),
        };
        let Some(after) = at.checked_add(length).filter(|after| *after <= end) else {
            return Ok(scan.scanned);
        };
        let content = &bytes[at..after];
        let delimited = key & 7 == LENGTH_DELIMITED;
        match field {
            None => scan.take(unknown_bytes(shapes.memory))?,
            Some(FieldShape {
                bytes: own,
                content: kind,
            }) => match kind {
                Content::Message(inside) if delimited => {
                    scan.take(own)?;
                    open[depth].messages += 1;
                    if open[depth].messages > scan.messages_max {
                        return Err(ExpansionError::Messages);
                    }
                    if depth == DEPTH_MAX {
                        return Ok(scan.scanned);
                    }
                    depth += 1;
                    open[depth] = Frame {
                        message: inside,
                        end: after,
                        is_empty: true,
                        messages: 0,
                    };
                    continue;
                }
                Content::Number { width } if delimited => {
                    let count = match width {
                        // The last byte of each has no continuation bit.
                        0 => content.iter().filter(|byte| **byte < 0x80).count(),
                        width => content.len() / width,
                    };
                    scan.scanned.values += count;
                    scan.take(own.saturating_mul(count))?;
                }
                Content::Copied => scan.take(own.saturating_add(content.len()))?,
                Content::Message(_) | Content::Number { .. } | Content::Shared => scan.take(own)?,
            },
        }
        at = after;
    }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const GROUP_START: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// Memory of a node of a tree of fields, which has place for eleven.
const TREE_NODE: usize = 11;

/// Returns the memory of an unknown field: generated code drops it.
const fn unknown_bytes(memory: Memory) -> usize {
    match memory {
        Memory::Structs => 0,
        Memory::Values { value } => 2 * value,
    }
}

/// A message whose end has not been reached.
#[derive(Debug, Clone, Copy)]
struct Frame {
    message: MessageId,
    end: usize,
    /// No field of it was read yet.
    is_empty: bool,
    /// Messages directly inside it, so far.
    messages: usize,
}

struct Scan {
    scanned: Scanned,
    fields: usize,
    unknown: usize,
    limit: usize,
    messages_max: usize,
}

impl Scan {
    fn count(&mut self, unknown: bool, first: bool, memory: Memory) -> Result<(), ExpansionError> {
        self.scanned.values += 1;
        self.fields += 1;
        self.unknown += usize::from(unknown);
        if self.unknown > UNKNOWN_FIELDS_MAX {
            return Err(ExpansionError::UnknownFields);
        }
        if self.fields > FIELDS_MAX {
            return Err(ExpansionError::Fields);
        }
        match memory {
            Memory::Values { value } if first => self.take(TREE_NODE * (value + 8)),
            _ => Ok(()),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), ExpansionError> {
        let all = self.scanned.decoded_bytes.saturating_add(bytes);
        self.scanned.decoded_bytes = all;
        if all > self.limit {
            return Err(ExpansionError::Memory { limit: self.limit });
        }
        Ok(())
    }
}

/// Reads a varint at `at` and moves it behind; `None` where there is none.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for (shift, byte) in (0..64).step_by(7).zip(bytes.get(*at..)?) {
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

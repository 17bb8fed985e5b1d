//! Element types.

use std::fmt;
use std::str::FromStr;

use super::TypeError;

/// Type of the elements of a tensor.
///
/// [`ElementType::String`] and [`ElementType::Bytes`] are both `BYTES` on the wire; a string is
/// checked to be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// UTF-8 string.
    String,
    /// Byte string.
    Bytes,
    /// Boolean: one byte, 0 or 1.
    Bool,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer: `int` in a pipeline file.
    I64,
    /// Unsigned 8-bit integer.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16.
    BF16,
    /// IEEE 754 single precision: `float` in a pipeline file.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl ElementType {
    /// Every element type, in the order of the documentation.
    pub const ALL: [Self; 15] = [
        Self::String,
        Self::Bytes,
        Self::Bool,
        Self::I64,
        Self::F32,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U64,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::F64,
        Self::F16,
        Self::BF16,
    ];

    /// Name in pipeline files and signatures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "int",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "float",
            Self::F64 => "f64",
        }
    }

    /// Name (`datatype`) in the Open Inference Protocol.
    pub const fn oip_name(self) -> &'static str {
        match self {
            Self::String | Self::Bytes => "BYTES",
            Self::Bool => "BOOL",
            Self::I8 => "INT8",
            Self::I16 => "INT16",
            Self::I32 => "INT32",
            Self::I64 => "INT64",
            Self::U8 => "UINT8",
            Self::U16 => "UINT16",
            Self::U32 => "UINT32",
            Self::U64 => "UINT64",
            Self::F16 => "FP16",
            Self::BF16 => "BF16",
            Self::F32 => "FP32",
            Self::F64 => "FP64",
        }
    }

    /// Returns the element type of an Open Inference Protocol `datatype`. `BYTES` is
    /// [`ElementType::Bytes`]: the protocol does not promise UTF-8.
    pub fn from_oip(datatype: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|e| *e != Self::String && e.oip_name() == datatype)
    }

    /// Bytes of an element; `None` where each element has a length of its own.
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::String | Self::Bytes => None,
            Self::Bool | Self::I8 | Self::U8 => Some(1),
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => Some(2),
            Self::I32 | Self::U32 | Self::F32 => Some(4),
            Self::I64 | Self::U64 | Self::F64 => Some(8),
        }
    }

    /// Returns whether elements are numbers: neither strings, bytes nor booleans.
    pub const fn is_number(self) -> bool {
        !matches!(self, Self::String | Self::Bytes | Self::Bool)
    }

    /// Returns whether elements are floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// Returns whether elements are integers.
    pub const fn is_integer(self) -> bool {
        self.is_number() && !self.is_float()
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ElementType {
    type Err = TypeError;

    /// Reads a name ([`ElementType::name`]) or one of the aliases `i64` and `f32`.
    fn from_str(s: &str) -> Result<Self, TypeError> {
        match s {
            "i64" => return Ok(Self::I64),
            "f32" => return Ok(Self::F32),
            _ => {}
        }
        Self::ALL
            .into_iter()
            .find(|e| e.name() == s)
            .ok_or_else(|| TypeError::UnknownElement(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oip_names_round_trip() {
        for e in ElementType::ALL {
            let back = ElementType::from_oip(e.oip_name()).unwrap();
            assert_eq!(
                back,
                if e == ElementType::String {
                    ElementType::Bytes
                } else {
                    e
                }
            );
        }
        assert_eq!(ElementType::from_oip("FP8"), None);
    }
}

//! Element types, dimensions and tensor types, with the text form that pipeline files and
//! signatures use: `string`, `string[N]`, `float[N,384]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The type of one tensor element.
///
/// [`ElementType::String`] and [`ElementType::Bytes`] are both `BYTES` on the wire; a string is
/// additionally checked to be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// UTF-8 text.
    String,
    /// Arbitrary bytes of any length.
    Bytes,
    /// One byte, 0 or 1.
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
    /// Every element type, in the order in which documentation lists them.
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

    /// The name in pipeline files and signatures.
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

    /// The `datatype` of the Open Inference Protocol.
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

    /// The element type of an Open Inference Protocol `datatype`; `BYTES` gives
    /// [`ElementType::Bytes`], since the wire does not promise UTF-8.
    pub fn from_oip(datatype: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|e| *e != Self::String && e.oip_name() == datatype)
    }

    /// Bytes per element, or `None` where elements have lengths of their own.
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::String | Self::Bytes => None,
            Self::Bool | Self::I8 | Self::U8 => Some(1),
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => Some(2),
            Self::I32 | Self::U32 | Self::F32 => Some(4),
            Self::I64 | Self::U64 | Self::F64 => Some(8),
        }
    }

    /// Whether elements are numbers (and not text, bytes or truth values).
    pub const fn is_number(self) -> bool {
        !matches!(self, Self::String | Self::Bytes | Self::Bool)
    }

    /// Whether elements are floating point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// Whether elements are integers.
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

    /// Accepts the names of [`ElementType::name`] and the aliases `i64` and `f32`.
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

/// One dimension of a tensor type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always this many.
    Fixed(usize),
    /// Known at run time; two dimensions with one symbol have one length.
    Symbol(String),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Symbol(s) => f.write_str(s),
        }
    }
}

/// An element type and a shape whose dimensions may be symbols. No dimension at all is a scalar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The type of each element.
    pub element: ElementType,
    /// The dimensions, outermost first.
    pub dims: Vec<Dim>,
}

impl TensorType {
    /// A scalar of `element`.
    pub const fn scalar(element: ElementType) -> Self {
        Self {
            element,
            dims: Vec::new(),
        }
    }

    /// A tensor of `element` with these dimensions.
    pub const fn new(element: ElementType, dims: Vec<Dim>) -> Self {
        Self { element, dims }
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Whether this is a scalar.
    pub fn is_scalar(&self) -> bool {
        self.dims.is_empty()
    }

    /// The shape as the Open Inference Protocol states it: symbols are -1, a scalar is `[1]`.
    pub fn oip_shape(&self) -> Vec<i64> {
        if self.is_scalar() {
            return vec![1];
        }
        self.dims
            .iter()
            .map(|d| match d {
                Dim::Fixed(n) => i64::try_from(*n).unwrap_or(i64::MAX),
                Dim::Symbol(_) => -1,
            })
            .collect()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.element)?;
        if !self.dims.is_empty() {
            f.write_str("[")?;
            for (i, d) in self.dims.iter().enumerate() {
                if i > 0 {
                    f.write_str(",")?;
                }
                write!(f, "{d}")?;
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

/// The largest number of dimensions of a tensor.
pub const MAX_RANK: usize = 8;

impl FromStr for TensorType {
    type Err = TypeError;

    fn from_str(s: &str) -> Result<Self, TypeError> {
        let s = s.trim();
        let Some((element, rest)) = s.split_once('[') else {
            return Ok(Self::scalar(s.parse()?));
        };
        let element = element.trim().parse()?;
        let inner = rest
            .strip_suffix(']')
            .ok_or_else(|| TypeError::Malformed(s.to_owned()))?;
        let dims: Vec<Dim> = inner.split(',').map(parse_dim).collect::<Result<_, _>>()?;
        if dims.len() > MAX_RANK {
            return Err(TypeError::TooManyDims(dims.len()));
        }
        Ok(Self { element, dims })
    }
}

fn parse_dim(s: &str) -> Result<Dim, TypeError> {
    let s = s.trim();
    let mut chars = s.chars();
    match chars.next() {
        Some(c) if c.is_ascii_digit() => s
            .parse::<u32>()
            .map(|n| Dim::Fixed(n as usize))
            .map_err(|_| TypeError::BadDim(s.to_owned())),
        Some(c)
            if c.is_ascii_alphabetic() && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') =>
        {
            Ok(Dim::Symbol(s.to_owned()))
        }
        _ => Err(TypeError::BadDim(s.to_owned())),
    }
}

/// Why a text is not a tensor type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// The element type does not exist.
    #[error("unknown element type `{0}`")]
    UnknownElement(String),
    /// The brackets are off.
    #[error("`{0}` is not a type: write `string`, `string[N]` or `float[N,384]`")]
    Malformed(String),
    /// A dimension is neither a number nor a symbol.
    #[error("`{0}` is not a dimension: write a number or a symbol such as `N`")]
    BadDim(String),
    /// More dimensions than [`MAX_RANK`].
    #[error("{0} dimensions are more than the limit of {MAX_RANK}")]
    TooManyDims(usize),
}

impl Serialize for TensorType {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TensorType {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_as_they_print() {
        for text in [
            "string",
            "bytes",
            "int",
            "float[N,384]",
            "i32[M]",
            "bf16[2,3,4]",
            "bool[N_1]",
        ] {
            assert_eq!(text.parse::<TensorType>().unwrap().to_string(), text);
        }
        assert_eq!(
            "f32[ N , 3 ]".parse::<TensorType>().unwrap().to_string(),
            "float[N,3]"
        );
        assert_eq!(
            "i64".parse::<TensorType>().unwrap(),
            TensorType::scalar(ElementType::I64)
        );
    }

    #[test]
    fn wrong_types_say_why() {
        for (text, why) in [
            ("strin", "unknown element type `strin`"),
            ("float[N", "`float[N` is not a type"),
            ("float[]", "`` is not a dimension"),
            ("float[-1]", "`-1` is not a dimension"),
            ("float[99999999999]", "`99999999999` is not a dimension"),
            ("u8[1,1,1,1,1,1,1,1,1]", "9 dimensions"),
        ] {
            let error = text.parse::<TensorType>().unwrap_err().to_string();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }

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

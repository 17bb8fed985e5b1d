//! Tensor types: element type and shape.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ElementType, TypeError};

/// Length of one dimension of a tensor type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A fixed length.
    Fixed(usize),
    /// A length known at run time; dimensions with the same symbol have the same length.
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

/// An element type and a shape whose lengths may be symbols. A scalar has no dimensions.
///
/// ```
/// use motet_proto::{Dim, ElementType, TensorType};
///
/// let ty: TensorType = "float[N, 384]".parse()?;
/// assert_eq!(ty.element, ElementType::F32);
/// assert_eq!(ty.dims, [Dim::Symbol("N".to_owned()), Dim::Fixed(384)]);
/// assert_eq!(ty.to_string(), "float[N,384]");
/// # Ok::<(), motet_proto::types::TypeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Type of each element.
    pub element: ElementType,
    /// Lengths of the dimensions, outermost first.
    pub dims: Vec<Dim>,
}

impl TensorType {
    /// Creates the type of a scalar.
    pub const fn scalar(element: ElementType) -> Self {
        Self {
            element,
            dims: Vec::new(),
        }
    }

    /// Creates the type of a tensor with `dims`.
    pub const fn new(element: ElementType, dims: Vec<Dim>) -> Self {
        Self { element, dims }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Returns whether this is a scalar.
    pub fn is_scalar(&self) -> bool {
        self.dims.is_empty()
    }

    /// Returns the shape in the Open Inference Protocol: symbols are -1, a scalar is `[1]`.
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

/// Most dimensions of a tensor.
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

/// Reads a length: a number or a symbol.
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
    fn a_type_is_read_as_it_is_printed() {
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
    fn a_malformed_type_is_refused_with_the_reason() {
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
}

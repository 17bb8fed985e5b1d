//! Inputs of a pipeline.

use std::fmt;
use std::str::FromStr;

/// An input of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Type of its values.
    pub kind: PortType,
    /// A row must have a value for it.
    pub required: bool,
}

/// A type of values: an element, and the number of dimensions around it.
///
/// ```
/// use motet_rows::{Element, PortType};
///
/// let texts: PortType = "string[N]".parse().unwrap();
/// assert_eq!((texts.element, texts.rank), (Element::Text, 1));
/// assert_eq!(texts.to_string(), "string[N]");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortType {
    /// Type of one element.
    pub element: Element,
    /// Number of dimensions: 0 for one value, 1 for a list, 2 for a list of lists.
    pub rank: usize,
    /// The type as a pipeline file writes it.
    written: String,
}

/// Type of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// A text.
    Text,
    /// Bytes, in base64 where they are text.
    Bytes,
    /// True or false.
    Bool,
    /// A whole number in a range.
    Whole {
        /// The least.
        min: i64,
        /// The greatest.
        max: u64,
    },
    /// A number.
    Number,
}

/// A text that is no type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortTypeError(String);

impl fmt::Display for PortTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a type, such as `string` or `float[N,384]`",
            self.0
        )
    }
}

impl std::error::Error for PortTypeError {}

impl FromStr for PortType {
    type Err = PortTypeError;

    fn from_str(text: &str) -> Result<Self, PortTypeError> {
        let refused = || PortTypeError(text.to_owned());
        let (element, rank) = match text.split_once('[') {
            None => (text, 0),
            Some((element, dims)) => {
                let dims = dims.strip_suffix(']').ok_or_else(refused)?;
                (element, dims.split(',').count())
            }
        };
        Ok(Self {
            element: Element::named(element.trim()).ok_or_else(refused)?,
            rank,
            written: text.to_owned(),
        })
    }
}

impl PortType {
    /// Returns the length of its innermost lists, where the type says it.
    ///
    /// ```
    /// let vectors: motet_rows::PortType = "float[N,384]".parse().unwrap();
    /// assert_eq!(vectors.length(), Some(384));
    /// ```
    pub fn length(&self) -> Option<usize> {
        let (_, dims) = self.written.strip_suffix(']')?.split_once('[')?;
        dims.split(',').next_back()?.trim().parse().ok()
    }
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Element {
    fn named(name: &str) -> Option<Self> {
        let whole = |min, max| Some(Self::Whole { min, max });
        match name {
            "string" => Some(Self::Text),
            "bytes" => Some(Self::Bytes),
            "bool" => Some(Self::Bool),
            "i8" => whole(i8::MIN.into(), i8::MAX as u64),
            "i16" => whole(i16::MIN.into(), i16::MAX as u64),
            "i32" => whole(i32::MIN.into(), i32::MAX as u64),
            "int" | "i64" => whole(i64::MIN, i64::MAX as u64),
            "u8" => whole(0, u8::MAX.into()),
            "u16" => whole(0, u16::MAX.into()),
            "u32" => whole(0, u32::MAX.into()),
            "u64" => whole(0, u64::MAX),
            "f16" | "bf16" | "f32" | "float" | "f64" => Some(Self::Number),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_pipeline_files_write_them() {
        let u8s = Element::Whole { min: 0, max: 255 };
        for (text, expected) in [
            ("string", Some((Element::Text, 0))),
            ("string[N]", Some((Element::Text, 1))),
            ("float[N,384]", Some((Element::Number, 2))),
            ("u8[N, M,3]", Some((u8s, 3))),
            ("bool", Some((Element::Bool, 0))),
            ("text", None),
            ("string[N", None),
            ("", None),
        ] {
            let read: Option<PortType> = text.parse().ok();
            assert_eq!(read.map(|t| (t.element, t.rank)), expected, "{text}");
        }
        for (text, expected) in [
            ("float[384]", Some(384)),
            ("u8[3, M,7]", Some(7)),
            ("float[3,N]", None),
            ("float[N]", None),
            ("float", None),
        ] {
            let read: PortType = text.parse().unwrap();
            assert_eq!(read.length(), expected, "{text}");
        }
    }
}

//! Columns of parts, by the types of outputs.

use std::sync::Arc;

use motet_rows::{Element, Port, PortType};
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

/// A type of values. Every value may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// One value.
    Scalar(Scalar),
    /// A list.
    List(Box<Node>),
    /// Named values.
    Struct(Vec<(String, Node)>),
}

/// A type of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Text,
    Bytes,
    Bool,
    Int32,
    Int64,
    UInt64,
    Float,
    Double,
}

impl Node {
    pub(crate) const TEXT: Self = Self::Scalar(Scalar::Text);

    /// Returns the type of the error of a row.
    pub(crate) fn error() -> Self {
        let fields = [
            ("code", Self::TEXT),
            ("message", Self::TEXT),
            ("node", Self::TEXT),
            ("attempts", Self::Scalar(Scalar::Int32)),
        ];
        Self::Struct(fields.map(|(name, node)| (name.to_owned(), node)).into())
    }

    /// Returns the type that all of these values have; that of texts where there is none.
    pub(crate) fn of_values<'v>(values: impl Iterator<Item = &'v Value>) -> Self {
        let values: Vec<&Value> = values.filter(|value| !value.is_null()).collect();
        let all = |fits: fn(&Value) -> bool| values.iter().all(|value| fits(value));
        Self::Scalar(match values.is_empty() {
            true => Scalar::Text,
            false if all(Value::is_boolean) => Scalar::Bool,
            false if all(Value::is_i64) => Scalar::Int64,
            false if all(Value::is_number) => Scalar::Double,
            false => Scalar::Text,
        })
    }

    /// Returns the type of values of an output, of which `outer` dimensions are around it already.
    fn of(kind: &PortType, outer: usize) -> Self {
        let scalar = match kind.element {
            Element::Text => Scalar::Text,
            Element::Bytes => Scalar::Bytes,
            Element::Bool => Scalar::Bool,
            Element::Whole { min, max } => match (min, max) {
                (i64::MIN..0, _) if min >= i32::MIN.into() => Scalar::Int32,
                (0, 0..=0xffff) => Scalar::Int32,
                (_, u64::MAX) => Scalar::UInt64,
                _ => Scalar::Int64,
            },
            Element::Number if kind.to_string().starts_with("f64") => Scalar::Double,
            Element::Number => Scalar::Float,
        };
        let dims = kind.rank.saturating_sub(outer);
        (0..dims).fold(Self::Scalar(scalar), |inner, _| Self::List(Box::new(inner)))
    }

    /// Returns the column of this name as Parquet declares it.
    fn declare(&self, name: &str) -> Result<TypePtr, ParquetError> {
        let optional = Repetition::OPTIONAL;
        let declared = match self {
            Self::Scalar(scalar) => {
                let (physical, converted) = scalar.physical();
                Type::primitive_type_builder(name, physical)
                    .with_repetition(optional)
                    .with_converted_type(converted)
                    .build()?
            }
            Self::List(inner) => {
                let list = Type::group_type_builder("list")
                    .with_repetition(Repetition::REPEATED)
                    .with_fields(vec![inner.declare("element")?])
                    .build()?;
                Type::group_type_builder(name)
                    .with_repetition(optional)
                    .with_converted_type(ConvertedType::LIST)
                    .with_fields(vec![Arc::new(list)])
                    .build()?
            }
            Self::Struct(fields) => {
                let fields = fields.iter().map(|(name, node)| node.declare(name));
                Type::group_type_builder(name)
                    .with_repetition(optional)
                    .with_fields(fields.collect::<Result<_, _>>()?)
                    .build()?
            }
        };
        Ok(Arc::new(declared))
    }
}

impl Scalar {
    const fn physical(self) -> (Physical, ConvertedType) {
        match self {
            Self::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
            Self::Bytes => (Physical::BYTE_ARRAY, ConvertedType::NONE),
            Self::Bool => (Physical::BOOLEAN, ConvertedType::NONE),
            Self::Int32 => (Physical::INT32, ConvertedType::NONE),
            Self::Int64 => (Physical::INT64, ConvertedType::NONE),
            Self::UInt64 => (Physical::INT64, ConvertedType::UINT_64),
            Self::Float => (Physical::FLOAT, ConvertedType::NONE),
            Self::Double => (Physical::DOUBLE, ConvertedType::NONE),
        }
    }
}

/// Returns the columns of outputs: of those with these names or paths. Parts of an output that are
/// lists are a list of structs.
pub(crate) fn columns(outputs: &[Port], names: &[String]) -> Vec<(String, Node)> {
    let of = |name: &String| {
        if let Some(port) = outputs.iter().find(|port| port.name == *name) {
            // By its path, it is a list of the parts.
            return (name.clone(), Node::of(&port.kind, 0));
        }
        let parts: Vec<(&str, &Port)> = outputs
            .iter()
            .filter_map(|port| {
                let rest = port.name.strip_prefix(name.as_str())?;
                Some((rest.strip_prefix('.')?, port))
            })
            .collect();
        let are_lists = !parts.is_empty() && parts.iter().all(|(_, port)| port.kind.rank > 0);
        let outer = usize::from(are_lists);
        let fields = parts
            .iter()
            .map(|(part, port)| ((*part).to_owned(), Node::of(&port.kind, outer)));
        let of_parts = Node::Struct(fields.collect());
        let node = match are_lists {
            true => Node::List(Box::new(of_parts)),
            false => of_parts,
        };
        (name.clone(), node)
    };
    names.iter().map(of).collect()
}

/// Returns the schema of these columns.
///
/// # Errors
/// Names that Parquet cannot have.
pub(super) fn schema(columns: &[(String, Node)]) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(|(name, node)| node.declare(name));
    let schema = Type::group_type_builder("rows")
        .with_fields(fields.collect::<Result<_, _>>()?)
        .build()?;
    Ok(Arc::new(schema))
}

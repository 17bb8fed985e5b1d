//! Columns of parts that have types, by the types of outputs.

use motet_rows::{Element, Port, PortType};
use serde_json::Value;

/// A type of values. Every value may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// One value.
    Scalar(Scalar),
    /// A list, with its length where all have the same.
    List(Box<Node>, Option<usize>),
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

    /// Returns lists of this type, of any length.
    pub(crate) fn list(of: Self) -> Self {
        Self::List(Box::new(of), None)
    }

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
        (0..dims).fold(Self::Scalar(scalar), |inner, dim| {
            let length = (dim == 0).then(|| kind.length()).flatten();
            Self::List(Box::new(inner), length)
        })
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
            true => Node::list(of_parts),
            false => of_parts,
        };
        (name.clone(), node)
    };
    names.iter().map(of).collect()
}

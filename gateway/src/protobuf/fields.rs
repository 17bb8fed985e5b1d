//! Paths of fields in messages, and their tensor types.

use std::ops::Range;

use motet_proto::types::ElementType;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Most fields of one path.
const DEPTH_MAX: usize = 32;

/// Path of a field in a message or in a message inside it. At most one field of the path is
/// repeated; the values of all its elements form one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    /// Fields of the path, outermost first.
    pub(super) steps: Vec<FieldDescriptor>,
    /// Index of the repeated field.
    pub(super) list: Option<usize>,
    element: ElementType,
}

/// Error of a path that is not a field with a tensor type. The message has no full stop at its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PathError {
    /// Message.
    pub message: String,
    /// Bytes of the path that are wrong.
    pub at: Range<usize>,
    /// Names of the existing fields, for an unknown name.
    pub known: Vec<String>,
    /// Suggested correction.
    pub help: Option<String>,
}

impl FieldPath {
    /// Finds the field `path` of `message`, such as `text` or `items.score`.
    ///
    /// # Errors
    /// When there is no such field, or it has no tensor type.
    pub fn find(message: &MessageDescriptor, path: &str) -> Result<Self, PathError> {
        let mut inside = message.clone();
        let mut steps: Vec<FieldDescriptor> = Vec::new();
        let mut list = None;
        let mut start = 0;
        loop {
            let end = path[start..]
                .find('.')
                .map_or(path.len(), |dot| start + dot);
            let name = &path[start..end];
            let wrong = |message: String| PathError {
                message,
                at: start..end,
                known: Vec::new(),
                help: None,
            };
            let Some(field) = inside.get_field_by_name(name) else {
                return Err(PathError {
                    known: inside.fields().map(|f| f.name().to_owned()).collect(),
                    ..wrong(format!(
                        "`{}` has no field `{}`",
                        inside.full_name(),
                        motet_config::truncated(name)
                    ))
                });
            };
            if steps.len() == DEPTH_MAX {
                return Err(wrong(format!(
                    "the path has more than the limit of {DEPTH_MAX} fields"
                )));
            }
            if field.is_map() || field.is_group() {
                return Err(wrong(format!(
                    "{}, which has no tensor form",
                    describe(&field)
                )));
            }
            if field.is_list() {
                if let Some(outer) = list {
                    let outer: &FieldDescriptor = &steps[outer];
                    return Err(wrong(format!(
                        "{}, inside the list `{}`: a list of lists has no tensor form",
                        describe(&field),
                        outer.name()
                    )));
                }
                list = Some(steps.len());
            }
            let kind = field.kind();
            steps.push(field.clone());
            let is_last = end == path.len();
            match (kind, is_last) {
                (Kind::Message(message), false) => inside = message,
                (Kind::Message(message), true) => {
                    let Some(value) = wrapped(&message) else {
                        return Err(PathError {
                            help: message.fields().next().map(|first| {
                                format!("name one of its fields, such as `{path}.{}`", first.name())
                            }),
                            ..wrong(format!("{}, which is not one value", describe(&field)))
                        });
                    };
                    let element = element(&value.kind());
                    steps.push(value);
                    return Self::of(steps, list, element, wrong);
                }
                (_, false) => {
                    return Err(wrong(format!(
                        "{}, which has no fields of its own",
                        describe(&field)
                    )));
                }
                (kind, true) => return Self::of(steps, list, element(&kind), wrong),
            }
            start = end + 1;
        }
    }

    fn of(
        steps: Vec<FieldDescriptor>,
        list: Option<usize>,
        element: Option<ElementType>,
        wrong: impl Fn(String) -> PathError,
    ) -> Result<Self, PathError> {
        let Some(element) = element else {
            return Err(wrong("the field has no tensor form".to_owned()));
        };
        Ok(Self {
            steps,
            list,
            element,
        })
    }

    /// Returns the type of each value.
    pub const fn element(&self) -> ElementType {
        self.element
    }

    /// Returns whether a field of the path is repeated.
    pub const fn is_list(&self) -> bool {
        self.list.is_some()
    }

    /// Returns whether the path is a field of a repeated message.
    pub fn is_column(&self) -> bool {
        self.list.is_some_and(|at| at + 1 < self.steps.len())
    }

    /// Returns the path up to the repeated field, which columns of one list share.
    pub fn list_path(&self) -> Option<String> {
        let names = self.steps[..=self.list?]
            .iter()
            .map(|f| f.name().to_owned());
        Some(names.collect::<Vec<_>>().join("."))
    }

    /// Returns whether an unset field differs from one that is set to its default.
    pub fn can_be_absent(&self) -> bool {
        self.list.is_none() && self.steps.iter().any(FieldDescriptor::supports_presence)
    }

    /// Returns the names of the values of an enum; `None` for other fields.
    pub fn enum_values(&self) -> Option<Vec<String>> {
        match self.leaf().kind() {
            Kind::Enum(words) => Some(words.values().map(|v| v.name().to_owned()).collect()),
            _ => None,
        }
    }

    /// Describes the field, such as ``field `size` of `ocr.v1.ReadRequest` is int32``.
    pub fn describe(&self) -> String {
        let last = self.steps.len() - 1;
        let shown = match self.steps.get(last.wrapping_sub(1)) {
            Some(around) if is_wrapper(&around.kind()) => around,
            _ => &self.steps[last],
        };
        describe(shown)
    }

    /// Returns the name of the `oneof` that prevents this field and `other` from being set
    /// together.
    pub fn shared_oneof(&self, other: &Self) -> Option<String> {
        let pairs = self.steps.iter().zip(&other.steps);
        let (a, b) = pairs.into_iter().find(|(a, b)| a != b)?;
        let oneof = a.containing_oneof()?;
        (b.containing_oneof().as_ref() == Some(&oneof)).then(|| oneof.name().to_owned())
    }

    pub(super) fn leaf(&self) -> &FieldDescriptor {
        &self.steps[self.steps.len() - 1]
    }
}

/// Returns the field of a wrapper message such as `google.protobuf.StringValue`.
fn wrapped(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    let values = [
        "BoolValue",
        "BytesValue",
        "DoubleValue",
        "FloatValue",
        "Int32Value",
        "Int64Value",
        "StringValue",
        "UInt32Value",
        "UInt64Value",
    ];
    values
        .contains(&name)
        .then(|| message.get_field_by_name("value"))?
}

fn is_wrapper(kind: &Kind) -> bool {
    matches!(kind, Kind::Message(message) if wrapped(message).is_some())
}

/// Returns the element type of a field. An enum is the name of its value.
fn element(kind: &Kind) -> Option<ElementType> {
    Some(match kind {
        Kind::Bool => ElementType::Bool,
        Kind::String | Kind::Enum(_) => ElementType::String,
        Kind::Bytes => ElementType::Bytes,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => ElementType::I32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => ElementType::I64,
        Kind::Uint32 | Kind::Fixed32 => ElementType::U32,
        Kind::Uint64 | Kind::Fixed64 => ElementType::U64,
        Kind::Float => ElementType::F32,
        Kind::Double => ElementType::F64,
        Kind::Message(_) => return None,
    })
}

fn describe(field: &FieldDescriptor) -> String {
    format!(
        "field `{}` of `{}` is {}",
        field.name(),
        field.parent_message().full_name(),
        kind(field)
    )
}

/// Returns the type of a field as in a .proto file.
fn kind(field: &FieldDescriptor) -> String {
    if field.is_map() {
        return "a map".to_owned();
    }
    if field.is_group() {
        return "a group".to_owned();
    }
    let name = match field.kind() {
        Kind::Message(message) => format!("`{}`", message.full_name()),
        Kind::Enum(words) => format!("the enum `{}`", words.full_name()),
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
    };
    if field.is_list() {
        format!("repeated {name}")
    } else {
        name
    }
}

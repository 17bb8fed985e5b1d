//! Memory of decoded messages, by field.

use std::collections::HashMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

/// Memory of an empty `String` or `Vec`.
const LIST: usize = 24;
/// Memory of an empty `Bytes`.
const BYTES: usize = 32;
/// Memory of an empty `HashMap`.
const MAP: usize = 48;
/// Least memory of an allocation beside what it holds.
const ALLOCATION: usize = 16;

/// Representation of decoded messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Structs of generated code.
    Structs,
    /// Values in trees of fields, each `value` bytes, such as those of prost-reflect.
    Values {
        /// Size of one value.
        value: usize,
    },
}

/// The index of a message type of some [`Shapes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(pub(super) usize);

/// Memory that the fields of message types take once they are decoded.
#[derive(Debug, Clone)]
pub struct Shapes {
    messages: Vec<MessageShape>,
    by_name: HashMap<String, MessageId>,
    pub(super) memory: Memory,
}

#[derive(Debug, Clone, Default)]
struct MessageShape {
    /// By number, ascending.
    fields: Vec<(u32, FieldShape)>,
}

/// One field of a message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldShape {
    /// Memory of each occurrence or, for packed numbers, of each element.
    pub(super) bytes: usize,
    pub(super) content: Content,
}

/// Content of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// One number, or packed ones of this many bytes; 0 for those of variable length.
    Number { width: usize },
    /// Text that is copied.
    Copied,
    /// Bytes that stay in the buffer of the message.
    Shared,
    /// A message.
    Message(MessageId),
}

impl Shapes {
    /// Returns the shapes of all messages of some files, which have what they import.
    pub fn new<'f>(
        files: impl IntoIterator<Item = &'f FileDescriptorProto>,
        memory: Memory,
    ) -> Self {
        let mut found = Vec::new();
        for file in files {
            collect(file.package(), &file.message_type, &mut found);
        }
        Self::of(found, memory)
    }

    /// Returns the shapes of the message `root` of some files and of those that it can contain, and
    /// the index of `root`, if the files have it.
    pub fn reachable<'f>(
        files: impl IntoIterator<Item = &'f FileDescriptorProto>,
        root: &str,
        memory: Memory,
    ) -> Option<(Self, MessageId)> {
        let mut all = Vec::new();
        for file in files {
            collect(file.package(), &file.message_type, &mut all);
        }
        let mut left: HashMap<&str, &DescriptorProto> = all
            .iter()
            .map(|(name, message)| (name.as_str(), *message))
            .collect();
        let mut found = vec![(root.to_owned(), left.remove(root)?)];
        let mut at = 0;
        while let Some((_, message)) = found.get(at) {
            let inside: Vec<_> = message
                .field
                .iter()
                .map(|field| field.type_name().trim_start_matches('.'))
                .filter_map(|name| Some((name.to_owned(), left.remove(name)?)))
                .collect();
            found.extend(inside);
            at += 1;
        }
        Some((Self::of(found, memory), MessageId(0)))
    }

    fn of(found: Vec<(String, &DescriptorProto)>, memory: Memory) -> Self {
        let ids = found.iter().zip(0..);
        let by_name = ids
            .map(|((name, _), at)| (name.clone(), MessageId(at)))
            .collect();
        let mut shapes = Self {
            messages: Vec::new(),
            by_name,
            memory,
        };
        let sizes = shapes.struct_sizes(&found);
        shapes.messages = found
            .iter()
            .map(|(_, message)| shapes.message(message, &found, &sizes))
            .collect();
        shapes
    }

    /// Returns the message type with a full name such as `inference.ModelInferRequest`.
    pub fn find(&self, name: &str) -> Option<MessageId> {
        self.by_name.get(name).copied()
    }

    /// Returns a field of a message; `None` for an unknown one.
    pub(super) fn field(&self, message: MessageId, number: u32) -> Option<FieldShape> {
        let fields = &self.messages.get(message.0)?.fields;
        // Most messages number their fields from 1 without gaps.
        if let Some((n, field)) = fields.get((number as usize).wrapping_sub(1))
            && *n == number
        {
            return Some(*field);
        }
        let at = fields.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        Some(fields[at].1)
    }

    fn message_of(&self, field: &FieldDescriptorProto) -> Option<MessageId> {
        self.find(field.type_name().trim_start_matches('.'))
    }

    fn message(
        &self,
        message: &DescriptorProto,
        all: &[(String, &DescriptorProto)],
        sizes: &[usize],
    ) -> MessageShape {
        let field = |field: &FieldDescriptorProto| {
            let number = u32::try_from(field.number()).ok()?;
            Some((number, self.field_shape(field, all, sizes)))
        };
        let mut fields: Vec<_> = message.field.iter().filter_map(field).collect();
        fields.sort_unstable_by_key(|(number, _)| *number);
        MessageShape { fields }
    }

    fn field_shape(
        &self,
        field: &FieldDescriptorProto,
        all: &[(String, &DescriptorProto)],
        sizes: &[usize],
    ) -> FieldShape {
        let message = self.message_of(field);
        let content = match (field.r#type(), message) {
            (Type::Message | Type::Group, Some(id)) => Content::Message(id),
            (Type::String, _) => Content::Copied,
            (Type::Bytes | Type::Message | Type::Group, _) => Content::Shared,
            (Type::Double | Type::Fixed64 | Type::Sfixed64, _) => Content::Number { width: 8 },
            (Type::Float | Type::Fixed32 | Type::Sfixed32, _) => Content::Number { width: 4 },
            _ => Content::Number { width: 0 },
        };
        let repeated = field.label() == Label::Repeated;
        let is_map =
            message.is_some_and(|id| all[id.0].1.options.as_ref().is_some_and(|o| o.map_entry()));
        let own = match (self.memory, content) {
            (Memory::Values { value }, _) => value,
            (Memory::Structs, Content::Message(id)) => sizes[id.0],
            (Memory::Structs, Content::Copied) => LIST,
            (Memory::Structs, Content::Shared) => BYTES,
            (Memory::Structs, Content::Number { .. }) => number_size(field.r#type()),
        };
        let bytes = match (repeated, self.memory) {
            // The table is at most 7/8 full, and doubles.
            (true, _) if is_map => 2 * own,
            // The list doubles.
            (true, _) => own + own / 2,
            // Part of the struct around it.
            (false, Memory::Structs) => 0,
            (false, Memory::Values { value }) => value,
        };
        let bytes = bytes
            + if content == Content::Copied {
                ALLOCATION
            } else {
                0
            };
        FieldShape { bytes, content }
    }

    /// Returns the size of the generated struct of each message, or somewhat more. One that
    /// contains itself is boxed.
    fn struct_sizes(&self, all: &[(String, &DescriptorProto)]) -> Vec<usize> {
        let mut sizes = vec![0; all.len()];
        // A message is complete after as many rounds as messages are nested in it.
        for _ in 0..STRUCT_ROUNDS {
            for at in 0..all.len() {
                sizes[at] = self.struct_size(all[at].1, &sizes).min(STRUCT_MAX);
            }
        }
        sizes
    }

    fn struct_size(&self, message: &DescriptorProto, sizes: &[usize]) -> usize {
        let size = |field: &FieldDescriptorProto| {
            let message = self.message_of(field);
            match (field.label(), field.r#type()) {
                (Label::Repeated, Type::Message) => MAP,
                (Label::Repeated, _) => LIST,
                (_, Type::String) => LIST,
                (_, Type::Bytes) => BYTES,
                (_, Type::Message | Type::Group) => message.map_or(LIST, |id| sizes[id.0]) + 8,
                _ => 16,
            }
        };
        message.field.iter().map(size).sum::<usize>().max(8)
    }
}

/// Deepest nesting of structs in structs whose size is computed.
const STRUCT_ROUNDS: usize = 8;
/// Largest size of a struct that is computed; larger ones are recursive, hence boxed.
const STRUCT_MAX: usize = 4096;

/// Returns the messages of a file with their full names, nested ones included.
fn collect<'m>(
    scope: &str,
    messages: &'m [DescriptorProto],
    found: &mut Vec<(String, &'m DescriptorProto)>,
) {
    // Descriptors are decoded by prost, which limits how deep they are.
    for message in messages {
        let name = match scope {
            "" => message.name().to_owned(),
            scope => format!("{scope}.{}", message.name()),
        };
        collect(&name, &message.nested_type, found);
        found.push((name, message));
    }
}

/// Returns the size of one number of generated code.
const fn number_size(ty: Type) -> usize {
    match ty {
        Type::Bool => 1,
        Type::Float
        | Type::Fixed32
        | Type::Sfixed32
        | Type::Int32
        | Type::Uint32
        | Type::Sint32
        | Type::Enum => 4,
        _ => 8,
    }
}

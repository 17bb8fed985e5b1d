//! Code for every type of number, chosen by the element type of a tensor.

/// Evaluates an expression with `$T` as the Rust type of a number's element type, or another
/// expression for an element type that is not a number.
macro_rules! for_number {
    ($element:expr, $T:ident => $body:expr, _ => $other:expr $(,)?) => {
        match $element {
            motet_proto::types::ElementType::I8 => {
                type $T = i8;
                $body
            }
            motet_proto::types::ElementType::I16 => {
                type $T = i16;
                $body
            }
            motet_proto::types::ElementType::I32 => {
                type $T = i32;
                $body
            }
            motet_proto::types::ElementType::I64 => {
                type $T = i64;
                $body
            }
            motet_proto::types::ElementType::U8 => {
                type $T = u8;
                $body
            }
            motet_proto::types::ElementType::U16 => {
                type $T = u16;
                $body
            }
            motet_proto::types::ElementType::U32 => {
                type $T = u32;
                $body
            }
            motet_proto::types::ElementType::U64 => {
                type $T = u64;
                $body
            }
            motet_proto::types::ElementType::F16 => {
                type $T = half::f16;
                $body
            }
            motet_proto::types::ElementType::BF16 => {
                type $T = half::bf16;
                $body
            }
            motet_proto::types::ElementType::F32 => {
                type $T = f32;
                $body
            }
            motet_proto::types::ElementType::F64 => {
                type $T = f64;
                $body
            }
            motet_proto::types::ElementType::Bool
            | motet_proto::types::ElementType::String
            | motet_proto::types::ElementType::Bytes => $other,
        }
    };
}

pub(crate) use for_number;

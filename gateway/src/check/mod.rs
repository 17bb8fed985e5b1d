//! Checks a parsed pipeline against the signatures of what it calls.

mod checked;

pub use checked::{
    Argument, CheckedPipeline, Column, Deadline, Input, Length, Literal, Node, NodeKind, OnError,
    Output, OutputKind, Produced, Scalar, Setting, SettingValue, Source, Substitute, Symbol,
    SymbolId, ValueType,
};

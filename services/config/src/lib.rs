//! Reading of configuration files: YAML text to a tree of spanned values, and every mistake in
//! one report. This crate knows no keys: each key is read by the crate that it configures.
//!
//! * `source`: [`Sources`], the texts that were read, and [`Span`], a range of bytes in one.
//! * `yaml`: [`parse`], YAML text to a [`Node`] tree; `scalar`: the type of a plain scalar;
//!   `yaml_error`: the diagnostic of a text that is not YAML.
//! * `node`: [`Node`], [`Value`], [`Map`] and [`Entry`], each with its span.
//! * `reader`: [`MapReader`], which reports the missing and unknown keys of a map.
//! * [`values`]: readers of single values: texts, counts, durations, sizes, words.
//! * `diagnostics`: [`Diagnostic`] and [`Diagnostics`], near names, lists of names.
//! * `render`: a report with line, column and caret.

mod diagnostics;
mod node;
mod reader;
mod render;
mod scalar;
mod source;
pub mod values;
mod yaml;
mod yaml_error;

pub use diagnostics::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, Severity, list_of, nearest};
pub use node::{Entry, Map, Node, Value};
pub use reader::{MapReader, shown};
pub use render::Colour;
pub use source::{FILE_BYTES_MAX, FileId, ReadError, SourceFile, Sources, Span, Spanned};
pub use yaml::{DEPTH_MAX, NODES_MAX, parse};

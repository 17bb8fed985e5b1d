//! Reading of configuration files: YAML text to a tree of spanned values, and every mistake in
//! one report.
//!
//! This crate knows no keys: each is read by the crate that it configures.
//!
//! * `source`: [`Sources`], the texts that were read, and [`Span`], a range of bytes in one.
//! * `yaml`: [`parse`], text to a [`Node`] tree.
//! * `node`: [`Node`], [`Value`], [`Map`] and [`Entry`].
//! * `reader`: [`MapReader`], which reports missing and unknown keys of a map.
//! * [`files`]: bounded reads of the files that a user names.
//! * `fingerprint`: [`Fingerprint`], which version of files is there.
//! * [`values`]: readers of single values: strings, counts, durations, sizes, words.
//! * [`keys`]: the keys of a map as a table, with default, range and meaning of each.
//! * [`structs`]: the keys of a map as a struct of serde's.
//! * [`schema`]: fragments of JSON schemas.
//! * `diagnostics`: [`Diagnostic`], one mistake, and [`Diagnostics`], all of them.
//! * `names`: near names and lists of names, for messages.
//! * `render`: a report with line, column and caret.
//!
//! ```
//! use std::time::Duration;
//!
//! use motet_config::{Colour, Diagnostics, MapReader, Sources, parse, values};
//!
//! let mut sources = Sources::new();
//! let mut diagnostics = Diagnostics::new();
//! let file = sources.add("limits.yaml", "", "rows: 0\ntimeuot: 2s\n");
//! let root = parse(&sources, file, &mut diagnostics).expect("a map");
//! if let Some(mut map) = MapReader::new(&root, "the limits", root.span, &mut diagnostics) {
//!     let rows = map.get("rows");
//!     let rows = rows.and_then(|entry| values::count(entry, 1..=64, &mut diagnostics));
//!     let timeout = map.get("timeout");
//!     let range = Duration::ZERO..=values::DURATION_MAX;
//!     let timeout = timeout.and_then(|entry| values::duration(entry, range, &mut diagnostics));
//!     map.finish(&mut diagnostics);
//!     assert!(rows.is_none() && timeout.is_none());
//! }
//! assert_eq!(
//!     diagnostics.render(&sources, Colour::Never),
//!     "\
//! error: `rows` is 0, but must be between 1 and 64
//!  --> limits.yaml:1:7
//!   |
//! 1 | rows: 0
//!   |       ^
//!
//! error: unknown key `timeuot` in the limits
//!  --> limits.yaml:2:1
//!   |
//! 2 | timeuot: 2s
//!   | ^^^^^^^
//!   |
//!   = help: did you mean `timeout`?
//!
//! 2 errors
//! "
//! );
//! ```

mod diagnostics;
pub mod files;
mod fingerprint;
pub mod keys;
mod names;
mod node;
mod reader;
mod render;
pub mod schema;
mod source;
pub mod structs;
pub mod values;
mod yaml;

pub use diagnostics::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, Severity};
pub use fingerprint::Fingerprint;
pub use names::{list_of, nearest, truncated};
pub use node::{Entry, Map, Node, Value};
pub use reader::MapReader;
pub use render::Colour;
pub use source::{FILE_BYTES_MAX, FileId, ReadError, SourceFile, Sources, Span, Spanned};
pub use yaml::{DEPTH_MAX, NODES_MAX, parse};

//! Positions of the YAML parser as spans.

use saphyr_parser::Marker;

use crate::source::{FileId, Span};

/// Converts the parser's positions, which count characters, to spans of bytes.
pub(super) struct SpanMap<'t> {
    file: FileId,
    text: &'t str,
    /// Byte offset of each character; `None` for an ASCII text, where the two agree.
    offsets: Option<Vec<usize>>,
}

impl<'t> SpanMap<'t> {
    pub(super) fn new(file: FileId, text: &'t str) -> Self {
        let offsets = (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i).collect());
        Self {
            file,
            text,
            offsets,
        }
    }

    /// Returns the byte offset of a position.
    pub(super) fn byte(&self, marker: &Marker) -> usize {
        let index = marker.index();
        match &self.offsets {
            None => index.min(self.text.len()),
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.text.len()),
        }
    }

    /// Returns the span of an event without trailing white space, which the parser includes
    /// after a quoted scalar.
    pub(super) fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(&span.start);
        let end = self.byte(&span.end).max(start);
        let trimmed = self.text.get(start..end).map_or(0, |t| t.trim_end().len());
        Span {
            file: self.file,
            start,
            end: if trimmed == 0 { end } else { start + trimmed },
        }
    }
}

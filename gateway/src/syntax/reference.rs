//! `$name` and `$node.port`.

use std::fmt;

use motet_config::{Diagnostic, Diagnostics, Node, Span, Spanned, truncated};

/// Where a value comes from, by name: an input of the pipeline, or an output of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The input or node.
    pub target: Spanned<String>,
    /// The node's output.
    pub port: Option<Spanned<String>>,
    /// For a name that is written without the `$` of a reference: what must be a reference there,
    /// such as `an output`. The check reports it, since it knows the names that there are.
    pub(crate) without_sigil: Option<&'static str>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", truncated(&self.target.value))?;
        if let Some(port) = &self.port {
            write!(f, ".{}", truncated(&port.value))?;
        }
        Ok(())
    }
}

/// Reads a reference from a text that starts with `$`.
pub(super) fn reference(node: &Node, diagnostics: &mut Diagnostics) -> Option<Spanned<Reference>> {
    let text = node.as_str()?;
    let name = text.strip_prefix('$')?;
    let Some(reference) = reference_in(node.span, text, 1, name.len()) else {
        diagnostics.push(
            Diagnostic::error(
                node.span,
                format!("`{}` is not a reference", truncated(text)),
            )
            .help("write `$input` or `$node.output`; a text that starts with `$` is written `$$`"),
        );
        return None;
    };
    Some(Spanned::new(reference, node.span))
}

/// The reference, without its `$`, in `length` bytes of a text from `start` on; `None` where
/// there is none.
pub(super) fn reference_in(
    span: Span,
    text: &str,
    start: usize,
    length: usize,
) -> Option<Reference> {
    let name = &text[start..start + length];
    let (target, port) = match name.split_once('.') {
        Some((target, port)) => (target, Some(port)),
        None => (name, None),
    };
    if !is_name(target) || port.is_some_and(|p| !is_tensor_name(p)) {
        return None;
    }
    let part = |at: usize, length: usize| part_span(span, text, start + at, length);
    Some(Reference {
        target: Spanned::new(target.to_owned(), part(0, target.len())),
        port: port.map(|p| Spanned::new(p.to_owned(), part(target.len() + 1, p.len()))),
        without_sigil: None,
    })
}

/// A name that an input or a node may have, or a slip of one.
fn is_name(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= NAME_BYTES_MAX
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A name that a server outside may use for a tensor, such as `OUTPUT__0` or `dense/out:0`.
fn is_tensor_name(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= NAME_BYTES_MAX
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/' | b':' | b'.'))
}

/// The most bytes of each part of a reference.
const NAME_BYTES_MAX: usize = 200;

/// The place of a part of a text, where quotes or escapes do not hide it.
pub(crate) fn part_span(span: Span, text: &str, start: usize, length: usize) -> Span {
    let quotes = match (span.end - span.start).checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return span,
    };
    let start = span.start + quotes + start;
    Span {
        start,
        end: start + length,
        ..span
    }
}

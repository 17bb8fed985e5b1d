//! What is wrong with a text: gathered, all of it, before anything is started.

use crate::source::{Span, Spanned};

/// The most diagnostics that are kept; what is beyond is only counted.
pub const DIAGNOSTICS_MAX: usize = 200;

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not say what was meant.
    Warning,
}

/// One mistake, where it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where; `None` for what has no place in a file.
    pub span: Option<Span>,
    /// A few words beside the caret.
    pub label: Option<String>,
    /// Other places that matter, each with a few words.
    pub secondary: Vec<Spanned<String>>,
    /// Facts that explain the mistake.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), message.into())
    }

    /// A warning at a place.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), message.into())
    }

    /// An error that is not at a place in a file.
    pub fn error_without_place(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, message.into())
    }

    const fn new(severity: Severity, span: Option<Span>, message: String) -> Self {
        Self {
            severity,
            message,
            span,
            label: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Another place that matters. A place equal to the main one is left out.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        if self.span != Some(span) {
            self.secondary.push(Spanned::new(label.into(), span));
        }
        self
    }

    /// A fact that explains.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// What to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// "did you mean `x`?" where one of `candidates` is near `name`; else the list of them, when
    /// it is short; else nothing.
    #[must_use]
    pub fn suggest<'c>(self, name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        if let Some(near) = nearest(name, candidates.iter().copied()) {
            return self.help(format!("did you mean `{near}`?"));
        }
        match candidates.as_slice() {
            [] => self,
            [only] => self.help(format!("there is only `{only}`")),
            several if several.len() <= SUGGESTED_LIST_MAX => {
                self.help(format!("there are {}", list_of(several)))
            }
            _ => self,
        }
    }
}

/// How many names a help line lists when none is near.
const SUGGESTED_LIST_MAX: usize = 20;

/// `` `a`, `b` and `c` ``.
pub fn list_of<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The candidate that `name` is most likely a slip of, if any is near enough.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // A name that nobody would type is not worth a quadratic comparison.
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|c| *c != name)
        .map(|c| {
            let distance = strsim::damerau_levenshtein(&folded, &c.to_lowercase());
            (distance, c)
        })
        .filter(|(distance, c)| {
            let longest = folded.chars().count().max(c.chars().count());
            *distance <= (longest / 3).max(1) && *distance < longest
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// Gathers diagnostics.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    left_out: usize,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; an exact repetition counts once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.contains(&diagnostic) {
            return;
        }
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.list.len() < DIAGNOSTICS_MAX {
            self.list.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// How many errors there are.
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// How many warnings there are.
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    /// Whether there is any error.
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether there is nothing at all.
    pub const fn is_empty(&self) -> bool {
        self.errors == 0 && self.warnings == 0
    }

    /// How many were counted but not kept.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// All that were kept, by file and position; those without a place first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by_key(|d| d.span.map(|s| (s.file, s.start, s.end)));
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name() {
        let names = ["embedding", "text", "score", "index", "k"];
        for (slip, expected) in [
            ("embeding", Some("embedding")),
            ("Embedding", Some("embedding")),
            ("txet", Some("text")),
            ("scores", Some("score")),
            ("embedding", None),
            ("zzz", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, names), expected, "{slip}");
        }
        assert_eq!(nearest(&"x".repeat(100), names), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list_of::<&str>(&[]), "none");
        assert_eq!(list_of(&["a"]), "`a`");
        assert_eq!(list_of(&["a", "b", "c"]), "`a`, `b` and `c`");
    }

    #[test]
    fn counts_go_on_past_the_limit() {
        let mut all = Diagnostics::new();
        for i in 0..DIAGNOSTICS_MAX + 5 {
            all.push(Diagnostic::error_without_place(format!("{i}")));
        }
        all.push(Diagnostic::error_without_place("0"));
        assert_eq!(all.errors(), DIAGNOSTICS_MAX + 5);
        assert_eq!(all.left_out(), 5);
        assert_eq!(all.sorted().len(), DIAGNOSTICS_MAX);
    }
}

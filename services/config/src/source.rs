//! Configuration texts and positions in them.

use std::path::{Path, PathBuf};

use crate::files;

/// Largest configuration or pipeline file, in bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Identifies a file of a [`Sources`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(usize);

impl FileId {
    /// Returns the file with this number in the order of reading.
    pub(crate) const fn of_number(number: usize) -> Self {
        Self(number)
    }

    /// Returns the number of the file in the order of reading.
    pub(crate) const fn number(self) -> usize {
        self.0
    }
}

/// A range of bytes in a file, on character boundaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// A value with the position where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Position of the value.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Creates a value written at `span`.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Converts the value and keeps the span.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned::new(f(self.value), self.span)
    }

    /// Borrows the value and keeps the span.
    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned::new(&self.value, self.span)
    }
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    name: String,
    folder: PathBuf,
    text: String,
    line_starts: Vec<usize>,
}

impl SourceFile {
    /// Name in messages: the path as the user gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder that relative paths in the file start from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the text, without a byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns line and column of a byte offset, both counted from 1, columns in characters.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let byte = byte.min(self.text.len());
        let line = self
            .line_starts
            .partition_point(|&start| start <= byte)
            .max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..byte).map_or(0, |s| s.chars().count());
        (line, column + 1)
    }
}

/// The files that were read, in the order of reading. Every [`Span`] points into one.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text that is in memory. Messages call it `name`; relative paths in it start from
    /// `folder`.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        folder: impl Into<PathBuf>,
        text: impl Into<String>,
    ) -> FileId {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(i, _)| i + 1))
            .collect();
        self.files.push(SourceFile {
            name: name.into(),
            folder: folder.into(),
            text,
            line_starts,
        });
        FileId(self.files.len() - 1)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than [`FILE_BYTES_MAX`], or is not UTF-8.
    pub fn read(&mut self, path: &Path) -> Result<FileId, ReadError> {
        let name = path.display().to_string();
        let fail = |reason| ReadError {
            path: name.clone(),
            reason,
        };
        let text = files::read_text(path, FILE_BYTES_MAX as u64);
        let text = text.map_err(|error| fail(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(self.add(name, folder, text))
    }

    /// Iterates over the files.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    /// Returns the file of `id`.
    ///
    /// # Panics
    /// When `id` came from another [`Sources`].
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0]
    }

    /// Returns the text of a span.
    pub fn snippet(&self, span: Span) -> &str {
        self.file(span.file)
            .text
            .get(span.start..span.end)
            .unwrap_or("")
    }

    /// Returns the span of a whole file.
    pub fn whole(&self, file: FileId) -> Span {
        Span {
            file,
            start: 0,
            end: self.file(file).text.len(),
        }
    }
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{path}`: {reason}")]
pub struct ReadError {
    /// The path as given.
    pub path: String,
    /// The reason.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_counted_in_characters() {
        let mut sources = Sources::new();
        let id = sources.add("x.yaml", "", "\u{feff}a: é\r\nbb: 日本\n");
        let file = sources.file(id);
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position(5), (1, 5));
        assert_eq!(file.position(7), (2, 1));
        assert_eq!(file.position(14), (2, 6));
        assert_eq!(file.position(9999), (3, 1));
    }

    #[test]
    fn an_unreadable_file_is_refused_with_the_reason() {
        let mut sources = Sources::new();
        let folder = std::env::temp_dir();
        let missing = folder.join("motet-no-such-file.yaml");
        assert!(
            sources
                .read(&missing)
                .unwrap_err()
                .to_string()
                .ends_with("no such file")
        );
        assert!(
            sources
                .read(&folder)
                .unwrap_err()
                .to_string()
                .ends_with("it is a folder")
        );
        let latin = folder.join(format!("motet-latin-{}.yaml", std::process::id()));
        std::fs::write(&latin, b"a: caf\xe9\n").unwrap();
        let error = sources.read(&latin).unwrap_err().to_string();
        std::fs::remove_file(&latin).unwrap();
        assert!(error.contains("not UTF-8 text (byte 6"), "{error}");
    }
}

//! Lines of a file, with their places.

use std::io::{self, BufRead};

use super::ROW_BYTES_MAX;
use super::rows::Place;

/// Three bytes that some programs write before a text in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Beginnings of texts in UTF-16 and UTF-32.
const WIDE: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Lines of a file that are not blank.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    next: Place,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Place of its beginning.
    pub(super) place: Place,
    /// Its bytes; the beginning of a line that is longer than a row may be.
    pub(super) bytes: Vec<u8>,
    /// It is longer than a row may be.
    pub(super) is_too_long: bool,
}

impl<R: BufRead> Lines<R> {
    /// Returns the lines of what `reader` has from `place` on.
    pub(super) fn new(reader: R, place: Place) -> Self {
        Self {
            reader,
            next: place,
        }
    }

    /// Returns the next line that is not blank.
    ///
    /// # Errors
    /// A reader's, and a text in UTF-16.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let place = self.next;
            let Some((mut bytes, is_too_long)) = self.read()? else {
                return Ok(None);
            };
            if place.offset == 0 {
                if WIDE.iter().any(|wide| bytes.starts_with(wide)) {
                    let message = "it is a text in UTF-16: write it in UTF-8";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                if bytes.starts_with(MARK) {
                    bytes.drain(..MARK.len());
                }
            }
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Line {
                    place,
                    bytes,
                    is_too_long,
                }));
            }
        }
    }

    /// Returns the next line with its end, and whether it was cut.
    fn read(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut bytes = Vec::new();
        let mut length = 0;
        loop {
            let available = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            let end = available.iter().position(|b| *b == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            let room = ROW_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend_from_slice(&available[..taken.min(room)]);
            self.reader.consume(taken);
            length += taken;
            if taken == 0 && length == 0 {
                return Ok(None);
            }
            if end.is_some() || taken == 0 {
                self.next.offset += length as u64;
                self.next.line += 1;
                return Ok(Some((bytes, length > ROW_BYTES_MAX)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> io::Result<Vec<(u64, u64, String)>> {
        let mut lines = Lines::new(text, Place::START);
        let mut found = Vec::new();
        while let Some(line) = lines.next()? {
            let text = String::from_utf8(line.bytes).unwrap();
            found.push((line.place.offset, line.place.line, text));
        }
        Ok(found)
    }

    #[test]
    fn lines_have_their_places() {
        for (text, expected) in [
            ("", &[][..]),
            ("a", &[(0, 1, "a")][..]),
            ("a\n\n  \r\nb\r\n", &[(0, 1, "a"), (7, 4, "b")]),
            ("\u{feff}a\nb\n", &[(0, 1, "a"), (5, 2, "b")]),
            ("\n\n", &[]),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(offset, line, text)| (*offset, *line, (*text).to_owned()))
                .collect();
            assert_eq!(all(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
        assert!(all(b"\xff\xfea\0").is_err());
    }

    proptest! {
        /// Whatever is read from the place of a line on is that line and those after it.
        #[test]
        fn a_place_is_a_beginning(text in "[ab\r\n ]{0,60}") {
            let found = all(text.as_bytes()).unwrap();
            for (at, (offset, line, _)) in found.iter().enumerate() {
                let place = Place { offset: *offset, line: *line };
                let mut rest = Lines::new(&text.as_bytes()[*offset as usize..], place);
                for (_, line, text) in &found[at..] {
                    let next = rest.next().unwrap().unwrap();
                    prop_assert_eq!(next.place.line, *line);
                    prop_assert_eq!(&String::from_utf8(next.bytes).unwrap(), text);
                }
                prop_assert!(rest.next().unwrap().is_none());
            }
        }
    }
}

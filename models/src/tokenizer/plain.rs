//! Which words of a text can be told apart byte by byte.

use std::ops::Range;

/// The bytes of plain words: letters, digits and punctuation of ASCII, but for those that may begin
/// an added token.
#[derive(Clone, Debug)]
pub(super) struct Plain([bool; 256]);

/// Bytes after which a part without plain words ends at the next border of words: what the library
/// keeps of a text then stays in the cache.
const OTHER_BYTES: usize = 4 << 10;

/// A part of a text, as a range of its bytes. Between parts there is only whitespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A plain word: bytes between whitespace, all of them plain.
    Word(Range<usize>),
    /// Anything else, with the whitespace around it.
    Other(Range<usize>),
}

impl Plain {
    /// Bytes in `but` are not plain.
    pub(super) fn but(but: &[u8]) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !but.contains(&byte);
        Self(std::array::from_fn(|byte| {
            u8::try_from(byte).is_ok_and(is_plain)
        }))
    }

    /// Returns the parts of a text in order.
    pub(super) fn parts<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Part> + 'a {
        let mut from = 0;
        std::iter::from_fn(move || {
            let part = self.part(text.as_bytes(), from)?;
            let (Part::Word(bytes) | Part::Other(bytes)) = &part;
            from = bytes.end;
            Some(part)
        })
    }

    /// Returns the first part at or after `from`.
    fn part(&self, text: &[u8], from: usize) -> Option<Part> {
        let mut end = from;
        let mut is_plain = true;
        loop {
            let start = end + run(&text[end..], is_space);
            if start == text.len() {
                return (!is_plain).then_some(Part::Other(from..start));
            }
            if !is_plain && start - from >= OTHER_BYTES {
                return Some(Part::Other(from..start));
            }
            end = start + run(&text[start..], |byte| !is_space(byte));
            if text[start..end].iter().all(|&byte| self.0[byte as usize]) {
                return Some(if is_plain {
                    Part::Word(start..end)
                } else {
                    Part::Other(from..start)
                });
            }
            is_plain = false;
        }
    }
}

/// Whitespace of which every tokenizer here makes a border of words. There is more of it in
/// Unicode; words that have it are not plain.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Returns how many of the first bytes are like this.
fn run(bytes: &[u8], is_like_this: impl Fn(u8) -> bool) -> usize {
    let end = bytes.iter().position(|&byte| !is_like_this(byte));
    end.unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_plain_or_go_together_with_what_is_around_them() {
        let parts = |text| -> Vec<Part> { Plain::but(b"[").parts(text).collect() };
        assert_eq!(parts(""), []);
        assert_eq!(parts(" \t\r\n"), []);
        assert_eq!(parts(" so,\twhat?"), [Part::Word(1..4), Part::Word(5..10)]);
        assert_eq!(
            parts("a  é [x]\u{a0}b  c "),
            [Part::Word(0..1), Part::Other(1..14), Part::Word(14..15)]
        );
        assert_eq!(parts(" \u{b}"), [Part::Other(0..2)]);
        assert_eq!(parts("日 本 "), [Part::Other(0..8)]);
    }
}

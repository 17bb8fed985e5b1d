//! Cleaning a text while keeping track of where each character came from.

/// A cleaned text, and where it came from.
///
/// Cleaning does this and nothing more:
/// * control characters become spaces (of them, line breaks and tabs count as white space anyway);
/// * a run of white space becomes one space, or one line break where it held an empty line;
/// * white space at both ends goes.
///
/// Letters are not changed: case, accents and normal forms are the tokenizer's affair.
#[derive(Debug)]
pub(super) struct Cleaned {
    pub(super) text: String,
    /// For each byte of `text`, the number of its character in the original.
    origin: Vec<u32>,
}

impl Cleaned {
    pub(super) fn new(original: &str) -> Self {
        let mut cleaned = Self {
            text: String::with_capacity(original.len()),
            origin: Vec::with_capacity(original.len()),
        };
        let mut gap: Option<Gap> = None;
        for (number, c) in (0u32..).zip(original.chars()) {
            if is_blank(c) {
                let gap = gap.get_or_insert(Gap {
                    start: number,
                    line_breaks: 0,
                });
                gap.line_breaks += usize::from(c == '\n');
                continue;
            }
            if let Some(gap) = gap.take().filter(|_| !cleaned.text.is_empty()) {
                cleaned.push(if gap.line_breaks > 1 { '\n' } else { ' ' }, gap.start);
            }
            cleaned.push(c, number);
        }
        cleaned
    }

    fn push(&mut self, c: char, number: u32) {
        self.text.push(c);
        self.origin.resize(self.text.len(), number);
    }

    /// Number in the original of the character at this byte of the cleaned text.
    pub(super) fn origin(&self, byte: usize) -> usize {
        self.origin[byte] as usize
    }
}

/// White space that has not been written yet.
struct Gap {
    start: u32,
    line_breaks: usize,
}

/// Returns whether cleaning treats a character as white space.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_folded_and_control_characters_are_spaces() {
        let check = |original: &str, expected: &str| {
            assert_eq!(Cleaned::new(original).text, expected, "{original:?}")
        };
        check("", "");
        check(" \t\r\n\u{3000} ", "");
        check("  a  b\tc\nd ", "a b c d");
        check("first.\n\nsecond.\r\n \r\nthird", "first.\nsecond.\nthird");
        check("a\u{0}b\u{7}\u{1b}[1mc\u{85}d", "a b [1mc d");
        check("e\u{301}👩\u{200d}🚀 日本", "e\u{301}👩\u{200d}🚀 日本");
    }

    #[test]
    fn each_byte_knows_its_character() {
        let cleaned = Cleaned::new("  é \t日\u{0}x");
        assert_eq!(cleaned.text, "é 日 x");
        let origins: Vec<usize> = (0..cleaned.text.len())
            .map(|byte| cleaned.origin(byte))
            .collect();
        assert_eq!(origins, [2, 2, 3, 5, 5, 5, 6, 7]);
    }
}

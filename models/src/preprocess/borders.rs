//! Where a text may be cut, and how good a place it is.

use crate::tokenizer::TokenSpan;

/// How good a place before a token is for a cut; later ones are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Border {
    /// Inside a character that takes several tokens.
    Character,
    /// Inside a word.
    Token,
    /// Between a word and a punctuation mark, or between two ideographs.
    Piece,
    /// At white space.
    Word,
    /// Between sentences or paragraphs.
    Sentence,
}

/// Ends a sentence if white space follows.
const ENDS: [char; 4] = ['.', '!', '?', '…'];
/// Ends a sentence in scripts that put no space after it.
const WIDE_ENDS: [char; 3] = ['。', '！', '？'];
/// May stand between a sentence's end and the next sentence.
const CLOSERS: [char; 9] = ['"', '\'', ')', ']', '}', '”', '’', '」', '』'];
/// How many closers are looked through. A bound, so that a text of nothing but closers takes linear
/// time.
const CLOSERS_MAX: usize = 4;

/// Returns the border before each token of a cleaned text; the first token's is a sentence border.
pub(super) fn borders(text: &str, tokens: &[TokenSpan]) -> Vec<Border> {
    let before = |index: usize| match index.checked_sub(1) {
        None => Border::Sentence,
        Some(previous) => between(text, &tokens[previous], &tokens[index]),
    };
    (0..tokens.len()).map(before).collect()
}

fn between(text: &str, left: &TokenSpan, right: &TokenSpan) -> Border {
    let at = right.bytes.start;
    if at < left.bytes.end || !text.is_char_boundary(at) {
        return Border::Character;
    }
    let head = &text[..at];
    if head.ends_with('\n') {
        return Border::Sentence;
    }
    let (head, spaced) = match head.strip_suffix(' ') {
        Some(head) => (head, true),
        None => (head, false),
    };
    if ends_sentence(head, spaced) {
        return Border::Sentence;
    }
    if spaced {
        Border::Word
    } else if left.word != right.word {
        Border::Piece
    } else {
        Border::Token
    }
}

/// Returns whether a sentence ends with `head`; `spaced` tells whether white space follows.
fn ends_sentence(head: &str, spaced: bool) -> bool {
    let mut chars = head.chars().rev();
    let mut last = chars.next();
    for _ in 0..CLOSERS_MAX {
        match last {
            Some(c) if CLOSERS.contains(&c) => last = chars.next(),
            _ => break,
        }
    }
    match last {
        Some(c) if WIDE_ENDS.contains(&c) => true,
        // "J. Smith", "e.g. this": a full stop after a single letter does not end a sentence.
        Some('.') if spaced => {
            let single_letter = chars.next().is_some_and(char::is_alphabetic)
                && !chars.next().is_some_and(char::is_alphanumeric);
            !single_letter
        }
        Some(c) => spaced && ENDS.contains(&c),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The border before the last character of a text whose characters are tokens, letters that
    /// touch being one word.
    fn check(text: &str, expected: Border) {
        let mut word = 0;
        let mut tokens: Vec<TokenSpan> = Vec::new();
        for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
            let joined = tokens
                .last()
                .is_some_and(|last| last.bytes.end == at && c.is_ascii_alphabetic());
            word += u32::from(!joined);
            tokens.push(TokenSpan {
                id: 0,
                bytes: at..at + c.len_utf8(),
                word: Some(word),
            });
        }
        assert_eq!(borders(text, &tokens).pop(), Some(expected), "{text:?}");
    }

    #[test]
    fn the_kind_of_border_is_seen() {
        check("a", Border::Sentence);
        check("ab", Border::Token);
        check("a,", Border::Piece);
        check("日本", Border::Piece);
        check("ab c", Border::Word);
        check("ab, c", Border::Word);
        check("ab. C", Border::Sentence);
        check("ab . c", Border::Sentence);
        check("ab.\" C", Border::Sentence);
        check("ab!) C", Border::Sentence);
        check("3.5", Border::Piece);
        check("J. S", Border::Word);
        check("e.g. t", Border::Word);
        check("日。本", Border::Sentence);
        check("日。」本", Border::Sentence);
        check("ab\nc", Border::Sentence);
        check(")))))))) c", Border::Word);
    }

    #[test]
    fn tokens_of_one_character_are_not_parted() {
        let token = |word| TokenSpan {
            id: 0,
            bytes: 0..4,
            word: Some(word),
        };
        assert_eq!(borders("🦀", &[token(0), token(1)])[1], Border::Character);
    }
}

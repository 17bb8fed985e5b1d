//! Long texts in pieces for the tokenizer library, whose time for one text grows faster than the
//! text: what it keeps of a piece stays in the cache.
//!
//! A piece begins with the space between two letters. No token goes over it where normalizers look
//! at a character and the marks after it, and a pre-tokenizer makes a border there; tokenizers that
//! are not known to do so get their texts whole.

use serde_json::Value;
use tokenizers::Tokenizer;

/// Bytes after which a piece ends at the next place where it may.
const PIECE_BYTES: usize = 4 << 10;

/// Patterns of pre-tokenizers that begin a word with the space before it: those of GPT-4, Llama 3
/// and Qwen, which differ in how many digits are a word.
const PATTERN_START: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}";
const PATTERN_END: &str = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const PATTERN_DIGITS: [&str; 2] = ["", "{1,3}"];

/// Pattern of spaces around a text.
pub(super) const SPACES_AROUND: &str = r"\A +| +\z";

/// Returns the pattern of words of Qwen's tokenizers.
pub(super) fn qwen_words() -> String {
    [PATTERN_START, PATTERN_END].concat()
}

/// Returns whether a tokenizer makes the same tokens of a text and of its pieces.
pub(super) fn are_exact(tokenizer: &Tokenizer) -> bool {
    let written = |part: Option<Value>| part.unwrap_or_default();
    let normalizer = tokenizer.get_normalizer();
    let normalizer = written(normalizer.and_then(|part| serde_json::to_value(part).ok()));
    let pre_tokenizer = tokenizer.get_pre_tokenizer();
    let pre_tokenizer = written(pre_tokenizer.and_then(|part| serde_json::to_value(part).ok()));
    let mut added = tokenizer.get_added_tokens_decoder().into_values();
    is_local(&normalizer)
        && has_borders(&pre_tokenizer)
        && added.all(|token| !token.rstrip && !token.content.contains(char::is_whitespace))
}

/// Returns whether a normalizer, as tokenizer.json has it, makes of a space between two letters,
/// and of what is on its sides, the same wherever they are in a text.
fn is_local(normalizer: &Value) -> bool {
    match normalizer["type"].as_str() {
        None => normalizer.is_null(),
        Some("Sequence") => normalizer["normalizers"]
            .as_array()
            .is_some_and(|parts| parts.iter().all(is_local)),
        Some("Replace") => {
            let is = |pattern: &str, content: &str| {
                normalizer["pattern"]["Regex"] == pattern && normalizer["content"] == content
            };
            // One space for several: there is one. None around a text: words begin anew without.
            is(" {2,}", " ") || is(SPACES_AROUND, "")
        }
        Some(kind) => [
            "BertNormalizer",
            "Lowercase",
            "NFC",
            "NFD",
            "NFKC",
            "NFKD",
            "Nmt",
            "Precompiled",
            "StripAccents",
        ]
        .contains(&kind),
    }
}

/// Returns whether a pre-tokenizer, as tokenizer.json has it, makes a border before each space
/// between two letters, and the same words of a text that begins with one.
fn has_borders(pre_tokenizer: &Value) -> bool {
    match pre_tokenizer["type"].as_str() {
        // The others see the words of the first.
        Some("Sequence") => pre_tokenizer["pretokenizers"]
            .as_array()
            .and_then(|parts| parts.first())
            .is_some_and(has_borders),
        Some("ByteLevel") => pre_tokenizer["use_regex"] != false,
        Some("Metaspace") => pre_tokenizer["split"] != false,
        Some("Split") => {
            pre_tokenizer["pattern"]["Regex"]
                .as_str()
                .is_some_and(is_known)
                && pre_tokenizer["behavior"] == "Isolated"
                && pre_tokenizer["invert"] != true
        }
        Some(kind) => ["BertPreTokenizer", "Whitespace", "WhitespaceSplit"].contains(&kind),
        None => false,
    }
}

fn is_known(pattern: &str) -> bool {
    let digits = pattern
        .strip_prefix(PATTERN_START)
        .and_then(|rest| rest.strip_suffix(PATTERN_END));
    digits.is_some_and(|digits| PATTERN_DIGITS.contains(&digits))
}

/// Returns the pieces of a text in order.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(end_of_piece(rest));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Returns the first place after enough bytes of a text where a piece may end, or its end.
fn end_of_piece(text: &str) -> usize {
    let spaces = text.as_bytes().iter().enumerate().skip(PIECE_BYTES);
    let mut spaces = spaces.filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    let is_between_letters = |at: &usize| {
        let before = text[..*at].chars().next_back();
        let after = text[at + 1..].chars().next();
        before.is_some_and(is_letter) && after.is_some_and(is_letter)
    };
    spaces.find(is_between_letters).unwrap_or(text.len())
}

/// Returns whether a character is a letter of a common alphabet, and no mark on another. (There is
/// more than these; they end no piece.)
fn is_letter(character: char) -> bool {
    matches!(character,
        'a'..='z' | 'A'..='Z'
        | '\u{c0}'..='\u{24f}' // Latin
        | '\u{388}'..='\u{3ff}' | '\u{400}'..='\u{481}' | '\u{48a}'..='\u{52f}' // Greek, Cyrillic
        | '\u{5d0}'..='\u{5ea}' | '\u{620}'..='\u{64a}' // Hebrew, Arabic
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' // Kana
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') // Han, Hangul
        && character.is_alphabetic()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::source::{ModelFiles, Source};
    use crate::tokenizer::TruncationSide;

    fn read(text: &[u8]) -> Tokenizer {
        let mut tokenizer = Tokenizer::from_bytes(text).unwrap();
        tokenizer.with_truncation(None).unwrap();
        tokenizer.with_padding(None);
        tokenizer
    }

    /// Returns the tokenizers of the fixtures that are known to give exact pieces, by name.
    fn tokenizers() -> BTreeMap<String, Tokenizer> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
        let mut found = BTreeMap::new();
        for folder in ["fixtures", "token_vectors", "sparse"] {
            for entry in std::fs::read_dir(tests.join(folder)).unwrap() {
                let entry = entry.unwrap();
                let Ok(text) = std::fs::read(entry.path().join("tokenizer.json")) else {
                    continue;
                };
                let tokenizer = read(&text);
                if are_exact(&tokenizer) {
                    found.insert(entry.file_name().to_string_lossy().into_owned(), tokenizer);
                }
            }
        }
        found
    }

    fn ids<'t>(tokenizer: &Tokenizer, texts: impl Iterator<Item = &'t str>) -> Vec<u32> {
        let encode = |text| tokenizer.encode_fast(text, false).unwrap();
        texts
            .flat_map(|text| encode(text).get_ids().to_vec())
            .collect()
    }

    /// Words and signs with everything that a border could be mistaken for.
    fn words() -> impl Strategy<Value = String> {
        let fixed = prop::sample::select(vec![
            " ",
            "  ",
            "\n",
            "\t ",
            "\r\n",
            "a",
            "the",
            "wing",
            "River",
            "привет",
            "Ж",
            "σς",
            "Σ",
            "e\u{301}",
            "\u{301}",
            " \u{308}x",
            "機",
            "日本",
            "コー",
            "\u{3099}",
            "ภาษา",
            "हिन्दी",
            "עב",
            "شكل",
            "한",
            "\u{1112}\u{1161}",
            "don't",
            "it's",
            "3",
            "1234",
            "x2",
            "-",
            "...",
            "<mask>",
            " <mask>",
            "</s>",
            "[MASK] ",
            "[SEP]",
            "▁",
            "▁the",
            "##ing",
            "Ġ",
            "🎶",
            "\u{200d}",
            "\u{a0}",
            "\u{2028}",
            "\u{3000}",
            "\0",
            "\u{feff}",
            "ﬁ",
            "Ⅳ",
            "ß",
            "İ",
        ]);
        prop_oneof![
            6 => fixed.prop_map(str::to_owned),
            3 => Just(" ".to_owned()),
            2 => "[a-z]{1,9}",
            1 => "[ -~]{1,12}",
            1 => any::<String>(),
        ]
    }

    #[test]
    fn every_kind_of_tokenizer_is_among_those_with_exact_pieces() {
        let found = tokenizers();
        for name in [
            "bert",
            "roberta",
            "xlm-roberta",
            "modernbert",
            "mpnet",
            "qwen3",
        ] {
            assert!(found.contains_key(name), "{name}: {:?}", found.keys());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_text_and_its_pieces_have_the_same_tokens(
            parts in prop::collection::vec(words(), 1..40),
            times in 1_usize..120,
        ) {
            let text = [parts.concat(), " a b ".to_owned()].concat().repeat(times);
            for (name, tokenizer) in tokenizers() {
                let whole = ids(&tokenizer, [text.as_str()].into_iter());
                prop_assert_eq!(ids(&tokenizer, pieces(&text)), whole, "{}", name);
            }
        }

        #[test]
        fn any_space_between_letters_may_end_a_piece(
            parts in prop::collection::vec(words(), 1..30),
        ) {
            let text = parts.concat();
            let is_place = |at: &usize| {
                let (before, after) = text.split_at(*at);
                let (mut before, mut after) = (before.chars().rev(), after.chars().skip(1));
                before.next().is_some_and(is_letter) && after.next().is_some_and(is_letter)
            };
            let spaces = text.match_indices(' ').map(|(at, _)| at);
            let places: Vec<usize> = spaces.filter(is_place).collect();
            for (name, tokenizer) in tokenizers() {
                let whole = ids(&tokenizer, [text.as_str()].into_iter());
                let mut starts = vec![0];
                starts.extend(&places);
                let ends = places.iter().copied().chain([text.len()]);
                let pieces = starts.iter().zip(ends).map(|(start, end)| &text[*start..end]);
                prop_assert_eq!(ids(&tokenizer, pieces), whole, "{}", name);
            }
        }
    }

    #[test]
    fn a_row_is_that_of_the_whole_text_at_either_end() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/roberta");
        let files = ModelFiles::open(&Source::File(fixture)).unwrap();
        let by_pieces = crate::tokenizer::Tokenizer::load(&files).unwrap();
        assert!(by_pieces.has_pieces && by_pieces.words.is_none());
        let mut whole = by_pieces.clone();
        whole.has_pieces = false;
        for text in [
            "the river",
            &"the river и letter 3 of heat. ".repeat(700),
            &"é".repeat(9999),
        ] {
            for side in [TruncationSide::Right, TruncationSide::Left] {
                let encode = |tokenizer: &crate::tokenizer::Tokenizer| {
                    let row = tokenizer.encode_prompted("a wing: ", text, 30, side);
                    row.unwrap()
                };
                assert_eq!(encode(&by_pieces), encode(&whole), "{side:?}");
            }
        }
    }

    #[test]
    fn pieces_are_all_of_a_text() {
        let long = "wing и river. ".repeat(2000);
        for text in ["", "a", " ", &"x".repeat(9999), &" ".repeat(9999), &long] {
            assert_eq!(pieces(text).collect::<Vec<_>>().concat(), text);
        }
        let sizes: Vec<usize> = pieces(&long).map(str::len).collect();
        assert!(sizes.len() > 4, "{sizes:?}");
        assert!(
            sizes.iter().all(|size| *size < PIECE_BYTES + 20),
            "{sizes:?}"
        );
    }

    #[test]
    fn what_is_not_known_to_have_borders_is_left_whole() {
        let normalizer = |written: Value| is_local(&written);
        assert!(normalizer(Value::Null));
        assert!(normalizer(
            json!({ "type": "Sequence", "normalizers": [{ "type": "NFC" }] })
        ));
        for kind in ["Strip", "Prepend", "ByteLevel", "Replace"] {
            assert!(!normalizer(json!({ "type": kind })), "{kind}");
            let inside = json!({ "type": "Sequence", "normalizers": [{ "type": kind }] });
            assert!(!normalizer(inside), "{kind}");
        }
        for (written, expected) in [
            (Value::Null, false),
            (json!({ "type": "Metaspace", "split": false }), false),
            (json!({ "type": "Metaspace", "split": true }), true),
            (json!({ "type": "ByteLevel", "use_regex": false }), false),
            (json!({ "type": "Digits" }), false),
            (
                json!({ "type": "Split", "pattern": { "Regex": "x" }, "behavior": "Isolated" }),
                false,
            ),
            (
                json!({
                    "type": "Split", "behavior": "Isolated",
                    "pattern": { "Regex": format!("{PATTERN_START}{PATTERN_END}") },
                }),
                true,
            ),
        ] {
            assert_eq!(has_borders(&written), expected, "{written}");
        }
    }
}

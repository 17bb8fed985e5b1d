use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn builtin() -> Tokenizer {
    Tokenizer::load(&ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap())
        .unwrap()
}

#[test]
fn the_limits_of_the_file_are_overridden() {
    let tokenizer = builtin();
    assert_eq!(
        (tokenizer.max_tokens(), tokenizer.special_tokens()),
        (256, 2)
    );
    let check = |words: usize, tokens: usize, truncated: bool| {
        let ids = tokenizer.encode(&"wing ".repeat(words)).unwrap();
        assert_eq!(
            (ids.len(), ids.truncated()),
            (tokens, truncated),
            "{words} words"
        );
        assert_eq!(
            (ids.as_slice()[0], ids.as_slice()[tokens - 1]),
            (101, 102),
            "{words} words"
        );
    };
    check(0, 2, false);
    check(1, 3, false);
    check(200, 202, false);
    check(254, 256, false);
    check(255, 256, true);
    check(5000, 256, true);
    let short = tokenizer.encode_within("wing wing wing", 4).unwrap();
    assert_eq!((short.len(), short.truncated()), (4, true));
    assert_eq!(short.as_slice()[3], 102);
}

#[test]
fn a_text_is_cut_at_either_end_and_the_cut_tokens_are_counted() {
    let tokenizer = builtin();
    let id = |word: &str| tokenizer.full.token_to_id(word).unwrap();
    let check = |limit: usize, side: TruncationSide, words: &[&str], cut: usize| {
        let row = tokenizer.encode_prompted("one two ", "three four five", limit, side);
        let row = row.unwrap();
        let expected: Vec<u32> = words.iter().map(|word| id(word)).collect();
        assert_eq!(row.as_slice(), expected, "{limit} {side:?}");
        assert_eq!(
            (row.cut(), row.truncated()),
            (cut, cut > 0),
            "{limit} {side:?}"
        );
    };
    let whole = ["[CLS]", "one", "two", "three", "four", "five", "[SEP]"];
    for side in [TruncationSide::Right, TruncationSide::Left] {
        check(7, side, &whole, 0);
        check(256, side, &whole, 0);
        check(2, side, &["[CLS]", "[SEP]"], 5);
        check(0, side, &["[CLS]", "[SEP]"], 5);
    }
    check(
        6,
        TruncationSide::Right,
        &["[CLS]", "one", "two", "three", "four", "[SEP]"],
        1,
    );
    check(
        6,
        TruncationSide::Left,
        &["[CLS]", "two", "three", "four", "five", "[SEP]"],
        1,
    );
    check(3, TruncationSide::Left, &["[CLS]", "five", "[SEP]"], 4);
    let long = tokenizer.encode(&"wing ".repeat(4000)).unwrap();
    assert_eq!((long.len(), long.cut()), (256, 3746));
}

#[test]
fn any_text_has_tokens() {
    let tokenizer = builtin();
    for text in [
        "", " ", "\0", "\u{200b}", "🎶🎶", "日本", "\u{202e}", "a\u{301}",
    ] {
        assert!(tokenizer.encode(text).unwrap().len() >= 2, "{text:?}");
    }
}

#[test]
fn spans_say_which_bytes_and_which_word() {
    let tokenizer = builtin();
    let text = "Zürich, unbelievability 日本";
    let spans = tokenizer.spans(text).unwrap();
    assert_eq!(spans.len(), tokenizer.count(text).unwrap());
    let pieces: Vec<_> = spans.iter().map(|span| &text[span.bytes.clone()]).collect();
    assert_eq!(pieces.concat(), text.replace(' ', ""));
    assert!(
        pieces.starts_with(&["Zürich", ","]) && pieces.ends_with(&["日", "本"]),
        "{pieces:?}"
    );
    let words: Vec<_> = spans.iter().map(|span| span.word.unwrap()).collect();
    assert!(words.is_sorted() && words.last() == Some(&4), "{words:?}");
}

/// Returns the words and signs of texts that take every path: plain and not, in and out of the
/// vocabulary, added tokens, kinds of whitespace.
fn pieces() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "the",
        "Wing",
        "unbelievability",
        "don't",
        "e.g.",
        "3.14",
        "##ing",
        "#",
        "a##b",
        "[SEP]",
        "[CLS]x",
        "[MASK]",
        "[",
        "]",
        "[UNK]",
        "Zürich",
        "naïve",
        "“quoted”",
        "…",
        "—",
        "日本",
        "コーヒー",
        "Straße",
        "\u{130}",
        "a\u{301}",
        "\u{301}",
        "🎶",
        "\u{a0}",
        "\u{2028}",
        "\u{200b}",
        "\u{ad}",
        "\0",
        "\u{b}",
        "\u{c}",
        "\u{7f}",
        "\u{fffd}",
        "\u{1c}",
        "\u{85}",
    ]);
    let space = prop::sample::select(vec![" ", "  ", "\n", "\t", "\r\n", ""]);
    prop_oneof![
        4 => fixed.prop_map(str::to_owned),
        3 => space.prop_map(str::to_owned),
        2 => "[a-z]{1,12}",
        1 => "[ -~]{1,12}",
        1 => "[a-zA-Z0-9]{90,110}",
        1 => any::<String>(),
    ]
}

#[test]
fn words_that_are_not_plain_cost_more() {
    let tokenizer = builtin();
    assert_eq!(tokenizer.cost(" two words "), 8);
    assert!(tokenizer.cost("Zürich") > 10 * tokenizer.cost("Zurich"));
    assert_eq!(tokenizer.cost(""), 0);
}

/// Returns the built-in tokenizer with something else in its file.
fn changed(change: impl FnOnce(&mut Value)) -> Tokenizer {
    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap();
    let mut json = files.with_json(|json| json.required::<Value>(TOKENIZER).unwrap());
    change(&mut json);
    let library = read_library(json.to_string().as_bytes(), files.source()).unwrap();
    Tokenizer::from_library(library, files.source(), 256).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn plain_words_have_the_tokens_that_the_library_gives_them(
        pieces in prop::collection::vec(pieces(), 0..24),
        limit in 2_usize..40,
    ) {
        static TOKENIZERS: LazyLock<[Tokenizer; 2]> = LazyLock::new(|| {
            [builtin(), changed(|json| json["normalizer"]["lowercase"] = false.into())]
        });
        static LIBRARY: LazyLock<[Tokenizer; 2]> = LazyLock::new(|| {
            TOKENIZERS.clone().map(|mut tokenizer| {
                assert!(tokenizer.words.take().is_some());
                tokenizer
            })
        });
        let text = pieces.concat();
        for (own, library) in TOKENIZERS.iter().zip(&*LIBRARY) {
            prop_assert_eq!(own.encode(&text).unwrap(), library.encode(&text).unwrap());
            let within = |tokenizer: &Tokenizer| tokenizer.encode_within(&text, limit).unwrap();
            prop_assert_eq!(within(own), within(library));
            prop_assert_eq!(own.count(&text).unwrap(), library.count(&text).unwrap());
            prop_assert_eq!(spans(own, &text), spans(library, &text));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn long_texts_without_plain_words_have_the_tokens_that_the_library_gives_them(
        pieces in prop::collection::vec(pieces(), 1..24),
        times in 1_usize..400,
    ) {
        static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(builtin);
        static LIBRARY: LazyLock<Tokenizer> = LazyLock::new(|| {
            let mut tokenizer = TOKENIZER.clone();
            assert!(tokenizer.words.take().is_some());
            tokenizer
        });
        let words: Vec<String> = pieces.iter().map(|piece| format!("{piece}é ")).collect();
        let text = words.concat().repeat(times);
        let (own, library) = (TOKENIZER.encode(&text).unwrap(), LIBRARY.encode(&text).unwrap());
        prop_assert_eq!(own, library);
        prop_assert_eq!(spans(&TOKENIZER, &text), spans(&LIBRARY, &text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_prompt_and_its_text_have_the_tokens_of_one_string(
        prompt in prop::collection::vec(pieces(), 0..6),
        text in prop::collection::vec(pieces(), 0..12),
        limit in 2_usize..40,
    ) {
        static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(builtin);
        let (prompt, text) = (prompt.concat(), text.concat());
        let whole = TOKENIZER.full.encode([prompt.as_str(), &text].concat(), false).unwrap();
        let (special, all) = (TOKENIZER.special_tokens(), whole.get_ids());
        let room = limit - special;
        for side in [TruncationSide::Right, TruncationSide::Left] {
            let row = TOKENIZER.encode_prompted(&prompt, &text, limit, side).unwrap();
            let kept = match side {
                TruncationSide::Right => &all[..room.min(all.len())],
                TruncationSide::Left => &all[all.len().saturating_sub(room)..],
            };
            prop_assert_eq!(&row.as_slice()[1..row.len() - 1], kept);
            prop_assert_eq!(row.cut(), all.len() - kept.len());
        }
    }
}

/// Returns the bytes of each token, and whether it is of the same word as the one before.
fn spans(tokenizer: &Tokenizer, text: &str) -> Vec<(Range<usize>, bool)> {
    let mut before = None;
    let spans = tokenizer.spans(text).unwrap().into_iter();
    let spans = spans.map(|span| (span.bytes, before.replace(span.word) == Some(span.word)));
    spans.collect()
}

#[test]
fn tokenizers_that_are_not_berts_are_left_to_the_library() {
    let added = |content: &str, normalized: bool| {
        json!({
            "id": 40_000, "content": content, "normalized": normalized, "special": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    };
    let has_words = |change: &dyn Fn(&mut Value)| changed(change).words.is_some();
    let add = |token: Value| {
        has_words(&|json| {
            json["added_tokens"]
                .as_array_mut()
                .unwrap()
                .push(token.clone())
        })
    };
    assert!(has_words(&|_| ()));
    assert!(add(added("<place>", false)));
    assert!(!add(added("<a place>", false)));
    assert!(!add(added("place", true)));
    assert!(!has_words(&|json| json["normalizer"] = Value::Null));
    let whitespace = json!({ "type": "Whitespace" });
    assert!(!has_words(
        &|json| json["pre_tokenizer"] = whitespace.clone()
    ));
    assert!(!has_words(
        &|json| json["model"]["continuing_subword_prefix"] = "x".into()
    ));
}

#[test]
fn a_pair_has_the_types_and_special_tokens_of_bert() {
    let tokenizer = builtin();
    let id = |word: &str| tokenizer.full.token_to_id(word).unwrap();
    let pair = tokenizer.encode_pair("a b", "c", 256).unwrap();
    let words = ["[CLS]", "a", "b", "[SEP]", "c", "[SEP]"];
    assert_eq!(pair.as_slice(), words.map(id));
    assert_eq!(pair.types(), [0, 0, 0, 0, 1, 1]);
    assert!(!pair.truncated());

    let library = tokenizer.full.encode(("a b", "c"), true).unwrap();
    assert_eq!(pair.as_slice(), library.get_ids());
    assert_eq!(pair.types(), library.get_type_ids());
    assert_eq!(tokenizer.encode("a b").unwrap().types(), [0u32; 0]);
    let empty = tokenizer.encode_pair("", "", 256).unwrap();
    assert_eq!(empty.as_slice(), ["[CLS]", "[SEP]", "[SEP]"].map(id));
    assert_eq!(empty.types(), [0, 0, 1]);
}

#[test]
fn only_the_second_text_of_a_pair_is_cut() {
    let tokenizer = builtin();
    let long = "d ".repeat(20);
    let pair = tokenizer.encode_pair("a b c", &long, 8).unwrap();
    assert_eq!(pair.types(), [0, 0, 0, 0, 0, 1, 1, 1]);
    assert!(pair.truncated());
    let whole = tokenizer.encode_pair("a b c", "d d", 8).unwrap();
    assert_eq!(pair.as_slice(), whole.as_slice());
    assert!(!whole.truncated());
    for (first, fits) in [("a b c d", true), ("a b c d e", false), (&long, false)] {
        let found = tokenizer.encode_pair(first, "f", 8);
        match found {
            Ok(pair) => assert!(fits && pair.len() == 8, "{first}"),
            Err(error) => {
                let PairError::FirstTooLong { tokens, .. } = error else {
                    panic!("{error}")
                };
                assert!(!fits && tokens > 4, "{first}: {error}");
                assert!(
                    error
                        .to_string()
                        .contains("at most 4 fit into the limit of 8")
                );
            }
        }
    }
}

#[test]
fn a_model_without_token_types_gets_none() {
    let tokenizer = builtin().without_types();
    let pair = tokenizer.encode_pair("a", "b", 256).unwrap();
    assert_eq!((pair.len(), pair.types()), (5, &[0u32; 0][..]));
}

#[test]
fn the_tokens_of_a_text_far_over_the_limit_are_counted_to_sixteen_limits() {
    let tokenizer = builtin();
    let limit = 20;
    let encode = |tokens: usize, side| {
        let text = "river ".repeat(tokens);
        let row = tokenizer.encode_prompted("", &text, limit, side).unwrap();
        let pair = tokenizer.encode_prompted_pair("", "a", &text, limit, side);
        let pair = pair.unwrap();
        assert_eq!((row.len(), pair.len()), (limit, limit));
        [row, pair].map(|row| (row.cut(), row.cut_at_least()))
    };
    let right = TruncationSide::Right;
    // Two special tokens of a text, three of a pair beside its first text of one token.
    assert_eq!(encode(4096, right), [(4078, false), (4080, false)]);
    assert_eq!(encode(4097, right), [(4078, true), (4080, true)]);
    assert_eq!(encode(100_000, right), [(4078, true), (4080, true)]);
    let left = encode(5000, TruncationSide::Left);
    assert_eq!(left, [(4982, false), (4984, false)]);
}

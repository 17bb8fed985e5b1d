use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::source::ModelFiles;
use crate::tokenizer::Tokenizer;

static TOKENIZER: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| {
    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap();
    Arc::new(Tokenizer::load(&files).unwrap())
});

fn split(text: &str, max_tokens: usize, overlap: usize) -> Vec<Chunk> {
    Chunker::new(
        TOKENIZER.clone(),
        ChunkerOptions {
            max_tokens,
            overlap,
        },
    )
    .unwrap()
    .split(text)
    .unwrap()
}

/// Checks the invariants of the chunks of a text.
fn check_invariants(text: &str, max_tokens: usize, overlap: usize) {
    let chunks = split(text, max_tokens, overlap);
    let chars: Vec<char> = text.chars().collect();
    let kept = |c: &char| !clean::is_blank(*c);
    let mut covered = vec![false; chars.len()];
    for chunk in &chunks {
        assert!(
            chunk.start < chunk.end && chunk.end <= chars.len(),
            "{chunk:?}"
        );
        assert_eq!(
            chunk.tokens,
            TOKENIZER.count(&chunk.text).unwrap(),
            "{chunk:?}"
        );
        assert!(
            chunk.tokens <= max_tokens,
            "{} tokens in {chunk:?}",
            chunk.tokens
        );
        let piece = &chars[chunk.start..chunk.end];
        assert!(
            piece.first().is_some_and(kept) && piece.last().is_some_and(kept),
            "{chunk:?}"
        );
        assert!(
            chunk
                .text
                .chars()
                .filter(kept)
                .eq(piece.iter().copied().filter(kept)),
            "{chunk:?} is not at its offsets"
        );
        covered[chunk.start..chunk.end].fill(true);
    }
    for pair in chunks.windows(2) {
        assert!(
            pair[0].start < pair[1].start && pair[0].end < pair[1].end,
            "no progress: {pair:?}"
        );
    }
    if !chunks.is_empty() {
        let lost: Vec<usize> = (0..chars.len())
            .filter(|&at| kept(&chars[at]) && !covered[at])
            .collect();
        assert!(
            lost.is_empty(),
            "characters {lost:?} of {text:?} are in no chunk"
        );
    }
}

#[test]
fn blank_texts_have_no_chunks() {
    for text in [
        "",
        " ",
        "\n\t\r\n",
        "\u{3000}\u{a0}",
        "\0\u{1}\u{7f}",
        "\u{200b}",
    ] {
        assert_eq!(split(text, 128, 16), [], "{text:?}");
    }
}

#[test]
fn a_short_text_is_one_chunk_at_its_place() {
    let chunk = |text: &str, start, end, tokens| Chunk {
        text: text.to_owned(),
        start,
        end,
        tokens,
    };
    let check =
        |text: &str, expected: Chunk| assert_eq!(split(text, 128, 16), [expected], "{text:?}");
    check("wing", chunk("wing", 0, 4, 1));
    check(
        "  ein  Flügel\tund\u{0}mehr \n",
        chunk("ein Flügel und mehr", 2, 22, 6),
    );
    check("日本。", chunk("日本。", 0, 3, 3));
}

#[test]
fn chunks_end_where_sentences_do() {
    let text =
        "The wing is thin. The flow is fast and the layer is hot. The heat goes up. It cools down.";
    let texts: Vec<_> = split(text, 16, 0)
        .into_iter()
        .map(|chunk| chunk.text)
        .collect();
    assert_eq!(
        texts,
        [
            "The wing is thin. The flow is fast and the layer is hot.",
            "The heat goes up. It cools down."
        ]
    );
}

#[test]
fn without_a_sentence_chunks_end_at_a_word() {
    let text = "unbelievability ".repeat(40);
    for chunk in split(&text, 16, 4) {
        assert!(
            chunk.text.split(' ').all(|word| word == "unbelievability"),
            "{chunk:?}"
        );
    }
}

#[test]
fn neighbours_overlap_by_at_most_what_was_asked() {
    let text = (0..400)
        .map(|n| ["wing", "flow", "river", "heat"][n % 4])
        .collect::<Vec<_>>()
        .join(" ");
    for overlap in [0, 1, 16, 64] {
        let chunks = split(&text, 128, overlap);
        for pair in chunks.windows(2) {
            let shared = text[..pair[0].end].len().saturating_sub(pair[1].start);
            let tokens = TOKENIZER.count(&text[pair[1].start..][..shared]).unwrap();
            assert_eq!(tokens, overlap, "{pair:?}");
        }
    }
}

#[test]
fn options_that_cannot_be_met_are_explained() {
    let check = |max_tokens, overlap, expected: &str| {
        let error = Chunker::new(
            TOKENIZER.clone(),
            ChunkerOptions {
                max_tokens,
                overlap,
            },
        )
        .unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(7, 0, "max_tokens is 7; it must be at least 8");
    check(
        255,
        0,
        "max_tokens is 255; the model takes at most 254 tokens of text in a row",
    );
    check(
        64,
        33,
        "overlap is 33; it must be at most half of max_tokens, which is 64",
    );
    check(
        64,
        64,
        "overlap is 64; it must be at most half of max_tokens, which is 64",
    );
}

#[test]
fn awkward_texts_keep_the_invariants() {
    let texts = [
        "a".repeat(5000),
        "supercalifragilisticexpialidocious".repeat(30),
        "x1y2".repeat(25) + " " + &"qzjx".repeat(20) + " end.",
        "日本".repeat(300),
        ")".repeat(500),
        ".)".repeat(300),
        "! ? . ".repeat(200),
        "👩‍👩‍👧‍👦".repeat(100),
        "e\u{301}\u{302} ".repeat(200),
        "\u{200b}word\u{200b} ".repeat(100),
        format!("start {} end", "\u{200b}".repeat(3000)),
        "a\u{0}b\u{1b}".repeat(300),
        "0x7f::a_b[c]->d;".repeat(60),
    ];
    for text in &texts {
        for (max_tokens, overlap) in [(8, 0), (8, 4), (32, 3), (128, 16), (254, 127)] {
            check_invariants(text, max_tokens, overlap);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_keeps_the_invariants(text in any_text(), max_tokens in 8usize..64, share in 0usize..=100) {
        check_invariants(&text, max_tokens, max_tokens / 2 * share / 100);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z]{1,12}",
        1 => "[a-z]{40,120}",
        1 => "[A-Z][a-zé]{1,8}[.!?]\"?",
        1 => "\\PC{1,6}",
        1 => "[日本語。、]{1,10}",
        1 => "[\\x00-\\x20\u{200b}\u{ad}]{1,4}",
        1 => "[👍🏽🎶👩‍👧]{1,6}",
        3 => "[ \n]{1,3}",
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

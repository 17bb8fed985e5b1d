//! WordPiece, as BERT has it, of a vocabulary with a token on each line.

use serde_json::{Map, Value, json};

use super::{Names, Part, Settings, VOCABULARY, added, id, lines, missing, template};
use crate::error::LoadError;
use crate::source::JsonFiles;
use crate::tokenizer::added::SpecialTokens;

/// Usual special tokens: before a text, after it, unknown, padding, mask.
type Special = [&'static str; 5];

const BERT: Special = ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"];

/// Kinds with the special tokens that their files do not have to name.
pub(super) const KINDS: [(Names, Special); 2] = [
    (
        Names {
            classes: &["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"],
            model_types: &["bert", "distilbert", "electra", "nomic_bert", "new"],
        },
        BERT,
    ),
    (
        Names {
            classes: &["MPNetTokenizer"],
            model_types: &["mpnet"],
        },
        ["<s>", "</s>", "[UNK]", "<pad>", "<mask>"],
    ),
];

pub(super) fn build(
    json: &JsonFiles<'_>,
    text: &str,
    specials: &SpecialTokens,
    settings: &Settings,
) -> Result<Value, LoadError> {
    let vocabulary = lines(text).enumerate();
    let vocabulary = vocabulary.map(|(id, token)| (token.to_owned(), id.into()));
    let vocabulary: Map<String, Value> = vocabulary.collect();
    let number = |token: &str| vocabulary.get(token).and_then(Value::as_u64);
    let (first, last) = (specials.first.as_str(), specials.last.as_str());
    id(json, VOCABULARY, &vocabulary, &specials.unknown)?;
    let mut around = Vec::new();
    for token in [first, last] {
        let id = number(token).ok_or_else(|| missing(json, VOCABULARY, token))?;
        around.push((token, id));
    }
    let single = [
        Part::Token(first, 0),
        Part::Text("A", 0),
        Part::Token(last, 0),
    ];
    // BERT's own pairs have types, the others' a second sign between their texts.
    let second = match first {
        "<s>" => vec![
            Part::Token(last, 0),
            Part::Text("B", 0),
            Part::Token(last, 0),
        ],
        _ => vec![Part::Text("B", 1), Part::Token(last, 1)],
    };
    Ok(json!({
        "version": "1.0",
        "added_tokens": added(number, specials.all()),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": settings.tokenize_chinese_chars.unwrap_or(true),
            "strip_accents": settings.strip_accents,
            "lowercase": settings.do_lower_case.unwrap_or(true),
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": template(&single, &second, &around),
        "decoder": null,
        "model": {
            "type": "WordPiece",
            "unk_token": specials.unknown,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }))
}

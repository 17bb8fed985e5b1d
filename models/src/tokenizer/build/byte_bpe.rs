//! Byte-level BPE, of a vocabulary in JSON and merges, one on each line.

use serde_json::{Map, Value, json};

use super::{BPE_VOCABULARY, Names, Settings, added, id, lines};
use crate::error::LoadError;
use crate::source::JsonFiles;
use crate::tokenizer::added::{SpecialTokens, token_of_role};
use crate::tokenizer::pieces;

/// Kinds of byte-level BPE, which differ in how a text is split into words.
pub(super) enum Kind {
    /// Special tokens are around texts: before a text, after it, unknown, padding, mask.
    Roberta([&'static str; 5]),
    /// Composed characters, single digits, no special tokens around texts.
    Qwen,
    /// Small letters, single digits, no spaces in tokens but a sign at the end of a word. Special
    /// tokens before a text and after it; the latter is unknown text, too.
    Clip([&'static str; 2]),
}

/// The words of CLIP, and nothing between them.
const CLIP_WORDS: &str = concat!(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d",
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
);

pub(super) const KINDS: [(Names, Kind); 3] = [
    (
        Names {
            classes: &["RobertaTokenizer"],
            model_types: &["roberta"],
        },
        Kind::Roberta(["<s>", "</s>", "<unk>", "<pad>", "<mask>"]),
    ),
    (
        Names {
            classes: &["Qwen2Tokenizer"],
            model_types: &["qwen2", "qwen3"],
        },
        Kind::Qwen,
    ),
    (
        Names {
            classes: &["CLIPTokenizer"],
            model_types: &["clip", "clip_text_model"],
        },
        Kind::Clip(["<|startoftext|>", "<|endoftext|>"]),
    ),
];

pub(super) fn build(
    json: &JsonFiles<'_>,
    vocabulary: Map<String, Value>,
    merges: &str,
    kind: &Kind,
    settings: &Settings,
) -> Result<Value, LoadError> {
    let merges = lines(merges).filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let merges: Vec<&str> = merges.collect();
    let add_prefix_space = settings.add_prefix_space.unwrap_or(false);
    let bytes = |add_prefix_space: bool, use_regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let number = |token: &str| vocabulary.get(token).and_then(Value::as_u64);
    let (mut unknown, mut end_of_word) = (None, "");
    let around = |first: &str, last: &str, trims: bool| {
        let special = |token: &str| {
            let id = id(json, BPE_VOCABULARY, &vocabulary, token)?;
            Ok::<_, LoadError>(json!([token, id]))
        };
        Ok::<_, LoadError>(json!({
            "type": "RobertaProcessing",
            "sep": special(last)?,
            "cls": special(first)?,
            "trim_offsets": trims,
            "add_prefix_space": add_prefix_space,
        }))
    };
    let (added_tokens, normalizer, pre_tokenizer, post_processor) = match kind {
        Kind::Roberta(usual) => {
            let specials = SpecialTokens::read(json, *usual)?;
            let processor = around(&specials.first, &specials.last, true)?;
            let tokens = added(number, specials.all());
            (
                tokens,
                Value::Null,
                bytes(add_prefix_space, true),
                processor,
            )
        }
        Kind::Clip(usual) => {
            let mut named = Vec::new();
            for (role, usual) in ["bos_token", "eos_token"].into_iter().zip(usual) {
                let token = token_of_role(json, role)?;
                named.push(token.unwrap_or_else(|| (*usual).to_owned()));
            }
            let processor = around(&named[0], &named[1], false)?;
            let tokens = added(number, named.iter().map(String::as_str));
            unknown = named.pop();
            end_of_word = "</w>";
            let normalizer = json!({ "type": "Sequence", "normalizers": [
                { "type": "NFC" },
                { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
                { "type": "Lowercase" },
            ] });
            let words = json!({
                "type": "Split", "pattern": { "Regex": CLIP_WORDS }, "behavior": "Removed",
                "invert": true,
            });
            let words = json!({
                "type": "Sequence", "pretokenizers": [words, bytes(false, true)],
            });
            (tokens, normalizer, words, processor)
        }
        Kind::Qwen => {
            let words = json!({
                "type": "Split", "pattern": { "Regex": pieces::qwen_words() }, "behavior": "Isolated",
                "invert": false,
            });
            let words = json!({
                "type": "Sequence", "pretokenizers": [words, bytes(add_prefix_space, false)],
            });
            // Tokens that other files name are added after the vocabulary.
            let tokens = added(number, ["<|endoftext|>"]);
            (tokens, json!({ "type": "NFC" }), words, bytes(false, false))
        }
    };
    Ok(json!({
        "version": "1.0",
        "added_tokens": added_tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": bytes(true, true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "fuse_unk": false,
            "continuing_subword_prefix": "", "end_of_word_suffix": end_of_word,
            "vocab": vocabulary, "merges": merges,
        },
    }))
}

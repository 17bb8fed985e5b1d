//! A tokenizer made of the files of older models, which have no tokenizer.json: a vocabulary of
//! WordPiece (vocab.txt), or one of byte-level BPE with its merges (vocab.json, merges.txt).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::added::SpecialTokens;
use crate::error::LoadError;
use crate::source::JsonFiles;

const VOCABULARY: &str = "vocab.txt";
const BPE_VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";

/// Special tokens: before a text, after it, unknown, padding, mask.
type Special = [&'static str; 5];

/// Families whose tokenizers are known to be WordPiece, with the special tokens that their files do
/// not have to name.
const WORDPIECE: [(&str, Special); 4] = [
    ("bert", ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"]),
    ("distilbert", ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"]),
    ("electra", ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"]),
    ("mpnet", ["<s>", "</s>", "[UNK]", "<pad>", "<mask>"]),
];
/// The same of byte-level BPE.
const BYTE_BPE: [(&str, Special); 1] = [("roberta", ["<s>", "</s>", "<unk>", "<pad>", "<mask>"])];

#[derive(Deserialize)]
struct Model {
    model_type: Option<String>,
}

/// Settings of tokenizer_config.json, with what they are without it.
#[derive(Default, Deserialize)]
struct Settings {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    add_prefix_space: Option<bool>,
}

/// Returns a tokenizer in the form of a tokenizer.json, and the file of its vocabulary.
///
/// # Errors
/// Files that are not those of a family that is known to have them, or that contradict themselves.
pub(super) fn build(json: &JsonFiles<'_>) -> Result<(Value, &'static str), LoadError> {
    let Model { model_type } = json.required("config.json")?;
    let model_type = model_type.unwrap_or_default();
    let settings: Settings = json.optional("tokenizer_config.json")?.unwrap_or_default();
    let family = |known: &'static [(&str, Special)], file: &str| {
        let found = known.iter().find(|(name, _)| *name == model_type);
        found.map(|(_, tokens)| *tokens).ok_or_else(|| {
            let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let reason = format!(
                "there is no tokenizer.json, and how a `{model_type}` model uses this file is not \
                 known; it is of: {}. Save the tokenizer anew with `{}`",
                known.join(", "),
                crate::error::SAVE_TOKENIZER
            );
            json.unsupported(file, reason)
        })
    };
    if let Some(text) = text(json, VOCABULARY)? {
        let specials = SpecialTokens::read(json, family(&WORDPIECE, VOCABULARY)?)?;
        let vocabulary = lines(&text).enumerate();
        let vocabulary = vocabulary.map(|(id, token)| (token.to_owned(), id.into()));
        let built = wordpiece(json, vocabulary.collect(), &specials, &settings)?;
        return Ok((built, VOCABULARY));
    }
    let vocabulary = json.required(BPE_VOCABULARY)?;
    let specials = SpecialTokens::read(json, family(&BYTE_BPE, BPE_VOCABULARY)?)?;
    let merges = text(json, MERGES)?.unwrap_or_default();
    let built = byte_bpe(json, vocabulary, &merges, &specials, &settings)?;
    Ok((built, BPE_VOCABULARY))
}

/// Returns the content of a file, or `None` where there is no such file.
fn text(json: &JsonFiles<'_>, file: &str) -> Result<Option<String>, LoadError> {
    let Some(bytes) = (json.read)(file)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes.into_owned());
    let text = text.map_err(|_| json.unsupported(file, "it is not UTF-8"))?;
    Ok(Some(text))
}

/// Returns the lines of a text, without the empty one after its last line's end.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines = text.split('\n');
    lines.map(|line| line.strip_suffix('\r').unwrap_or(line))
}

fn wordpiece(
    json: &JsonFiles<'_>,
    vocabulary: Map<String, Value>,
    specials: &SpecialTokens,
    settings: &Settings,
) -> Result<Value, LoadError> {
    let (first, last) = (&specials.first, &specials.last);
    let special = |token: &String| {
        let id = id(json, VOCABULARY, &vocabulary, token)?;
        Ok::<_, LoadError>(json!({ "id": token, "ids": [id], "tokens": [token] }))
    };
    id(json, VOCABULARY, &vocabulary, &specials.unknown)?;
    let of_template = json!({ first: special(first)?, last: special(last)? });
    let token = |token: &String, of: u32| json!({ "SpecialToken": { "id": token, "type_id": of } });
    let text = |name: &str, of: u32| json!({ "Sequence": { "id": name, "type_id": of } });
    // BERT's own pairs have types, the others' a second sign between their texts.
    let pair = match first.as_str() {
        "<s>" => vec![token(last, 0), text("B", 0), token(last, 0)],
        _ => vec![text("B", 1), token(last, 1)],
    };
    let single = [token(first, 0), text("A", 0), token(last, 0)];
    let pair: Vec<Value> = single.iter().cloned().chain(pair).collect();
    Ok(json!({
        "version": "1.0",
        "added_tokens": added(&vocabulary, specials),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": settings.tokenize_chinese_chars.unwrap_or(true),
            "strip_accents": settings.strip_accents,
            "lowercase": settings.do_lower_case.unwrap_or(true),
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": of_template,
        },
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

fn byte_bpe(
    json: &JsonFiles<'_>,
    vocabulary: Map<String, Value>,
    merges: &str,
    specials: &SpecialTokens,
    settings: &Settings,
) -> Result<Value, LoadError> {
    let special = |token: &String| {
        let id = id(json, BPE_VOCABULARY, &vocabulary, token)?;
        Ok::<_, LoadError>(json!([token, id]))
    };
    let (first, last) = (special(&specials.first)?, special(&specials.last)?);
    let merges = lines(merges).filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let merges: Vec<&str> = merges.collect();
    let add_prefix_space = settings.add_prefix_space.unwrap_or(false);
    let bytes = |add_prefix_space: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true,
            "use_regex": true,
        })
    };
    Ok(json!({
        "version": "1.0",
        "added_tokens": added(&vocabulary, specials),
        "normalizer": null,
        "pre_tokenizer": bytes(add_prefix_space),
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": last,
            "cls": first,
            "trim_offsets": true,
            "add_prefix_space": add_prefix_space,
        },
        "decoder": bytes(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
            "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "vocab": vocabulary, "merges": merges,
        },
    }))
}

/// Returns the special tokens that are in the vocabulary, as tokenizer.json lists them by their
/// ids.
fn added(vocabulary: &Map<String, Value>, specials: &SpecialTokens) -> Vec<Value> {
    let mut added: Vec<(Option<u64>, Value)> = Vec::new();
    for token in specials.all() {
        let Some(id) = vocabulary.get(token) else {
            continue;
        };
        let token = json!({
            // A mask takes the space before it wherever texts begin with `<s>`.
            "id": id, "content": token, "lstrip": token == "<mask>", "rstrip": false,
            "single_word": false, "normalized": false, "special": true,
        });
        added.push((id.as_u64(), token));
    }
    added.sort_by_key(|(id, _)| *id);
    added.dedup_by_key(|(id, _)| *id);
    added.into_iter().map(|(_, token)| token).collect()
}

/// Returns the id of a special token.
fn id(
    json: &JsonFiles<'_>,
    file: &str,
    vocabulary: &Map<String, Value>,
    token: &str,
) -> Result<Value, LoadError> {
    vocabulary.get(token).cloned().ok_or_else(|| {
        let reason = format!("there is no token `{token}`, which every text has around it");
        json.unsupported(file, reason)
    })
}

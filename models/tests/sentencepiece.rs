//! Tokenizers of models that have a model of sentencepiece and no tokenizer.json: the ids are those
//! of sentencepiece's own library (tests/expected/sentencepiece_tokenizers.py).

use std::fs;
use std::path::{Path, PathBuf};

use motet_models::{ModelFiles, Source, Tokenizer};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Expected {
    /// Keys of config.json.
    config: serde_json::Map<String, Value>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
}

/// Folders of models of sentencepiece, the file in each, and the fixture with the other files of
/// such a model.
const MODELS: [(&str, &str, &str); 7] = [
    ("xlm-roberta", "sentencepiece.bpe.model", "xlm-roberta"),
    ("camembert", "sentencepiece.bpe.model", "camembert"),
    ("deberta-v2", "spm.model", "deberta"),
    ("llama", "tokenizer.model", "llama"),
    ("gemma3", "tokenizer.model", "gemma3"),
    ("unigram-bytes", "tokenizer.model", "mistral"),
    ("siglip", "spiece.model", "siglip"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// Returns a folder of a model with these files, in a directory of its own for each test, and what
/// is expected of it.
fn model((name, file, fixture): (&str, &str, &str), test: &str) -> (PathBuf, Expected) {
    let from = fixtures().with_file_name("sentencepiece").join(name);
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sentencepiece");
    let to = to.join(format!("{name}-{test}"));
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    for file in [file, "tokenizer_config.json"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let weights = fixtures().join(fixture).join("model.safetensors");
    fs::copy(weights, to.join("model.safetensors")).unwrap();
    let expected: Expected = read(&from.join("expected.json"));
    let mut config: Value = read(&fixtures().join(fixture).join("config.json"));
    let settings = expected.config.iter();
    settings.for_each(|(key, value)| config[key] = value.clone());
    // Rows are not cut.
    config["max_position_embeddings"] = 10_000.into();
    write(&to, "config.json", &config);
    (to, expected)
}

fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> T {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn write(dir: &Path, file: &str, content: &Value) {
    fs::write(dir.join(file), content.to_string()).unwrap();
}

fn open(dir: &Path) -> Result<Tokenizer, String> {
    let files = ModelFiles::open(&Source::File(dir.to_owned())).map_err(|e| e.to_string())?;
    Tokenizer::load(&files).map_err(|e| e.to_string())
}

#[test]
fn texts_have_the_ids_that_sentencepiece_gives_them() {
    for entry in MODELS {
        let (dir, expected) = model(entry, "ids");
        let tokenizer = open(&dir).unwrap();
        assert!(expected.rows.len() > 10);
        for Row { text, ids } in expected.rows {
            let found = tokenizer.encode(&text).unwrap();
            let (own, filling) = found.as_slice().split_at(ids.len().min(found.len()));
            assert_eq!(own, ids, "{}: {text:?}", entry.0);
            // Rows of one family are filled up with the token that ends texts.
            let is_filled = filling.iter().all(|id| *id == 1 && entry.0 == "siglip");
            assert!(is_filled, "{}: {text:?}: {filling:?}", entry.0);
        }
    }
}

#[test]
fn pairs_have_the_special_tokens_of_their_family() {
    for (at, between, last) in [(0, vec![2, 2], 2), (1, vec![6, 6], 6), (2, vec![2], 2)] {
        let (dir, _) = model(MODELS[at], "pairs");
        let tokenizer = open(&dir).unwrap();
        let texts = ["a wing", "the flow"].map(|text| {
            let row = tokenizer.encode(text).unwrap();
            row.as_slice()[1..row.len() - 1].to_vec()
        });
        let first = tokenizer.encode("").unwrap().as_slice()[0];
        let pair = tokenizer.encode_pair("a wing", "the flow", 100).unwrap();
        let expected = [&[first][..], &texts[0], &between, &texts[1], &[last]].concat();
        assert_eq!(pair.as_slice(), expected, "{}", MODELS[at].0);
    }
}

#[test]
fn special_tokens_in_a_text_are_themselves() {
    let (dir, _) = model(MODELS[0], "specials");
    let tokenizer = open(&dir).unwrap();
    let ids = |text: &str| tokenizer.encode(text).unwrap().as_slice().to_vec();
    let mask = 401;
    let [wing, flow] = ["wing", "flow"].map(|text| {
        let row = ids(text);
        row[1..row.len() - 1].to_vec()
    });
    let expected = [&[0][..], &wing, &[mask], &flow, &[2]].concat();
    assert_eq!(ids("wing <mask> flow"), expected);
    assert_eq!(ids("<pad></s>"), [0, 1, 2, 2]);
}

#[test]
fn the_class_decides_where_the_type_of_the_model_does_not() {
    // A model of another type, whose tokenizer is XLM-RoBERTa's.
    let (dir, expected) = model(MODELS[0], "class");
    let mut config: Value = read(&dir.join("config.json"));
    config["model_type"] = "roberta".into();
    write(&dir, "config.json", &config);
    let Row { text, ids } = &expected.rows[2];
    assert_eq!(open(&dir).unwrap().encode(text).unwrap().as_slice(), ids);
    write(&dir, "tokenizer_config.json", &json!({}));
    let error = open(&dir).unwrap_err();
    let expected = "sentencepiece.bpe.model: there is no tokenizer.json, and how a `roberta` model \
                    uses this file is not known; it is of: xlm-roberta, new, camembert, \
                    deberta-v2, llama, mistral, gemma3_text, siglip, siglip_text_model. Save the \
                    tokenizer anew with `python";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_file_that_is_no_such_model_is_refused() {
    let check = |test: &str, entry, spoil: &dyn Fn(Vec<u8>) -> Vec<u8>, expected: &str| {
        let (dir, _) = model(entry, test);
        let file = dir.join(entry.1);
        fs::write(&file, spoil(fs::read(&file).unwrap())).unwrap();
        let error = open(&dir).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    };
    let [roberta, camembert, deberta, ..] = MODELS;
    check(
        "cut",
        roberta,
        &|bytes| bytes[..bytes.len() / 2].to_vec(),
        "sentencepiece.bpe.model: it is no model of sentencepiece: ",
    );
    check(
        "empty",
        roberta,
        &|_| Vec::new(),
        "sentencepiece.bpe.model: it is no model of sentencepiece: no piece is the unknown one",
    );
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5069051\n";
    check(
        "pointer",
        roberta,
        &|_| pointer.into(),
        "sentencepiece.bpe.model is a pointer of git LFS",
    );
    // The settings of training, field 2, again: the last counts. `model_type: WORD`.
    let with_trainer = |mut bytes: Vec<u8>, trainer: &[u8]| {
        bytes.extend([0x12, trainer.len() as u8]);
        bytes.extend(trainer);
        bytes
    };
    check(
        "words",
        camembert,
        &|bytes| with_trainer(bytes, &[0x18, 3]),
        "sentencepiece.bpe.model: it splits texts into words or characters",
    );
    // `treat_whitespace_as_suffix: true`, field 24.
    check(
        "suffix",
        camembert,
        &|bytes| with_trainer(bytes, &[0xc0, 0x01, 1]),
        "spaces at their ends (treat_whitespace_as_suffix), which is not supported",
    );
    // A piece without scores, field 1, before all others: the families' places move.
    check(
        "moved",
        roberta,
        &|bytes| [&[0x0a, 6, 0x0a, 4][..], b"wing", &bytes].concat(),
        "`wing` is among the first 3 pieces, which this family has for special tokens",
    );
    let named = "sentencepiece.bpe.model: there is no token `<cls>`, which every text has around";
    let (dir, _) = model(camembert, "unnamed");
    write(
        &dir,
        "tokenizer_config.json",
        &json!({ "cls_token": "<cls>" }),
    );
    let error = open(&dir).unwrap_err();
    assert!(error.contains(named), "{error}");
    let (dir, _) = model(deberta, "larger");
    let mut config: Value = read(&dir.join("config.json"));
    config["vocab_size"] = 400.into();
    write(&dir, "config.json", &config);
    let error = open(&dir).unwrap_err();
    let expected = "spm.model: has 401 tokens, but the model's vocabulary (vocab_size in \
                    config.json) has 400";
    assert!(error.contains(expected), "{error}");
}

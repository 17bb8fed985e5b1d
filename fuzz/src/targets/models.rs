//! Files of a model, in a folder with the others of a tiny one.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use motet_models::{DeviceSpec, ModelFiles, Precision, Source, TextEncoder, Tokenizer};

/// Held while a folder is written and read.
static FOLDER: Mutex<()> = Mutex::new(());

/// The configuration of the model of the corpora.
const CONFIG: &str = r#"{ "model_type": "bert", "hidden_act": "gelu", "vocab_size": 20,
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
    "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12 }"#;

/// Calls `load` on a folder with these files. The folder is removed.
fn with_files(weights: &[u8], tokenizer: &[u8], load: impl FnOnce(&ModelFiles)) {
    let _one_at_a_time = FOLDER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = std::env::temp_dir().join(format!("motet-fuzz-{}", std::process::id()));
    let opened = write(&folder, weights, tokenizer);
    match opened {
        Ok(files) => load(&files),
        Err(error) => panic!("{}: {error}", folder.display()),
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// Writes files into a new folder.
///
/// # Errors
/// Where they cannot be written.
pub(super) fn write_files(folder: &Path, files: &[(&str, &[u8])]) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(folder).map_err(said)?;
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).map_err(said)?;
    }
    Ok(())
}

fn write(folder: &Path, weights: &[u8], tokenizer: &[u8]) -> Result<ModelFiles, String> {
    write_files(
        folder,
        &[
            ("config.json", CONFIG.as_bytes()),
            ("model.safetensors", weights),
            ("tokenizer.json", tokenizer),
        ],
    )?;
    let source = Source::File(PathBuf::from(folder));
    ModelFiles::open(&source).map_err(|error| error.to_string())
}

/// Weights of a model.
pub(super) fn safetensors(input: &[u8]) {
    with_files(input, b"{}", |files| {
        if let Ok(device) = DeviceSpec::Cpu.open() {
            let _ = TextEncoder::load(files, &device, Precision::F32);
        }
    });
}

/// A tokenizer, and a few texts.
pub(super) fn tokenizer(input: &[u8]) {
    with_files(b"", input, |files| {
        if let Ok(tokenizer) = Tokenizer::load(files) {
            for text in ["", "a tide", "ebb, flow\u{301} \u{1f30a}", "[CLS] x [SEP]"] {
                let _ = tokenizer.encode(text);
            }
        }
    });
}

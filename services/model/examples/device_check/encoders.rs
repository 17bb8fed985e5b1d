//! Encoders of usual sizes with random weights, made on the spot.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use motet_models::Source;
use safetensors::tensor::{Dtype, TensorView};

use crate::Error;
use crate::options::Options;

/// Most tokens of a row.
pub(crate) const TOKENS_MAX: usize = 512;
/// Random numbers that the tensors are made of, again and again.
const POOL: usize = 1 << 20;

/// Sizes of a BERT.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    layers: usize,
    hidden: usize,
    heads: usize,
    vocabulary: usize,
}

pub(crate) const MINILM: Shape = Shape {
    name: "MiniLM (6 layers of 384)",
    layers: 6,
    hidden: 384,
    heads: 12,
    vocabulary: 30_522,
};
pub(crate) const BASE: Shape = Shape {
    name: "base (12 layers of 768)",
    layers: 12,
    hidden: 768,
    heads: 12,
    vocabulary: 30_522,
};
pub(crate) const LARGE: Shape = Shape {
    name: "large (24 layers of 1024)",
    layers: 24,
    hidden: 1024,
    heads: 16,
    vocabulary: 30_522,
};

impl Shape {
    /// Returns the shape with as little as can be of everything, to try programs.
    pub(crate) fn smallest(self) -> Self {
        Self {
            name: "small (1 layer of 96)",
            layers: 1,
            hidden: 32 * self.heads / 4,
            vocabulary: 2000,
            ..self
        }
    }

    /// Returns the shapes to measure.
    pub(crate) fn all(options: &Options) -> Vec<Self> {
        match options.small {
            true => vec![MINILM.smallest()],
            false => vec![MINILM, BASE, LARGE],
        }
    }

    /// Returns the multiplications and additions of all products of the layers, for rows of these
    /// lengths.
    pub(crate) fn operations(self, lengths: &[usize]) -> f64 {
        let of_row = |tokens: &usize| {
            let products = 12 * self.hidden * self.hidden;
            let scores = 2 * tokens * self.hidden;
            (2 * self.layers * tokens * (products + scores)) as f64
        };
        lengths.iter().map(of_row).sum()
    }

    /// Returns a row of random ids.
    pub(crate) fn row(self, tokens: usize, random: &mut fastrand::Rng) -> Vec<u32> {
        (0..tokens)
            .map(|_| random.u32(1000..self.vocabulary as u32))
            .collect()
    }

    /// Writes the files of a model, in f16, with a tokenizer of no words.
    pub(crate) fn write(self, folder: &Path) -> Result<(), Error> {
        let config = serde_json::json!({
            "model_type": "bert",
            "architectures": ["BertModel"],
            "hidden_act": "gelu",
            "hidden_size": self.hidden,
            "intermediate_size": 4 * self.hidden,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": TOKENS_MAX,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "pad_token_id": 0,
            "type_vocab_size": 2,
            "vocab_size": self.vocabulary,
        });
        fs::write(folder.join("config.json"), config.to_string())?;
        let tokenizer = serde_json::json!({
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": { "type": "Whitespace" },
            "model": { "type": "WordLevel", "vocab": { "[UNK]": 0 }, "unk_token": "[UNK]" },
        });
        fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
        self.write_weights(&folder.join("model.safetensors"))
    }

    fn write_weights(self, file: &Path) -> Result<(), Error> {
        let mut random = fastrand::Rng::with_seed(7);
        let number = |spread: f32, random: &mut fastrand::Rng| {
            f16::from_f32(spread * (2.0 * random.f32() - 1.0)).to_le_bytes()
        };
        let pool: Vec<u8> = (0..POOL).flat_map(|_| number(0.035, &mut random)).collect();
        let ones: Vec<u8> = (0..4 * self.hidden)
            .flat_map(|_| f16::ONE.to_le_bytes())
            .collect();
        let mut tensors = BTreeMap::new();
        for (name, shape) in self.tensors() {
            let count: usize = shape.iter().product();
            let bytes = match name.ends_with("LayerNorm.weight") {
                true => ones[..2 * count].to_vec(),
                false => {
                    let start = 2 * random.usize(..POOL);
                    let endless = pool.iter().cycle().skip(start);
                    endless.take(2 * count).copied().collect()
                }
            };
            tensors.insert(name, (shape, bytes));
        }
        let views = tensors.iter().map(|(name, (shape, bytes))| {
            TensorView::new(Dtype::F16, shape.clone(), bytes).map(|view| (name, view))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>()?;
        Ok(safetensors::serialize_to_file(views, None, file)?)
    }

    /// Returns the names and shapes of all tensors.
    fn tensors(self) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner) = (self.hidden, 4 * self.hidden);
        let mut all = Vec::new();
        let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
        for (table, rows) in [
            ("word", self.vocabulary),
            ("position", TOKENS_MAX),
            ("token_type", 2),
        ] {
            add(
                format!("embeddings.{table}_embeddings.weight"),
                &[rows, hidden],
            );
        }
        add("embeddings.LayerNorm.weight".to_owned(), &[hidden]);
        add("embeddings.LayerNorm.bias".to_owned(), &[hidden]);
        for layer in 0..self.layers {
            let layer = format!("encoder.layer.{layer}");
            for (name, outputs, inputs) in [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", inner, hidden),
                ("output.dense", hidden, inner),
            ] {
                add(format!("{layer}.{name}.weight"), &[outputs, inputs]);
                add(format!("{layer}.{name}.bias"), &[outputs]);
            }
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                add(format!("{layer}.{name}.weight"), &[hidden]);
                add(format!("{layer}.{name}.bias"), &[hidden]);
            }
        }
        all
    }
}

/// Writes a model for a server.
pub(crate) fn make(options: &Options) -> Result<(), Error> {
    let (Some(folder), Some(tokenizer)) = (options.models.first(), &options.tokenizer) else {
        return Err("`make` takes --models FOLDER and --tokenizer FOLDER".into());
    };
    copy(tokenizer, folder)?;
    MINILM.write_weights(&folder.join("model.safetensors"))
}

/// Copies the JSON files of a folder, and of those in it.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        if path.is_dir() {
            copy(&path, &to.join(entry))?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            fs::copy(&path, to.join(entry))?;
        }
    }
    Ok(())
}

/// A folder that is removed at the end.
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let name = format!("motet-device-check-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn source(&self) -> Source {
        Source::File(self.0.clone())
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

//! The files of all-MiniLM-L6-v2, some 45 MB of constants.
//!
//! ```
//! let (_, config) = motet_all_minilm_l6_v2::FILES[0];
//! assert!(config.starts_with(b"{"));
//! ```

/// The files in the Hugging Face layout: paths inside the model's folder, and contents.
pub static FILES: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("config.json")),
    ("model.safetensors", include_bytes!("model.safetensors")),
    ("modules.json", include_bytes!("modules.json")),
    (
        "1_Pooling/config.json",
        include_bytes!("1_Pooling/config.json"),
    ),
    (
        "sentence_bert_config.json",
        include_bytes!("sentence_bert_config.json"),
    ),
    ("tokenizer.json", include_bytes!("tokenizer.json")),
];

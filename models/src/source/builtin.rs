//! Models compiled into the binary. Kept apart and tiny: these are some 45 MB of constants.

/// A model whose files are part of the binary.
#[derive(Debug)]
pub(crate) struct BuiltinModel {
    /// The name after `builtin:`.
    pub(crate) name: &'static str,
    /// Files of the Hugging Face layout: path inside the model directory, content.
    pub(crate) files: &'static [(&'static str, &'static [u8])],
}

#[cfg(feature = "builtin")]
macro_rules! model_files {
    ($dir:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_bytes!(concat!("../../builtin/", $dir, "/", $file)))),+]
    };
}

/// All built-in models; empty without the feature `builtin`.
pub(crate) static BUILTIN: &[BuiltinModel] = &[
    #[cfg(feature = "builtin")]
    BuiltinModel {
        name: "all-minilm-l6-v2",
        files: model_files!("all-minilm-l6-v2":
            "config.json",
            "model.safetensors",
            "modules.json",
            "1_Pooling/config.json",
            "sentence_bert_config.json",
            "tokenizer.json",
        ),
    },
];

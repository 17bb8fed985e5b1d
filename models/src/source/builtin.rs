//! Models compiled into the binary. The files of each are a crate of their own: some 45 MB of
//! constants.

/// A model whose files are part of the binary.
#[derive(Debug)]
pub(crate) struct BuiltinModel {
    /// The name after `builtin:`.
    pub(crate) name: &'static str,
    /// Files of the Hugging Face layout: path inside the model directory, content.
    pub(crate) files: &'static [(&'static str, &'static [u8])],
}

/// All built-in models; empty without the feature `builtin`.
pub(crate) static BUILTIN: &[BuiltinModel] = &[
    #[cfg(feature = "builtin")]
    BuiltinModel {
        name: "all-minilm-l6-v2",
        files: motet_all_minilm_l6_v2::FILES,
    },
];

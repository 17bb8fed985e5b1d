//! Arguments of `motet models` and `motet verify`.

use std::path::PathBuf;

use clap::Args;

use super::{FileArgs, FileFlags};

/// `motet models`.
#[derive(Debug, Clone, Args)]
pub struct ModelsArgs {
    /// The files.
    #[command(flatten)]
    pub files: FileArgs,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `motet verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A model of the configuration, or a source, such as hf:ORG/NAME
    #[arg(value_name = "MODEL|SOURCE")]
    pub model: String,
    /// The task of a source
    #[arg(long, value_name = "TASK", default_value = "embed")]
    pub task: String,
    /// Write what the model answers to some texts, with every bit
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub record: Option<PathBuf>,
    /// Compare with what was recorded elsewhere
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// The largest difference of a number that is no error
    #[arg(long, value_name = "NUMBER", default_value_t = 1e-3)]
    pub tolerance: f32,
    /// The configuration.
    #[command(flatten)]
    pub files: FileFlags,
}

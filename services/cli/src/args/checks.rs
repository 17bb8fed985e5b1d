//! Arguments of commands that read a configuration and serve nothing.

use std::path::PathBuf;

use clap::Args;

use super::{FileArgs, PipelineAndFile};

/// `motet check`.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("argument", |arg| arg.required_unless_present_any(["ops", "file"])))]
pub struct CheckArgs {
    /// Which files.
    #[command(flatten)]
    pub files: FileArgs,
    /// Write the signatures of models and services, and the digests of the models' files, into a
    /// lock file beside the configuration, to check against
    #[arg(long)]
    pub lock: bool,
    /// Refuse models that are other ones than those of the lock file, down to the bits of their
    /// files
    #[arg(long, conflicts_with = "lock")]
    pub locked: bool,
    /// List the ops that a node can run, with what they take and give
    #[arg(long)]
    pub ops: bool,
}

/// `motet config`.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// Which files.
    #[command(flatten)]
    pub files: FileArgs,
}

/// `motet graph`.
#[derive(Debug, Clone, Args)]
pub struct PipelineArgs {
    /// Which pipeline of which files.
    #[command(flatten)]
    pub pipeline: PipelineAndFile,
}

/// `motet proto`.
#[derive(Debug, Clone, Args)]
pub struct ProtoArgs {
    /// Which pipeline of which files.
    #[command(flatten)]
    pub pipeline: PipelineAndFile,
    /// Write the file, and those that it imports, into this folder
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

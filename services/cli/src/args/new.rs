//! Arguments of `motet new`.

use std::path::PathBuf;

use clap::Args;

/// `motet new`.
#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    /// Name of the package and its program, such as `my-models`
    pub name: String,
    /// Folder to write, which must not exist; by default one with the name of the package
    #[arg(long, value_name = "FOLDER")]
    pub path: Option<PathBuf>,
    /// A checkout of motet to depend on, in place of the published version
    #[arg(long, value_name = "FOLDER")]
    pub motet: Option<PathBuf>,
}

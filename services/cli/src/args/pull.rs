//! Arguments of `motet pull`.

use std::path::PathBuf;

use clap::Args;
use motet_hub::{Repository, SCHEME};

use super::FileFlags;

/// `motet pull`.
#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// Repositories to fetch; with --file, those of the configuration's models
    #[arg(value_name = "hf:ORG/NAME[@REVISION]", value_parser = source)]
    pub repositories: Vec<Repository>,
    /// Write the files into this folder, for `source: file:FOLDER` on any machine
    #[arg(long, value_name = "FOLDER", requires = "repositories")]
    pub to: Option<PathBuf>,
    /// The configuration.
    #[command(flatten)]
    pub files: FileFlags,
}

fn source(text: &str) -> Result<Repository, String> {
    let name = text.split_once(':').filter(|(scheme, _)| *scheme == SCHEME);
    let (_, name) = name.ok_or("write hf:ORG/NAME, or hf:ORG/NAME@REVISION")?;
    name.parse()
        .map_err(|error: motet_hub::NameError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_a_hub_has_its_scheme() {
        assert_eq!(source("hf:a/b@v1").unwrap().to_string(), "a/b@v1");
        for wrong in ["a/b", "file:a/b", "hf:", "hf:a/b/c", "hf:a/b@"] {
            assert!(source(wrong).is_err(), "{wrong}");
        }
    }
}

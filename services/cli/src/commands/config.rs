//! `motet config`: the configuration that is used.

use anyhow::Context;

use crate::args::FileArgs;
use crate::configuration::BUILTIN;
use crate::output;

pub(super) fn run(args: &FileArgs) -> anyhow::Result<()> {
    match &args.file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            output::print(&text)
        }
        None => output::print(BUILTIN),
    }
}

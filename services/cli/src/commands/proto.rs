//! `motet proto`: the .proto file of a pipeline.

use std::path::Path;

use anyhow::Context;
use motet_gateway::serve::typed::{TypedApi, file_name, proto_file};
use motet_service::Tasks;

use super::graph::checked;
use crate::args::ProtoArgs;
use crate::output;

pub(super) fn run(args: ProtoArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let (pipeline, files) = args.pipeline.split()?;
    let (name, text) = match pipeline.as_deref() {
        Some("inference") => (
            motet_proto::files::INFERENCE.0.to_owned(),
            motet_proto::files::INFERENCE.1.to_owned(),
        ),
        Some("motet") => (
            motet_proto::files::PIPELINES.0.to_owned(),
            motet_proto::files::PIPELINES.1.to_owned(),
        ),
        pipeline => {
            let checked = checked(pipeline, &files, tasks)?;
            let api = TypedApi::new(&checked)?;
            (file_name(&checked.name), proto_file(&checked, &api))
        }
    };
    let Some(folder) = &args.out else {
        return output::print(&text);
    };
    write(folder, &name, &text)?;
    for (name, text) in motet_proto::files::IMPORTS {
        write(folder, name, text)?;
    }
    let (name, text) = motet_proto::files::BUF;
    if !is_in_buf_workspace(folder, name) {
        write(folder, name, text)?;
    }
    Ok(())
}

/// Returns whether `folder` or one above it has a configuration of buf, which would hold for the
/// files.
fn is_in_buf_workspace(folder: &Path, name: &str) -> bool {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().any(|above| above.join(name).exists())
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    let failed = || format!("{} cannot be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(failed)?;
    }
    std::fs::write(&path, text).with_context(failed)?;
    output::print(&format!("{}\n", path.display()))
}

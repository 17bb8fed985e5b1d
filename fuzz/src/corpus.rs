//! The inputs that are kept of each target.

use std::path::PathBuf;

/// Most bytes of one input.
const INPUT_BYTES_MAX: u64 = 64 << 10;

/// Returns the inputs of a target with their names, in the order of the names.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn inputs(target: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "corpus", target]
        .iter()
        .collect();
    let shown = folder.display();
    let files = std::fs::read_dir(&folder).map_err(|error| format!("{shown}: {error}"))?;
    let mut inputs = Vec::new();
    for file in files {
        let path = file.map_err(|error| format!("{shown}: {error}"))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = motet_config::files::read(&path, INPUT_BYTES_MAX)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        inputs.push((name, bytes));
    }
    inputs.sort();
    match inputs.is_empty() {
        true => Err(format!("{shown} is empty")),
        false => Ok(inputs),
    }
}

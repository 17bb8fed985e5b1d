//! Standard input, kept in a file: it can be read only once, a batch perhaps several times.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::BatchError;
use crate::folder::Folder;

/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

/// Keeps what `input` has in the file `path` of a folder, whole or not at all.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn keep(mut input: impl Read, folder: &Folder, path: &Path) -> Result<(), BatchError> {
    let mut kept = folder.stage("stdin")?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = match input.read(&mut piece) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(BatchError::reading(Path::new("standard input"), &error));
            }
            Ok(read) => read,
        };
        kept.write_all(&piece[..read])
            .map_err(|error| BatchError::writing(path, &error))?;
    }
    folder.rename(kept, path)
}

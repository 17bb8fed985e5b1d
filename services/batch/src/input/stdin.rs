//! Standard input, kept in a file: it can be read only once, a batch perhaps several times.

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use crate::error::BatchError;
use crate::temporary::Temporary;

/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

/// Keeps what `input` has in the file `path`, whole or not at all.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn keep(mut input: impl Read, folder: &Path, path: &Path) -> Result<(), BatchError> {
    let temporary = Temporary::create(folder, "stdin")?;
    let mut writer = BufWriter::new(temporary.file());
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
        writer
            .write_all(&piece[..read])
            .map_err(|error| BatchError::writing(path, &error))?;
    }
    writer
        .flush()
        .map_err(|error| BatchError::writing(path, &error))?;
    drop(writer);
    temporary.replace(path)
}

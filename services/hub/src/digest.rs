//! Digests: of files, and of what a hub says that a file has.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Digest that a file of a repository must have. Digits are lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected<'l> {
    /// SHA-256 of a large file.
    Sha256(&'l str),
    /// Name that git gives a small file: SHA-1 of its size and its bytes.
    GitBlob(&'l str),
}

impl<'l> Expected<'l> {
    /// Returns the digits.
    pub(crate) fn digits(&self) -> &'l str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }

    /// Returns a digest in progress of a file of `size` bytes.
    pub(crate) fn begin(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::GitBlob(_) => {
                let mut hasher = Sha1::new();
                hasher.update(format!("blob {size}\0"));
                Hasher::GitBlob(hasher)
            }
        }
    }
}

/// A digest in progress.
#[derive(Clone, Debug)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
        }
    }

    /// Adds all that is left of a file.
    pub(crate) fn update_from(&mut self, mut file: impl Read) -> io::Result<u64> {
        let mut piece = vec![0; PIECE];
        let mut total = 0;
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(total),
                Ok(read) => {
                    self.update(&piece[..read]);
                    total += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the digits.
    pub(crate) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::GitBlob(hasher) => hex(&hasher.finalize()),
        }
    }
}

/// Returns the SHA-256 of a file, as lower-case hexadecimal digits.
///
/// # Errors
/// A file that cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Hasher::Sha256(Sha256::new());
    hasher.update_from(File::open(path)?)?;
    Ok(hasher.finish())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `sha256sum` and `git hash-object` have them.
    #[test]
    fn digests_are_those_of_other_programs() {
        for (expected, text) in [
            (
                Expected::Sha256(
                    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                ),
                "",
            ),
            (
                Expected::Sha256(
                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                ),
                "abc",
            ),
            (
                Expected::GitBlob("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
                "",
            ),
            (
                Expected::GitBlob("ce013625030ba8dba906f756967f9e9ca394464a"),
                "hello\n",
            ),
        ] {
            let mut hasher = expected.begin(text.len() as u64);
            let read = hasher.update_from(text.as_bytes()).unwrap();
            assert_eq!(read, text.len() as u64);
            assert_eq!(hasher.finish(), expected.digits());
        }
    }
}

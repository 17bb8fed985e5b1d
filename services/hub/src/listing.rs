//! [`Listing`]: the files of a repository at a commit.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Expected;

/// The version of the file that keeps a listing in the cache.
const FORMAT_VERSION: u64 = 1;
/// Digits of SHA-1 and of SHA-256.
const DIGITS: [usize; 2] = [40, 64];

/// The files of a repository at a commit, by their paths. As a file of the cache it has the form
/// that huggingface_hub keeps listings in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    format_version: u64,
    files: BTreeMap<String, ListedFile>,
}

/// One file, as a hub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedFile {
    /// Bytes; of a large file, those of its pointer or its own.
    pub(crate) size: u64,
    /// Name that git gives the file, or the pointer of a large one.
    pub(crate) blob_id: String,
    /// SHA-256 of a large file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lfs_sha256: Option<String>,
    /// Bytes of a large file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lfs_size: Option<u64>,
    /// Name of the file in another storage of the hub, which others may read it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) xet_hash: Option<String>,
}

impl ListedFile {
    /// Returns the number of bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.lfs_size.unwrap_or(self.size)
    }

    /// Returns the digest of the content, whose digits are the file's entity tag and the name of
    /// its blob.
    pub(crate) fn expected(&self) -> Expected<'_> {
        match &self.lfs_sha256 {
            Some(digits) => Expected::Sha256(digits),
            None => Expected::GitBlob(&self.blob_id),
        }
    }

    fn is_valid(&self) -> bool {
        let is_digits = |text: &str| {
            DIGITS.contains(&text.len()) && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        };
        let digests = [
            Some(&self.blob_id),
            self.lfs_sha256.as_ref(),
            self.xet_hash.as_ref(),
        ];
        digests.into_iter().flatten().all(|text| is_digits(text))
    }
}

impl Listing {
    /// Returns a listing of these files.
    ///
    /// # Errors
    /// The first path that leaves the repository, or has no digest.
    pub(crate) fn new(files: BTreeMap<String, ListedFile>) -> Result<Self, String> {
        let listing = Self {
            format_version: FORMAT_VERSION,
            files,
        };
        match listing.fault() {
            Some(path) => Err(path.to_owned()),
            None => Ok(listing),
        }
    }

    /// Reads a listing as the cache keeps it; `None` if it is of another form.
    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        let listing: Self = serde_json::from_slice(bytes).ok()?;
        let is_known = listing.format_version == FORMAT_VERSION && listing.fault().is_none();
        is_known.then_some(listing)
    }

    /// Returns a path that cannot be that of a file of the repository.
    fn fault(&self) -> Option<&str> {
        let mut files = self.files.iter();
        let fault = files.find(|(path, file)| !is_inside(path) || !file.is_valid());
        fault.map(|(path, _)| path.as_str())
    }

    pub(crate) fn get(&self, path: &str) -> Option<&ListedFile> {
        self.files.get(path)
    }

    /// Returns the paths of the files.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.files.keys().cloned().collect()
    }
}

/// Returns whether a path is that of a file inside the folder that it starts from.
fn is_inside(path: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(is_part) && !path.contains(['\\', '\0', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(blob_id: &str, lfs_sha256: Option<&str>) -> ListedFile {
        ListedFile {
            size: 3,
            blob_id: blob_id.to_owned(),
            lfs_sha256: lfs_sha256.map(str::to_owned),
            lfs_size: lfs_sha256.map(|_| 5),
            xet_hash: None,
        }
    }

    #[test]
    fn a_listing_is_kept_and_read_again() {
        let (small, large) = ("a".repeat(40), "b".repeat(64));
        let files = BTreeMap::from([
            ("config.json".to_owned(), file(&small, None)),
            (
                "1_Pooling/model.safetensors".to_owned(),
                file(&small, Some(&large)),
            ),
        ]);
        let listing = Listing::new(files).unwrap();
        let text = serde_json::to_vec(&listing).unwrap();
        assert_eq!(Listing::from_json(&text), Some(listing.clone()));
        let file = listing.get("config.json").unwrap();
        assert_eq!((file.bytes(), file.expected().digits()), (3, &*small));
        let file = listing.get("1_Pooling/model.safetensors").unwrap();
        assert_eq!((file.bytes(), file.expected().digits()), (5, &*large));
        for wrong in ["", "{}", r#"{"format_version":2,"files":{}}"#] {
            assert_eq!(Listing::from_json(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_path_that_leaves_the_repository_is_refused() {
        let digits = "a".repeat(40);
        for path in [
            "../x",
            "a/../../x",
            "/etc/x",
            "a//b",
            "",
            ".",
            "a\\..\\b",
            "c:x",
        ] {
            let files = BTreeMap::from([(path.to_owned(), file(&digits, None))]);
            assert_eq!(Listing::new(files), Err(path.to_owned()));
        }
        for digits in ["", "../../x", "abc", &"A".repeat(40)] {
            let files = BTreeMap::from([("x".to_owned(), file(digits, None))]);
            assert_eq!(Listing::new(files), Err("x".to_owned()), "{digits}");
        }
    }
}

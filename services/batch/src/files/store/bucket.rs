//! A bucket as a place of files.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use glob::{MatchOptions, Pattern};
#[cfg(feature = "parquet")]
use object_store::GetRange;
use object_store::PutMode;
use object_store::path::Path as Key;

use super::Waiting;
use super::client::{Client, Doing, Semantic, changed};
use super::fault::Fault;
use super::read::{From, ObjectBytes};
use super::upload::Upload;
use super::{notes, unit};
use crate::error::BatchError;
use crate::files::{About, Note, NoteText, OwnPaths, Place, Record, Staged, UnitPaths, Unwritten};

/// Requests at once, where there are many.
pub(super) const AT_ONCE: usize = 32;

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Its name with the scheme, such as `s3://answers`.
    name: String,
    client: Client,
    waiting: Waiting,
    /// The store is known to keep the first of several objects that are to be the first.
    is_tried: Arc<AtomicBool>,
}

/// An object of a bucket, for requests and for messages.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) key: Key,
}

impl Bucket {
    pub(super) fn new(name: String, client: Client, waiting: Waiting) -> Self {
        Self {
            name,
            client,
            waiting,
            is_tried: Arc::default(),
        }
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for the end of something.
    ///
    /// # Errors
    /// Its error, and that of a batch that was told to stop.
    pub(super) fn until<T: Send + 'static>(
        &self,
        doing: impl Future<Output = Result<T, BatchError>> + Send + 'static,
    ) -> Result<T, BatchError> {
        self.waiting.until(doing)
    }

    pub(super) const fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Returns the object of a path.
    ///
    /// # Errors
    /// A name that no object can have.
    pub(super) fn object(&self, path: &Path) -> Result<Object, BatchError> {
        let name = path.to_string_lossy().into_owned();
        let key = name.strip_prefix(&self.name).unwrap_or_default();
        match Key::parse(key) {
            Ok(key) => Ok(Object { name, key }),
            Err(error) => Err(BatchError::cannot(format!("{name} is no object: {error}"))),
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        PathBuf::from(format!("{}/{key}", self.name))
    }

    /// Writes a small object, unless there is one with other bytes: then returns `false`.
    pub(super) fn first(&self, path: &Path, bytes: Vec<u8>) -> Result<bool, BatchError> {
        let (client, object) = (self.client.clone(), self.object(path)?);
        let is_tried = self.is_tried.clone();
        self.until(async move { first(&client, &object, &bytes.into(), &is_tried).await })
    }
}

async fn first(
    client: &Client,
    Object { name, key }: &Object,
    bytes: &Bytes,
    is_tried: &AtomicBool,
) -> Result<bool, BatchError> {
    let mut patience = client.patience();
    loop {
        match client
            .put(name, key, bytes.clone(), PutMode::Create)
            .await?
        {
            Ok(()) if is_tried.swap(true, Ordering::Relaxed) => return Ok(true),
            // Stores of some makes write every object that they are given.
            Ok(()) => match client
                .put(name, key, bytes.clone(), PutMode::Create)
                .await?
            {
                Err(Semantic::There) => return Ok(true),
                _ => {
                    let message = "the store wrote an object that was to be written only if there \
                                   was none (If-None-Match: *): of two workers none could know \
                                   that it lost";
                    return Err(BatchError::cannot(format!("{name}: {message}")));
                }
            },
            Err(Semantic::There) => {}
            Err(_) => return Err(changed(name)),
        }
        if let Some(found) = client.bytes(name, key).await? {
            // The answer to an earlier try of this one may have been lost.
            return Ok(found == *bytes);
        }
        let found = Fault::Away("somebody else is writing it".to_owned());
        client
            .again(&mut patience, Doing::Writing, name, found)
            .await?;
    }
}

impl Place for Bucket {
    fn about(&self, path: &Path) -> Result<Option<About>, BatchError> {
        let (client, object) = (self.client.clone(), self.object(path)?);
        if object.key.as_ref().is_empty() {
            return Ok(None);
        }
        let found = self.until(async move { client.about(&object.name, &object.key).await })?;
        Ok(found.map(|found| About {
            bytes: found.size,
            version: found.e_tag,
        }))
    }

    fn reader(
        &self,
        path: &Path,
        version: Option<&str>,
        from: u64,
    ) -> io::Result<Box<dyn Read + Send>> {
        let Object { name, key } = self.object(path).map_err(io::Error::other)?;
        let from = From {
            name,
            key,
            version: version.map(str::to_owned),
            at: from,
        };
        let (client, waiting) = (self.client.clone(), self.waiting.clone());
        Ok(Box::new(ObjectBytes::new(client, waiting, from)))
    }

    #[cfg(feature = "parquet")]
    fn range(
        &self,
        path: &Path,
        version: Option<&str>,
        from: u64,
        bytes: usize,
    ) -> io::Result<Vec<u8>> {
        let Object { name, key } = self.object(path).map_err(io::Error::other)?;
        let (client, version) = (self.client.clone(), version.map(str::to_owned));
        let range = GetRange::Bounded(from..from + bytes as u64);
        let read = self.until(async move { client.range(&name, &key, version, range).await });
        read.map(Into::into).map_err(io::Error::other)
    }

    fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, BatchError> {
        let (client, object) = (self.client.clone(), self.object(path)?);
        let read = self.until(async move { client.bytes(&object.name, &object.key).await })?;
        Ok(read.map(Into::into))
    }

    fn names(&self, folder: &Path) -> Result<BTreeSet<String>, BatchError> {
        let (client, Object { name, key }) = (self.client.clone(), self.object(folder)?);
        let found = self.until(async move { client.list(&name, &key).await })?;
        let names = found.iter().filter_map(|object| object.location.filename());
        Ok(names.map(str::to_owned).collect())
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, BatchError> {
        let keys = pattern.strip_prefix(&self.name).unwrap_or_default();
        let keys = keys.trim_start_matches('/');
        let fits = Pattern::new(keys)
            .map_err(|error| BatchError::cannot(format!("`{pattern}` is no pattern: {error}")))?;
        let (folder, is_deep) = folder_of(keys);
        let Object { name, key } =
            self.object(&PathBuf::from(format!("{}/{folder}", self.name)))?;
        let client = self.client.clone();
        let found = self.until(async move {
            match is_deep {
                true => client.list_all(&name, &key).await,
                false => client.list(&name, &key).await,
            }
        })?;
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::default()
        };
        let keys = found.iter().map(|object| &object.location);
        let keys = keys.filter(|key| fits.matches_with(key.as_ref(), options));
        let mut paths: Vec<PathBuf> = keys.map(|key| self.path(key)).collect();
        paths.sort();
        Ok(paths)
    }

    fn make(&self, _: &Path) -> Result<(), BatchError> {
        Ok(())
    }

    fn create(&self, _: &Path, path: &Path, bytes: &[u8]) -> Result<bool, BatchError> {
        self.first(path, bytes.to_vec())
    }

    fn stage(&self, temporary: &Path, name: &str) -> Result<Box<dyn Staged>, BatchError> {
        let path = temporary.join(format!("{name}.{:016x}", fastrand::u64(..)));
        let key = self.object(&path)?.key;
        let (client, waiting) = (self.client.clone(), self.waiting.clone());
        Ok(Box::new(Upload::new(client, waiting, path, key)))
    }

    fn rename(&self, mut staged: Box<dyn Staged>, to: &Path) -> Result<(), BatchError> {
        staged.finish()?;
        let (from, to) = (self.object(staged.path())?, self.object(to)?);
        let client = self.client.clone();
        self.until(async move {
            let copied = client.copy(&to.name, &from.key, &to.key).await?;
            copied.map_err(|_| changed(&from.name))?;
            client.remove(&from.name, &from.key).await
        })
    }

    fn is_written(&self, unit: &UnitPaths) -> Result<bool, BatchError> {
        let (client, object) = (self.client.clone(), self.object(&unit.record)?);
        self.until(async move { client.is_there(&object.name, &object.key).await })
    }

    fn records(&self, units: &[UnitPaths]) -> Result<Vec<Option<Record>>, BatchError> {
        unit::records(self, units)
    }

    fn commit(&self, _: &OwnPaths, unit: Unwritten) -> Result<bool, BatchError> {
        unit::commit(self, unit)
    }

    fn settle(&self, unit: &UnitPaths, record: &Record) -> Result<(), BatchError> {
        unit::settle(self, unit, record)
    }

    fn note(&self, temporary: &Path, text: NoteText) -> Result<Box<dyn Send>, BatchError> {
        notes::begin(self, temporary, text)
    }

    fn notes(&self, temporary: &Path) -> Result<Vec<Note>, BatchError> {
        notes::read(self, temporary)
    }

    fn sweep(&self, temporary: &Path, is_over: bool) -> Result<(), BatchError> {
        if !is_over {
            // Nothing tells what living workers still need.
            return Ok(());
        }
        let (client, Object { name, key }) = (self.client.clone(), self.object(temporary)?);
        self.until(async move {
            let left = client.list(&name, &key).await?;
            let remove = left.into_iter().map(|object| {
                let (client, name) = (&client, &name);
                async move { client.remove(name, &object.location).await }
            });
            let removed = stream::iter(remove).buffer_unordered(AT_ONCE);
            removed.try_collect().await
        })
    }
}

/// Returns the folder in which all objects are that fit a pattern of keys, and whether they may be
/// in folders of it.
fn folder_of(keys: &str) -> (&str, bool) {
    let plain = keys.find(['*', '?', '[']).unwrap_or(keys.len());
    match keys[..plain].rfind('/') {
        Some(end) => (&keys[..end], keys[end + 1..].contains('/')),
        None => ("", keys.contains('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_a_pattern_are_in_one_folder() {
        for (keys, expected) in [
            ("*.jsonl", ("", false)),
            ("rows/*.jsonl", ("rows", false)),
            ("rows/2026-*/*.jsonl", ("rows", true)),
            ("rows/a*b/c", ("rows", true)),
            ("*/c", ("", true)),
            ("a/b/[ab].csv", ("a/b", false)),
        ] {
            assert_eq!(folder_of(keys), expected, "{keys}");
        }
    }
}

//! Requests to a bucket, which are tried again until they are answered or refused.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, MultipartId, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
};
#[cfg(feature = "parquet")]
use object_store::{GetOptions, GetRange};
use tokio::time::{sleep, timeout};

use super::fault::{Fault, fault};
use crate::error::BatchError;
use crate::waiting::Patience;

/// Time limit of a request, with all that it sends and gets.
const REQUEST: Duration = Duration::from_secs(180);

/// A bucket, as requests see it.
pub(super) trait Store: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> Store for S {}

/// Something that is done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Reading,
    Writing,
}

/// Makes requests. Clones share their connections.
#[derive(Clone)]
pub(super) struct Client {
    store: Arc<dyn Store>,
    retry_for: Duration,
    /// Some machine has had its name.
    is_found: Arc<AtomicBool>,
}

/// Answer to a request that has an answer.
pub(super) type Answer<T> = Result<T, Semantic>;

/// An answer that a batch knows what to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Semantic {
    /// There is no such object.
    Absent,
    /// There is one already.
    There,
    /// It is another version.
    Changed,
}

impl Client {
    pub(super) fn new(store: Arc<dyn Store>, retry_for: Duration) -> Self {
        Self {
            store,
            retry_for,
            is_found: Arc::default(),
        }
    }

    /// Returns the store, for requests that are not tried again here.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Returns a new patience.
    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.retry_for)
    }

    /// Makes a request of the object `name`, and makes it again while the store is away.
    async fn ask<T, F>(
        &self,
        doing: Doing,
        name: &str,
        request: impl Fn() -> F,
    ) -> Result<Answer<T>, BatchError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let mut patience = self.patience();
        loop {
            let found = match timeout(REQUEST, request()).await {
                Ok(Ok(done)) => {
                    self.is_found.store(true, Ordering::Relaxed);
                    return Ok(Ok(done));
                }
                Ok(Err(error)) => fault(&error),
                Err(_) => Fault::Away(format!("no whole answer within {REQUEST:?}")),
            };
            let is_found = !matches!(found, Fault::Nameless(_));
            self.is_found.fetch_or(is_found, Ordering::Relaxed);
            match found {
                Fault::Absent => return Ok(Err(Semantic::Absent)),
                Fault::There => return Ok(Err(Semantic::There)),
                Fault::Changed => return Ok(Err(Semantic::Changed)),
                found => self.again(&mut patience, doing, name, found).await?,
            }
        }
    }

    /// Waits before another try.
    ///
    /// # Errors
    /// A refusal, and the end of patience.
    pub(super) async fn again(
        &self,
        patience: &mut Patience,
        doing: Doing,
        name: &str,
        found: Fault,
    ) -> Result<(), BatchError> {
        let done = match doing {
            Doing::Reading => "read",
            Doing::Writing => "written",
        };
        let cannot = |why: &str| BatchError::cannot(format!("{name} cannot be {done}: {why}"));
        match found {
            Fault::Nameless(why) if !self.is_found.load(Ordering::Relaxed) => {
                let wait = patience.next_of_name().ok_or_else(|| cannot(&why))?;
                sleep(wait).await;
                Ok(())
            }
            Fault::Away(why) | Fault::Nameless(why) => match patience.next() {
                Some(wait) => {
                    sleep(wait).await;
                    Ok(())
                }
                None => Err(BatchError::try_again(format!(
                    "{name} cannot be {done}: {why} (it was tried for {:?})",
                    self.retry_for
                ))),
            },
            Fault::Refused(why) => Err(cannot(&why)),
            Fault::Absent => Err(cannot("it is not there")),
            Fault::There | Fault::Changed => Err(changed(name)),
        }
    }

    /// Returns whether there is an object.
    pub(super) async fn is_there(&self, name: &str, key: &Key) -> Result<bool, BatchError> {
        let found = self.ask(Doing::Reading, name, || self.store.head(key));
        Ok(found.await?.is_ok())
    }

    /// Returns what is known of an object; `None` if there is none.
    pub(super) async fn about(
        &self,
        name: &str,
        key: &Key,
    ) -> Result<Option<ObjectMeta>, BatchError> {
        let found = self
            .ask(Doing::Reading, name, || self.store.head(key))
            .await?;
        match found {
            Ok(about) => Ok(Some(about)),
            // The absent thing may be a bucket: a read tells which it is.
            Err(_) => {
                let first = || self.store.get_range(key, 0..1);
                self.ask(Doing::Reading, name, first).await?.ok();
                Ok(None)
            }
        }
    }

    /// Returns an object; `None` if there is none.
    pub(super) async fn bytes(&self, name: &str, key: &Key) -> Result<Option<Bytes>, BatchError> {
        let whole = || async { self.store.get(key).await?.bytes().await };
        Ok(self.ask(Doing::Reading, name, whole).await?.ok())
    }

    /// Returns some bytes of an object of this version, fewer at its end.
    #[cfg(feature = "parquet")]
    pub(super) async fn range(
        &self,
        name: &str,
        key: &Key,
        version: Option<String>,
        range: GetRange,
    ) -> Result<Bytes, BatchError> {
        let some = || async {
            let options = GetOptions {
                if_match: version.clone(),
                range: Some(range.clone()),
                ..GetOptions::default()
            };
            self.store.get_opts(key, options).await?.bytes().await
        };
        match self.ask(Doing::Reading, name, some).await? {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(changed(name)),
        }
    }

    /// Returns the objects in a folder, without those of folders in it.
    pub(super) async fn list(
        &self,
        name: &str,
        folder: &Key,
    ) -> Result<Vec<ObjectMeta>, BatchError> {
        let all = || self.store.list_with_delimiter(Some(folder));
        let found = self.ask(Doing::Reading, name, all).await?;
        Ok(found.map(|found| found.objects).unwrap_or_default())
    }

    /// Returns all objects in a folder and in those in it.
    pub(super) async fn list_all(
        &self,
        name: &str,
        folder: &Key,
    ) -> Result<Vec<ObjectMeta>, BatchError> {
        let all = || self.store.list(Some(folder)).try_collect::<Vec<_>>();
        let found = self.ask(Doing::Reading, name, all).await?;
        Ok(found.unwrap_or_default())
    }

    /// Writes an object. Of several that are to be the first one is.
    pub(super) async fn put(
        &self,
        name: &str,
        key: &Key,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<Answer<()>, BatchError> {
        let put = || async {
            let options = PutOptions {
                mode: mode.clone(),
                ..PutOptions::default()
            };
            let payload = bytes.clone().into();
            self.store.put_opts(key, payload, options).await.map(drop)
        };
        self.ask(Doing::Writing, name, put).await
    }

    /// Begins an object that is written in pieces.
    pub(super) async fn begin(&self, name: &str, key: &Key) -> Result<MultipartId, BatchError> {
        let begun = || self.store.create_multipart(key);
        self.ask(Doing::Writing, name, begun)
            .await?
            .map_err(|_| changed(name))
    }

    /// Writes a piece of an object.
    pub(super) async fn piece(
        &self,
        name: &str,
        key: &Key,
        (id, index): (&MultipartId, usize),
        bytes: &Bytes,
    ) -> Result<PartId, BatchError> {
        let piece = || self.store.put_part(key, id, index, bytes.clone().into());
        self.ask(Doing::Writing, name, piece)
            .await?
            .map_err(|_| changed(name))
    }

    /// Ends an object that is written in pieces.
    pub(super) async fn end(
        &self,
        name: &str,
        key: &Key,
        id: &MultipartId,
        parts: &[PartId],
    ) -> Result<(), BatchError> {
        let ended = || self.store.complete_multipart(key, id, parts.to_vec());
        match self.ask(Doing::Writing, name, ended).await? {
            Ok(_) => Ok(()),
            // The answer to an earlier try was lost.
            Err(_) if self.is_there(name, key).await? => Ok(()),
            Err(_) => Err(changed(name)),
        }
    }

    /// Copies an object within the store.
    pub(super) async fn copy(
        &self,
        name: &str,
        from: &Key,
        to: &Key,
    ) -> Result<Answer<()>, BatchError> {
        let copied = || self.store.copy_opts(from, to, CopyOptions::default());
        self.ask(Doing::Writing, name, copied).await
    }

    /// Removes an object, if it is there.
    pub(super) async fn remove(&self, name: &str, key: &Key) -> Result<(), BatchError> {
        let removed = || self.store.delete(key);
        self.ask(Doing::Writing, name, removed).await.map(drop)
    }
}

/// Returns the error of an object that is no longer the one that it was.
pub(super) fn changed(name: &str) -> BatchError {
    BatchError::cannot(format!("{name} changed, or went, while it was used"))
}

impl Debug for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

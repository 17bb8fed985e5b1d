//! Notes of workers: objects that each writes again and again.

use std::path::Path;
use std::time::SystemTime;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutMode;

use super::bucket::{AT_ONCE, Bucket, Object};
use super::client::{Client, changed};
use crate::error::BatchError;
use crate::files::noting::{self, ALIVE, NotePlace};
use crate::files::{Note, NoteText};

/// The object with the note of this worker.
struct OwnNote {
    client: Client,
    object: Object,
}

impl NotePlace for OwnNote {
    fn put(&self, text: Vec<u8>) -> BoxFuture<'_, Result<(), BatchError>> {
        let Object { name, key } = &self.object;
        Box::pin(async move {
            let put = self.client.put(name, key, text.into(), PutMode::Overwrite);
            put.await?.map_err(|_| changed(name))
        })
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), BatchError>> {
        Box::pin(self.client.remove(&self.object.name, &self.object.key))
    }
}

/// Begins to note.
pub(super) fn begin(
    bucket: &Bucket,
    temporary: &Path,
    text: NoteText,
) -> Result<Box<dyn Send>, BatchError> {
    let note = OwnNote {
        client: bucket.client().clone(),
        object: bucket.object(&temporary.join(noting::name()))?,
    };
    noting::begin(bucket.waiting(), note, text)
}

/// Returns the last notes of workers.
pub(super) fn read(bucket: &Bucket, temporary: &Path) -> Result<Vec<Note>, BatchError> {
    let (client, Object { name, key }) = (bucket.client().clone(), bucket.object(temporary)?);
    let now = SystemTime::now();
    let mut notes = bucket.until(async move {
        let found = client.list(&name, &key).await?;
        let read = found.into_iter().filter_map(|object| {
            let process = noting::process(object.location.filename()?)?.to_owned();
            let age = now.duration_since(object.last_modified.into());
            // An age before 0 is one of clocks that differ.
            let is_alive = age.map_or(true, |age| age < ALIVE);
            let (client, name) = (&client, &name);
            Some(async move {
                let text = client.bytes(name, &object.location).await?;
                // One that is gone meanwhile has no worker.
                Ok::<_, BatchError>(text.map(|text| Note {
                    process,
                    is_alive,
                    text: text.into(),
                }))
            })
        });
        let read = stream::iter(read).buffer_unordered(AT_ONCE);
        read.try_collect::<Vec<Option<Note>>>().await
    })?;
    notes.sort_by(|a, b| {
        let process = |note: &Option<Note>| note.as_ref().map(|note| note.process.clone());
        process(a).cmp(&process(b))
    });
    Ok(notes.into_iter().flatten().collect())
}

//! Notes of workers: objects that each writes again and again. A bucket knows no processes, so one
//! that is not written for a while counts as one of a killed worker.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutMode;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::bucket::{AT_ONCE, Bucket, Object};
use super::client::changed;
use crate::error::BatchError;
use crate::files::{Note, NoteText};

/// The beginning of the names of notes.
const WORKER: &str = "worker";
/// Time between two notes of a worker.
const EVERY: Duration = Duration::from_secs(10);
/// A worker whose last note is older was killed. By the clocks of the store and of this machine.
const ALIVE: Duration = Duration::from_secs(60);
/// Time for which the end of a worker waits for its note to go.
const GONE: Duration = Duration::from_secs(5);

/// Notes of a worker, until this is dropped.
struct Noting {
    ended: CancellationToken,
    gone: mpsc::Receiver<()>,
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.ended.cancel();
        // One that stays is removed when the batch is finished.
        let _ = self.gone.recv_timeout(GONE);
    }
}

/// Begins to note.
pub(super) fn begin(
    bucket: &Bucket,
    temporary: &Path,
    text: NoteText,
) -> Result<Box<dyn Send>, BatchError> {
    let machine = std::env::var("HOSTNAME").unwrap_or_default();
    let machine: String = machine
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let process = std::process::id();
    let process = match machine.is_empty() {
        true => process.to_string(),
        false => format!("{machine}-{process}"),
    };
    let name = format!("{WORKER}.{process}.{:016x}", fastrand::u64(..));
    let Object { name, key } = bucket.object(&temporary.join(name))?;
    let client = bucket.client().clone();
    let (first, noting) = ((client.clone(), name.clone(), key.clone()), text());
    bucket.until(async move {
        let (client, name, key) = first;
        let put = client.put(&name, &key, noting.into(), PutMode::Overwrite);
        put.await?.map_err(|_| changed(&name))
    })?;
    let ended = CancellationToken::new();
    let (sender, gone) = mpsc::sync_channel(1);
    let until = ended.clone();
    bucket.waiting().handle.spawn(async move {
        let noting = async {
            loop {
                sleep(EVERY).await;
                // A note that cannot be written is missed by nobody who computes.
                let _ = client
                    .put(&name, &key, text().into(), PutMode::Overwrite)
                    .await;
            }
        };
        tokio::select! {
            () = until.cancelled() => {}
            () = noting => {}
        }
        let _ = timeout(GONE, client.remove(&name, &key)).await;
        let _ = sender.send(());
    });
    Ok(Box::new(Noting { ended, gone }))
}

/// Returns the last notes of workers.
pub(super) fn read(bucket: &Bucket, temporary: &Path) -> Result<Vec<Note>, BatchError> {
    let (client, Object { name, key }) = (bucket.client().clone(), bucket.object(temporary)?);
    let now = SystemTime::now();
    let mut notes = bucket.until(async move {
        let found = client.list(&name, &key).await?;
        let read = found.into_iter().filter_map(|object| {
            let mut words = object.location.filename()?.split('.');
            let process = (words.next()? == WORKER).then(|| words.next())??.to_owned();
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

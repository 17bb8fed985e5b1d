//! Notes of workers in places that know no processes: each writes its own again and again. So one
//! that is not written for a while counts as one of a killed worker.

use std::sync::mpsc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::NoteText;
use crate::error::BatchError;
use crate::waiting::Waiting;

/// The beginning of the names of notes.
const WORKER: &str = "worker";
/// Time between two notes of a worker.
const EVERY: Duration = Duration::from_secs(10);
/// A worker whose last note is older was killed. By the clocks of the place and of this machine.
pub(crate) const ALIVE: Duration = Duration::from_secs(60);
/// Time for which the end of a worker waits for its note to go.
const GONE: Duration = Duration::from_secs(5);

/// The note of this worker in its place.
pub(crate) trait NotePlace: Send + Sync + 'static {
    /// Writes the note.
    fn put(&self, text: Vec<u8>) -> BoxFuture<'_, Result<(), BatchError>>;

    /// Removes it.
    fn remove(&self) -> BoxFuture<'_, Result<(), BatchError>>;
}

/// Returns the name of the notes of this process. No two workers have the same.
pub(crate) fn name() -> String {
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
    format!("{WORKER}.{process}.{:016x}", fastrand::u64(..))
}

/// Returns the process of a note with this name; `None` for a file that is no note.
pub(crate) fn process(name: &str) -> Option<&str> {
    let mut words = name.split('.');
    (words.next()? == WORKER).then(|| words.next())?
}

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
///
/// # Errors
/// When the first note cannot be written.
pub(crate) fn begin(
    waiting: &Waiting,
    note: impl NotePlace,
    text: NoteText,
) -> Result<Box<dyn Send>, BatchError> {
    let first = text();
    let note = waiting.until(async move {
        note.put(first).await?;
        Ok(note)
    })?;
    let ended = CancellationToken::new();
    let (sender, gone) = mpsc::sync_channel(1);
    let until = ended.clone();
    waiting.handle.spawn(async move {
        let noting = async {
            loop {
                sleep(EVERY).await;
                // A note that cannot be written is missed by nobody who computes.
                let _ = note.put(text()).await;
            }
        };
        tokio::select! {
            () = until.cancelled() => {}
            () = noting => {}
        }
        let _ = timeout(GONE, note.remove()).await;
        let _ = sender.send(());
    });
    Ok(Box::new(Noting { ended, gone }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_process() {
        let name = name();
        let process = process(&name).unwrap();
        assert!(process.ends_with(&std::process::id().to_string()), "{name}");
        for other in ["part-00000.12.0123", "worker", ""] {
            assert_eq!(super::process(other), None, "{other}");
        }
    }
}

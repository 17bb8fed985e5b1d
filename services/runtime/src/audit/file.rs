//! The audit's file. Lines are appended by a thread of its own, many at a time under load.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

use crate::config::AuditSpec;
use crate::metrics::ServerMetrics;

/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Lines that are written at once.
const BATCH: usize = 512;

/// An audit file that is open. Clones share it.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lines: SyncSender<Message>,
    required: bool,
    metrics: ServerMetrics,
}

enum Message {
    Line(Vec<u8>, Option<oneshot::Sender<bool>>),
    Reopen,
}

/// Error of an audit that cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("the audit file {path} cannot be written: {cause}")]
pub struct AuditError {
    path: String,
    cause: io::Error,
}

impl Audit {
    /// Opens the file, which grows at its end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(spec: &AuditSpec, metrics: ServerMetrics) -> Result<Self, AuditError> {
        let failed = |cause| AuditError {
            path: spec.path.display().to_string(),
            cause,
        };
        let mut log = Log::new(spec);
        log.open().map_err(failed)?;
        let (lines, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let counted = metrics.clone();
        thread
            .spawn(move || write_all(&queue, log, &counted))
            .map_err(failed)?;
        Ok(Self(Arc::new(Inner {
            lines,
            required: spec.required,
            metrics,
        })))
    }

    /// Returns `true` if nothing may be answered that is not written.
    pub(super) fn is_required(&self) -> bool {
        self.0.required
    }

    /// Opens the file again by its name: whoever rotates logs has moved it.
    pub fn reopen(&self) {
        // A full queue means that the thread is busy writing, and opens it again if that fails.
        let _ = self.0.lines.try_send(Message::Reopen);
    }

    /// Writes a line and returns whether it is in the file.
    pub(super) async fn write(&self, line: Vec<u8>) -> bool {
        let (written, answer) = oneshot::channel();
        let sent = self.0.lines.try_send(Message::Line(line, Some(written)));
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// Has a line written soon. One that finds no room is lost, and counted.
    pub(super) fn send(&self, line: Vec<u8>) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.0.lines.try_send(Message::Line(line, None))
        {
            self.0.metrics.audit_lost(1);
        }
    }
}

/// Writes lines until nobody sends any.
fn write_all(queue: &Receiver<Message>, mut log: Log, metrics: &ServerMetrics) {
    let mut failing = false;
    while let Ok(first) = queue.recv() {
        let (mut bytes, mut waiting, mut lines) = (Vec::new(), Vec::new(), 0);
        let others = std::iter::from_fn(|| queue.try_recv().ok()).take(BATCH);
        for message in std::iter::once(first).chain(others) {
            match message {
                Message::Reopen => log.close(),
                Message::Line(line, written) => {
                    bytes.extend_from_slice(&line);
                    waiting.extend(written);
                    lines += 1;
                }
            }
        }
        if lines == 0 {
            continue;
        }
        let written = log.append(&bytes);
        match &written {
            Ok(()) => failing = false,
            Err(error) => {
                metrics.audit_lost(lines);
                if !failing {
                    let path = log.path.display().to_string();
                    tracing::error!(%error, path, "the audit cannot be written");
                }
                failing = true;
            }
        }
        for waiting in waiting {
            // Whoever waited has gone away.
            let _ = waiting.send(written.is_ok());
        }
    }
}

/// A file that is renamed when it is full.
struct Log {
    path: PathBuf,
    bytes_max: u64,
    files: usize,
    open: Option<(File, u64)>,
}

impl Log {
    fn new(spec: &AuditSpec) -> Self {
        Self {
            path: spec.path.clone(),
            bytes_max: spec.max_bytes as u64,
            files: spec.max_files,
            open: None,
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.path)?;
        // Two processes would rename each other's files. Where a file system has no locks, nothing
        // is known of others.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::Error::other("another process writes to it"));
        }
        let bytes = file.metadata()?.len();
        self.open = Some((file, bytes));
        Ok(())
    }

    fn close(&mut self) {
        self.open = None;
    }

    /// Appends whole lines. After an error the file is opened again for the next ones.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let is_full = self
            .open
            .as_ref()
            .is_some_and(|(_, bytes)| *bytes > 0 && bytes + lines.len() as u64 > self.bytes_max);
        if is_full {
            self.rotate()?;
        }
        if self.open.is_none() {
            self.open()?;
        }
        let Some((file, bytes)) = &mut self.open else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let before = *bytes;
        match file.write_all(lines) {
            Ok(()) => {
                *bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line would spoil the next one.
                let _ = file.set_len(before);
                self.close();
                Err(error)
            }
        }
    }

    /// Renames `audit.log` to `audit.log.1`, that to `audit.log.2`, and so on; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.close();
        for n in (1..self.files).rev() {
            let (from, to) = (numbered(&self.path, n - 1), numbered(&self.path, n));
            match std::fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files == 1 {
            std::fs::remove_file(&self.path)?;
        }
        self.open()
    }
}

/// Returns the path of the `n`th file; the one that is written has the number 0.
fn numbered(path: &Path, n: usize) -> PathBuf {
    if n == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let name = format!("motet-audit-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn log(folder: &Path, bytes_max: u64, files: usize) -> Log {
        Log {
            path: folder.join("audit.log"),
            bytes_max,
            files,
            open: None,
        }
    }

    fn read(folder: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn full_files_are_numbered_and_the_oldest_goes() {
        let folder = scratch("full");
        let mut log = log(&folder, 10, 3);
        for line in [
            "one\n",
            "two\n",
            "three\n",
            "four\n",
            "a longer line than fits\n",
            "six\n",
        ] {
            log.append(line.as_bytes()).expect("written");
        }
        let read = |name| read(&folder, name);
        assert_eq!(read("audit.log").as_deref(), Some("six\n"));
        assert_eq!(
            read("audit.log.1").as_deref(),
            Some("a longer line than fits\n")
        );
        assert_eq!(read("audit.log.2").as_deref(), Some("four\n"));
        assert_eq!(read("audit.log.3"), None);
    }

    #[test]
    fn a_moved_file_is_opened_again() {
        let folder = scratch("moved");
        let mut log = log(&folder, 1000, 2);
        log.append(b"one\n").expect("written");
        std::fs::rename(folder.join("audit.log"), folder.join("moved")).expect("ok");
        log.append(b"two\n").expect("written");
        log.close();
        log.append(b"three\n").expect("written");
        assert_eq!(read(&folder, "moved").as_deref(), Some("one\ntwo\n"));
        assert_eq!(read(&folder, "audit.log").as_deref(), Some("three\n"));
    }

    #[test]
    fn what_cannot_be_written_is_an_error_until_it_can() {
        let folder = scratch("away");
        let inner = folder.join("inner");
        let mut log = log(&inner, 1000, 2);
        assert!(log.append(b"one\n").is_err());
        std::fs::create_dir(&inner).expect("a folder");
        log.append(b"two\n").expect("written");
        assert_eq!(read(&inner, "audit.log").as_deref(), Some("two\n"));
    }
}

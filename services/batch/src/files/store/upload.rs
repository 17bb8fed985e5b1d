//! An object as it is written: in pieces, if it is larger than one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::{MultipartId, PutMode};

use super::Waiting;
use super::client::{Client, changed};
use crate::error::BatchError;
use crate::files::Staged;

/// Bytes of a piece. Stores want 5 MiB at least, and the same of each but the last.
const PIECE: usize = 8 << 20;

/// An object that has no name yet. It is in memory until it is a piece.
pub(super) struct Upload {
    client: Client,
    waiting: Waiting,
    path: PathBuf,
    key: Key,
    piece: Vec<u8>,
    pieces: Option<(MultipartId, Vec<PartId>)>,
}

impl Upload {
    pub(super) fn new(client: Client, waiting: Waiting, path: PathBuf, key: Key) -> Self {
        Self {
            client,
            waiting,
            path,
            key,
            piece: Vec::new(),
            pieces: None,
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes the bytes that are in memory.
    fn send(&mut self) -> Result<(), BatchError> {
        let (client, name, key) = (self.client.clone(), self.name(), self.key.clone());
        let bytes = Bytes::from(std::mem::take(&mut self.piece));
        let begun = self.pieces.take();
        let sent = self.waiting.until(async move {
            let (id, mut pieces) = match begun {
                Some(begun) => begun,
                None => (client.begin(&name, &key).await?, Vec::new()),
            };
            let place = (&id, pieces.len());
            pieces.push(client.piece(&name, &key, place, &bytes).await?);
            Ok((id, pieces))
        });
        self.pieces = Some(sent?);
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.send().map_err(io::Error::other)?;
        }
        let written = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for Upload {
    fn path(&self) -> &Path {
        &self.path
    }

    fn finish(&mut self) -> Result<(), BatchError> {
        if self.pieces.is_some() {
            self.send()?;
        }
        let (client, name, key) = (self.client.clone(), self.name(), self.key.clone());
        let bytes = Bytes::from(std::mem::take(&mut self.piece));
        let pieces = self.pieces.take();
        self.waiting.until(async move {
            match pieces {
                Some((id, pieces)) => client.end(&name, &key, &id, &pieces).await,
                None => client
                    .put(&name, &key, bytes, PutMode::Overwrite)
                    .await?
                    .map_err(|_| changed(&name)),
            }
        })
    }
}

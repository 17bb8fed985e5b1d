//! An object as it is read: some pieces ahead, and on from where it was when a connection breaks.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::Waiting;
use super::client::{Client, Doing};
use super::fault::{Fault, fault};
use crate::error::BatchError;
use crate::waiting::Patience;

/// Pieces that are read ahead. A piece is what a connection gives at once, some 100 KiB.
const AHEAD: usize = 8;
/// Time limit of a piece.
const PIECE: Duration = Duration::from_secs(60);

/// Bytes of an object.
pub(super) struct ObjectBytes {
    waiting: Waiting,
    /// None at the end.
    pieces: Option<Receiver<Result<Bytes, BatchError>>>,
    piece: Bytes,
}

/// An object, from some byte on.
pub(super) struct From {
    pub(super) name: String,
    pub(super) key: Key,
    /// Other versions are refused.
    pub(super) version: Option<String>,
    pub(super) at: u64,
}

impl ObjectBytes {
    /// Begins to read an object.
    pub(super) fn new(client: Client, waiting: Waiting, from: From) -> Self {
        let (sender, pieces) = channel(AHEAD);
        // Dropping the receiver ends it.
        waiting.handle.spawn(async move {
            if let Err(error) = send(&client, from, &sender).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        Self {
            waiting,
            pieces: Some(pieces),
            piece: Bytes::new(),
        }
    }
}

impl Read for ObjectBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(mut pieces) = self.pieces.take() else {
                return Ok(0);
            };
            let next = self.waiting.until(async move {
                let piece = pieces.recv().await.transpose()?;
                Ok(piece.map(|piece| (piece, pieces)))
            });
            let Some((piece, pieces)) = next.map_err(io::Error::other)? else {
                return Ok(0);
            };
            self.piece = piece;
            self.pieces = Some(pieces);
        }
        let read = buf.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buf[..read]);
        Ok(read)
    }
}

/// Sends all pieces of an object.
async fn send(
    client: &Client,
    mut from: From,
    sender: &Sender<Result<Bytes, BatchError>>,
) -> Result<(), BatchError> {
    let mut patience = client.patience();
    loop {
        match some(client, &mut from, &mut patience, sender).await {
            Ok(()) => return Ok(()),
            Err(found) => {
                let again = client.again(&mut patience, Doing::Reading, &from.name, found);
                again.await?;
            }
        }
    }
}

/// Sends pieces until a connection breaks.
async fn some(
    client: &Client,
    from: &mut From,
    patience: &mut Patience,
    sender: &Sender<Result<Bytes, BatchError>>,
) -> Result<(), Fault> {
    let silent = |_| Fault::Away(format!("nothing came for {PIECE:?}"));
    let options = GetOptions {
        if_match: from.version.clone(),
        // An empty object has no range.
        range: (from.at > 0).then_some(GetRange::Offset(from.at)),
        ..GetOptions::default()
    };
    let store = client.store();
    let opened = timeout(PIECE, store.get_opts(&from.key, options));
    let opened = opened.await.map_err(silent)?;
    let opened = opened.map_err(|error| fault(&error))?;
    let size = opened.meta.size;
    let mut pieces = opened.into_stream();
    while from.at < size {
        let piece = match timeout(PIECE, pieces.next()).await.map_err(silent)? {
            Some(piece) => piece.map_err(|error| fault(&error))?,
            None => return Err(Fault::Away("a connection ended early".to_owned())),
        };
        from.at += piece.len() as u64;
        *patience = client.patience();
        if sender.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

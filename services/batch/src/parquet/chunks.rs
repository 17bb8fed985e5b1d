//! Bytes of a file, some of them kept. Columns are read page by page, in turn: without what is
//! kept, each page would be a request to a store, or several.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::files::InputFile;

/// Bytes of a block. Blocks are read whole.
const BLOCK: u64 = 512 << 10;
/// Blocks that are kept.
const BLOCKS: usize = 64;

/// Bytes of a file. Clones share what is kept.
#[derive(Clone)]
pub(super) struct Chunks {
    file: InputFile,
    /// Blocks by their numbers, the last read at the end.
    blocks: Arc<Mutex<VecDeque<(u64, Bytes)>>>,
}

impl Chunks {
    pub(super) fn new(file: &InputFile) -> Self {
        Self {
            file: file.clone(),
            blocks: Arc::default(),
        }
    }

    /// Returns the rest of a block from a byte of the file on; nothing at its end.
    fn rest(&self, at: u64) -> io::Result<Bytes> {
        if at >= self.file.bytes() {
            return Ok(Bytes::new());
        }
        let (number, within) = (at / BLOCK, (at % BLOCK) as usize);
        let block = self.block(number)?;
        match within < block.len() {
            true => Ok(block.slice(within..)),
            false => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it has become shorter",
            )),
        }
    }

    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let found = blocks.iter().position(|(kept, _)| *kept == number);
        let block = match found.and_then(|at| blocks.remove(at)) {
            Some((_, block)) => block,
            None => Bytes::from(self.file.range(number * BLOCK, BLOCK as usize)?),
        };
        if blocks.len() == BLOCKS {
            blocks.pop_front();
        }
        blocks.push_back((number, block.clone()));
        Ok(block)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.file.bytes()
    }
}

impl ChunkReader for Chunks {
    type T = ChunkBytes;

    fn get_read(&self, start: u64) -> Result<ChunkBytes, ParquetError> {
        Ok(ChunkBytes {
            chunks: self.clone(),
            at: start,
            rest: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut read = Vec::with_capacity(length.min(self.file.bytes() as usize));
        self.get_read(start)?
            .take(length as u64)
            .read_to_end(&mut read)?;
        match read.len() == length {
            true => Ok(read.into()),
            false => Err(ParquetError::EOF(format!(
                "{length} bytes from byte {start} on are not there"
            ))),
        }
    }
}

/// Bytes of a file from one on.
pub(super) struct ChunkBytes {
    chunks: Chunks,
    at: u64,
    rest: Bytes,
}

impl Read for ChunkBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.chunks.rest(self.at)?;
        }
        let read = buf.len().min(self.rest.len());
        buf[..read].copy_from_slice(&self.rest.split_to(read));
        self.at += read as u64;
        Ok(read)
    }
}

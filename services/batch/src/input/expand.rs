//! Compressed files, expanded as they are read.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::Compression;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// The first bytes of a file of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The first bytes of a file of zstd, and of a frame in it that says nothing.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The bytes of a file, expanded.
pub(crate) type Expanded = BufReader<Box<dyn Read + Send>>;

/// Returns the bytes of `file`, which is at its beginning, expanded.
///
/// # Errors
/// A file that is not compressed as its name says.
pub(crate) fn expand(
    file: impl Read + Send + 'static,
    compression: Compression,
) -> io::Result<Expanded> {
    let mut file = BufReader::with_capacity(PIECE, file);
    let start = file.fill_buf()?;
    let reader: Box<dyn Read + Send> = match compression {
        // Nothing is what a file without rows may well have.
        _ if start.is_empty() => Box::new(file),
        Compression::None => Box::new(file),
        Compression::Gzip if start.starts_with(&GZIP) => Box::new(MultiGzDecoder::new(file)),
        Compression::Zstd if start.starts_with(&ZSTD) => Box::new(ZstdFrames {
            frame: Some(frame(file)?),
        }),
        Compression::Gzip => return Err(not_compressed("gzip")),
        Compression::Zstd => return Err(not_compressed("zstd")),
    };
    Ok(BufReader::with_capacity(PIECE, reader))
}

fn not_compressed(name: &str) -> io::Error {
    let message = format!("it is not {name}, as its name says");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

type Frame<R> = StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>;

fn frame<R: Read>(file: BufReader<R>) -> io::Result<Frame<R>> {
    StreamingDecoder::new(file)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// Frames of zstd, one after another.
struct ZstdFrames<R: Read> {
    /// None after the last frame, or after an error.
    frame: Option<Frame<R>>,
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(current) = &mut self.frame else {
                return Ok(0);
            };
            let read = current.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            let Some(ended) = self.frame.take() else {
                return Ok(0);
            };
            let mut file = ended.into_inner();
            if file.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(frame(file)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression as Level;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
    }

    fn read(bytes: Vec<u8>, compression: Compression) -> io::Result<String> {
        let mut text = String::new();
        expand(Cursor::new(bytes), compression)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn files_of_several_parts_are_expanded_whole() {
        let both = [gzip("one\n"), gzip("two\n")].concat();
        assert_eq!(read(both, Compression::Gzip).unwrap(), "one\ntwo\n");
        let both = [zstd("one\n"), zstd("two\n")].concat();
        assert_eq!(read(both, Compression::Zstd).unwrap(), "one\ntwo\n");
        assert_eq!(read(Vec::new(), Compression::Zstd).unwrap(), "");
        assert_eq!(read(b"plain".to_vec(), Compression::None).unwrap(), "plain");
    }

    #[test]
    fn a_file_that_is_cut_short_is_an_error() {
        let long = "a text of some length\n".repeat(1000);
        for (bytes, compression) in [
            (gzip(&long), Compression::Gzip),
            (zstd(&long), Compression::Zstd),
        ] {
            let cut = bytes[..bytes.len() / 2].to_vec();
            assert!(read(cut, compression).is_err(), "{compression:?}");
            assert!(read(b"plain".to_vec(), compression).is_err());
        }
    }
}

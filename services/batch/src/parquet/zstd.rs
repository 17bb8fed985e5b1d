//! Files whose pages are compressed with zstd, for which the library would take a decoder in C. It
//! reads these pages as if they were not compressed, and here they are expanded.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use ruzstd::decoding::StreamingDecoder;

use super::chunks::Chunks;

/// Most bytes of a page.
const PAGE_BYTES_MAX: usize = 1 << 30;

/// A file with pages of any compression.
pub(super) struct File {
    file: SerializedFileReader<Chunks>,
    chunks: Arc<Chunks>,
}

impl File {
    /// Returns a file that was opened, with its bytes.
    ///
    /// # Errors
    /// A compression of which this program knows no decoder.
    pub(super) fn new(file: SerializedFileReader<Chunks>, chunks: Chunks) -> Result<Self> {
        let groups = file.metadata().row_groups().iter();
        for column in groups.flat_map(RowGroupMetaData::columns) {
            let is_known = matches!(
                column.compression(),
                Compression::UNCOMPRESSED
                    | Compression::SNAPPY
                    | Compression::GZIP(_)
                    | Compression::ZSTD(_)
            );
            if !is_known {
                return Err(ParquetError::General(format!(
                    "column `{}` is compressed with {}: write it with zstd, snappy, gzip or none",
                    column.column_path().string(),
                    column.compression_codec()
                )));
            }
        }
        Ok(Self {
            file,
            chunks: Arc::new(chunks),
        })
    }
}

impl FileReader for File {
    fn metadata(&self) -> &ParquetMetaData {
        self.file.metadata()
    }

    fn num_row_groups(&self) -> usize {
        self.file.num_row_groups()
    }

    fn get_row_group(&self, group: usize) -> Result<Box<dyn RowGroupReader + '_>> {
        Ok(Box::new(Group {
            group: self.file.get_row_group(group)?,
            chunks: self.chunks.clone(),
        }))
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_file(projection, self)
    }
}

struct Group<'f> {
    group: Box<dyn RowGroupReader + 'f>,
    chunks: Arc<Chunks>,
}

impl RowGroupReader for Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.group.metadata()
    }

    fn num_columns(&self) -> usize {
        self.group.num_columns()
    }

    fn get_column_page_reader(&self, column: usize) -> Result<Box<dyn PageReader>> {
        let about = self.metadata().column(column);
        if !matches!(about.compression(), Compression::ZSTD(_)) {
            return self.group.get_column_page_reader(column);
        }
        let plain = about.clone().into_builder();
        let plain = plain.set_compression(Compression::UNCOMPRESSED).build()?;
        let rows = self.metadata().num_rows().try_into()?;
        let pages = SerializedPageReader::new(self.chunks.clone(), &plain, rows, None)?;
        Ok(Box::new(Pages(pages)))
    }

    fn get_column_bloom_filter(&self, column: usize) -> Option<&Sbbf> {
        self.group.get_column_bloom_filter(column)
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// Pages that are expanded.
struct Pages(SerializedPageReader<Chunks>);

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.0.get_next_page()?.map(expanded).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.0.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        self.0.take_deferred_dictionary()?.map(expanded).transpose()
    }
}

/// Returns a page with its bytes expanded.
fn expanded(mut page: Page) -> Result<Page> {
    match &mut page {
        Page::DataPageV2 {
            is_compressed: false,
            ..
        } => {}
        // Its levels are not compressed.
        Page::DataPageV2 {
            buf,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let levels = (*def_levels_byte_len as usize) + (*rep_levels_byte_len as usize);
            if levels > buf.len() {
                return Err(ParquetError::General(
                    "a page ends in its levels".to_owned(),
                ));
            }
            *buf = expand(&buf[levels..], buf[..levels].to_vec())?;
        }
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
            *buf = expand(buf, Vec::new())?;
        }
    }
    Ok(page)
}

/// Adds the bytes of frames of zstd to others.
fn expand(mut frames: &[u8], mut bytes: Vec<u8>) -> Result<Bytes> {
    let broken = |error: String| ParquetError::General(format!("a page is no zstd: {error}"));
    while !frames.is_empty() {
        let frame = StreamingDecoder::new(frames);
        let mut frame = frame.map_err(|error| broken(error.to_string()))?;
        let room = (PAGE_BYTES_MAX + 1 - bytes.len()) as u64;
        let read = frame.by_ref().take(room).read_to_end(&mut bytes);
        read.map_err(|error| broken(error.to_string()))?;
        if bytes.len() > PAGE_BYTES_MAX {
            let message = format!("a page has more than {} MiB", PAGE_BYTES_MAX >> 20);
            return Err(ParquetError::General(message));
        }
        frames = frame.into_inner();
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    #[test]
    fn frames_are_expanded_or_the_reason_is_told() {
        let frame = |text: &str| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
        let long = frame(&"a text of some length ".repeat(1000));
        let both = [frame("one "), frame("two")].concat();
        let found = expand(&both, b"before ".to_vec()).unwrap();
        assert_eq!(&found[..], b"before one two");
        assert_eq!(&expand(&[], Vec::new()).unwrap()[..], b"");
        for broken in [&long[..long.len() / 2], b"no zstd", &long[1..]] {
            let error = expand(broken, Vec::new()).unwrap_err().to_string();
            assert!(error.contains("a page is no zstd"), "{error}");
        }
    }
}

//! Records of CSV, with their places.

use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder};

use super::rows::Place;

/// Records of a file after its header.
pub(super) struct Cells<R> {
    reader: csv::Reader<R>,
    /// The place at which `reader` began.
    begin: Place,
    header: Vec<String>,
}

impl<R: Read> Cells<R> {
    /// Returns the records of what `reader` has from `place` on: without `header`, the first record
    /// is the header.
    ///
    /// # Errors
    /// A reader's, and a header that is missing, is no text or names a column twice.
    pub(super) fn new(reader: R, place: Place, header: Option<Vec<String>>) -> io::Result<Self> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(reader);
        let header = match header {
            Some(header) => header,
            None => read_header(&mut reader)?,
        };
        Ok(Self {
            reader,
            begin: place,
            header,
        })
    }

    /// Returns the columns.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// Returns the next record and its place.
    ///
    /// # Errors
    /// A reader's.
    pub(super) fn next(&mut self) -> io::Result<Option<(Place, ByteRecord)>> {
        let mut record = ByteRecord::new();
        let is_there = self.reader.read_byte_record(&mut record);
        if !is_there.map_err(io::Error::from)? {
            return Ok(None);
        }
        let position = record.position();
        let (byte, line) = position.map_or((0, 1), |at| (at.byte(), at.line()));
        let place = Place {
            offset: self.begin.offset + byte,
            line: self.begin.line + line - 1,
        };
        Ok(Some((place, record)))
    }
}

fn read_header<R: Read>(reader: &mut csv::Reader<R>) -> io::Result<Vec<String>> {
    let refused = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut record = ByteRecord::new();
    if !reader
        .read_byte_record(&mut record)
        .map_err(io::Error::from)?
    {
        return Err(refused("it has no header".to_owned()));
    }
    let mut header: Vec<String> = Vec::new();
    for (at, name) in record.iter().enumerate() {
        let name = match at {
            0 => name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name),
            _ => name,
        };
        let name = std::str::from_utf8(name)
            .map_err(|_| refused(format!("the name of column {} is not UTF-8", at + 1)))?;
        if name.is_empty() {
            return Err(refused(format!(
                "column {} of the header has no name",
                at + 1
            )));
        }
        if header.iter().any(|known| known == name) {
            return Err(refused(format!("the header has `{name}` twice")));
        }
        header.push(name.to_owned());
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(record: &ByteRecord) -> Vec<&str> {
        record
            .iter()
            .map(|f| std::str::from_utf8(f).unwrap())
            .collect()
    }

    #[test]
    fn records_have_their_places() {
        let file = "\u{feff}id,text\n1,\"two\nlines\"\n\n2,b\n3\n";
        let mut cells = Cells::new(file.as_bytes(), Place::START, None).unwrap();
        assert_eq!(cells.header(), ["id", "text"]);
        let mut found = Vec::new();
        while let Some((place, record)) = cells.next().unwrap() {
            let header = Some(cells.header().to_vec());
            let from = &file.as_bytes()[place.offset as usize..];
            let mut from = Cells::new(from, place, header).unwrap();
            let (again, same) = from.next().unwrap().unwrap();
            assert_eq!(text(&same), text(&record));
            assert_eq!(again.line, place.line);
            found.push((place.line, record.len()));
        }
        assert_eq!(found.len(), 3);
        assert_eq!(
            found.iter().map(|(_, len)| *len).collect::<Vec<_>>(),
            [2, 2, 1]
        );
    }

    #[test]
    fn a_header_must_be_one() {
        for (file, expected) in [
            (&b""[..], "no header"),
            (b"a,b,a\n", "`a` twice"),
            (b"a,,b\n", "column 2 of the header has no name"),
            (b"a,\xff\n", "column 2 is not UTF-8"),
        ] {
            let error = Cells::new(file, Place::START, None).err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

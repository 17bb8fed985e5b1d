//! One file: fetched into a part beside its blob, from where an earlier fetch ended, checked, and
//! then put into its place.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Fetch;
use super::address::encoded;
use super::send::{Call, Reply, innermost};
use super::status::{Asked, Failure, FailureKind};
use super::tries::Tries;
use crate::digest::Hasher;
use crate::error::HubError;
use crate::listing::ListedFile;
use crate::progress::Event;

/// Most requests without progress.
const TRIES_MAX: u32 = 5;
/// Bytes that are kept free on the disk.
const ROOM_KEPT: u64 = 16 << 20;

/// The part of a file that is there.
struct Part {
    path: PathBuf,
    file: File,
    /// Bytes that are there.
    len: u64,
    hasher: Hasher,
    /// `true` if some bytes are of an earlier fetch.
    is_continued: bool,
}

impl Fetch<'_> {
    /// Checks that there is room for files.
    pub(super) fn check_room(&self, files: &[(&str, &ListedFile)]) -> Result<(), HubError> {
        let mut needed: u64 = ROOM_KEPT;
        for (_, file) in files {
            let digits = file.expected().digits();
            let there = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
            let part = self.cached.blob(&format!("{digits}.incomplete"));
            let there = there(part).max(there(self.cached.blob(digits)));
            needed += file.bytes().saturating_sub(there);
        }
        let cache = &self.settings.cache;
        std::fs::create_dir_all(cache).map_err(|e| self.cache_error(e, needed))?;
        match free_bytes(cache) {
            Some(free) if free < needed => Err(HubError::DiskFull {
                repository: self.repository.to_string(),
                path: cache.clone(),
                needed,
                free: Some(free),
            }),
            _ => Ok(()),
        }
    }

    /// Fetches a file of a commit, if its blob is not there, and links it.
    pub(super) async fn file(
        &mut self,
        commit: &str,
        path: &str,
        listed: &ListedFile,
    ) -> Result<(), HubError> {
        let size = listed.bytes();
        let digits = listed.expected().digits();
        let cached = self.cached.clone();
        let failed = |fetch: &Self, e: io::Error| fetch.cache_error(e, size);
        let progress = &mut self.progress;
        let lock = cached.lock(digits, || progress(Event::Waits { path }));
        let _lock = lock.map_err(|e| failed(self, e))?;
        let blob = cached.blob(digits);
        let is_there = std::fs::metadata(&blob).is_ok_and(|blob| blob.len() == size);
        if is_there {
            (self.progress)(Event::Bytes(size));
        } else {
            let part = self.cached.part(digits).map_err(|e| failed(self, e))?;
            let part = Part::open(part, listed).map_err(|e| failed(self, e))?;
            (self.progress)(Event::File {
                path,
                bytes: size,
                kept: part.len,
            });
            let part = self.whole(commit, path, listed, part).await?;
            part.file.sync_data().map_err(|e| failed(self, e))?;
            std::fs::rename(&part.path, &blob).map_err(|e| failed(self, e))?;
        }
        cached
            .link(commit, path, digits)
            .map_err(|e| failed(self, e))
    }

    /// Fetches until the part is whole, and checks it.
    async fn whole(
        &mut self,
        commit: &str,
        path: &str,
        listed: &ListedFile,
        mut part: Part,
    ) -> Result<Part, HubError> {
        let mut tries = Tries::new(TRIES_MAX, self.settings.retry_wait);
        (self.progress)(Event::Bytes(part.len));
        loop {
            let before = part.len;
            let came = match part.len < listed.bytes() {
                true => self.some(commit, path, listed, &mut part).await,
                false => Ok(()),
            };
            if let Err(mut failure) = came {
                if let (true, HubError::Unreachable { reason, .. }) =
                    (part.len > 0, &mut failure.error)
                {
                    let reason = std::mem::take(reason);
                    failure.error = self.cut(path, listed.bytes(), part.len, reason);
                }
                if part.len > before {
                    tries.reset();
                }
                // A part of another file than the one listed cannot be continued.
                if matches!(failure.error, HubError::Size { .. }) {
                    let _ = std::fs::remove_file(&part.path);
                }
                self.again(&mut tries, failure).await?;
                continue;
            }
            let expected = listed.expected();
            let found = part.hasher.clone().finish();
            if found == expected.digits() {
                return Ok(part);
            }
            if part.is_continued {
                // The bytes of an earlier fetch may be at fault.
                (self.progress)(Event::Again(part.len));
                part.empty(listed)
                    .map_err(|e| self.cache_error(e, listed.bytes()))?;
                continue;
            }
            let _ = std::fs::remove_file(&part.path);
            return Err(HubError::Digest {
                repository: self.repository.to_string(),
                file: path.to_owned(),
                expected: expected.digits().to_owned(),
                found,
            });
        }
    }

    /// Fetches what is missing of a part by one request.
    async fn some(
        &mut self,
        commit: &str,
        path: &str,
        listed: &ListedFile,
        part: &mut Part,
    ) -> Result<(), Failure> {
        let (repository, settings) = (self.repository, self.settings);
        let asked = Asked {
            repository,
            settings,
            file: Some(path),
        };
        let size = listed.bytes();
        let digits = listed.expected().digits();
        let address = format!(
            "{}/resolve/{commit}/{}",
            repository.name(),
            encoded(path, true)
        );
        let mut headers = Vec::new();
        if part.len > 0 {
            headers.push((RANGE, value(format!("bytes={}-", part.len))));
            headers.push((IF_RANGE, value(format!("\"{digits}\""))));
        }
        let call = Call {
            method: Method::GET,
            uri: self.client.address(&address, asked)?,
            headers,
            timeout: settings.download_timeout,
            leaves_hub: true,
            asked,
        };
        let reply = self.client.send(call).await?;
        let start = start(&reply, part.len, size, digits);
        let start = start.map_err(|fault| match fault {
            Fault::Size(found) => HubError::Size {
                repository: repository.to_string(),
                file: path.to_owned(),
                size,
                found,
            }
            .into(),
            Fault::Range => Failure {
                error: asked.answer(&reply.uri, "a range that was not asked for"),
                kind: FailureKind::Temporary { asked: None },
            },
        });
        match start {
            Ok(start) if start == part.len => {}
            // From the beginning: what is there is of another file, or ranges are not known.
            Ok(_)
            | Err(Failure {
                kind: FailureKind::Temporary { .. },
                ..
            }) => {
                (self.progress)(Event::Again(part.len));
                let emptied = part.empty(listed);
                emptied.map_err(|e| self.cache_error(e, size))?;
                if reply.response.status() != StatusCode::OK {
                    let error = asked.answer(&reply.uri, "a range that was not asked for");
                    let kind = FailureKind::Temporary { asked: None };
                    return Err(Failure { error, kind });
                }
            }
            Err(failure) => return Err(failure),
        }
        self.take(path, size, reply.response.into_body(), part)
            .await
    }

    /// Writes what comes into a part, up to the end of the file.
    async fn take(
        &mut self,
        path: &str,
        size: u64,
        mut body: Incoming,
        part: &mut Part,
    ) -> Result<(), Failure> {
        let timeout = self.settings.download_timeout;
        let reason = loop {
            let frame = match tokio::time::timeout(timeout, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => break innermost(&error),
                Ok(None) if part.len == size => return Ok(()),
                Ok(None) => break "the answer ended".to_owned(),
                Err(_) => break format!("nothing came for {} s", timeout.as_secs_f64()),
            };
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            let len = part.len + bytes.len() as u64;
            if len > size {
                return Err(HubError::Size {
                    repository: self.repository.to_string(),
                    file: path.to_owned(),
                    size,
                    found: len,
                }
                .into());
            }
            let written = part.write(bytes);
            written.map_err(|e| self.cache_error(e, size - part.len))?;
            (self.progress)(Event::Bytes(bytes.len() as u64));
        };
        Err(Failure {
            error: self.cut(path, size, part.len, reason),
            kind: FailureKind::Temporary { asked: None },
        })
    }

    fn cut(&self, path: &str, size: u64, done: u64, reason: String) -> HubError {
        HubError::Cut {
            repository: self.repository.to_string(),
            file: path.to_owned(),
            done,
            size,
            tries: 1,
            reason,
        }
    }
}

impl Part {
    /// Opens what an earlier fetch has left of a file, and reads it.
    fn open(path: PathBuf, listed: &ListedFile) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        let size = listed.bytes();
        let mut part = Self {
            path,
            len: 0,
            hasher: listed.expected().begin(size),
            is_continued: false,
            file,
        };
        if part.file.metadata()?.len() > size {
            part.empty(listed)?;
        }
        part.len = part.hasher.update_from(&part.file)?;
        part.is_continued = part.len > 0;
        Ok(part)
    }

    fn empty(&mut self, listed: &ListedFile) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = listed.expected().begin(listed.bytes());
        self.len = 0;
        self.is_continued = false;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// A fault of an answer with a part of a file.
enum Fault {
    /// The file has another size.
    Size(u64),
    /// The part begins elsewhere.
    Range,
}

/// Returns where the bytes of an answer belong: at the end of the `len` bytes that are there, or at
/// the beginning.
fn start(reply: &Reply, len: u64, size: u64, digits: &str) -> Result<u64, Fault> {
    let headers = reply.response.headers();
    let of_hub = if reply.of_hub.is_empty() {
        headers
    } else {
        &reply.of_hub
    };
    if let Some(linked) = number(of_hub, "x-linked-size").filter(|linked| *linked != size) {
        return Err(Fault::Size(linked));
    }
    match reply.response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = headers
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok());
            let (begin, total) = range.and_then(content_range).ok_or(Fault::Range)?;
            if let Some(total) = total.filter(|total| *total != size) {
                return Err(Fault::Size(total));
            }
            let tag = of_hub.get("x-linked-etag").or_else(|| of_hub.get(ETAG));
            // Tags of other forms say nothing of the content.
            let tag = tag.and_then(|value| value.to_str().ok()).map(tag_of);
            let tag = tag.filter(|tag| matches!(tag.len(), 40 | 64));
            match begin == len && tag.is_none_or(|tag| tag == digits) {
                true => Ok(begin),
                false => Err(Fault::Range),
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Err(Fault::Range),
        _ => match number(headers, CONTENT_LENGTH.as_str()) {
            Some(length) if length != size => Err(Fault::Size(length)),
            _ => Ok(0),
        },
    }
}

/// Returns the digits of an entity tag.
fn tag_of(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// Returns the first byte and the number of all of `bytes 3-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (begin, _) = range.split_once('-')?;
    Some((begin.trim().parse().ok()?, total.trim().parse().ok()))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Returns the bytes that a user may still write on the disk of a folder.
#[cfg(unix)]
fn free_bytes(folder: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &std::path::Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_tags_are_read() {
        for (text, expected) in [
            ("bytes 3-9/10", Some((3, Some(10)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes */10", None),
            ("", None),
        ] {
            assert_eq!(content_range(text), expected, "{text}");
        }
        for (text, expected) in [("\"abc\"", "abc"), ("W/\"abc\"", "abc"), ("abc", "abc")] {
            assert_eq!(tag_of(text), expected);
        }
    }
}

//! Requests of the protocols of S3 and of Google Cloud Storage's XML, which differ in headers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use super::{KEY, Object, Objects, Store, locked};

/// Objects of one answer to a list, at most: few, so that lists have several pages.
const PAGE: usize = 40;

/// Returns the answer to a request.
pub(super) fn answer(store: &Store, head: &Parts, body: Bytes) -> Response<Bytes> {
    if let Some(refused) = unauthenticated(&head.headers) {
        return refused;
    }
    let path = unescaped(head.uri.path());
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let query = query(head.uri.query().unwrap_or_default());
    let mut buckets = locked(&store.buckets);
    let Some(objects) = buckets.get_mut(bucket) else {
        let message = "The specified bucket does not exist";
        return refused(StatusCode::NOT_FOUND, "NoSuchBucket", message);
    };
    match head.method {
        Method::GET if key.is_empty() => list(objects, &query),
        Method::GET | Method::HEAD => get(objects, key, head),
        Method::PUT if query.contains_key("uploadId") => piece(store, &query, body),
        Method::PUT => {
            let is_conditional = !store.is_unconditional.load(Ordering::Relaxed);
            put(objects, key, &head.headers, body, is_conditional)
        }
        Method::POST if query.contains_key("uploads") => begin(store),
        Method::POST => end(store, objects, key, &query),
        Method::DELETE => {
            objects.remove(key);
            empty(StatusCode::NO_CONTENT)
        }
        _ => refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", ""),
    }
}

/// Returns an answer that tells of an error.
pub(super) fn refused(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    xml(status, body)
}

fn xml(status: StatusCode, body: String) -> Response<Bytes> {
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", "application/xml");
    answer.body(body.into()).expect("a response")
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let answer = Response::builder().status(status);
    answer.body(Bytes::new()).expect("a response")
}

fn unauthenticated(headers: &HeaderMap) -> Option<Response<Bytes>> {
    let credentials = headers.get("authorization").map(|value| value.to_str());
    match credentials {
        Some(Ok(text)) if text.starts_with("AWS4-HMAC-SHA256 ") => {
            let message = "The AWS Access Key Id you provided does not exist in our records.";
            let is_known = text.contains(&format!("Credential={KEY}/"));
            let forbidden = StatusCode::FORBIDDEN;
            (!is_known).then(|| refused(forbidden, "InvalidAccessKeyId", message))
        }
        Some(Ok(text)) if text.strip_prefix("Bearer ") == Some(KEY) => None,
        _ => Some(refused(
            StatusCode::UNAUTHORIZED,
            "AuthenticationRequired",
            "",
        )),
    }
}

fn get(objects: &Objects, key: &str, head: &Parts) -> Response<Bytes> {
    let Some(object) = objects.get(key) else {
        let message = "The specified key does not exist.";
        return refused(StatusCode::NOT_FOUND, "NoSuchKey", message);
    };
    let text = |name| head.headers.get(name).map(|v| v.to_str().expect("ASCII"));
    let tag = tag(&object.bytes);
    if text("if-match").is_some_and(|wanted| wanted != tag) {
        return refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "");
    }
    let size = object.bytes.len();
    let answer = Response::builder()
        .header("etag", tag)
        .header("last-modified", date(object.modified, true))
        .header("x-goog-generation", "1");
    let range = text("range").map(|range| {
        let range = range.strip_prefix("bytes=").expect("a range of bytes");
        let (first, last) = range.split_once('-').expect("a range");
        let first: usize = first.parse().expect("a number");
        (
            first,
            last.parse().map_or(size, |last: usize| size.min(last + 1)),
        )
    });
    let (status, bytes, answer) = match range {
        Some((first, _)) if first >= size => {
            return refused(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "");
        }
        Some((first, end)) => {
            let range = format!("bytes {first}-{}/{size}", end - 1);
            let answer = answer.header("content-range", range);
            let part = object.bytes.slice(first..end);
            (StatusCode::PARTIAL_CONTENT, part, answer)
        }
        None => (StatusCode::OK, object.bytes.clone(), answer),
    };
    let answer = answer.status(status).header("content-length", bytes.len());
    let is_head = head.method == Method::HEAD;
    answer
        .body(if is_head { Bytes::new() } else { bytes })
        .expect("a response")
}

fn put(
    objects: &mut Objects,
    key: &str,
    headers: &HeaderMap,
    body: Bytes,
    is_conditional: bool,
) -> Response<Bytes> {
    let is_first = headers.get("if-none-match").is_some_and(|v| v == "*")
        || headers
            .get("x-goog-if-generation-match")
            .is_some_and(|v| v == "0");
    if is_first && is_conditional && objects.contains_key(key) {
        return refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "");
    }
    let copied = headers.get("x-amz-copy-source");
    let copied = copied.or_else(|| headers.get("x-goog-copy-source"));
    let Some(from) = copied else {
        let tag = tag(&body);
        objects.insert(key.to_owned(), Object::new(body));
        let answer = Response::builder().header("etag", tag);
        return answer.body(Bytes::new()).expect("a response");
    };
    let from = unescaped(from.to_str().expect("ASCII"));
    let (_, from) = from.trim_start_matches('/').split_once('/').expect("a key");
    let Some(object) = objects.get(from) else {
        return refused(StatusCode::NOT_FOUND, "NoSuchKey", "");
    };
    let bytes = object.bytes.clone();
    let text = format!(
        "<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>",
        tag(&bytes)
    );
    objects.insert(key.to_owned(), Object::new(bytes));
    xml(StatusCode::OK, text)
}

fn begin(store: &Store) -> Response<Bytes> {
    let mut uploads = locked(&store.uploads);
    uploads.push(BTreeMap::new());
    let id = uploads.len() - 1;
    let name = "InitiateMultipartUploadResult";
    xml(
        StatusCode::OK,
        format!("<{name}><UploadId>{id}</UploadId></{name}>"),
    )
}

fn piece(store: &Store, query: &BTreeMap<String, String>, body: Bytes) -> Response<Bytes> {
    let mut uploads = locked(&store.uploads);
    let upload: usize = query["uploadId"].parse().expect("a number");
    let tag = tag(&body);
    uploads[upload].insert(query["partNumber"].parse().expect("a number"), body);
    let answer = Response::builder().header("etag", tag);
    answer.body(Bytes::new()).expect("a response")
}

fn end(
    store: &Store,
    objects: &mut Objects,
    key: &str,
    query: &BTreeMap<String, String>,
) -> Response<Bytes> {
    let mut uploads = locked(&store.uploads);
    let upload: usize = query["uploadId"].parse().expect("a number");
    let pieces = std::mem::take(&mut uploads[upload]);
    if pieces.is_empty() {
        return refused(StatusCode::NOT_FOUND, "NoSuchUpload", "");
    }
    let bytes = Bytes::from(pieces.into_values().collect::<Vec<_>>().concat());
    let name = "CompleteMultipartUploadResult";
    let text = format!("<{name}><ETag>{}</ETag></{name}>", tag(&bytes));
    objects.insert(key.to_owned(), Object::new(bytes));
    xml(StatusCode::OK, text)
}

fn list(objects: &Objects, query: &BTreeMap<String, String>) -> Response<Bytes> {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let after = text("continuation-token");
    let mut body = String::from("<ListBucketResult>");
    let (mut folder, mut last, mut count) = (String::new(), "", 0);
    let mut keys = objects.iter().filter(|(key, _)| key.starts_with(prefix));
    for (key, object) in keys.by_ref() {
        let rest = &key[prefix.len()..];
        let inner = match delimiter.is_empty() {
            true => None,
            false => rest.split_once(delimiter).map(|(inner, _)| inner),
        };
        if key.as_str() <= after && !after.is_empty() {
            // A folder that was told is not told again.
            folder = inner.map_or(folder, |inner| format!("{prefix}{inner}{delimiter}"));
            continue;
        }
        if count == PAGE {
            let token = format!("<NextContinuationToken>{last}</NextContinuationToken>");
            body.push_str(&token);
            break;
        }
        last = key;
        match inner.map(|inner| format!("{prefix}{inner}{delimiter}")) {
            Some(inner) if inner == folder => continue,
            Some(inner) => {
                let text = format!("<CommonPrefixes><Prefix>{inner}</Prefix></CommonPrefixes>");
                body.push_str(&text);
                folder = inner;
            }
            None => {
                let (tag, date) = (tag(&object.bytes), date(object.modified, false));
                let size = object.bytes.len();
                let about = format!("<Size>{size}</Size><LastModified>{date}</LastModified>");
                let _ = write!(
                    body,
                    "<Contents><Key>{key}</Key>{about}<ETag>{tag}</ETag></Contents>"
                );
            }
        }
        count += 1;
    }
    body.push_str("</ListBucketResult>");
    xml(StatusCode::OK, body)
}

/// Returns the tag of an object with these bytes.
fn tag(bytes: &Bytes) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescaped(name), unescaped(&value.replace('+', " ")))
    };
    pairs.map(pair).collect()
}

/// Returns a text without its percent signs.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        (rest, _) = match (first, byte) {
            (b'%', Some(byte)) => (&after[2..], bytes.push(byte)),
            _ => (after, bytes.push(*first)),
        };
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// Returns a time as headers have it, or as lists do.
fn date(time: SystemTime, is_header: bool) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    let clock = format!("{hour:02}:{minute:02}:{:02}", seconds % 60);
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100);
    // No test runs after 2099.
    let (mut day, mut year) = (seconds / 86_400, 1970);
    while day >= 365 + u64::from(is_leap(year) || year == 2000) {
        day -= 365 + u64::from(is_leap(year) || year == 2000);
        year += 1;
    }
    let mut month = 0;
    loop {
        let days = match month {
            1 if is_leap(year) => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    match is_header {
        true => format!("{:02} {} {year} {clock} GMT", day + 1, MONTHS[month]),
        false => format!("{year}-{:02}-{:02}T{clock}Z", month + 1, day + 1),
    }
}

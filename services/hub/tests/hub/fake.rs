//! A hub on loopback, with repositories made by tests, and faults on request. Large files are on a
//! second server, which the hub redirects to, as real ones are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Files from this size on are large ones.
const LARGE: usize = 4096;
/// Entries of a page of a listing.
const PAGE: usize = 4;
/// Bytes of a piece of a body.
const PIECE: usize = 1024;

/// A hub that runs until it is dropped.
pub struct FakeHub {
    state: Arc<State>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

/// A request that the hub or its second server got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `true` at the second server.
    pub at_storage: bool,
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

/// A fault of the hub.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An answer with this status and these headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// The connection ends after this part of the body.
    Cut(f64),
    /// Nothing comes after this part of the body.
    Stall(f64),
    /// A byte of the body is another one.
    Wrong,
    /// The answer says that the file has so many bytes.
    Size(usize),
    /// Ranges are not known.
    Whole,
    /// A redirect to this address.
    Redirect(String),
    /// A pause between the pieces of the body.
    Slow(Duration),
}

#[derive(Default)]
struct State {
    repositories: Mutex<BTreeMap<String, Repository>>,
    faults: Mutex<Vec<(String, usize, Fault)>>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    storage: Mutex<Option<SocketAddr>>,
}

/// A repository: its files at each commit, and the commits of its revisions.
#[derive(Clone, Default)]
struct Repository {
    commits: BTreeMap<String, BTreeMap<String, Bytes>>,
    revisions: BTreeMap<String, String>,
    /// The token that it needs.
    token: Option<String>,
    is_gated: bool,
}

impl FakeHub {
    pub fn start() -> Self {
        // A runtime does not start within another one.
        let started = std::thread::spawn(Self::start_here).join();
        started.expect("a hub")
    }

    fn start_here() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(State::default());
        let serve = |at_storage: bool| {
            let state = state.clone();
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let address = listener.local_addr().unwrap();
            let counted = state.clone();
            let listener = listener.tap_io(move |_| {
                counted.connections.fetch_add(1, Ordering::Relaxed);
            });
            let app = Router::new().fallback(move |request: Request| {
                let state = state.clone();
                async move { state.answer(at_storage, &request) }
            });
            runtime.spawn(async move { axum::serve(listener, app).await });
            address
        };
        let (address, storage) = (serve(false), serve(true));
        *state.storage.lock().unwrap() = Some(storage);
        Self {
            state,
            address,
            runtime: Some(runtime),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address of the second server.
    pub fn storage(&self) -> String {
        format!("http://{}", self.state.storage.lock().unwrap().unwrap())
    }

    /// Adds a commit with these files to `main` of a repository. Returns its name.
    pub fn commit<'f>(
        &self,
        name: &str,
        files: impl IntoIterator<Item = (&'f str, Vec<u8>)>,
    ) -> String {
        let files: BTreeMap<String, Bytes> = files
            .into_iter()
            .map(|(path, bytes)| (path.to_owned(), bytes.into()))
            .collect();
        let mut repositories = self.state.repositories.lock().unwrap();
        let repository = repositories.entry(name.to_owned()).or_default();
        let mut hasher = Sha1::new();
        hasher.update(format!("{name} {}", repository.commits.len()));
        let commit = hex(&hasher.finalize());
        repository.commits.insert(commit.clone(), files);
        repository
            .revisions
            .insert("main".to_owned(), commit.clone());
        commit
    }

    /// Gives a commit a name.
    pub fn tag(&self, name: &str, tag: &str, commit: &str) {
        let mut repositories = self.state.repositories.lock().unwrap();
        let repository = repositories.get_mut(name).unwrap();
        repository
            .revisions
            .insert(tag.to_owned(), commit.to_owned());
    }

    /// Lets in those with this token alone.
    pub fn protect(&self, name: &str, token: &str, is_gated: bool) {
        let mut repositories = self.state.repositories.lock().unwrap();
        let repository = repositories.get_mut(name).unwrap();
        repository.token = Some(token.to_owned());
        repository.is_gated = is_gated;
    }

    /// Answers the next `times` requests whose path has `part` in it with a fault.
    pub fn fault(&self, part: &str, times: usize, fault: Fault) {
        self.state
            .faults
            .lock()
            .unwrap()
            .push((part.to_owned(), times, fault));
    }

    /// Answers requests without the faults that are left.
    pub fn mend(&self) {
        self.state.faults.lock().unwrap().clear();
    }

    /// Returns the requests so far, and forgets them.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl State {
    fn answer(&self, at_storage: bool, request: &Request) -> Response {
        let (uri, headers) = (request.uri(), request.headers());
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let path = percent_decoded(uri.path());
        let asked = Asked {
            at_storage,
            method: request.method().to_string(),
            path: path.clone(),
            range: header("range"),
            token: header("authorization").map(|text| text.replacen("Bearer ", "", 1)),
        };
        self.asked.lock().unwrap().push(asked.clone());
        // A large file's fault is that of the server which has it.
        let fault = self.take_fault(&path, at_storage);
        if let Some(Fault::Status(status, headers)) = &fault {
            return status_of(*status, headers);
        }
        if let Some(Fault::Redirect(to)) = &fault {
            return status_of(302, &[("location", to)]);
        }
        if at_storage {
            return self.stored(&path, headers, fault.as_ref());
        }
        let Some((repository, rest)) = self.repository(path.trim_start_matches('/')) else {
            return status_of(404, &[("x-error-code", "RepoNotFound")]);
        };
        if repository.token.is_some() && repository.token != asked.token {
            return match (repository.is_gated, asked.token.is_some()) {
                (true, true) => status_of(403, &[("x-error-code", "GatedRepo")]),
                (true, false) => status_of(401, &[("x-error-code", "GatedRepo")]),
                (false, _) => status_of(401, &[]),
            };
        }
        match rest {
            Rest::Tree(revision) => repository.tree(revision.as_str(), uri),
            Rest::File(revision, file) => self.file(
                &repository,
                &revision,
                &file,
                request.method(),
                headers,
                fault,
            ),
        }
    }

    fn take_fault(&self, path: &str, at_storage: bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let matches = |(part, times, fault): &(String, usize, Fault)| {
            let of_body = matches!(
                fault,
                Fault::Cut(_) | Fault::Stall(_) | Fault::Wrong | Fault::Whole | Fault::Slow(_)
            );
            *times > 0
                && path.contains(part.as_str())
                && (!of_body || at_storage || !self.is_large(path))
        };
        let found = faults.iter_mut().find(|fault| matches(fault))?;
        found.1 -= 1;
        Some(found.2.clone())
    }

    fn is_large(&self, path: &str) -> bool {
        let Some((repository, Rest::File(revision, file))) =
            self.repository(path.trim_start_matches('/'))
        else {
            return false;
        };
        let files = repository.at(&revision).map(|(_, files)| files);
        files.is_some_and(|files| files.get(&file).is_some_and(|bytes| bytes.len() >= LARGE))
    }

    /// Finds the repository of a path, and what is asked of it.
    fn repository(&self, path: &str) -> Option<(Repository, Rest)> {
        let repositories = self.repositories.lock().unwrap();
        for (name, repository) in repositories.iter() {
            let api = path.strip_prefix(&format!("api/models/{name}/tree/"));
            if let Some(revision) = api {
                return Some((repository.clone(), Rest::Tree(revision.to_owned())));
            }
            let Some(rest) = path.strip_prefix(&format!("{name}/resolve/")) else {
                continue;
            };
            let revisions = repository.revisions.keys().chain(repository.commits.keys());
            let mut of_known = revisions.filter_map(|revision| {
                let file = rest.strip_prefix(revision.as_str())?.strip_prefix('/')?;
                Some(Rest::File(revision.clone(), file.to_owned()))
            });
            let of_unknown = || {
                let (revision, file) = rest.split_once('/')?;
                Some(Rest::File(revision.to_owned(), file.to_owned()))
            };
            let rest = of_known.next_back().or_else(of_unknown)?;
            return Some((repository.clone(), rest));
        }
        None
    }

    fn file(
        &self,
        repository: &Repository,
        revision: &str,
        path: &str,
        method: &Method,
        headers: &HeaderMap,
        fault: Option<Fault>,
    ) -> Response {
        let Some((commit, files)) = repository.at(revision) else {
            return status_of(404, &[("x-error-code", "RevisionNotFound")]);
        };
        let Some(bytes) = files.get(path) else {
            let code = ("x-error-code", "EntryNotFound");
            return status_of(404, &[code, ("x-repo-commit", &commit)]);
        };
        let size = match fault {
            Some(Fault::Size(size)) => size,
            _ => bytes.len(),
        };
        if bytes.len() >= LARGE {
            let digits = sha256(bytes);
            let storage = self.storage.lock().unwrap().unwrap();
            return status_of(
                302,
                &[
                    (
                        "location",
                        &format!("http://{storage}/{digits}/{path}?signature=secret"),
                    ),
                    ("x-repo-commit", &commit),
                    ("x-linked-etag", &format!("\"{digits}\"")),
                    ("x-linked-size", &size.to_string()),
                ],
            );
        }
        let tag = git_blob(bytes);
        let mut response = content(bytes, &tag, method, headers, fault.as_ref());
        response
            .headers_mut()
            .insert("x-repo-commit", commit.parse().unwrap());
        response
    }

    /// Answers with a large file.
    fn stored(&self, path: &str, headers: &HeaderMap, fault: Option<&Fault>) -> Response {
        let digits = path
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        let repositories = self.repositories.lock().unwrap();
        let commits = repositories
            .values()
            .flat_map(|repository| repository.commits.values());
        let found = commits
            .flat_map(BTreeMap::values)
            .find(|bytes| sha256(bytes) == digits);
        match found {
            Some(bytes) => content(bytes, "of-the-storage", &Method::GET, headers, fault),
            None => status_of(404, &[]),
        }
    }
}

/// A part of a repository that is asked for.
enum Rest {
    Tree(String),
    File(String, String),
}

impl Repository {
    fn at(&self, revision: &str) -> Option<(String, &BTreeMap<String, Bytes>)> {
        let commit = self
            .revisions
            .get(revision)
            .map_or(revision, String::as_str);
        let files = self.commits.get(commit)?;
        Some((commit.to_owned(), files))
    }

    fn tree(&self, revision: &str, uri: &Uri) -> Response {
        let Some((_, files)) = self.at(revision) else {
            return status_of(404, &[("x-error-code", "RevisionNotFound")]);
        };
        let query = uri.query().unwrap_or_default();
        let cursor = query
            .split('&')
            .find_map(|part| part.strip_prefix("cursor="));
        let from: usize = cursor.map_or(0, |text| text.parse().unwrap());
        let folders: BTreeSet<&str> = files
            .keys()
            .filter_map(|path| Some(path.rsplit_once('/')?.0))
            .collect();
        let folders = folders.into_iter().map(|path| {
            format!(
                r#"{{"type":"directory","path":"{path}","size":0,"oid":"{}"}}"#,
                "0".repeat(40)
            )
        });
        let listed = files.iter().map(|(path, bytes)| {
            let size = bytes.len();
            let lfs = match size >= LARGE {
                true => format!(
                    r#","lfs":{{"oid":"{}","size":{size},"pointerSize":130}}"#,
                    sha256(bytes)
                ),
                false => String::new(),
            };
            format!(
                r#"{{"type":"file","path":"{path}","size":{size},"oid":"{}"{lfs}}}"#,
                git_blob(bytes)
            )
        });
        let entries: Vec<String> = folders.chain(listed).collect();
        let page = entries[from.min(entries.len())..]
            .iter()
            .take(PAGE)
            .cloned();
        let body = format!("[{}]", page.collect::<Vec<_>>().join(","));
        let mut response = body.into_response();
        if from + PAGE < entries.len() {
            let link = format!(
                "<{}?recursive=true&cursor={}>; rel=\"next\"",
                uri.path(),
                from + PAGE
            );
            response.headers_mut().insert("link", link.parse().unwrap());
        }
        response
    }
}

/// Answers with bytes, or those of the range that is asked for.
fn content(
    bytes: &Bytes,
    tag: &str,
    method: &Method,
    headers: &HeaderMap,
    fault: Option<&Fault>,
) -> Response {
    let range = headers.get("range").and_then(|value| value.to_str().ok());
    let begin = range.and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-'));
    let begin: Option<usize> = begin.and_then(|text| text.parse().ok());
    let same = headers
        .get("if-range")
        .is_none_or(|value| value == &format!("\"{tag}\""));
    let begin = begin.filter(|_| same && !matches!(fault, Some(Fault::Whole)));
    if begin.is_some_and(|begin| begin >= bytes.len()) {
        return status_of(416, &[]);
    }
    let rest = bytes.slice(begin.unwrap_or(0)..);
    let total = match fault {
        Some(Fault::Size(size)) => *size,
        _ => bytes.len(),
    };
    let length = match fault {
        Some(Fault::Size(size)) => *size,
        _ => rest.len(),
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert("etag", format!("\"{tag}\"").parse().unwrap());
    headers.insert("content-length", length.to_string().parse().unwrap());
    if let Some(begin) = begin {
        let range = format!("bytes {begin}-{}/{total}", bytes.len() - 1);
        headers.insert("content-range", range.parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if method != Method::HEAD {
        *response.body_mut() = body(rest, fault.cloned());
    }
    response
}

fn body(bytes: Bytes, fault: Option<Fault>) -> Body {
    let end = match fault {
        Some(Fault::Cut(part) | Fault::Stall(part)) => (bytes.len() as f64 * part) as usize,
        _ => bytes.len(),
    };
    let mut bytes = bytes.to_vec();
    if matches!(fault, Some(Fault::Wrong)) {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    }
    let bytes = Bytes::from(bytes);
    let pieces = futures::stream::unfold(0, move |at| {
        let (bytes, fault) = (bytes.clone(), fault.clone());
        async move {
            if at >= end {
                return match fault {
                    Some(Fault::Cut(_)) => {
                        Some((Err(std::io::Error::other("cut")), usize::MAX - 1))
                    }
                    Some(Fault::Stall(_)) => std::future::pending().await,
                    _ => None,
                };
            }
            match fault {
                Some(Fault::Slow(pause)) => tokio::time::sleep(pause).await,
                // The pieces before it are sent before the connection ends.
                Some(Fault::Cut(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => {}
            }
            let to = (at + PIECE).min(end);
            Some((Ok(bytes.slice(at..to)), to))
        }
    });
    Body::from_stream(pieces)
}

fn status_of(status: u16, headers: &[(&'static str, &str)]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns the name that git gives a file.
pub fn git_blob(bytes: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        match (first, others.get(..2)) {
            (b'%', Some(digits)) => {
                let digits = std::str::from_utf8(digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &others[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}

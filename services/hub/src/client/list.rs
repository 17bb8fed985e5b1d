//! The commit of a revision, and the files of a commit.

use std::collections::BTreeMap;

use http::header::LINK;
use http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use super::Fetch;
use super::address::{encoded, is_same_server, join};
use super::send::{Call, Reply, innermost};
use super::status::{Asked, Failure, FailureKind};
use super::tries::Tries;
use crate::error::HubError;
use crate::listing::{ListedFile, Listing};
use crate::name::is_commit;
use crate::progress::Event;

/// Most requests for one answer.
const TRIES_MAX: u32 = 5;
/// Most requests to a server that gives no answer.
const UNREACHABLE_TRIES_MAX: u32 = 3;
/// Most bytes of one page of a listing.
const PAGE_BYTES_MAX: usize = 32 << 20;
/// Most pages of a listing.
const PAGES_MAX: usize = 1000;

/// An entry of a listing, as the hub answers it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    r#type: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<Lfs>,
    xet_hash: Option<String>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

impl Fetch<'_> {
    fn asked(&self) -> Asked<'_> {
        Asked {
            repository: self.repository,
            settings: self.settings,
            file: None,
        }
    }

    /// Asks for the commit of the revision.
    ///
    /// # Errors
    /// No such repository or revision, or no answer.
    pub(super) async fn commit(&mut self) -> Result<String, HubError> {
        if let Some(commit) = self.repository.commit() {
            return Ok(commit.to_owned());
        }
        (self.progress)(Event::Lists {
            repository: &self.repository.to_string(),
        });
        let path = format!(
            "{}/resolve/{}/config.json",
            self.repository.name(),
            encoded(self.repository.revision(), false)
        );
        let uri = self.client.address(&path, self.asked())?;
        let reply = self.with_tries(Method::HEAD, &uri).await;
        let (reply, headers) = match reply {
            Ok(reply) => {
                let headers = match reply.of_hub.is_empty() {
                    true => reply.response.headers().clone(),
                    false => reply.of_hub.clone(),
                };
                (reply.uri, headers)
            }
            Err(error) => return Err(error),
        };
        let commit = headers
            .get("x-repo-commit")
            .and_then(|value| value.to_str().ok());
        let commit = commit.filter(|commit| is_commit(commit)).map(str::to_owned);
        commit.ok_or_else(|| {
            self.asked()
                .answer(&reply, "no commit in the header x-repo-commit")
        })
    }

    /// Asks for the files of a commit.
    ///
    /// # Errors
    /// No answer, or one that lists what cannot be.
    pub(super) async fn listing(&mut self, commit: &str) -> Result<Listing, HubError> {
        let path = format!(
            "api/models/{}/tree/{}?recursive=true",
            self.repository.name(),
            encoded(commit, false)
        );
        let mut uri = self.client.address(&path, self.asked())?;
        let mut files = BTreeMap::new();
        for _ in 0..PAGES_MAX {
            let (page, next) = self.page(&uri).await?;
            files.extend(
                page.into_iter()
                    .filter(|entry| entry.r#type == "file")
                    .map(listed),
            );
            match next {
                Some(next) => uri = next,
                None => {
                    let answer = |path| format!("the path or the digest of {path:?} is none");
                    let listing = Listing::new(files);
                    return listing.map_err(|path| self.asked().answer(&uri, answer(path)));
                }
            }
        }
        Err(self.asked().answer(&uri, "a listing without an end"))
    }

    /// Asks for one page of a listing. Returns the address of the next one, too.
    async fn page(&mut self, uri: &Uri) -> Result<(Vec<Entry>, Option<Uri>), HubError> {
        let mut tries = Tries::new(TRIES_MAX, self.settings.retry_wait);
        loop {
            let reply = self.with_tries(Method::GET, uri).await?;
            let next = reply
                .response
                .headers()
                .get(LINK)
                .and_then(|value| value.to_str().ok());
            let next = next
                .and_then(next_page)
                .and_then(|text| join(&reply.uri, text));
            let next = next.filter(|next| is_same_server(next, &reply.uri));
            match self.body(reply.response.into_body()).await {
                Ok(bytes) => {
                    let page = serde_json::from_slice(&bytes);
                    let page = page.map_err(|error| {
                        self.asked().answer(uri, format!("the listing: {error}"))
                    })?;
                    return Ok((page, next));
                }
                Err(reason) => {
                    let failure = self.asked().unreachable(uri, reason);
                    self.again(&mut tries, failure).await?;
                }
            }
        }
    }

    /// Reads a body that is small.
    async fn body(&self, body: Incoming) -> Result<Vec<u8>, String> {
        let whole = Limited::new(body, PAGE_BYTES_MAX).collect();
        match tokio::time::timeout(self.settings.answer_timeout, whole).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err("it is too long".to_owned()),
            Ok(Err(error)) => Err(innermost(&*error)),
            Err(_) => Err("it does not end".to_owned()),
        }
    }

    /// Makes a request, several times if need be.
    async fn with_tries(&mut self, method: Method, uri: &Uri) -> Result<Reply, HubError> {
        let mut tries = Tries::new(TRIES_MAX, self.settings.retry_wait);
        loop {
            let call = Call {
                method: method.clone(),
                uri: uri.clone(),
                headers: Vec::new(),
                timeout: self.settings.answer_timeout,
                leaves_hub: false,
                asked: self.asked(),
            };
            match self.client.send(call).await {
                Ok(reply) if reply.response.status() != StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Ok(reply);
                }
                Ok(reply) => return Err(self.asked().answer(&reply.uri, "status 416")),
                Err(failure) => self.again(&mut tries, failure).await?,
            }
        }
    }

    /// Waits before a request is made again.
    ///
    /// # Errors
    /// The failure, if it is not.
    pub(super) async fn again(
        &mut self,
        tries: &mut Tries,
        failure: Failure,
    ) -> Result<(), HubError> {
        let Failure { mut error, kind } = failure;
        let FailureKind::Temporary { asked } = kind else {
            return Err(error);
        };
        let wait = tries.next(asked);
        let is_unreachable = matches!(error, HubError::Unreachable { .. });
        let gives_up = is_unreachable && tries.made() >= UNREACHABLE_TRIES_MAX;
        match wait {
            Some(wait) if !gives_up => {
                let reason = error.to_string();
                (self.progress)(Event::Retries {
                    reason: &reason,
                    wait,
                });
                tokio::time::sleep(wait).await;
                Ok(())
            }
            _ => {
                if let HubError::Server { tries: told, .. } | HubError::Cut { tries: told, .. } =
                    &mut error
                {
                    *told = tries.made();
                }
                Err(error)
            }
        }
    }
}

fn listed(entry: Entry) -> (String, ListedFile) {
    let (lfs_sha256, lfs_size) = entry.lfs.map(|lfs| (lfs.oid, lfs.size)).unzip();
    let file = ListedFile {
        size: entry.size,
        blob_id: entry.oid,
        lfs_sha256,
        lfs_size,
        xet_hash: entry.xet_hash,
    };
    (entry.path, file)
}

/// Returns the address of the next page in a header `link`: `<address>; rel="next"`.
fn next_page(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| matches!(parameter.trim(), r#"rel="next""# | "rel=next");
        parameters.split(';').any(is_next).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, expected) in [
            (
                r#"<https://hub/x?cursor=a>; rel="next""#,
                Some("https://hub/x?cursor=a"),
            ),
            (r#"</first>; rel="first", </n>; a=b; rel=next"#, Some("/n")),
            (r#"</p>; rel="prev""#, None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(next_page(header), expected, "{header}");
        }
    }
}

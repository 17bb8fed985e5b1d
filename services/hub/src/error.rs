//! [`HubError`]: a repository that cannot be had, each kind with what helps.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::progress::bytes;

/// A repository that cannot be had. Each message is one line that names the repository, and says
/// what helps; none has a token.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It is not in the cache, and nothing is to be fetched.
    #[error(
        "hf:{repository} is not in the cache {}, and HF_HUB_OFFLINE says to make no connection: \
         fetch it with `motet pull hf:{repository}` where there is a network, or bring it with \
         `motet pull hf:{repository} --to FOLDER` and `source: file:FOLDER`",
        cache.display()
    )]
    Offline {
        /// The repository.
        repository: String,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// This program was built without downloads.
    #[error(
        "hf:{repository} is not in the cache {}, and this program was built without the feature \
         `hub`, which fetches: fetch it with another program",
        cache.display()
    )]
    NotBuilt {
        /// The repository.
        repository: String,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// 401: the hub does not know the user.
    #[error("hf:{repository}: the hub {} (401): {help}", match has_token {
        true => "does not accept the token",
        false => "shows it to nobody who has no token, or it does not exist",
    })]
    Unauthorized {
        /// The repository.
        repository: String,
        /// `true` if a token was sent.
        has_token: bool,
        /// A way out.
        help: String,
    },
    /// 403, or the hub says that terms are to be accepted.
    #[error(
        "hf:{repository} is gated: ask for access at {page}, then set HF_TOKEN to a token of that \
         account"
    )]
    Gated {
        /// The repository.
        repository: String,
        /// Address of the page on which access is asked for.
        page: String,
    },
    /// 403 otherwise.
    #[error(
        "hf:{repository}: the hub refuses access (403){}: the token of HF_TOKEN needs the right to \
         read this repository",
        of_hub(reason)
    )]
    Forbidden {
        /// The repository.
        repository: String,
        /// The hub's own words.
        reason: String,
    },
    /// 404: no such repository.
    #[error(
        "hf:{repository}: the hub {endpoint} has no repository `{name}` (404): check the spelling; \
         one that is private needs HF_TOKEN"
    )]
    NoRepository {
        /// The repository.
        repository: String,
        /// Its name.
        name: String,
        /// The hub.
        endpoint: String,
    },
    /// 404: no such revision.
    #[error(
        "hf:{repository}: `{name}` has no revision `{revision}` (404): name a branch, a tag or a \
         full commit after the @"
    )]
    NoRevision {
        /// The repository.
        repository: String,
        /// Its name.
        name: String,
        /// The revision.
        revision: String,
    },
    /// 404: no such file.
    #[error(
        "hf:{repository}: the hub does not give the file {file} (404), which it lists: try again, \
         or name another revision"
    )]
    NoFile {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
    },
    /// 429 for longer than is waited.
    #[error(
        "hf:{repository}: the hub allows no more requests for now (429){}: try again later; with \
         HF_TOKEN it allows more", after(*wait)
    )]
    RateLimited {
        /// The repository.
        repository: String,
        /// When to try again, if the hub says so.
        wait: Option<Duration>,
    },
    /// A status that means a fault of the hub, several times.
    #[error("hf:{repository}: the hub fails (status {status}), {tries} times: try again later")]
    Server {
        /// The repository.
        repository: String,
        /// The status.
        status: u16,
        /// Number of requests.
        tries: u32,
    },
    /// No connection.
    #[error(
        "hf:{repository}: {address} cannot be reached: {reason}; check the network, HTTPS_PROXY and \
         HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use what is in the cache"
    )]
    Unreachable {
        /// The repository.
        repository: String,
        /// The host.
        address: String,
        /// Why.
        reason: String,
    },
    /// A download that ends early, again and again.
    #[error(
        "hf:{repository}: {file} ends early, {tries} times ({reason}): {} of {} are kept, and the \
         next try goes on from there", bytes(*done), bytes(*size)
    )]
    Cut {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Bytes that are there.
        done: u64,
        /// Bytes of the file.
        size: u64,
        /// Number of requests without a byte.
        tries: u32,
        /// The reason for which the last one ended.
        reason: String,
    },
    /// Another number of bytes than the hub lists.
    #[error(
        "hf:{repository}: {file} has {found} bytes, but the hub lists {size}: what was fetched is \
         removed; a proxy or mirror may have changed it"
    )]
    Size {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Bytes as listed.
        size: u64,
        /// Bytes as sent.
        found: u64,
    },
    /// Other bytes than the hub lists.
    #[error(
        "hf:{repository}: {file} is not what the hub lists: its digest is {found}, not {expected}; \
         what was fetched is removed; a proxy or mirror may have changed it"
    )]
    Digest {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Digest as listed.
        expected: String,
        /// Digest of what was sent.
        found: String,
    },
    /// No room.
    #[error(
        "hf:{repository}: the disk of {} is full: {} more are needed{}; make room, or set \
         HF_HUB_CACHE to a folder on another disk", path.display(), bytes(*needed), there_are(*free)
    )]
    DiskFull {
        /// The repository.
        repository: String,
        /// The folder.
        path: PathBuf,
        /// Bytes that are to be written.
        needed: u64,
        /// Bytes that are free.
        free: Option<u64>,
    },
    /// A file of the cache that cannot be read or written.
    #[error("hf:{repository}: {}: {cause}", path.display())]
    Cache {
        /// The repository.
        repository: String,
        /// The file.
        path: PathBuf,
        /// Error of the system.
        cause: io::Error,
    },
    /// Weights in other formats only.
    #[error(
        "hf:{repository} has no weights as safetensors, only {}: convert them in a folder of its \
         own and use `source: file:FOLDER`, or name a revision that has them (`refs/pr/1` often \
         does)",
        some(files)
    )]
    NoWeights {
        /// The repository.
        repository: String,
        /// Files with weights.
        files: Vec<String>,
    },
    /// An answer that is none of a hub.
    #[error("hf:{repository}: {address} does not answer as a hub does: {reason}")]
    Answer {
        /// The repository.
        repository: String,
        /// The address asked, without a query.
        address: String,
        /// The fault.
        reason: String,
    },
    /// Settings that cannot be used.
    #[error("{variable}: {reason}")]
    Setting {
        /// The variable of the environment.
        variable: &'static str,
        /// The fault.
        reason: String,
    },
}

impl HubError {
    /// Returns the error of an operation on a file of the cache. `needed` are the bytes that were
    /// to be written.
    pub(crate) fn of_io(
        repository: impl ToString,
        path: &Path,
        needed: u64,
        cause: io::Error,
    ) -> Self {
        let (repository, path) = (repository.to_string(), path.to_owned());
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                repository,
                path,
                needed,
                free: None,
            },
            _ => Self::Cache {
                repository,
                path,
                cause,
            },
        }
    }

    /// Returns whether the fault is that the hub cannot be reached or used at this time.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::RateLimited { .. }
                | Self::Server { .. }
                | Self::Cut { .. }
        )
    }
}

fn of_hub(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason:?}"),
    }
}

fn after(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| {
        format!(", and again in {} s", wait.as_secs())
    })
}

fn there_are(free: Option<u64>) -> String {
    free.map_or_else(String::new, |free| {
        format!(", and there are {}", bytes(free))
    })
}

/// Returns the first names of a list.
fn some(names: &[String]) -> String {
    let (first, rest) = names.split_at(names.len().min(3));
    match rest {
        [] => first.join(", "),
        rest => format!("{} and {} more", first.join(", "), rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_faults() {
        let error = |kind: io::ErrorKind| {
            let error = HubError::of_io("a/b", Path::new("/c"), 5 << 20, kind.into());
            error.to_string()
        };
        let full = "hf:a/b: the disk of /c is full: 5.2 MB more are needed; make room, or set \
                    HF_HUB_CACHE to a folder on another disk";
        assert_eq!(error(io::ErrorKind::StorageFull), full);
        assert_eq!(error(io::ErrorKind::QuotaExceeded), full);
        assert_eq!(
            error(io::ErrorKind::PermissionDenied),
            "hf:a/b: /c: permission denied"
        );
    }
}

//! Answers that are none: the status of each, and the hub's own word for it.

use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};

use super::address::shown;
use crate::error::HubError;
use crate::name::Repository;
use crate::settings::Settings;

/// Most characters of the hub's own words that are shown.
const WORDS_CHARS_MAX: usize = 200;

/// A request that went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: HubError,
    pub(super) kind: FailureKind,
}

/// The help that another request would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// None.
    Final,
    /// It may succeed; the hub may have said when.
    Temporary { asked: Option<Duration> },
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self {
            error,
            kind: FailureKind::Final,
        }
    }
}

/// A request, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) repository: &'a Repository,
    pub(super) settings: &'a Settings,
    /// The file that is asked for, if that is one which the hub lists.
    pub(super) file: Option<&'a str>,
}

impl Asked<'_> {
    /// Returns the failure of an answer with a status that is neither of success nor a redirect.
    pub(super) fn failure(&self, uri: &Uri, status: StatusCode, headers: &HeaderMap) -> Failure {
        let repository = self.repository.to_string();
        let name = self.repository.name().to_owned();
        let code = text(headers, "x-error-code");
        let error = match (status.as_u16(), code.as_str()) {
            (_, "GatedRepo") => HubError::Gated {
                page: format!("{}/{name}", shown(uri)),
                repository,
            },
            (_, "RevisionNotFound") => HubError::NoRevision {
                revision: self.repository.revision().to_owned(),
                repository,
                name,
            },
            (404, "EntryNotFound") => self.no_file(),
            (401, _) => {
                let has_token = self.settings.token.is_some();
                let help = match has_token {
                    true => "look at HF_TOKEN, or at the file of HF_TOKEN_PATH",
                    false => "check the spelling, or set HF_TOKEN to a token that may read it",
                };
                HubError::Unauthorized {
                    repository,
                    has_token,
                    help: help.to_owned(),
                }
            }
            (403, _) => HubError::Forbidden {
                repository,
                reason: text(headers, "x-error-message"),
            },
            (404, "") if self.file.is_some() => self.no_file(),
            (404, _) => HubError::NoRepository {
                repository,
                name,
                endpoint: shown(uri),
            },
            (429, _) => {
                let wait = retry_after(headers);
                return Failure {
                    error: HubError::RateLimited { repository, wait },
                    kind: FailureKind::Temporary { asked: wait },
                };
            }
            (408 | 500..=599, _) => {
                return Failure {
                    error: HubError::Server {
                        repository,
                        status: status.as_u16(),
                        tries: 1,
                    },
                    kind: FailureKind::Temporary {
                        asked: retry_after(headers),
                    },
                };
            }
            _ => HubError::Answer {
                repository,
                address: shown(uri),
                reason: format!("status {status}"),
            },
        };
        error.into()
    }

    /// Returns the failure of a server that gives no answer.
    pub(super) fn unreachable(&self, uri: &Uri, reason: String) -> Failure {
        Failure {
            error: HubError::Unreachable {
                repository: self.repository.to_string(),
                address: shown(uri),
                reason,
            },
            kind: FailureKind::Temporary { asked: None },
        }
    }

    /// Returns the error of an answer of another form.
    pub(super) fn answer(&self, uri: &Uri, reason: impl Into<String>) -> HubError {
        HubError::Answer {
            repository: self.repository.to_string(),
            address: shown(uri),
            reason: reason.into(),
        }
    }

    fn no_file(&self) -> HubError {
        HubError::NoFile {
            repository: self.repository.to_string(),
            file: self.file.unwrap_or_default().to_owned(),
        }
    }
}

/// Returns the text of a header without what could disturb a terminal.
fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value
        .unwrap_or_default()
        .chars()
        .take(WORDS_CHARS_MAX)
        .collect()
}

/// Returns the wait that a hub asks for, in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, "retry-after").trim().parse().ok();
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_message() {
        let uri: Uri = "https://hub/a/b/resolve/main/config.json".parse().unwrap();
        let mut settings = Settings::from_env();
        let repository: Repository = "a/b@v1".parse().unwrap();
        let mut check = |status: u16, code: &str, has_token: bool, parts: &[&str]| {
            settings.token = has_token.then(|| crate::Token::new("hf_secret")).flatten();
            let asked = Asked {
                repository: &repository,
                settings: &settings,
                file: None,
            };
            let mut headers = HeaderMap::new();
            headers.insert("x-error-code", code.parse().unwrap());
            headers.insert("retry-after", "120".parse().unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            let failure = asked.failure(&uri, status, &headers);
            let message = failure.error.to_string();
            for part in parts {
                assert!(message.contains(part), "{status} {code}: {message}");
            }
            assert!(message.starts_with("hf:a/b@v1"), "{message}");
            assert!(
                !message.contains("secret") && !message.contains('\n'),
                "{message}"
            );
            let temporary = matches!(failure.kind, FailureKind::Temporary { .. });
            assert_eq!(
                temporary,
                status == 429 || status.is_server_error(),
                "{message}"
            );
        };
        check(401, "", false, &["(401)", "set HF_TOKEN"]);
        check(401, "RepoNotFound", false, &["(401)", "set HF_TOKEN"]);
        check(401, "", true, &["(401)", "does not accept the token"]);
        check(
            401,
            "GatedRepo",
            false,
            &["is gated", "https://hub/a/b", "HF_TOKEN"],
        );
        check(403, "GatedRepo", true, &["is gated", "https://hub/a/b"]);
        check(403, "", true, &["refuses access (403)"]);
        check(
            404,
            "RepoNotFound",
            false,
            &["has no repository `a/b` (404)"],
        );
        check(
            404,
            "RevisionNotFound",
            false,
            &["has no revision `v1` (404)"],
        );
        check(404, "", false, &["has no repository `a/b` (404)"]);
        check(429, "", false, &["(429)", "again in 120 s"]);
        check(503, "", false, &["fails (status 503)"]);
        check(418, "", false, &["does not answer as a hub does", "418"]);
    }
}

//! One request, with its redirects.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, IF_RANGE, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;

use super::address::{endpoint, is_same_server, join, leaves_tls};
use super::connect::{Connector, connector};
use super::status::{Asked, Failure};
use crate::error::HubError;
use crate::name::Repository;
use crate::settings::Settings;

/// Most redirects of one request.
const REDIRECTS_MAX: usize = 8;
const AGENT: &str = concat!("motet/", env!("CARGO_PKG_VERSION"));

/// A client of one hub, and of the servers that it redirects to.
pub(super) struct Client {
    http: HttpClient<Connector, Empty<Bytes>>,
    endpoint: Uri,
    secret: Option<HeaderValue>,
}

/// A request to the hub.
pub(super) struct Call<'c> {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Time that each server has to answer.
    pub(super) timeout: Duration,
    /// `true` if redirects to other servers are followed, too.
    pub(super) leaves_hub: bool,
    pub(super) asked: Asked<'c>,
}

/// An answer of success.
pub(super) struct Reply {
    /// The address that answered.
    pub(super) uri: Uri,
    pub(super) response: Response<Incoming>,
    /// Headers of the hub's own answer, if that was a redirect to another server.
    pub(super) of_hub: HeaderMap,
}

impl Client {
    /// Returns a client without a connection.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub(super) fn new(settings: &Settings, repository: &Repository) -> Result<Self, HubError> {
        let endpoint = endpoint(settings)?;
        let secret = match &settings.token {
            None => None,
            Some(token) => Some(token.header().ok_or_else(|| HubError::Setting {
                variable: "HF_TOKEN",
                reason: "it has characters that a header cannot have".to_owned(),
            })?),
        };
        let connector = connector(settings.answer_timeout).map_err(|error| HubError::Answer {
            repository: repository.to_string(),
            address: settings.endpoint.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
            endpoint,
            secret,
        })
    }

    /// Returns the address of a path of the hub.
    pub(super) fn address(&self, path: &str, asked: Asked<'_>) -> Result<Uri, HubError> {
        let base = self.endpoint.to_string();
        let whole = format!("{}/{path}", base.trim_end_matches('/'));
        whole
            .parse()
            .map_err(|_| asked.answer(&self.endpoint, "an address that is too long"))
    }

    /// Makes a request, and those that redirects lead to. The token goes to no other server.
    ///
    /// # Errors
    /// No answer, or one that is neither of success nor a redirect that is followed.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Reply, Failure> {
        let Call { asked, .. } = call;
        let mut uri = call.uri;
        let mut of_hub = HeaderMap::new();
        for _ in 0..REDIRECTS_MAX {
            let is_hub = is_same_server(&uri, &self.endpoint);
            let mut request = Request::builder()
                .method(call.method.clone())
                .uri(uri.clone());
            request = request.header(USER_AGENT, AGENT);
            for (name, value) in &call.headers {
                // Tags of the hub mean nothing to others.
                if is_hub || name != IF_RANGE {
                    request = request.header(name, value);
                }
            }
            if let (true, Some(secret)) = (is_hub, &self.secret) {
                request = request.header(AUTHORIZATION, secret);
            }
            let request = request.body(Empty::new());
            let request = request.map_err(|error| asked.answer(&uri, error.to_string()))?;
            let answer = tokio::time::timeout(call.timeout, self.http.request(request)).await;
            let response = match answer {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(asked.unreachable(&uri, innermost(&error))),
                Err(_) => {
                    let reason = format!("no answer within {} s", call.timeout.as_secs_f64());
                    return Err(asked.unreachable(&uri, reason));
                }
            };
            let status = response.status();
            let next = status
                .is_redirection()
                .then(|| response.headers().get(LOCATION))
                .flatten();
            let Some(next) = next else {
                let is_answer = status.is_success()
                    || status == StatusCode::RANGE_NOT_SATISFIABLE
                    || names_commit(&call.method, status, response.headers());
                return match is_answer {
                    true => Ok(Reply {
                        uri,
                        response,
                        of_hub,
                    }),
                    false => Err(asked.failure(&uri, status, response.headers())),
                };
            };
            let next = next.to_str().ok().and_then(|text| join(&uri, text));
            let next = next.ok_or_else(|| asked.answer(&uri, "a redirect to nowhere"))?;
            if leaves_tls(&uri, &next) {
                return Err(asked.answer(&uri, "it redirects from https to http").into());
            }
            if is_hub && !is_same_server(&uri, &next) {
                of_hub.clone_from(response.headers());
                if !call.leaves_hub {
                    return Ok(Reply {
                        uri,
                        response,
                        of_hub,
                    });
                }
            }
            uri = next;
        }
        Err(asked.answer(&uri, "too many redirects").into())
    }
}

/// Returns whether an answer says that the commit of a revision lacks the file that it was asked
/// for by: the encoder's settings may lie in a folder.
fn names_commit(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    let code = headers.get("x-error-code");
    *method == Method::HEAD
        && status == StatusCode::NOT_FOUND
        && code.is_some_and(|code| code == "EntryNotFound")
        && headers.contains_key("x-repo-commit")
}

/// Returns the cause of an error, which says most.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

//! Requests over the connections of this program: TLS by rustls with ring, HTTP/1.1.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use rustls::{ClientConfig, RootCertStore};

/// Time limit of a connection being made.
const CONNECT: Duration = Duration::from_secs(10);
/// Time limit of the head of an answer, with what is sent before it.
const ANSWER: Duration = Duration::from_secs(120);
/// The same limit for a service of this machine's cloud, which is near or absent.
const NEAR: Duration = Duration::from_secs(2);
/// Most bytes of an answer that tells of an error.
const ERROR_BYTES: usize = 64 << 10;
/// Most bytes of an error that is told in other words than those of S3.
const PLAIN_BYTES: usize = 500;
/// Addresses at which clouds tell machines of theirs who they are.
const METADATA: [&str; 4] = [
    "169.254.169.254",
    "169.254.170.2",
    "[fd00:ec2::254]",
    "metadata.google.internal",
];

/// Makes clients of stores.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| object_store::Error::Generic {
                store: "TLS",
                source: Box::new(error),
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(HttpClient::new(Requests { client }))
    }
}

#[derive(Debug)]
struct Requests {
    client: Client<HttpsConnector<Tcp>, HttpRequestBody>,
}

/// A refusal, or a failure, as a store tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Its name in the protocol of S3, such as `NoSuchBucket`.
    pub(super) code: String,
    pub(super) message: String,
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) host: String,
    /// It was asked where a cloud tells its machines who they are.
    pub(super) is_metadata: bool,
    cause: Box<dyn Error + Send + Sync>,
}

#[async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = request.uri().clone();
        let is_metadata = is_metadata(&host);
        let unanswered = |cause: Box<dyn Error + Send + Sync>| {
            let host = host.authority().map(ToString::to_string);
            let unanswered = Unanswered {
                host: host.unwrap_or_default(),
                is_metadata,
                cause,
            };
            HttpError::new(HttpErrorKind::Unknown, unanswered)
        };
        let limit = if is_metadata { NEAR } else { ANSWER };
        let answer = tokio::time::timeout(limit, self.client.request(request)).await;
        let answer = match answer {
            Err(_) => return Err(unanswered(format!("no answer within {limit:?}").into())),
            Ok(answer) => answer.map_err(|error| unanswered(error.into()))?,
        };
        let (head, body) = answer.into_parts();
        let is_told = !is_metadata && is_told_by_body(head.status);
        if !is_told {
            let cut = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            let body = HttpResponseBody::new(body.map_err(cut));
            return Ok(HttpResponse::from_parts(head, body));
        }
        let text = Limited::new(body, ERROR_BYTES).collect().await;
        let text = text.map_err(&unanswered)?.to_bytes();
        match refusal(head.status, &head.headers, &text) {
            Some(refusal) => Err(HttpError::new(HttpErrorKind::Unknown, refusal)),
            None => Ok(HttpResponse::from_parts(head, text.into())),
        }
    }
}

fn is_metadata(uri: &Uri) -> bool {
    METADATA.contains(&uri.host().unwrap_or_default())
}

/// Returns whether an answer's body tells of an error.
fn is_told_by_body(status: StatusCode) -> bool {
    let is_error = status.is_redirection() || status.is_client_error() || status.is_server_error();
    is_error && status != StatusCode::NOT_MODIFIED
}

/// Returns the refusal of an answer; `None` where a batch has its own answer to it: an object that
/// is absent, or is there, or is another version.
fn refusal(status: StatusCode, headers: &HeaderMap, text: &Bytes) -> Option<Refusal> {
    let text = String::from_utf8_lossy(text);
    let code = element(&text, "Code").unwrap_or_default();
    match status {
        StatusCode::NOT_FOUND if code != "NoSuchBucket" => return None,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => return None,
        _ => {}
    }
    let message = element(&text, "Message");
    // Some tell it in JSON, or in words; a page of HTML tells nothing.
    let plain = Some(text.trim()).filter(|t| t.len() <= PLAIN_BYTES && !t.starts_with('<'));
    let plain = plain.filter(|_| code.is_empty()).map(str::to_owned);
    let mut message = message.or(plain).unwrap_or_default();
    // Of an answer to the wrong region.
    if let Some(Ok(region)) = headers.get("x-amz-bucket-region").map(|v| v.to_str())
        && (status.is_redirection() || status == StatusCode::BAD_REQUEST)
    {
        message.push_str(&format!(" (the bucket is in {region}: set AWS_REGION)"));
    }
    Some(Refusal {
        status,
        code,
        message: message.trim().to_owned(),
    })
}

/// Returns the text of the first element with this name.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let inner = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
    ]
    .iter()
    .fold(inner.to_owned(), |text, (entity, character)| {
        text.replace(entity, character)
    });
    Some(inner.replace("&amp;", "&"))
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.code.is_empty() {
            true => write!(f, "the store answers {}", self.status)?,
            false => write!(f, "the store answers {}", self.code)?,
        }
        match self.message.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.message),
        }
    }
}

impl Error for Refusal {}

impl Display for Unanswered {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not answer: {}", self.host, self.cause)?;
        let mut next = self.cause.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_tells_why_it_refuses() {
        let text = |code: &str, message: &str| {
            let text = format!("<?xml?><Error><Code>{code}</Code><Message>{message}</Message>");
            Bytes::from(text)
        };
        let headers = HeaderMap::new();
        for (status, text, expected) in [
            (
                403,
                text("AccessDenied", "a &amp; b"),
                Some("AccessDenied: a & b"),
            ),
            (404, text("NoSuchBucket", "no"), Some("NoSuchBucket: no")),
            (404, text("NoSuchKey", "no"), None),
            (404, Bytes::new(), None),
            (412, text("PreconditionFailed", "no"), None),
            (503, Bytes::from("<html>"), Some("503 Service Unavailable")),
            (400, Bytes::from("{}\n"), Some("400 Bad Request: {}")),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let found = refusal(status, &headers, &text).map(|refusal| refusal.to_string());
            let expected = expected.map(|expected| format!("the store answers {expected}"));
            assert_eq!(found, expected, "{status}");
        }
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-amz-bucket-region"),
            http::HeaderValue::from_static("eu-west-1"),
        )]);
        let moved = refusal(StatusCode::MOVED_PERMANENTLY, &headers, &Bytes::new()).unwrap();
        assert!(moved.to_string().contains("is in eu-west-1"), "{moved}");
    }
}

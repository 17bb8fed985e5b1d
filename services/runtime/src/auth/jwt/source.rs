//! Key sets of an issuer, over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use opentelemetry_http::HttpClient;

use super::key_set::KeySet;
use crate::config::ClientTlsSpec;
use crate::telemetry::HttpsClient;

/// Time in which the issuer has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches the key set at a URL.
///
/// # Errors
/// The reason, as the end of a sentence.
pub(in crate::auth) async fn fetch(url: &str) -> Result<KeySet, String> {
    let client = HttpsClient::new(Some(ClientTlsSpec::default()), TIMEOUT);
    let request = Request::get(url).header("accept", "application/json");
    let request = request
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let answer = client.send_bytes(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("the server answered {}", answer.status()));
    }
    KeySet::parse(answer.body()).map_err(|error| error.to_string())
}

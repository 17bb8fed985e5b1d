//! Addresses of a hub, and those that it redirects to.

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::error::HubError;
use crate::settings::Settings;

/// Reads the address of the hub.
///
/// # Errors
/// One that is no address of an HTTP server.
pub(super) fn endpoint(settings: &Settings) -> Result<Uri, HubError> {
    let failed = |reason: &str| HubError::Setting {
        variable: "HF_ENDPOINT",
        reason: reason.to_owned(),
    };
    // The text may have a secret in it, and is not shown.
    let uri: Uri = settings
        .endpoint
        .parse()
        .map_err(|_| failed("it is no address; write such as https://host"))?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if is_http && !authority.as_str().contains('@') => Ok(uri),
        Some(_) if is_http => Err(failed("it has a user name; use HF_TOKEN")),
        _ => Err(failed(
            "it is no address of an HTTP server; write such as https://host",
        )),
    }
}

/// Returns a text as a part of a path: a slash stays one where the text is a path itself.
pub(super) fn encoded(text: &str, is_path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if is_path => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Returns the address that a text means where it is read at another one.
pub(super) fn join(base: &Uri, text: &str) -> Option<Uri> {
    let text = text.split('#').next().unwrap_or_default();
    let whole = if text.starts_with("http://") || text.starts_with("https://") {
        text.to_owned()
    } else if let Some(rest) = text.strip_prefix("//") {
        format!("{}://{rest}", base.scheme_str()?)
    } else {
        let folder = match text.starts_with('/') {
            true => "",
            false => base
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder),
        };
        let slash = if text.starts_with('/') { "" } else { "/" };
        format!(
            "{}://{}{folder}{slash}{text}",
            base.scheme_str()?,
            base.authority()?
        )
    };
    let uri: Uri = whole.parse().ok()?;
    uri.host()
        .is_some_and(|host| !host.is_empty())
        .then_some(uri)
}

/// Returns whether two addresses are of one server, which may know a secret of the other's.
pub(super) fn is_same_server(one: &Uri, other: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

/// Returns whether a redirect takes a call out of TLS.
pub(super) fn leaves_tls(from: &Uri, to: &Uri) -> bool {
    from.scheme() == Some(&Scheme::HTTPS) && to.scheme() != Some(&Scheme::HTTPS)
}

fn port(uri: &Uri) -> Option<u16> {
    let default = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    uri.authority()
        .map(|authority: &Authority| authority.port_u16().unwrap_or(default))
}

/// Returns an address for messages: without its query, which may have a secret in it.
pub(super) fn shown(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let port = uri
        .port_u16()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{host}{port}", uri.scheme_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_read_where_it_stands() {
        let base: Uri = "https://hub:8/a/b/resolve/main/c.json?x=1".parse().unwrap();
        for (text, expected) in [
            ("/x/y?q=1", "https://hub:8/x/y?q=1"),
            ("d.json", "https://hub:8/a/b/resolve/main/d.json"),
            ("//other/z", "https://other/z"),
            ("https://other:9/z#end", "https://other:9/z"),
            ("http://other/z", "http://other/z"),
        ] {
            assert_eq!(join(&base, text).unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(join(&base, "https://"), None);
        assert_eq!(join(&base, "https://a b/"), None);
    }

    #[test]
    fn servers_are_told_apart() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        for (one, other, expected) in [
            ("https://hub/a", "https://HUB:443/b", true),
            ("https://hub/a", "http://hub/a", false),
            ("https://hub/a", "https://hub:444/a", false),
            ("https://hub/a", "https://cdn.hub/a", false),
            ("http://hub/a", "http://hub:80/a", true),
        ] {
            assert_eq!(
                is_same_server(&uri(one), &uri(other)),
                expected,
                "{one} {other}"
            );
        }
        assert!(leaves_tls(&uri("https://a/"), &uri("http://a/")));
        assert!(!leaves_tls(&uri("http://a/"), &uri("http://b/")));
    }

    #[test]
    fn secrets_of_addresses_are_not_shown() {
        let uri: Uri = "https://user:secret@cdn:8/x?signature=secret"
            .parse()
            .unwrap();
        assert_eq!(shown(&uri), "https://cdn:8");
    }

    #[test]
    fn texts_become_parts_of_paths() {
        assert_eq!(encoded("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(encoded("1_Pooling/a b.json", true), "1_Pooling/a%20b.json");
        assert_eq!(encoded("é?", true), "%C3%A9%3F");
    }
}

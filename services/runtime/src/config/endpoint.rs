//! Address of a server in another process: `grpc://host:port`, or `grpcs://host:port` with TLS.

use std::fmt;

/// Host and port of a gRPC server, and whether it speaks TLS.
///
/// ```
/// use motet_runtime::config::Endpoint;
///
/// let endpoint = Endpoint::parse("grpc://vision:8001").unwrap();
/// assert_eq!((endpoint.host(), endpoint.port()), ("vision", 8001));
/// assert_eq!(endpoint.uri(), "http://vision:8001");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
    is_tls: bool,
}

impl Endpoint {
    /// Parses `grpc://host:port` or `grpcs://host:port`.
    ///
    /// # Errors
    /// The reason, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(EndpointError::Scheme);
        };
        let is_tls = match scheme {
            "grpc" => false,
            "grpcs" if cfg!(feature = "tls") => true,
            "grpcs" => return Err(EndpointError::Tls),
            _ => return Err(EndpointError::Scheme),
        };
        let (host, port) = rest.rsplit_once(':').ok_or(EndpointError::Port)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host_fits = match bare {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            }
        };
        if !host_fits {
            return Err(EndpointError::Host);
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self {
                host: host.to_owned(),
                port,
                is_tls,
            }),
            _ => Err(EndpointError::Port),
        }
    }

    /// Returns the host: a name, an IPv4 address or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether the server speaks TLS.
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Returns the same host and port with TLS.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.is_tls = true;
        self
    }

    /// Returns the URI for an HTTP/2 client: `http://host:port`, or `https://host:port` with TLS.
    pub fn uri(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "grpcs" } else { "grpc" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Visibility of the words of a server's errors: the key `errors` of a model or an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorWords {
    /// Callers get them.
    #[default]
    Show,
    /// Only logs and receipts have them.
    Hide,
}

impl ErrorWords {
    /// The values by their words in a configuration.
    pub const WORDS: [(&str, Self); 2] = [("show", Self::Show), ("hide", Self::Hide)];
}

/// Error of a text that is not an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text starts neither with `grpc://` nor with `grpcs://`.
    #[error("must look like `grpc://host:port`, or `grpcs://host:port` with TLS")]
    Scheme,
    /// The scheme requires TLS, which this build has not.
    #[error("asks for TLS, which this build has not: build motet with its feature `tls`")]
    Tls,
    /// The host is missing or invalid.
    #[error("has no usable host: write `grpc://host:port`")]
    Host,
    /// The port is missing or invalid.
    #[error("has no port between 1 and 65535: write `grpc://host:port`")]
    Port,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_as_they_print() {
        for text in [
            "grpc://vision.models.svc:8001",
            "grpc://127.0.0.1:1",
            "grpc://[::1]:65535",
            "grpc://service_a:50051",
            "grpcs://vision.models.svc:8001",
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Endpoint::parse("grpc://[::1]:5").unwrap().uri(),
            "http://[::1]:5"
        );
        assert_eq!(Endpoint::parse("grpcs://a:5").unwrap().uri(), "https://a:5");
        for (text, error) in [
            ("vision:8001", EndpointError::Scheme),
            ("http://vision:8001", EndpointError::Scheme),
            ("https://vision:8001", EndpointError::Scheme),
            ("grpcs://vision", EndpointError::Port),
            ("grpc://vision", EndpointError::Port),
            ("grpc://vision:0", EndpointError::Port),
            ("grpc://vision:70000", EndpointError::Port),
            ("grpc://:8001", EndpointError::Host),
            ("grpc://[::g]:8001", EndpointError::Host),
            ("grpc://a b:8001", EndpointError::Host),
        ] {
            assert_eq!(Endpoint::parse(text), Err(error), "{text}");
        }
    }
}

//! The address of a server, as `-a` takes it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use motet_runtime::config::{Endpoint, EndpointError};

/// The port of an address that has none.
pub(crate) const PORT_DEFAULT: u16 = 50051;
/// The host of an address that has none, such as `:50051`.
const HOST_DEFAULT: &str = "localhost";

/// The address of a gateway: `host:port`, `host`, `:port`, `[::1]:port`, or any of these after
/// `grpc://`, `grpcs://`, `http://` or `https://`, with TLS after
/// those that end in `s`. The port is [`PORT_DEFAULT`] where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress(Endpoint);

impl ServerAddress {
    /// Returns host, port and whether there is TLS.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_tls() {
            true => self.0.fmt(f),
            false => write!(f, "{}:{}", self.0.host(), self.0.port()),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            None => ("grpc", text),
            Some(("grpc" | "http", rest)) => ("grpc", rest),
            Some(("grpcs" | "https", rest)) => ("grpcs", rest),
            Some((scheme, _)) => return Err(AddressError::Scheme(scheme.to_owned())),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return Err(AddressError::Empty);
        }
        if rest.contains(['/', '?', '#', '@']) {
            return Err(AddressError::NotOnlyAddress);
        }
        let (host, port) = split(rest);
        let port = port.map_or_else(|| PORT_DEFAULT.to_string(), str::to_owned);
        Endpoint::parse(&format!("{scheme}://{host}:{port}"))
            .map(Self)
            .map_err(|error| match error {
                EndpointError::Port => AddressError::Port(port),
                EndpointError::Tls => AddressError::Tls,
                _ => AddressError::Host(host),
            })
    }
}

/// Splits `host:port`, where either may be missing and an IPv6 address may lack its brackets.
fn split(text: &str) -> (String, Option<&str>) {
    if text.parse::<Ipv6Addr>().is_ok() {
        return (format!("[{text}]"), None);
    }
    match text.rsplit_once(':') {
        // The colon is one of the address in the brackets.
        Some(_) if text.ends_with(']') => (text.to_owned(), None),
        Some(("", port)) => (HOST_DEFAULT.to_owned(), Some(port)),
        Some((host, port)) => (host.to_owned(), Some(port)),
        None => (text.to_owned(), None),
    }
}

/// Why a text is not a [`ServerAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no text, or only a scheme.
    #[error("the address is empty: write host:port, such as 127.0.0.1:{PORT_DEFAULT}")]
    Empty,
    /// It asks for TLS, which this build has not.
    #[error("asks for TLS, which this build has not: build motet with its feature `tls`")]
    Tls,
    /// Its scheme is not one of gRPC.
    #[error("`{0}://` is not a scheme of a gRPC server: write host:port or grpc://host:port")]
    Scheme(String),
    /// It has a path, a query, a fragment or a user.
    #[error("has more than a host and a port: write host:port")]
    NotOnlyAddress,
    /// The host is neither a name nor an IP address.
    #[error(
        "`{0}` is not a host: write host:port, with brackets for IPv6 such as [::1]:{PORT_DEFAULT}"
    )]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("`{0}` is not a port from 1 to 65535")]
    Port(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_understood() {
        for (text, expected) in [
            ("127.0.0.1:7000", "127.0.0.1:7000"),
            ("localhost", "localhost:50051"),
            ("localhost:7000", "localhost:7000"),
            ("models.svc", "models.svc:50051"),
            (":7000", "localhost:7000"),
            ("[::1]:7000", "[::1]:7000"),
            ("[::1]", "[::1]:50051"),
            ("::1", "[::1]:50051"),
            ("grpc://host:7000", "host:7000"),
            ("http://host:7000", "host:7000"),
            ("http://host:7000/", "host:7000"),
            ("http://host", "host:50051"),
            ("http://[::1]:7000", "[::1]:7000"),
            ("  host:7000\n", "host:7000"),
            ("grpcs://host", "grpcs://host:50051"),
            ("https://[::1]:7000/", "grpcs://[::1]:7000"),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), expected, "{text:?}");
            let scheme = match expected.starts_with("grpcs://") {
                true => "",
                false => "grpc://",
            };
            let endpoint = address.endpoint().to_string();
            assert_eq!(endpoint, format!("{scheme}{expected}"), "{text:?}");
        }
    }

    #[test]
    fn a_bad_address_is_refused_with_the_reason() {
        let port = |text: &str| AddressError::Port(text.to_owned());
        let host = |text: &str| AddressError::Host(text.to_owned());
        for (text, expected) in [
            ("", AddressError::Empty),
            ("http://", AddressError::Empty),
            ("ftp://host", AddressError::Scheme("ftp".to_owned())),
            ("http://host:7000/rag", AddressError::NotOnlyAddress),
            ("user@host:7000", AddressError::NotOnlyAddress),
            ("host:seven", port("seven")),
            ("host:0", port("0")),
            ("host:70000", port("70000")),
            ("host:", port("")),
            ("a host:7000", host("a host")),
            ("[::g]:7000", host("[::g]")),
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(expected), "{text:?}");
        }
    }
}

//! Exposure: a port that strangers may reach has TLS and authentication, or somebody has said that
//! it may do without.

use std::net::SocketAddr;

use motet_config::{Diagnostic, Diagnostics, Entry, Value, truncated};

/// Ports that may do without TLS and authentication where strangers may reach them: the key and the
/// flag `insecure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Insecure {
    /// None.
    #[default]
    No,
    /// The HTTP port, which tells health and metrics and changes nothing.
    Http,
    /// All.
    All,
}

/// The word for [`Insecure::Http`].
pub const INSECURE_HTTP: &str = "http";

/// A port, by what decides its exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The key of its address, such as `grpc`.
    pub name: &'static str,
    /// Its address.
    pub address: SocketAddr,
    /// `true` if it speaks TLS.
    pub has_tls: bool,
    /// `true` if it serves nobody whom it does not know.
    pub has_auth: bool,
    /// `true` if it may do without these.
    pub is_insecure: bool,
}

/// Exposure of a port to strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Strangers cannot reach it, or it turns them away.
    Safe,
    /// Strangers reach it, and that is wanted.
    Open(Lack),
    /// Strangers would reach it, and nobody has said that they may.
    Refused(Lack),
}

/// Protection against strangers that a port lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It speaks plain text.
    Tls,
    /// It serves everybody.
    Auth,
    /// Both.
    TlsAndAuth,
}

impl Port {
    /// Returns the port's exposure. Only a loopback address is out of strangers' reach: which
    /// networks are private, an address does not tell.
    pub fn exposure(&self) -> Exposure {
        let lack = match (self.has_tls, self.has_auth) {
            (true, true) => return Exposure::Safe,
            (false, true) => Lack::Tls,
            (true, false) => Lack::Auth,
            (false, false) => Lack::TlsAndAuth,
        };
        match (
            self.address.ip().to_canonical().is_loopback(),
            self.is_insecure,
        ) {
            (true, _) => Exposure::Safe,
            (false, true) => Exposure::Open(lack),
            (false, false) => Exposure::Refused(lack),
        }
    }

    /// Returns the error of a port that is not to be opened; `None` for others.
    pub fn refusal(&self) -> Option<ExposedError> {
        match self.exposure() {
            Exposure::Refused(lack) => Some(ExposedError { port: *self, lack }),
            Exposure::Safe | Exposure::Open(_) => None,
        }
    }
}

impl Lack {
    /// Describes the lack, as the end of a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Tls => "without TLS: whoever is on the way reads and changes what is said",
            Self::Auth => "without authentication: whoever reaches it may call it",
            Self::TlsAndAuth => {
                "without TLS and without authentication: whoever reaches it may call it, and \
                 whoever is on the way reads and changes what is said"
            }
        }
    }
}

/// A port that strangers would reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` listens on {}, which is not a loopback address, {}; {}",
    port.name, port.address, lack.words(), self.help()
)]
pub struct ExposedError {
    port: Port,
    lack: Lack,
}

impl ExposedError {
    /// Returns the port.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Returns the ways out.
    fn help(&self) -> String {
        let needed = match self.lack {
            Lack::Tls => "give `server` the key `tls`",
            Lack::Auth => {
                "give `server` the key `auth`, or ask for client certificates \
                 (`tls: { client_ca }`)"
            }
            Lack::TlsAndAuth => {
                "give `server` the keys `tls` and `auth`, or `tls: { cert, key, client_ca }`"
            }
        };
        let port = self.port.address.port();
        let open = match self.port.name {
            "http" => "`--insecure=http` (`insecure: http`) or `--insecure`",
            _ => "`--insecure` (`insecure: true`)",
        };
        format!(
            "{needed}, or listen on 127.0.0.1:{port}, or, where the network itself keeps \
             strangers out, say {open}"
        )
    }
}

impl Insecure {
    /// Reads the value of the key `insecure`: a boolean or `http`.
    pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &entry.node.value {
            Value::Bool(true) => Some(Self::All),
            Value::Bool(false) => Some(Self::No),
            Value::String(word) if word == INSECURE_HTTP => Some(Self::Http),
            other => {
                let found = match other {
                    Value::String(text) => format!("`{}`", truncated(text)),
                    _ => entry.node.kind().to_owned(),
                };
                let message = format!("`insecure` must be `true`, `false` or `http`, not {found}");
                diagnostics.push(Diagnostic::error(entry.node.span, message));
                None
            }
        }
    }

    /// Returns the value as it is written in a file.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::No => "false",
            Self::Http => INSECURE_HTTP,
            Self::All => "true",
        }
    }

    /// Returns whether the HTTP port may do without TLS and authentication.
    pub const fn covers_http(self) -> bool {
        matches!(self, Self::Http | Self::All)
    }

    /// Returns whether ports by which the server is called may do without.
    pub const fn covers_grpc(self) -> bool {
        matches!(self, Self::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_port_that_strangers_reach_needs_tls_and_authentication() {
        use Exposure::{Open, Refused, Safe};
        const LOOPBACK: [&str; 4] = [
            "127.0.0.1:50051",
            "127.8.9.1:0",
            "[::1]:50051",
            "[::ffff:127.0.0.1]:50051",
        ];
        const OTHERS: [&str; 5] = [
            "0.0.0.0:50051",
            "[::]:50051",
            "10.0.0.7:50051",
            "192.168.1.1:0",
            "[fe80::1]:50051",
        ];
        for (has_tls, has_auth, is_insecure, elsewhere) in [
            (true, true, false, Safe),
            (true, true, true, Safe),
            (true, false, false, Refused(Lack::Auth)),
            (true, false, true, Open(Lack::Auth)),
            (false, true, false, Refused(Lack::Tls)),
            (false, true, true, Open(Lack::Tls)),
            (false, false, false, Refused(Lack::TlsAndAuth)),
            (false, false, true, Open(Lack::TlsAndAuth)),
        ] {
            let exposure = |address: &str| {
                let port = Port {
                    name: "grpc",
                    address: address.parse().unwrap(),
                    has_tls,
                    has_auth,
                    is_insecure,
                };
                let exposure = port.exposure();
                let is_refused = matches!(exposure, Refused(_));
                assert_eq!(port.refusal().is_some(), is_refused, "{port:?}");
                exposure
            };
            for address in LOOPBACK {
                assert_eq!(exposure(address), Safe, "{address}");
            }
            for address in OTHERS {
                assert_eq!(
                    exposure(address),
                    elsewhere,
                    "{address} {has_tls} {has_auth}"
                );
            }
        }
    }

    #[test]
    fn a_refusal_names_the_port_what_it_lacks_and_every_way_out() {
        let port = Port {
            name: "grpc",
            address: "0.0.0.0:7000".parse().unwrap(),
            has_tls: false,
            has_auth: false,
            is_insecure: false,
        };
        let text = port.refusal().unwrap().to_string();
        for part in [
            "`grpc` listens on 0.0.0.0:7000",
            "without TLS and without authentication",
            "`tls: { cert, key, client_ca }`",
            "127.0.0.1:7000",
            "`--insecure`",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let http = Port {
            name: "http",
            has_tls: true,
            ..port
        };
        let text = http.refusal().unwrap().to_string();
        assert!(text.contains("`--insecure=http`"), "{text}");
        assert!(text.contains("`tls: { client_ca }`"), "{text}");
    }
}

//! Errors of connections to a server, where the system's words do not say why.

use std::error::Error;

/// Error of a connection to a server.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectProblem {
    /// The server speaks plain text.
    #[error("no connection: {host}:{port} does not speak TLS: write grpc://{host}:{port}")]
    NoTls {
        /// The server's host.
        host: String,
        /// The server's port.
        port: u16,
    },
    /// The server speaks TLS.
    #[error("no connection: {host}:{port} speaks TLS: write grpcs://{host}:{port}")]
    NeedsTls {
        /// The server's host.
        host: String,
        /// The server's port.
        port: u16,
    },
    /// The handshake failed.
    #[error("no connection: no TLS with {host}:{port}: {reason}")]
    Handshake {
        /// The server's host.
        host: String,
        /// The server's port.
        port: u16,
        /// The reason, with what to do.
        reason: String,
    },
    /// A file cannot be used.
    #[error("no connection: `tls`: {0}")]
    Files(crate::tls::TlsProblem),
}

/// Returns the words of the [`ConnectProblem`] that is the cause of an error, if one is.
///
/// Of an error in a connection that was made already, h2 keeps nothing but the words, in an error
/// of the system: they are known by how they begin.
pub fn words(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(problem) = error.downcast_ref::<ConnectProblem>() {
            return Some(problem.to_string());
        }
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(text) = io.map(ToString::to_string)
            && text.starts_with(START)
        {
            return Some(text);
        }
        let inner = io.and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Beginning of the words of every [`ConnectProblem`].
const START: &str = "no connection: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_deep_and_also_when_they_alone_are_left() {
        let problem = || ConnectProblem::NoTls {
            host: "a".to_owned(),
            port: 1,
        };
        let expected = "no connection: a:1 does not speak TLS: write grpc://a:1";
        let inside = std::io::Error::other(std::io::Error::other(problem()));
        let text = std::io::Error::other(problem().to_string());
        for error in [inside, text] {
            let status = tonic::Status::from_error(Box::new(error));
            assert_eq!(words(&status).as_deref(), Some(expected), "{status:?}");
        }
        assert_eq!(words(&std::io::Error::other("reset")), None);
    }
}

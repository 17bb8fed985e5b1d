//! TLS handshakes with servers.

use std::io;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::problem::ConnectProblem;
use crate::config::Endpoint;
use crate::tls::ClientTls;

/// Makes the handshake with a server.
pub(super) async fn handshake(
    stream: TcpStream,
    tls: &ClientTls,
    server: &Endpoint,
) -> Result<Box<TlsStream<TcpStream>>, ConnectProblem> {
    let failed = |reason: String| ConnectProblem::Handshake {
        host: server.host().to_owned(),
        port: server.port(),
        reason,
    };
    let files = tls.clone();
    // Files are read.
    let config = tokio::task::spawn_blocking(move || files.config());
    let config = config.await.map_err(|error| failed(error.to_string()))?;
    let config = config.map_err(ConnectProblem::Files)?;
    let host = server.host().trim_start_matches('[').trim_end_matches(']');
    let name = tls.server_name().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name.clone())
        .map_err(|_| failed(format!("`{name}` is no name that a certificate can have")))?;
    let connecting = TlsConnector::from(config).connect(name.clone(), stream);
    match connecting.await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) if is_plain(&error) => Err(ConnectProblem::NoTls {
            host: server.host().to_owned(),
            port: server.port(),
        }),
        Err(error) => Err(failed(reason(&error, &name.to_str()))),
    }
}

/// Returns the problem of a connection that the server ended by an alert.
pub(super) fn refusal(error: &io::Error, server: &Endpoint) -> Option<ConnectProblem> {
    let Some(Error::AlertReceived(_)) = tls_error(error) else {
        return None;
    };
    Some(ConnectProblem::Handshake {
        host: server.host().to_owned(),
        port: server.port(),
        reason: reason(error, server.host()),
    })
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?;
    inner
        .downcast_ref()
        .or_else(|| inner.source()?.downcast_ref())
}

/// Returns whether the server answered with something that is no TLS.
fn is_plain(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::InvalidMessage(_)))
}

/// Returns why a handshake failed, and what to do.
fn reason(error: &io::Error, name: &str) -> String {
    use AlertDescription as A;
    use CertificateError as C;
    match tls_error(error) {
        Some(Error::InvalidCertificate(found)) => match found {
            C::UnknownIssuer => "its certificate is of no authority that is trusted: name the \
                                 authority with `ca`"
                .to_owned(),
            C::NotValidForName | C::NotValidForNameContext { .. } => format!(
                "its certificate is not for `{name}`: name one of its hosts with `server_name`"
            ),
            C::Expired | C::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            C::NotValidYet | C::NotValidYetContext { .. } => {
                "its certificate is not valid yet; is this machine's clock right?".to_owned()
            }
            // As `openssl req -x509` makes them.
            C::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "its certificate is that of an authority, not of a server: have the authority \
                 sign one for the server (`basicConstraints=CA:FALSE`)"
                    .to_owned()
            }
            _ => format!("its certificate is not accepted: {found}"),
        },
        Some(Error::AlertReceived(A::CertificateRequired | A::HandshakeFailure)) => {
            "it asks for a certificate: name yours with `cert` and `key`".to_owned()
        }
        Some(Error::AlertReceived(
            A::UnknownCA | A::BadCertificate | A::CertificateUnknown | A::CertificateExpired,
        )) => format!("it does not accept the certificate that it is shown: {error}"),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection in the handshake; does it speak TLS?".to_owned()
        }
        _ => error.to_string(),
    }
}

//! Answers to HTTP/1 clients of the gRPC port: a browser, a probe, or curl without
//! `--http2-prior-knowledge`.

use std::convert::Infallible;
use std::net::SocketAddr;

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::ServeOptions;
use super::socket::Socket;

/// Answers one request with the protocol and port to use instead, and closes the connection.
pub(super) async fn refuse(socket: Socket, http: Option<SocketAddr>, options: &ServeOptions) {
    let is_plain = matches!(socket, Socket::Plain(_));
    let text = explanation(is_plain, http);
    let service = service_fn(move |_: Request<Incoming>| {
        let mut response = Response::new(text.clone());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.keep_alive_timeout)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a client of the gRPC port speaks neither HTTP/2 nor HTTP/1");
    }
}

fn explanation(is_plain: bool, http: Option<SocketAddr>) -> String {
    let (how, scheme) = match is_plain {
        true => ("without TLS, with prior knowledge", "http"),
        false => ("over TLS", "https"),
    };
    let elsewhere = match http {
        Some(address) => format!("Health and metrics over HTTP/1.1 are at {scheme}://{address}/."),
        None => "This process has no HTTP/1.1 port.".to_owned(),
    };
    format!(
        "This port speaks gRPC: HTTP/2, {how}. You sent HTTP/1.\n\
         {elsewhere}\n"
    )
}

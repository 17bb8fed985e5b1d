//! A client of the HTTP port, and a reader of metrics.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Returns status and body of a page; `None` if nothing answers.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The metrics of a process at one moment.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Reads `/metrics`.
    ///
    /// # Panics
    /// If the page cannot be read.
    pub async fn read(address: SocketAddr) -> Self {
        match get(address, "/metrics").await {
            Some((200, text)) => Self(text),
            other => panic!("no metrics: {other:?}"),
        }
    }

    /// Returns the sum of the samples with this name and, among others, these labels; `None` if
    /// there are none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |line: &&str| {
            let rest = line.strip_prefix(name);
            let labelled =
                |(key, value): &(&str, &str)| line.contains(&format!("{key}=\"{value}\""));
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(labelled)
        };
        let number = |line: &str| line.rsplit_once(' ')?.1.parse::<f64>().ok();
        let mut samples = self.0.lines().filter(fits).filter_map(number).peekable();
        samples.peek()?;
        Some(samples.sum())
    }

    /// As [`value`](Self::value), with 0 in place of `None`.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.value(name, labels).unwrap_or(0.0)
    }
}

//! The summary of a process that is ready, for a terminal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::process::{PipelineOverview, Running};
use crate::table::table;

/// The default address of `motet call`, which its examples need not state.
const ADDRESS_DEFAULT: &str = "127.0.0.1:50051";
/// The most pipelines that are listed.
const PIPELINES_LISTED_MAX: usize = 20;

/// Pipelines, models, addresses, and what to try next with the program of this name.
pub(super) fn summary(running: &Running, program: &str) -> String {
    let overview = &running.overview;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let listed = overview.pipelines.iter().take(PIPELINES_LISTED_MAX);
    let mut pipelines: Vec<String> = listed.map(described).collect();
    let hidden = overview.pipelines.len() - pipelines.len();
    if hidden > 0 {
        pipelines.push(format!("and {hidden} more: `{program} list` shows all"));
    }
    let models = |models: &[String]| (!models.is_empty()).then(|| models.join(", "));
    let grpc = reachable(running.grpc);
    let admin = running
        .admin
        .map(|address| format!("{address} (load and unload)"));
    let http = running.http.map(reachable);
    let http = http.map(|address| format!("http://{address} (health and metrics)"));
    for (title, values) in [
        ("pipelines", pipelines),
        ("models", Vec::from_iter(models(&overview.local_models))),
        (
            "models elsewhere",
            Vec::from_iter(models(&overview.remote_models)),
        ),
        ("gRPC", vec![grpc.to_string()]),
        ("admin", Vec::from_iter(admin)),
        ("HTTP", Vec::from_iter(http)),
    ] {
        for (at, value) in values.into_iter().enumerate() {
            let title = if at == 0 { title } else { "" };
            rows.push(vec![title.to_owned(), value]);
        }
    }
    let mut text = format!("\n{}", table(&rows, 2));
    if let Some(pipeline) = overview.pipelines.first() {
        text.push_str("\n  to try next, in another terminal:\n");
        for line in next_steps(pipeline, grpc, program) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text.push_str("\n  Ctrl-C stops it.\n");
    text
}

fn described(pipeline: &PipelineOverview) -> String {
    let description = pipeline.description.as_deref().unwrap_or_default();
    match description.lines().next() {
        None | Some("") => pipeline.name.clone(),
        Some(line) => format!("{}: {line}", pipeline.name),
    }
}

/// Command lines that work against this process.
fn next_steps(pipeline: &PipelineOverview, address: SocketAddr, program: &str) -> Vec<String> {
    let name = &pipeline.name;
    let at = match address.to_string() {
        default if default == ADDRESS_DEFAULT => String::new(),
        other => format!(" -a {other}"),
    };
    let mut lines = Vec::new();
    if let Some(arguments) = &pipeline.example {
        let arguments: String = arguments.iter().map(|a| format!(" {a}")).collect();
        lines.push(format!("{program} call {name}{at}{arguments}"));
    }
    lines.push(format!("{program} describe {name}{at}"));
    lines.push(format!("{program} explain {name}{at}"));
    lines
}

/// Returns an address that this machine can connect to: loopback, for one that means all
/// interfaces.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

//! Arguments of commands that start a process.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use humantime::parse_duration;
use motet_runtime::config::{Endpoint, INSECURE_HTTP, Insecure};
use motet_service::MemoryLimit;

use super::{FileArgs, FileFlags};

/// `motet up`.
#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    /// Which files.
    #[command(flatten)]
    pub files: FileArgs,
    /// Where to listen, and how to log.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Models in other processes.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// The files, and what they may take.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `motet` without a command: as `motet up`, without a file as an argument.
#[derive(Debug, Clone, Default, Args)]
pub struct UpFlags {
    /// Which files.
    #[command(flatten)]
    pub files: FileFlags,
    /// Where to listen, and how to log.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Models in other processes.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// The files, and what they may take.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `motet gateway`.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// Which files.
    #[command(flatten)]
    pub files: FileArgs,
    /// Where to listen, and how to log.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Models in other processes.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// The files, and what they may take.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `motet serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Which files.
    #[command(flatten)]
    pub files: FileArgs,
    /// Where to listen, and how to log.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// A model to serve; may be repeated. All models of the configuration if there is none
    #[arg(long = "model", value_name = "NAME")]
    pub names: Vec<String>,
    /// The files, and what they may take.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The files of a process, and what they may take.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct RunArgs {
    /// Refuse models that are other ones than those of the lock file, down to the bits of their
    /// files
    #[arg(long)]
    pub locked: bool,
    /// Take changes of the configuration, its pipeline files and the files of its models while the
    /// process serves
    #[arg(long)]
    pub watch: bool,
    /// The memory that the process may use, such as 8GiB, beyond which no model is loaded; `off`
    /// does not look [default: the limit of its control group, else the machine's]
    #[arg(long, value_name = "SIZE", env = "MOTET_MEMORY", value_parser = memory)]
    pub memory: Option<MemoryLimit>,
}

/// Where to listen, and how to log.
#[derive(Debug, Clone, Default, Args)]
pub struct ListenArgs {
    /// The gRPC address; port 0 takes any free one [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR", env = "MOTET_GRPC", value_parser = address)]
    pub grpc: Option<SocketAddr>,
    /// The HTTP address of health and metrics, or `off` [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "MOTET_HTTP", value_parser = http_address)]
    pub http: Option<HttpAddress>,
    /// Listen on addresses that are not loopback without TLS and authentication; `=http` allows it
    /// for the HTTP port alone
    #[arg(
        long,
        value_name = "all|http",
        env = "MOTET_INSECURE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_parser = insecure
    )]
    pub insecure: Option<Insecure>,
    /// How long requests in flight may take to finish after a signal to stop [default: 10s]
    #[arg(long, value_name = "TIME", env = "MOTET_GRACE", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// The format of log lines. `RUST_LOG` sets the levels.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MOTET_LOG_FORMAT",
        default_value = "human"
    )]
    pub log_format: LogFormat,
}

/// An HTTP address, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAddress {
    /// Do not listen.
    Off,
    /// Listen here.
    At(SocketAddr),
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Models in other processes.
#[derive(Debug, Clone, Default, Args)]
pub struct RemoteArgs {
    /// The address of a model or an endpoint, in place of the file's; may be repeated
    #[arg(long = "endpoint", value_name = "NAME=grpc://HOST:PORT", value_parser = endpoint)]
    pub endpoints: Vec<(String, Endpoint)>,
    /// How long to wait at startup for models and endpoints in other processes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub wait: Option<Duration>,
}

fn memory(text: &str) -> Result<MemoryLimit, String> {
    if text == "off" {
        return Ok(MemoryLimit::Off);
    }
    let bytes = motet_config::values::parse_size(text);
    let bytes = bytes.ok_or("write a size such as 8GiB, or `off`")?;
    Ok(MemoryLimit::Bytes(bytes))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    motet_runtime::config::parse_address(text)
        .ok_or_else(|| "write an IP address and a port, such as 127.0.0.1:50051".to_owned())
}

fn insecure(text: &str) -> Result<Insecure, String> {
    match text {
        "all" | "true" | "1" => Ok(Insecure::All),
        INSECURE_HTTP => Ok(Insecure::Http),
        _ => Err("write --insecure or --insecure=http".to_owned()),
    }
}

fn http_address(text: &str) -> Result<HttpAddress, String> {
    if text == "off" {
        return Ok(HttpAddress::Off);
    }
    address(text).map(HttpAddress::At)
}

fn endpoint(text: &str) -> Result<(String, Endpoint), String> {
    let (model, endpoint) = text.split_once('=').ok_or("write NAME=grpc://HOST:PORT")?;
    let endpoint = Endpoint::parse(endpoint).map_err(|e| e.to_string())?;
    Ok((model.to_owned(), endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_name() {
        let (model, endpoint) = endpoint("minilm=grpc://host:1").unwrap();
        assert_eq!(
            (model.as_str(), endpoint.to_string().as_str()),
            ("minilm", "grpc://host:1")
        );
        for wrong in ["minilm", "minilm=host:1", "minilm=grpc://host"] {
            assert!(super::endpoint(wrong).is_err(), "{wrong}");
        }
    }
}

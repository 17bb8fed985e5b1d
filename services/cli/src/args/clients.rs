//! Arguments of commands that call a running gateway.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;
use motet_runtime::config::{ClientTlsSpec, Destination};

use crate::address::ServerAddress;

/// Which gateway.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// The gateway's address, `grpcs://HOST:PORT` with TLS; the port is 50051 where there is none
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        env = "MOTET_ADDRESS",
        default_value = "127.0.0.1:50051"
    )]
    pub address: ServerAddress,
    /// Who calls, and how the server is known.
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// Who calls a server, and how it is known.
#[derive(Debug, Clone, Args)]
pub struct CredentialArgs {
    /// A file with the API key to send; without it, the variable MOTET_API_KEY has it
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// For TLS (`grpcs://HOST:PORT`): the authorities of the server's certificate, in place of the
    /// system's
    #[arg(long, value_name = "FILE", env = "MOTET_CA")]
    pub ca: Option<PathBuf>,
    /// For TLS: a certificate to show to the server
    #[arg(long, value_name = "FILE", env = "MOTET_CERT", requires = "key")]
    pub cert: Option<PathBuf>,
    /// For TLS: the certificate's key
    #[arg(long, value_name = "FILE", env = "MOTET_KEY", requires = "cert")]
    pub key: Option<PathBuf>,
    /// For TLS: the name that the server's certificate must have [default: the host]
    #[arg(long, value_name = "NAME", env = "MOTET_SERVER_NAME")]
    pub server_name: Option<String>,
}

impl ServerArgs {
    /// Returns the server, and how it is spoken to: in TLS where the address or a file says so.
    pub(crate) fn destination(&self) -> Destination {
        let tls = ClientTlsSpec {
            ca: self.credentials.ca.clone(),
            identity: self
                .credentials
                .cert
                .clone()
                .zip(self.credentials.key.clone()),
            server_name: self.credentials.server_name.clone(),
        };
        Destination::with_tls(self.address.endpoint().clone(), tls)
    }
}

/// `motet call`.
#[derive(Debug, Clone, Args)]
pub struct CallArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Inputs; `NAME=@file` reads one from a file
    #[arg(value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// All inputs as one JSON object; `@file` reads it from a file, `-` from standard input
    #[arg(short, long, value_name = "JSON", conflicts_with = "inputs")]
    pub data: Option<String>,
    /// Send each line of standard input, a JSON object, as a request over one stream, and print
    /// each answer as a line of JSON as it comes
    #[arg(long, conflicts_with_all = ["inputs", "data", "json", "deadline"])]
    pub stream: bool,
    /// Print answers in the order of their lines
    #[arg(long, requires = "stream")]
    pub ordered: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Also print where the time went.
    #[arg(long)]
    pub receipt: bool,
    /// Which gateway.
    #[command(flatten)]
    pub server: ServerArgs,
    /// How long the call may take.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub deadline: Option<Duration>,
}

/// `motet health`.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// A pipeline, its gRPC service, or a model; the whole server when there is none
    pub name: Option<String>,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `motet list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Print the response as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `motet describe`.
#[derive(Debug, Clone, Args)]
pub struct DescribeArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Print the response as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the .proto file of the pipeline's gRPC service.
    #[arg(long, conflicts_with = "json")]
    pub proto: bool,
    /// Which gateway.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `motet explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Print the response as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the graph in Graphviz's language.
    #[arg(long, conflicts_with = "json")]
    pub dot: bool,
    /// Which gateway.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `motet load`.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// A file with one pipeline, or a configuration with models and pipelines; `-` is standard
    /// input
    #[arg(value_name = "FILE", required_unless_present_any = ["file", "model"])]
    pub argument: Option<PathBuf>,
    /// The file as a flag
    #[arg(short, long, value_name = "FILE", conflicts_with = "argument")]
    pub file: Option<PathBuf>,
    /// Load this model alone: that of the file, or without a file that of the server's own
    /// configuration
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Time in which a model must be loaded
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Print the responses as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `motet unload`.
#[derive(Debug, Clone, Args)]
pub struct UnloadArgs {
    /// A pipeline or a model; of a model's name without a version, all versions
    pub name: String,
    /// Which gateway.
    #[command(flatten)]
    pub server: ServerArgs,
}
